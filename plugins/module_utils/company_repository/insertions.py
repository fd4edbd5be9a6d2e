# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Insert an entry into the text of a YAML file; all other bytes, comments included, stay. Pure."""

from __future__ import annotations

import typing as t
from collections.abc import Iterator, Sequence

from ansible_collections.vise.platform.plugins.module_utils.description import write_yaml

try:
    import yaml
except ImportError:
    # The controller has it: Ansible depends on it.
    yaml = None  # type: ignore[assignment,unused-ignore]

STEP = 2


class InsertionError(ValueError):
    """The entry cannot be inserted; the user has to write it."""


def load(text: str) -> t.Any:
    """Return the content of a YAML text; a value with a tag of Ansible, such as !vault, is its text."""
    return to_data(yaml.compose(text, Loader=yaml.SafeLoader))


def to_data(node: t.Any) -> t.Any:
    """Return the data of a node."""
    if node is None:
        return None
    if isinstance(node, yaml.MappingNode):
        return {to_data(key): to_data(value) for key, value in node.value}
    if isinstance(node, yaml.SequenceNode):
        return [to_data(one) for one in node.value]
    if node.tag.startswith("tag:yaml.org,2002:"):
        return yaml.SafeLoader("").construct_object(node)
    return node.value


def insert(text: str, path: Sequence[str], entry: str) -> str:
    """Return the text with an entry at the end of the mapping or list at a path.

    Args:
        text: the file.
        path: the keys that lead to the mapping or list.
        entry: the entry as YAML without indentation: `name: ...`, or `- ...`.

    Raises:
        InsertionError: the file has not the form that this function can edit.
    """
    place = ".".join(path)
    try:
        parent, node = find_value(yaml.compose(text, Loader=yaml.SafeLoader), path)
        added = yaml.safe_load(entry)
        new = insert_at(text, parent, node, entry, added)
        if load(new) != add(load(text), path, added):
            raise InsertionError(f"{place} has an unusual form")
    except yaml.YAMLError as error:
        raise InsertionError(f"{place}: the YAML is not valid: {' '.join(str(error).split())}") from error
    return new


def find_value(node: t.Any, path: Sequence[str]) -> tuple[t.Any, t.Any]:
    """Return the last key of a path and its value."""
    parent = None
    for name in path:
        found = [pair for pair in node.value if pair[0].value == name] if isinstance(node, yaml.MappingNode) else []
        if not found:
            raise InsertionError(f"the key {'.'.join(path)} is missing")
        parent, node = found[0]
    return parent, node


def add(data: t.Any, path: Sequence[str], added: t.Any) -> t.Any:
    """Return the data with an entry added at a path."""
    if path:
        return {**data, path[0]: add(data[path[0]], path[1:], added)}
    if isinstance(added, list):
        return [*(data or []), *added]
    return {**(data or {}), **added}


def insert_at(text: str, parent: t.Any, node: t.Any, entry: str, added: t.Any) -> str:
    """Return the text with an entry in a value, in the style that this value has."""
    empty = not node.value or node.value in ("~", "null")
    if empty:
        # The value is removed, with the space before it.
        column = parent.start_mark.column + STEP
        end = node.end_mark.index
        head = text[: text.index(":", parent.end_mark.index) + 1]
        rest = text[max(end, len(head)) :] if not isinstance(node, yaml.ScalarNode) or node.value else text[len(head) :]
        line, _newline, others = rest.partition("\n")
        return f"{head}{line.rstrip()}\n{indent(entry, column)}{others}"
    if isinstance(node, yaml.ScalarNode):
        raise InsertionError(f"the value of {parent.value} has an unusual form")
    if node.flow_style:
        index = node.end_mark.index - 1
        shown = write_yaml(added)[1:-1] if isinstance(added, (list, dict)) else write_yaml(added)
        return f"{text[:index].rstrip()}, {shown}{text[index:]}"
    lines = text.splitlines(keepends=True)
    last = last_line(node) + 1
    before = "".join(lines[:last])
    newline = "" if before.endswith("\n") else "\n"
    return f"{before}{newline}{indent(entry, node.start_mark.column)}{''.join(lines[last:])}"


def last_line(node: t.Any) -> int:
    """Return the number of the last line of a value; comments after it do not belong to it."""
    last = list(leaves(node))[-1]
    if isinstance(last, yaml.ScalarNode) and last.style in ("|", ">"):
        return int(last.end_mark.line) - 1
    return int(last.end_mark.line)


def leaves(node: t.Any) -> Iterator[t.Any]:
    """Yield the scalars and the collections in flow style below a node."""
    if isinstance(node, yaml.ScalarNode) or node.flow_style or not node.value:
        yield node
        return
    for part in node.value:
        for one in part if isinstance(part, tuple) else (part,):
            yield from leaves(one)


def indent(entry: str, column: int) -> str:
    """Return an entry with its indentation."""
    return "".join(f"{' ' * column}{line}\n" if line else "\n" for line in entry.strip("\n").split("\n"))
