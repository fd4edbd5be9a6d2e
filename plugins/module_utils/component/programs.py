# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Programs of the collection on a host: a module of module_utils, a copy of each file that it imports, and a launcher.

Each program has its own copies, so that the removal or the rollback of one component never breaks another's program.
"""

from __future__ import annotations

import dataclasses
import os
import re
import typing as t

LIBRARY = "/usr/local/lib/vise"
COMMANDS = "/usr/local/sbin"
# The package that stands for module_utils on a host; all imports between its files are relative.
PACKAGE = "vise_platform"
NAME = re.compile(r"[a-z][a-z0-9-]*")
IMPORT = re.compile(r"^[ \t]*from[ \t]+(\.+)([\w.]*)[ \t]+import[ \t]+(?:\(([^)]*)\)|([^\n(]+))", re.MULTILINE)
FOREIGN = re.compile(r"^(?:from|import)[ \t]+(ansible\w*)", re.MULTILINE)
COMMENT = re.compile(r"#[^\n]*")
DOCSTRING = re.compile(r'"""(.*?)(?:\n|""")')
PROGRAM_FILE = re.compile(rf"{LIBRARY}/([a-z0-9-]+)(?:/|$)")
LAUNCHER = """#!/usr/bin/python3 -I
# {managed}
\"\"\"{summary}\"\"\"

import os
import signal
import sys

sys.path.insert(0, "{directory}")

from {package}.{module} import main

received = []


def stop(number, _frame):
    # An exception instead of a sudden end: the commands of the program have sessions of their own, and end with it.
    received.append(number)
    sys.exit(128 + number)


for number in (signal.SIGTERM, signal.SIGHUP):
    if signal.getsignal(number) == signal.SIG_DFL:
        signal.signal(number, stop)
try:
    sys.exit(main(sys.argv[1:]))
finally:
    if received:
        # systemd counts a program that a signal has ended as stopped, and an exit code as a failure.
        sys.stdout.flush()
        signal.signal(received[0], signal.SIG_DFL)
        os.kill(os.getpid(), received[0])
"""


class ProgramError(Exception):
    """A program cannot be installed; the message names the file and the reason."""


@dataclasses.dataclass(frozen=True)
class Program:
    """A program that a component installs as C(/usr/local/sbin/vise-<name>)."""

    name: str
    module: str  # dotted, below module_utils; it has `main(arguments: list[str]) -> int`

    @property
    def directory(self) -> str:
        """The directory of its files on a host."""
        return f"{LIBRARY}/{self.name}"

    @property
    def launcher(self) -> str:
        """The file that starts it."""
        return f"{self.directory}/run"

    @property
    def command(self) -> str:
        """The link by which operators, units and roles start it."""
        return f"{COMMANDS}/vise-{self.name}"

    def files(self, sources: t.Mapping[str, str], managed: str) -> dict[str, tuple[str, str]]:
        """Return content and mode of each of its files on a host, by path."""
        found = DOCSTRING.search(sources[_file_name(self.module)])
        launcher = LAUNCHER.format(
            managed=managed,
            summary=found[1] if found else self.name,
            directory=self.directory,
            package=PACKAGE,
            module=self.module,
        )
        copies = {f"{self.directory}/{PACKAGE}/{path}": (text, "0644") for path, text in sources.items()}
        return {self.launcher: (launcher, "0755"), **copies}


def find_sources(module: str, read: t.Callable[[str], str | None]) -> dict[str, str]:
    """Return the text of a module and of each file that it imports, by path below module_utils.

    Args:
        module: the module, dotted, below module_utils.
        read: returns the text of a path below module_utils, or None when there is no such file.

    Raises:
        ProgramError: a file is missing, or imports something that is not on a host.
    """
    sources: dict[str, str] = {}
    waiting = [(module, "the component")]
    while waiting:
        name, importer = waiting.pop()
        path = _file_name(name)
        if path in sources:
            continue
        text = read(path)
        if text is None:
            raise ProgramError(f"{importer} needs module_utils/{path}, which does not exist")
        foreign = FOREIGN.search(text)
        if foreign:
            raise ProgramError(f"module_utils/{path} imports {foreign[1]}, which is not on a host: import relatively")
        sources[path] = text
        waiting += [(other, f"module_utils/{path}") for other in _imported(name, text, read)]
    return dict(sorted(sources.items()))


def _imported(importer: str, text: str, read: t.Callable[[str], str | None]) -> t.Iterator[str]:
    # A pattern, because the parser would take longer than all else that a component does on the controller.
    for dots, module, listed, line in IMPORT.findall(COMMENT.sub("", text)):
        parts = importer.split(".")[: -len(dots)]
        parent = ".".join([*parts, *filter(None, [module])])
        # `from . import a` imports modules; `from .a import b` imports a, unless a is a package with the module b.
        if module and read(_file_name(parent)) is not None:
            yield parent
            continue
        for item in (listed or line).split(","):
            words = item.split()
            if words:
                yield ".".join(filter(None, [parent, words[0]]))


def find_program(path: str) -> str:
    """Return the name of the program that a path on a host is part of; empty for other paths."""
    found = PROGRAM_FILE.match(path)
    return found[1] if found else ""


def _file_name(module: str) -> str:
    return os.path.join(*module.split(".")) + ".py"
