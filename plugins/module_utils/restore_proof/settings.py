# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is to be proven, as the role writes it into the settings file."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from .repository import Repository

# Each proof with the name that its tool has in metrics.
TOOLS = {"postgresql": "pgbackrest", "yearly": "pgbackrest-yearly", "restic": "restic", "redis": "redis"}
# Where live data lies: nothing is ever restored there.
FORBIDDEN = ("/etc", "/usr", "/boot", "/home", "/root", "/run", "/var/lib/postgresql", "/var/lib/redis")
SECRET = re.compile(r"(key|secret|pass|token)$")


class Failed(Exception):
    """A proof cannot go on; the text says why."""


@dataclasses.dataclass(frozen=True)
class ResticSet:
    """One set of files; its snapshots carry its name as their tag."""

    name: str
    redis_dump: str = ""
    redis_keys: str = ""


@dataclasses.dataclass(frozen=True)
class Settings:
    """All that a run needs to know."""

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
    restic_host: str
    restic_sets: tuple[ResticSet, ...]
    restic_ca_file: str
    restic_age_seconds: int
    restic_parts: int
    restic_repositories: tuple[Repository, ...] = ()
    pgbackrest_yearly: tuple[str, ...] = ()  # configurations of the sets that are kept for good

    @classmethod
    def from_json(cls, data: dict[str, t.Any], repositories: list[dict[str, str]]) -> Settings:
        """Read the settings file and the file of secrets."""
        return cls(
            **{
                **data,
                "pgbackrest_repositories": tuple(data["pgbackrest_repositories"]),
                "pgbackrest_yearly": tuple(data["pgbackrest_yearly"]),
                "restic_sets": tuple(ResticSet(**entry) for entry in data["restic_sets"]),
                "restic_repositories": tuple(Repository(**entry) for entry in repositories),
            }
        )


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
    if settings.restic_repositories and not settings.restic_sets:
        found.append("restic has repositories but no sets to restore")
    for kind, names in (
        ("repository", [repository.name for repository in settings.restic_repositories]),
        ("set", [wanted.name for wanted in settings.restic_sets]),
    ):
        found += [f"restic {kind} {name} is there twice" for name in sorted({n for n in names if names.count(n) > 1})]
        # They end in labels of metrics and in names of directories.
        found += [
            f"{name!r}: a name is made of letters, digits, dots, hyphens and underscores" for name in names if bad(name)
        ]
    return found


def bad(name: str) -> bool:
    """Tell whether a name could not stand in a label or a path."""
    return not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name)


def targets(settings: Settings, pgbackrest_config: str, only: str = "") -> list[tuple[str, str]]:
    """Return what is proven, in order, as pairs of proof and repository."""
    found = [("postgresql", str(key)) for key in pgbackrest_keys(settings, pgbackrest_config)]
    found += [("yearly", str(number)) for number in range(1, len(settings.pgbackrest_yearly) + 1)]
    names = [repository.name for repository in settings.restic_repositories]
    found += [("restic", name) for name in names]
    found += [("redis", name) for name in names if any(wanted.redis_dump for wanted in settings.restic_sets)]
    return [pair for pair in found if only in ("", pair[0])]


def pgbackrest_keys(settings: Settings, config: str) -> list[int]:
    """Return the numbers of the repositories to prove: those that are named, else all of the configuration."""
    if not settings.pgbackrest_config:
        return []
    named = {int(key) for key in re.findall(r"^\s*repo([0-9]+)-[a-z0-9-]+\s*=", config, re.MULTILINE)}
    # With no repository named pgBackRest has one, by default.
    return sorted(settings.pgbackrest_repositories or named or {1})


def secrets(settings: Settings, pgbackrest_config: str) -> set[str]:
    """Return what nobody may read in a report or in the journal."""
    lines = [line.partition("=")[::2] for line in pgbackrest_config.splitlines()]
    words = {value.strip() for name, value in lines if SECRET.search(name.strip())}
    for repository in settings.restic_repositories:
        words |= {repository.password, repository.key, repository.key_secret}
    # A word so short is no secret, and may be part of any other.
    return {word for word in words if len(word) > 3}


def hidden(text: str, words: t.Iterable[str]) -> str:
    """Return a text without the secrets in it."""
    for word in sorted(words, key=len, reverse=True):
        text = text.replace(word, "(secret)")
    return text
