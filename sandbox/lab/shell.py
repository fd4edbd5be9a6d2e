"""Running commands and saying what takes time."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


class Failed(RuntimeError):
    """A command failed; the text says which and why."""


def run(*argv: str, text: str | None = None, cwd: Path | None = None) -> str:
    """Run a command and return its output; raise with what it said when it fails."""
    done = subprocess.run(argv, input=text, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip())[-4000:]
        raise Failed(f"{' '.join(argv)}: exit {done.returncode}\n{said}")
    return done.stdout.strip()


def succeeds(*argv: str) -> bool:
    """Whether a command exits 0."""
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0


def say(line: str) -> None:
    """Tell the user at once, also when the output is a pipe."""
    print(f"sandbox: {line}", file=sys.stderr, flush=True)


@contextmanager
def stage(what: str) -> Iterator[None]:
    """Say what begins, and how long it took."""
    say(f"{what} ...")
    begin = time.monotonic()
    yield
    say(f"{what}: {time.monotonic() - begin:.1f} s")


def progress(what: str, argv: Sequence[str], every: float = 5.0) -> None:
    """Run a long command; show its last line every few seconds, and all of it when it fails."""
    lines: list[str] = []
    shown = time.monotonic()
    with stage(what):
        child = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert child.stdout is not None
        for line in child.stdout:
            lines.append(line.rstrip())
            if time.monotonic() - shown > every and lines[-1]:
                say(f"  {lines[-1][:110]}")
                shown = time.monotonic()
        if child.wait() != 0:
            raise Failed("\n".join([f"{' '.join(argv)}: exit {child.returncode}", *lines[-40:]]))


def wait_for(what: str, test: Callable[[], bool], seconds: float) -> None:
    """Poll until the test holds; fail with the name of what never came."""
    end = time.monotonic() + seconds
    while not test():
        if time.monotonic() > end:
            raise Failed(f"{what}: not there after {seconds:.0f} s")
        time.sleep(0.2)
