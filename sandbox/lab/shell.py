"""Run commands, report their progress and duration."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


class SandboxError(RuntimeError):
    """An action on the sandbox failed; the message names the command and the reason."""


def run(*argv: str, text: str | None = None, cwd: Path | None = None) -> str:
    """Run a command and return its output; raises SandboxError with the end of its output when it fails."""
    completed = subprocess.run(argv, input=text, cwd=cwd, capture_output=True, text=True, check=False)
    if completed.returncode != 0:
        output = (completed.stderr.strip() or completed.stdout.strip())[-4000:]
        raise SandboxError(f"`{' '.join(argv)}` failed with exit code {completed.returncode}\n{output}")
    return completed.stdout.strip()


def succeeds(*argv: str) -> bool:
    """Return whether a command exits with 0."""
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0


def log(line: str) -> None:
    """Print a message immediately, also when the output is a pipe."""
    print(f"sandbox: {line}", file=sys.stderr, flush=True)


@contextmanager
def timed_stage(name: str) -> Iterator[None]:
    """Print the name of a stage at its start, and its duration at its end."""
    log(f"{name} ...")
    started = time.monotonic()
    yield
    log(f"{name}: {time.monotonic() - started:.1f} s")


def run_with_progress(name: str, argv: Sequence[str], interval: float = 5.0) -> None:
    """Run a long command and print its last line every few seconds; raises SandboxError with its last 40 lines."""
    lines: list[str] = []
    last_shown = time.monotonic()
    with timed_stage(name):
        child = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert child.stdout is not None
        for line in child.stdout:
            lines.append(line.rstrip())
            if time.monotonic() - last_shown > interval and lines[-1]:
                log(f"  {lines[-1][:110]}")
                last_shown = time.monotonic()
        if child.wait() != 0:
            message = f"`{' '.join(argv)}` failed with exit code {child.returncode}; its last lines:"
            raise SandboxError("\n".join([message, *lines[-40:]]))


def wait_for(name: str, test: Callable[[], bool], seconds: float) -> None:
    """Poll until the test succeeds; raises SandboxError with the name after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not test():
        if time.monotonic() > deadline:
            raise SandboxError(f"{name} was not ready after {seconds:.0f} s")
        time.sleep(0.2)
