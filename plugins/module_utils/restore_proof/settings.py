# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is to be proven, as the role writes it into the settings file."""

from __future__ import annotations

import dataclasses
import re
import typing as t

# Each proof with the name that its tool has in metrics.
TOOLS = {"postgresql": "pgbackrest", "restic": "restic", "redis": "redis"}
# Where live data lies: nothing is ever restored there.
FORBIDDEN = ("/etc", "/usr", "/boot", "/home", "/root", "/run", "/var/lib/postgresql", "/var/lib/redis")
SECRET = re.compile(r"(key|key_id|secret|pass|password|token)$", re.IGNORECASE)


class Failed(Exception):
    """A proof cannot go on; the text says why."""


@dataclasses.dataclass(frozen=True)
class ResticSet:
    """One set of files; the newest snapshot with its tag is restored."""

    name: str
    tag: str = ""
    host: str = ""
    redis_dump: str = ""
    redis_keys: str = ""


@dataclasses.dataclass(frozen=True)
class ResticRepository:
    """A repository; address, password and credentials are in the environment file."""

    name: str
    environment_file: str
    sets: tuple[ResticSet, ...]


@dataclasses.dataclass(frozen=True)
class Settings:
    """All that a run needs to know; no secret is among it."""

    user: str
    scratch: str
    reports: str
    metrics: str
    keep_reports: int
    rpo_seconds: int
    pgbackrest_config: str
    pgbackrest_stanza: str
    pgbackrest_repositories: tuple[int, ...]
    postgresql_settings: dict[str, str]
    restic: tuple[ResticRepository, ...]
    restic_age_seconds: int
    restic_parts: int

    @classmethod
    def from_dict(cls, data: dict[str, t.Any]) -> Settings:
        """Read what the settings file holds."""
        restic = tuple(
            ResticRepository(**{**entry, "sets": tuple(ResticSet(**wanted) for wanted in entry["sets"])})
            for entry in data["restic"]
        )
        return cls(**{**data, "restic": restic, "pgbackrest_repositories": tuple(data["pgbackrest_repositories"])})


def problems(settings: Settings) -> list[str]:
    """Say what cannot work or would be dangerous, before anything is touched."""
    found = []
    if not settings.scratch.startswith("/") or settings.scratch.count("/") < 3 or ".." in settings.scratch:
        found.append(f"scratch directory {settings.scratch!r}: write an absolute path at least three levels deep")
    found += [
        f"scratch directory {settings.scratch}: nothing is restored below {path}, where live data lies"
        for path in FORBIDDEN
        if f"{settings.scratch}/".startswith(f"{path}/")
    ]
    if settings.restic_parts < 1 or settings.keep_reports < 1:
        found.append("restic_parts and reports are 1 or more")
    names = [repository.name for repository in settings.restic]
    found += [f"restic repository {name} is there twice" for name in sorted({n for n in names if names.count(n) > 1})]
    found += [f"restic repository {repo.name} has no sets" for repo in settings.restic if not repo.sets]
    # They end in labels of metrics and in names of directories.
    words = names + [wanted.name for repository in settings.restic for wanted in repository.sets]
    found += [
        f"{word!r}: a name is made of letters, digits, dots, hyphens and underscores" for word in words if bad(word)
    ]
    return found


def bad(name: str) -> bool:
    """Tell whether a name could not stand in a label or a path."""
    return not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name)


def targets(settings: Settings, pgbackrest_config: str, only: str = "") -> list[tuple[str, str]]:
    """Return what is proven, in order, as pairs of proof and repository."""
    found = [("postgresql", str(key)) for key in pgbackrest_keys(settings, pgbackrest_config)]
    found += [("restic", repository.name) for repository in settings.restic]
    found += [("redis", repository.name) for repository in settings.restic if dumps(repository)]
    return [pair for pair in found if only in ("", pair[0])]


def dumps(repository: ResticRepository) -> list[ResticSet]:
    """Return the sets that hold a dump of Redis."""
    return [wanted for wanted in repository.sets if wanted.redis_dump]


def pgbackrest_keys(settings: Settings, config: str) -> list[int]:
    """Return the numbers of the repositories to prove: those that are named, else all of the configuration."""
    if not settings.pgbackrest_config:
        return []
    named = {int(key) for key in re.findall(r"^\s*repo([0-9]+)-[a-z0-9-]+\s*=", config, re.MULTILINE)}
    # With no repository named pgBackRest has one, by default.
    return sorted(settings.pgbackrest_repositories or named or {1})


def environment(text: str) -> dict[str, str]:
    """Read an environment file as systemd does: a variable a line, quotes around the value allowed."""
    found = {}
    for line in text.splitlines():
        name, equals, value = line.strip().removeprefix("export ").partition("=")
        if equals and not name.startswith(("#", ";")):
            quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
            found[name.strip()] = value[1:-1] if quoted else value
    return found


def secrets(text: str) -> set[str]:
    """Return the values in an environment file or in pgBackRest's configuration that nobody may read elsewhere."""
    return {
        value.strip() for name, value in environment(text).items() if SECRET.search(name) and len(value.strip()) > 3
    }


def hidden(text: str, words: t.Iterable[str]) -> str:
    """Return a text without the secrets in it."""
    for word in sorted(words, key=len, reverse=True):
        text = text.replace(word, "(secret)")
    return text
