# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Settings of the proofs, as the role writes them to the settings file."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ..restic.repository import Repository

# Each proof with the value of its label `tool` in the metrics.
TOOLS = {"postgresql": "pgbackrest", "yearly": "pgbackrest-yearly", "restic": "restic", "redis": "redis"}
# Directories of live data, which must never be the target of a restore.
FORBIDDEN = ("/etc", "/usr", "/boot", "/home", "/root", "/run", "/var/lib/postgresql", "/var/lib/redis")
SECRET = re.compile(r"(key|secret|pass|token)$")


class ProofError(Exception):
    """A proof that cannot continue; the message gives the cause."""


@dataclasses.dataclass(frozen=True)
class ResticSet:
    """One set of files; its snapshots have its name as a tag."""

    name: str
    redis_dump: str = ""
    redis_keys: str = ""
    may_be_empty: bool = False


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of a run."""

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
    pgbackrest_yearly: tuple[str, ...] = ()  # configuration files of the yearly sets

    @classmethod
    def from_json(cls, data: dict[str, t.Any], repositories: list[dict[str, str]]) -> Settings:
        """Build the settings from the content of the settings file and the file of repositories."""
        return cls(
            **{
                **data,
                "pgbackrest_repositories": tuple(data["pgbackrest_repositories"]),
                "pgbackrest_yearly": tuple(data["pgbackrest_yearly"]),
                "restic_sets": tuple(ResticSet(**entry) for entry in data["restic_sets"]),
                "restic_repositories": tuple(Repository(**entry) for entry in repositories),
            }
        )


def find_problems(settings: Settings) -> list[str]:
    """Return one message for each invalid or dangerous setting."""
    problems = []
    if not settings.scratch.startswith("/") or settings.scratch.count("/") < 3 or ".." in settings.scratch:
        problems.append(f"scratch directory {settings.scratch!r}: use an absolute path at least three levels deep")
    problems += [
        f"scratch directory {settings.scratch}: choose one outside {path}, which contains live data"
        for path in FORBIDDEN
        if f"{settings.scratch}/".startswith(f"{path}/")
    ]
    if settings.restic_parts < 1 or settings.keep_reports < 1:
        problems.append("restic_parts and keep_reports must be 1 or more")
    if settings.restic_repositories and not settings.restic_sets:
        problems.append("restic_repositories are given, but no restic_sets to restore")
    for kind, names in (
        ("repository", [repository.name for repository in settings.restic_repositories]),
        ("set", [restic_set.name for restic_set in settings.restic_sets]),
    ):
        duplicates = sorted({name for name in names if names.count(name) > 1})
        problems += [f"restic {kind} {name} is listed twice" for name in duplicates]
        # Names are used in labels of metrics and in names of directories.
        problems += [
            f"{name!r}: use only letters, digits, dots, hyphens and underscores"
            for name in names
            if is_invalid_name(name)
        ]
    return problems


def is_invalid_name(name: str) -> bool:
    """Return whether a name is unsuitable for a label or a path."""
    return not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name)


def list_targets(settings: Settings, pgbackrest_config: str, only: str = "") -> list[tuple[str, str]]:
    """Return the proofs to run, in order, as pairs of proof and repository."""
    found = [("postgresql", str(key)) for key in list_repositories(settings, pgbackrest_config)]
    found += [("yearly", str(number)) for number in range(1, len(settings.pgbackrest_yearly) + 1)]
    names = [repository.name for repository in settings.restic_repositories]
    found += [("restic", name) for name in names]
    found += [("redis", name) for name in names if any(restic_set.redis_dump for restic_set in settings.restic_sets)]
    return [pair for pair in found if only in ("", pair[0])]


def list_repositories(settings: Settings, config: str) -> list[int]:
    """Return the numbers of the repositories to prove: the configured ones, or all in pgBackRest's configuration."""
    if not settings.pgbackrest_config:
        return []
    named = {int(key) for key in re.findall(r"^\s*repo([0-9]+)-[a-z0-9-]+\s*=", config, re.MULTILINE)}
    # Without any repoN option, pgBackRest has one default repository.
    return sorted(settings.pgbackrest_repositories or named or {1})


def find_secrets(settings: Settings, pgbackrest_config: str) -> set[str]:
    """Return the secrets, which must not be in a report or in the journal."""
    lines = [line.partition("=")[::2] for line in pgbackrest_config.splitlines()]
    words = {value.strip() for name, value in lines if SECRET.search(name.strip())}
    for repository in settings.restic_repositories:
        words |= {repository.password, repository.key, repository.key_secret}
    # A shorter value is not a secret, and replacing it would garble other words.
    return {word for word in words if len(word) > 3}
