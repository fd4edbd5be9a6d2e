"""The rules for names of plays, blocks, tasks and handlers, as functions from files to a list of complaints."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import yaml

LIMIT = 72
FIRST_WORDS = frozenset({"Ask", "Bring", "Hold", "Keep", "Let", "Look", "Say", "See", "Tell"})
WORDS = re.compile(r"\b(what|who|whom|whoever)\b", re.IGNORECASE)
# A file with tasks for one subject prefixes its names: `Configure | Render the virtual hosts`. A pipe inside of Jinja
# is a filter, no prefix.
PREFIX = re.compile(r"^(?:[^|{]+ \| )+")

TREES = ("playbooks", "roles", "molecule", ".config/molecule", "tests", "sandbox")
# A mapping with one of these keys is a play, a block or a task. Data with `name` entries, such as variables and role
# lists, has none.
SHAPES = re.compile(r"^(hosts|block|(?:\w+\.){2,}\w+)$")
SECTIONS = ("pre_tasks", "tasks", "post_tasks", "handlers", "block", "rescue", "always")


def files(root: Path) -> list[Path]:
    """List the YAML files of a checkout that may hold plays and tasks."""
    return sorted(path for tree in TREES for path in (root / tree).rglob("*.yml"))


def offences(name: str) -> list[str]:
    """Return the rules that a name breaks; only the limit and the words apply to the text of a Jinja expression."""
    text = PREFIX.sub("", name)
    first = re.split(r"\W", text, maxsplit=1)[0]
    found = [f"begins with {first}"] if first in FIRST_WORDS else []
    found += [f"contains the word {word}" for word in dict.fromkeys(WORDS.findall(text))]
    found += [f"has {len(text)} characters, over {LIMIT}"] if len(text) > LIMIT else []
    return found + ([] if text[:1].isupper() else ["does not begin with a capital letter"])


def names(node: yaml.Node | None) -> Iterator[tuple[int, str]]:
    """Yield the line and the name of each play, block, task and handler below a list of them."""
    entries = node.value if isinstance(node, yaml.SequenceNode) else []
    for entry in entries:
        if not isinstance(entry, yaml.MappingNode):
            continue
        keys = {key.value: value for key, value in entry.value}
        if "name" in keys and any(SHAPES.match(str(key)) for key in keys):
            yield keys["name"].start_mark.line + 1, str(keys["name"].value)
        for section in SECTIONS:
            yield from names(keys.get(section))


def complaints(paths: Iterable[Path], root: Path) -> list[str]:
    """Complain about each name in the files that breaks a rule."""
    return [
        f"{path.relative_to(root)}:{line}: `{name}` {offence}"
        for path in paths
        for document in yaml.compose_all(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
        for line, name in names(document)
        for offence in offences(name)
    ]
