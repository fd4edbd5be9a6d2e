# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Do one stage of the replacement of the platform's authority in the vault file."""

from __future__ import annotations

import typing as t
from pathlib import Path

from ansible_collections.vise.platform.plugins.module_utils import secret_values
from ansible_collections.vise.platform.plugins.module_utils.preflight_checks import shorten_path
from ansible_collections.vise.platform.plugins.module_utils.tls import authority
from ansible_collections.vise.platform.plugins.plugin_utils import vault_completion, vault_files

NAMES = (*authority.CURRENT, *authority.NEXT, *authority.PREVIOUS)


class AuthorityError(ValueError):
    """The stage cannot be done; the text says why and what to do."""


def find_file(defined: t.Mapping[str, str], values: t.Mapping[str, str]) -> Path:
    """Return the vault file that defines all secrets of the authority.

    Args:
        defined: the file that defines each variable.
        values: the secrets of the authority that have a value.

    Raises:
        AuthorityError: no file or several files define them.
    """
    places = {name: defined.get(name, "") for name in values}
    unknown = [name for name, place in places.items() if not place]
    if unknown:
        raise AuthorityError(
            f"{', '.join(unknown)}: no file of the inventory or of its group_vars defines it; a stage edits this file: "
            "write the authority into the vault file, as make_secrets.yml does"
        )
    if len(set(places.values())) > 1:
        listed = ", ".join(f"{name} ({shorten_path(place)})" for name, place in places.items())
        raise AuthorityError(f"the authority must be located in one file, but there are several: {listed}")
    return Path(next(iter(places.values())))


def do_stage(
    stage: str,
    path: Path,
    values: dict[str, str],
    secrets: vault_files.Secrets,
    *,
    plaintext: bool = False,
    dry_run: bool = False,
) -> tuple[dict[str, str], bool]:
    """Do a stage in the vault file; return the secrets afterwards, and whether the file changes.

    Args:
        stage: one of `authority.STAGES`.
        path: the vault file.
        values: the secrets of the authority that the run has read.
        secrets: the passwords of the vault.
        plaintext: whether a file in plain text is permitted.
        dry_run: whether to write nothing.

    Raises:
        AuthorityError: the stage does not fit, or the file was changed meanwhile.
        VaultFileError: the file cannot be read or written.
    """
    step = plan(stage, values)
    with vault_completion.lock(path):
        file = vault_files.read_file(path, secrets)
        found = {name for name in NAMES if name in (vault_files.load(path, file.text) or {})}
        if found != set(values):
            raise AuthorityError(f"{shorten_path(str(path))} has changed since this run has read it: run it again")
        if step.generates:
            created = dict(zip(authority.NEXT, secret_values.make_authority(), strict=True))
            if not dry_run:
                vault_files.add_secrets(file, created, secrets, plaintext)
            return {**values, **created}, True
        if step.renames and not dry_run:
            vault_files.rename_secrets(file, step.renames, secrets, plaintext)
    return authority.apply_renames(values, step.renames), bool(step.renames)


def detect(values: t.Mapping[str, str]) -> str:
    """Return the state of the replacement; raises AuthorityError if it is not one of the known ones."""
    try:
        return authority.detect(values)
    except ValueError as error:
        raise AuthorityError(str(error)) from error


def plan(stage: str, values: t.Mapping[str, str]) -> authority.Step:
    """Return what a stage does to these secrets; raises AuthorityError if it is refused."""
    step = authority.plan_step(stage, detect(values))
    if step.refusal:
        raise AuthorityError(step.refusal)
    return step
