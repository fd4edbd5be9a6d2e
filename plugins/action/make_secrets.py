# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Generate the missing secrets of the inventory's hosts on the controller."""

from __future__ import annotations

import os
import typing as t
from pathlib import Path

from ansible.parsing.vault import VaultSecretsContext
from ansible.plugins.action import ActionBase
from ansible_collections.vise.platform.plugins.module_utils.preflight_checks import shorten_path
from ansible_collections.vise.platform.plugins.module_utils.secret_values import SecretError
from ansible_collections.vise.platform.plugins.plugin_utils import definitions, vault_completion
from ansible_collections.vise.platform.plugins.plugin_utils.vault_files import VaultFileError

ARGUMENT_SPEC: dict[str, dict[str, t.Any]] = {
    "path": {"type": "path"},
    "plaintext": {"type": "bool", "default": False},
}
# The environment whose secrets are those of the sandbox
DEVELOPMENT = "development"
USUAL = "group_vars/all/vault.yml"


class ActionModule(ActionBase):  # type: ignore[misc,unused-ignore]  # ansible-core ships no type hints
    """The make_secrets action."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Return the task's result."""
        super().run(tmp, task_vars)
        variables = task_vars or {}
        _result, options = self.validate_argument_spec(ARGUMENT_SPEC)
        path = Path(options["path"] or choose_file(variables, self._loader))
        context = VaultSecretsContext.current(optional=True)
        try:
            outcome = vault_completion.complete_vault(
                read_hosts(variables),
                path,
                list(context.secrets or ()) if context else [],
                self._loader,
                plaintext=options["plaintext"] or DEVELOPMENT in variables["group_names"],
                dry_run=self._task.check_mode,
            )
        except (VaultFileError, SecretError) as error:
            return {"failed": True, "msg": f"{error}; no secret was written"}
        shown = shorten_path(str(path))
        return {
            "changed": bool(outcome.generated),
            "path": shown,
            "generated": outcome.generated,
            "issued": [{"name": name, "advice": advice} for name, advice in outcome.issued.items()],
            "msg": describe(outcome, shown),
        }


def describe(outcome: vault_completion.Outcome, path: str) -> str:
    """Return what was generated, and what the user has to do, without any value."""
    names = ", ".join(outcome.generated)
    lines = [f"generated in {path}: {names}" if names else "no secret that can be generated is missing"]
    if outcome.issued:
        lines.append(f"Next: run `ansible-vault edit {path}`, and write there:")
        lines += [f"- {line}" for line in outcome.advice()]
    return "\n".join(lines)


def read_hosts(variables: t.Mapping[str, t.Any]) -> dict[str, dict[str, t.Any]]:
    """Return the variables of all hosts of the inventory, not templated."""
    hostvars = variables["hostvars"]
    return {
        host: {**hostvars.raw_get(host), "groups": variables["groups"], "hostvars": hostvars}
        for host in variables["groups"]["all"]
    }


def choose_file(variables: dict[str, t.Any], loader: t.Any) -> str:
    """Return the file for new secrets: the one for all hosts that has the most secrets, or the usual one."""
    defined = definitions.find_definitions(variables, loader)
    files = [
        path
        for name, path in defined.items()
        if name.startswith("vault_") and "/group_vars/all" in os.path.realpath(path)
    ]
    folder = str(variables.get("inventory_dir") or os.getcwd())
    return max(sorted(set(files)), key=files.count) if files else os.path.join(folder, USUAL)
