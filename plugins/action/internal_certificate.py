# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Sign a host's request on the controller, so that neither private key is sent over the network."""

from __future__ import annotations

import typing as t

from ansible.plugins.action import ActionBase
from ansible_collections.vise.platform.plugins.module_utils.tls import x509
from ansible_collections.vise.platform.plugins.modules.internal_certificate import ARGUMENT_SPEC

MODULE = "vise.platform.internal_certificate"
CONTROLLER_OPTIONS = ("ca_key", "version", "certificate")


class ActionModule(ActionBase):  # type: ignore[misc,unused-ignore]  # ansible-core ships no type hints
    """Action plugin of the module internal_certificate."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Run the module, sign its request if it returns one, run it again with the certificate; return the result."""
        super().run(tmp, task_vars)
        _result, options = self.validate_argument_spec(ARGUMENT_SPEC)
        error = x509.find_ca_problem(options["ca"], options["ca_key"] or "")
        if error:
            return {"failed": True, "msg": f"internal CA: {error}"}
        for number, pem in enumerate(options["trusted"], 1):
            error = x509.find_authority_problem(pem)
            if error:
                return {"failed": True, "msg": f"trusted authority {number} (internal_ca_trusted): {error}"}
        host_options = {name: value for name, value in options.items() if name not in CONTROLLER_OPTIONS}
        first = self._call(host_options, task_vars)
        if first.get("failed") or "request" not in first:
            return first
        certificate = x509.sign(first["request"], options["ca"], options["ca_key"], options["names"], options["days"])
        second = self._call({**host_options, "version": first["version"], "certificate": certificate}, task_vars)
        if second.get("failed"):
            return second
        return merge_results(first, second)

    def _call(self, options: dict[str, t.Any], task_vars: dict[str, t.Any] | None) -> dict[str, t.Any]:
        result: dict[str, t.Any] = self._execute_module(module_name=MODULE, module_args=options, task_vars=task_vars)
        result.pop("invocation", None)
        return result


def merge_results(first: dict[str, t.Any], second: dict[str, t.Any]) -> dict[str, t.Any]:
    """Return one result for both executions of the module."""
    actions = first["actions"] + second["actions"]
    texts = [part["diff"]["prepared"] for part in (first, second) if "diff" in part]
    diff = {"diff": {"prepared": "".join(texts)}} if texts else {}
    return {**second, **diff, "changed": True, "actions": actions}
