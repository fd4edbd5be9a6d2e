# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read the files of sshd_config line by line, to name the line that decides; what is in force only `sshd -T` knows."""

from __future__ import annotations

import dataclasses
import fnmatch
import glob
import os
import re
import shlex
import typing as t

MAIN = "/etc/ssh/sshd_config"
DEEPEST = 16  # levels of Include, as in sshd
# Old names of settings; `sshd -T` prints the new ones.
ALIASES = {
    "challengeresponseauthentication": "kbdinteractiveauthentication",
    "skeyauthentication": "kbdinteractiveauthentication",
    "dsaauthentication": "pubkeyauthentication",
    "pubkeyacceptedkeytypes": "pubkeyacceptedalgorithms",
    "hostbasedacceptedkeytypes": "hostbasedacceptedalgorithms",
    "keepalive": "tcpkeepalive",
}
LINE = re.compile(r"\s*([A-Za-z0-9-]+)(?:\s*=\s*|\s+)(.*)")


class ConfigError(Exception):
    """A file cannot be read as sshd reads it; the message is for the operator."""


@dataclasses.dataclass(frozen=True)
class Block:
    """The criteria of a Match block."""

    criteria: tuple[tuple[str, str], ...]  # lower-case criterion and its pattern; `all` has none

    @property
    def known(self) -> bool:
        """Whether user and groups of an account decide if the block applies; the address of a client does not."""
        return all(name in ("user", "group", "all") for name, _pattern in self.criteria)

    def applies(self, user: str, groups: t.Collection[str]) -> bool:
        """Return whether the criteria of users and groups match; other criteria are taken as matching."""
        for name, pattern in self.criteria:
            if name == "user" and not match_list([user], pattern):
                return False
            if name == "group" and not match_list(groups, pattern):
                return False
        return True

    def __str__(self) -> str:
        return "Match " + ", ".join(" ".join(filter(None, one)) for one in self.criteria)


@dataclasses.dataclass(frozen=True)
class Setting:
    """One line that sets something."""

    file: str
    line: int
    keyword: str  # lower case, with its new name
    value: str
    blocks: tuple[Block, ...] = ()  # the Match blocks around it; an included file can have one in another one
    name: str = ""  # the keyword as it is written

    def applies(self, user: str, groups: t.Collection[str]) -> bool:
        """Return whether the line can apply to an account."""
        return all(block.applies(user, groups) for block in self.blocks)

    @property
    def known(self) -> bool:
        """Whether an account alone decides if the line applies."""
        return all(block.known for block in self.blocks)

    def __str__(self) -> str:
        within = "".join(f", in `{block}`" for block in self.blocks)
        return f"{self.file}:{self.line}: `{self.name or self.keyword} {self.value}`{within}"


def match_list(values: t.Iterable[str], patterns: str) -> bool:
    """Return whether a value matches a list of patterns as sshd matches it: `!` excludes, and the exclusion wins."""
    listed = patterns.split(",")
    included = False
    for value in values:
        for pattern in listed:
            if fnmatch.fnmatchcase(value, _escape(pattern.removeprefix("!"))):
                if pattern.startswith("!"):
                    return False
                included = True
    return included


def _escape(pattern: str) -> str:
    # sshd knows only the wildcards * and ?.
    return pattern.replace("[", "[[]")


def parse(
    path: str,
    read: t.Callable[[str], str],
    expand: t.Callable[[str], t.Sequence[str]] = lambda pattern: sorted(glob.glob(pattern)),
) -> list[Setting]:
    """Return the settings of a file and of the files that it includes, in the order in which sshd reads them.

    Args:
        path: the file.
        read: returns the text of a file.
        expand: returns the files that match a pattern of Include.

    Raises:
        ConfigError: files include each other without end.
    """
    return list(_parse(path, read, expand, (), 0))


def _parse(
    path: str,
    read: t.Callable[[str], str],
    expand: t.Callable[[str], t.Sequence[str]],
    outer: tuple[Block, ...],
    depth: int,
) -> t.Iterator[Setting]:
    if depth > DEEPEST:
        raise ConfigError(f"{path}: files include each other without end")
    blocks = outer
    for number, text in enumerate(read(path).splitlines(), 1):
        found = LINE.match(text)
        if not found:
            continue
        keyword = ALIASES.get(found[1].lower(), found[1].lower())
        words = split_words(found[2])
        if keyword == "match":
            # A block ends at the next one and at the end of its file.
            blocks = (*outer, Block(tuple(_criteria(words))))
        elif keyword == "include":
            for pattern in words:
                for file in expand(os.path.join(os.path.dirname(MAIN), pattern)):
                    yield from _parse(file, read, expand, blocks, depth + 1)
        else:
            yield Setting(path, number, keyword, " ".join(words), blocks, found[1])


def split_words(text: str) -> list[str]:
    """Return the words of a line, without quotes and without a comment at its end."""
    try:
        return shlex.split(text, comments=True)
    except ValueError:
        return text.split()


def _criteria(words: t.Sequence[str]) -> t.Iterator[tuple[str, str]]:
    rest = list(words)
    while rest:
        name, equals, pattern = rest.pop(0).partition("=")
        name = name.lower()
        if not equals and name not in ("all", "invalid-user", "canonical", "final"):
            pattern = rest.pop(0) if rest else ""
        yield name, pattern


def parse_arguments(argv: t.Sequence[str], file: str, line: int) -> tuple[str, list[Setting]]:
    """Return the configuration file that arguments of sshd name, empty for the usual one, and what they set."""
    path, settings, rest = "", list[Setting](), list(argv)
    while rest:
        word = rest.pop(0)
        flag, value = word[:2], word[2:]
        if flag not in ("-o", "-p", "-f"):
            continue
        value = value or (rest.pop(0) if rest else "")
        if flag == "-f":
            path = value
        elif flag == "-p":
            settings.append(Setting(file, line, "port", value))
        else:
            found = LINE.match(value.replace("=", " ", 1))
            if found:
                keyword = ALIASES.get(found[1].lower(), found[1].lower())
                settings.append(Setting(file, line, keyword, found[2].strip(), name=found[1]))
    return path, settings


def parse_effective(text: str) -> dict[str, tuple[str, ...]]:
    """Return what `sshd -T` prints: the values of each keyword."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        keyword, _space, value = line.partition(" ")
        found.setdefault(keyword.lower(), []).append(value.strip())
    return {keyword: tuple(values) for keyword, values in found.items()}
