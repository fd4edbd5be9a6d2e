"""Replace generated blocks of a document: the lines between `NAME: begin` and `NAME: end`, each in a comment."""

from __future__ import annotations

import re


def replace_block(text: str, name: str, content: str) -> str:
    """Return the document with the content of one block replaced; its marker lines stay."""
    pattern = rf"(^[^\n]*\b{re.escape(name)}: begin\b[^\n]*\n).*?(^[^\n]*\b{re.escape(name)}: end\b[^\n]*$)"
    replaced, count = re.subn(
        pattern, lambda match: match[1] + content + match[2], text, flags=re.DOTALL | re.MULTILINE
    )
    if count != 1:
        raise ValueError(f"expected one block {name!r} with a begin and an end marker, found {count}")
    return replaced
