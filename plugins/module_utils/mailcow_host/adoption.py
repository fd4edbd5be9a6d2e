# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A mailcow that the role did not install: it is refused, or taken over after a snapshot."""

from __future__ import annotations

import time
import typing as t

from . import checkout, copies, repository, stack
from .settings import Problem, Settings

# mailcow uses these values only when it creates its databases; with others, it could not open them any more.
FIXED = {
    "COMPOSE_PROJECT_NAME": "COMPOSE_PROJECT_NAME in mailcow_settings",
    "DBNAME": "DBNAME in mailcow_settings",
    "DBUSER": "DBUSER in mailcow_settings",
    "DBPASS": "mailcow_database_password",
    "DBROOT": "mailcow_database_root_password",
    "REDISPASS": "mailcow_redis_password",
}


def find_problems(config: Settings, wanted: t.Mapping[str, str]) -> list[str]:
    """Return the reasons for which a mailcow cannot be taken over."""
    if (config.directory / "docker-compose.yml").exists() and not (config.directory / ".git").is_dir():
        return [
            f"{config.directory}/.git is not a directory: clone mailcow's repository at the release of this mailcow to "
            "another directory, and move the directory .git from there to here"
        ]
    if not repository.head(config):
        return [f"{config.directory} contains no checkout: set mailcow_directory to the directory of this mailcow"]
    if not (config.directory / "mailcow.conf").is_file():
        return [f"{config.directory} contains no mailcow.conf"]
    conf, now = stack.read_conf(config), repository.nearest_release(config)
    problems = [
        f"{name} of {config.directory}/mailcow.conf differs: set {where} to its value"
        for name, where in FIXED.items()
        if conf.get(name) != wanted.get(name)
    ]
    if now != config.version:
        problems.append(
            f"mailcow runs release {now or 'without a tag'}: set mailcow_version (mail_release) to it, "
            "and upgrade afterwards with upgrade_mail.yml"
        )
    return problems


def adopt(config: Settings, wanted: t.Mapping[str, str], agreed: bool, dry_run: bool) -> str:
    """Take a mailcow over and return the name of the snapshot; an empty text if it is the role's own or there is none.

    Without the agreement of the operator, a mailcow of somebody else is an error. mailcow stops for the snapshot.
    """
    foreign = checkout.describe_foreign(config, wanted["COMPOSE_PROJECT_NAME"])
    if not foreign:
        return ""
    if not agreed:
        raise Problem(f"{foreign}. {checkout.ADVICE}")
    problems = find_problems(config, wanted)
    if problems:
        raise Problem("\n".join([*problems, "Nothing was changed."]))
    name = f"before-adoption-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}"
    if not dry_run:
        try:
            copies.create_snapshot(config, name)
        finally:
            stack.compose(config, "start")
        checkout.record(config, repository.resolve(config, f"refs/tags/{config.version}"))
    return name
