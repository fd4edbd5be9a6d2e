"""Files and commands of the host."""

from __future__ import annotations

import json
import os
import subprocess
import typing as t
from pathlib import Path

SETTINGS = Path("/etc/vise/mailcow/settings.json")
STATE = Path("/var/lib/vise/mailcow")
# Snapshots contain all mail and can be large. They are on the same disk, so that a rollback needs no other host.
SNAPSHOTS = STATE / "snapshots"
MARKER = STATE / "upgrade.json"


class Problem(Exception):
    """An error, with a message for the operator."""


class Settings(t.NamedTuple):
    """The settings that the role has written."""

    directory: Path
    repository: str
    version: str
    certificate: str
    certificate_key: str
    port: int
    start_seconds: int


def read_settings() -> Settings:
    """Read the settings of the role."""
    data = json.loads(SETTINGS.read_text())
    return Settings(**{**data, "directory": Path(data["directory"])})


def run(argv: t.Sequence[str], cwd: Path | None = None, data: bytes | None = None, **environment: str) -> str:
    """Run a command and return its output; pass secrets in the environment, which other users cannot read."""
    variables = {**os.environ, **environment}
    # umask: the users in the containers must be able to read the files of a checkout.
    done = subprocess.run(list(argv), cwd=cwd, input=data, capture_output=True, check=False, env=variables, umask=0o022)
    if done.returncode:
        last = (done.stderr or done.stdout).decode("utf-8", "replace").strip()[-800:]
        raise Problem(f"`{' '.join(argv[:6])}` failed (exit {done.returncode}): {last}")
    return done.stdout.decode("utf-8", "replace")


def stream(argv: t.Sequence[str], target: Path, **environment: str) -> None:
    """Run a command and write its output to a file that only root can read."""
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as handle:
        done = subprocess.run(
            list(argv), stdout=handle, stderr=subprocess.PIPE, check=False, env={**os.environ, **environment}
        )
        handle.flush()
        os.fsync(handle.fileno())
    if done.returncode:
        # Docker writes its own errors to the standard output.
        last = (done.stderr or target.read_bytes()[-800:]).decode("utf-8", "replace").strip()[-800:]
        raise Problem(f"`{' '.join(argv[:8])}` failed: {last}")


def write(path: Path, text: str) -> None:
    """Write a file atomically; only root can read it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    staged = path.with_name(f".{path.name}.vise-new")
    descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as handle:
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())
    staged.rename(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(folder)
    os.close(folder)


def parse_conf(text: str) -> dict[str, str]:
    """Return the variables of mailcow.conf."""
    lines = (line for line in text.splitlines() if "=" in line and not line.startswith("#"))
    return {name: value for name, _sign, value in (line.partition("=") for line in lines)}
