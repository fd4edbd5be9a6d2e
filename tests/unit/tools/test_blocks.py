from __future__ import annotations

import pytest

from tools import blocks

TEXT = "# a\n<!-- list: begin (note) -->\nold\n<!-- list: end -->\nz\n"


def test_content_between_the_markers_is_replaced() -> None:
    assert blocks.replace_block(TEXT, "list", "new\n") == TEXT.replace("old", "new")


def test_markers_may_be_comments_of_yaml() -> None:
    text = "a: 1\n# list: begin\n# list: end\nb: 2\n"
    assert blocks.replace_block(text, "list", "c: 3\n") == "a: 1\n# list: begin\nc: 3\n# list: end\nb: 2\n"


def test_replacing_twice_changes_nothing() -> None:
    once = blocks.replace_block(TEXT, "list", "new\n")
    assert blocks.replace_block(once, "list", "new\n") == once


@pytest.mark.parametrize("text", ["", "<!-- list: begin -->\n", TEXT + TEXT, TEXT.replace("list", "listing")])
def test_document_without_exactly_one_block_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="list"):
        blocks.replace_block(text, "list", "")
