# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Do one stage of the replacement of the platform's authority in the vault file, on the controller."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleError
from ansible.parsing.vault import VaultSecretsContext
from ansible.plugins.action import ActionBase
from ansible_collections.vise.platform.plugins.module_utils.preflight_checks import shorten_path
from ansible_collections.vise.platform.plugins.module_utils.tls import authority
from ansible_collections.vise.platform.plugins.plugin_utils import authority_vault, definitions
from ansible_collections.vise.platform.plugins.plugin_utils.authority_vault import AuthorityError
from ansible_collections.vise.platform.plugins.plugin_utils.vault_files import VaultFileError

ARGUMENT_SPEC: dict[str, dict[str, t.Any]] = {
    "stage": {"type": "str", "required": True, "choices": list(authority.STAGES)},
    "plaintext": {"type": "bool", "default": False},
}
# The environment whose secrets are those of the sandbox
DEVELOPMENT = "development"


class ActionModule(ActionBase):  # type: ignore[misc,unused-ignore]  # ansible-core ships no type hints
    """The internal_authority action."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Return the task's result."""
        super().run(tmp, task_vars)
        variables = task_vars or {}
        _result, options = self.validate_argument_spec(ARGUMENT_SPEC)
        context = VaultSecretsContext.current(optional=True)
        try:
            values = self._read_values(variables)
            path = authority_vault.find_file(definitions.find_definitions(variables, self._loader), values)
            after, changed = authority_vault.do_stage(
                options["stage"],
                path,
                values,
                list(context.secrets or ()) if context else [],
                plaintext=options["plaintext"] or DEVELOPMENT in variables["group_names"],
                dry_run=self._task.check_mode,
            )
        except (AuthorityError, VaultFileError, AnsibleError) as error:
            return {"failed": True, "msg": f"{error}; nothing was changed"}
        labels = authority.label(after)
        return {
            "changed": changed,
            "file": shorten_path(str(path)),
            "before": authority.label(values),
            "ca": labels.pop("current"),
            "ca_key": after[authority.CURRENT[1]],
            "trusted": list(labels.values()),
            # It contains keys. A failure contains none and is printed.
            "_ansible_no_log": True,
        }

    def _read_values(self, variables: dict[str, t.Any]) -> dict[str, str]:
        """Return the secrets of the authority; raises AuthorityError if the description does not read them."""
        values = {name: str(self._evaluate(variables, name)) for name in authority_vault.NAMES if name in variables}
        values = {name: value for name, value in values.items() if value}
        authority_vault.detect(values)
        trusted = [values[name] for name in (authority.NEXT[0], authority.PREVIOUS[0]) if name in values]
        read = {"internal_ca": values[authority.CURRENT[0]], "internal_ca_key": values[authority.CURRENT[1]]}
        differing = [
            name for name, value in read.items() if str(self._evaluate(variables, name)).strip() != value.strip()
        ]
        if not set(trusted) <= set(self._evaluate(variables, "internal_ca_trusted")):
            differing.append("internal_ca_trusted")
        if differing:
            raise AuthorityError(
                f"{', '.join(differing)}: the description overrides the default, which reads "
                f"{', '.join(authority.CURRENT)} and the authority that is replaced: remove it from the description"
            )
        return values

    def _evaluate(self, variables: dict[str, t.Any], name: str) -> t.Any:
        return self._templar.template(variables[name])
