# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Derive what a host will need outside of it, check that by one module, and compare its clock with the controller's."""

from __future__ import annotations

import time
import typing as t

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible_collections.vise.platform.plugins.module_utils.model import backups, topology

DIRECTORIES = {
    "production": "https://acme-v02.api.letsencrypt.org/directory",
    "staging": "https://acme-staging-v02.api.letsencrypt.org/directory",
}
# Seconds; certificates, tokens and signatures of requests need the right time.
CLOCK_LIMIT = 30
Variables = dict[str, t.Any]


class ActionModule(ActionBase):  # type: ignore[misc,unused-ignore]  # ansible-core ships no type hints
    """The host_check action."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: None = None, task_vars: Variables | None = None) -> Variables:
        """Return the task's result."""
        super().run(tmp, task_vars)
        variables = task_vars or {}
        arguments, unchecked = self._derive(variables)
        given = dict(self._task.args)
        if variables["inventory_hostname"] not in (variables["groups"].get("mail") or ()):
            given.pop("mail_servers", None)
        begin = time.time()
        result: Variables = self._execute_module(
            "vise.platform.host_check", {**arguments, **given}, task_vars=variables
        )
        if "time" in result:
            result["checks"] += [check_clock(result["time"], begin, time.time()), *unchecked]
        return result

    def _derive(self, variables: Variables) -> tuple[Variables, list[dict[str, str]]]:
        """Return the arguments of the module, and what cannot be checked because a variable has no value."""
        unchecked: list[dict[str, str]] = []

        def evaluate(name: str, default: t.Any) -> t.Any:
            try:
                return self._templar.template(variables.get(name, default))
            except AnsibleError as error:
                text = f"{name} cannot be evaluated: {' '.join(str(error).split())[:200]}"
                remedy = "correct the variable; the problems of the description name it"
                unchecked.append({"area": "description", "state": "unknown", "text": text, "remedy": remedy})
                return default

        host, groups, hostvars = (variables[key] for key in ("inventory_hostname", "groups", "hostvars"))
        arguments: Variables = {"acme_directory": "", "repositories": []}
        sites = evaluate("sites", {})
        if needs_certificates(topology.Topology(sites, {}, groups, hostvars), host):
            directory = str(evaluate("acme_directory", "production"))
            arguments["acme_directory"] = DIRECTORIES.get(directory, directory)
        sets = evaluate("backup_sets", [])
        pruner = evaluate("backup_pruner", "")
        kinds = list_credentials(sets, pruner, host, groups)
        if kinds and evaluate("backups_enabled", True):
            found = evaluate("backup_repositories", [])
            name = backups.backup_name(hostvars, host)
            arguments["repositories"] = [place for one in found for place in list_places(one, kinds, name)]
        return arguments, unchecked


def needs_certificates(plan: topology.Topology, host: str) -> bool:
    """Return whether a host needs certificates of a public authority; a faulty site is a problem of the description."""
    try:
        return bool(topology.certificates(plan, host, "http-01"))
    except (topology.TopologyError, KeyError, TypeError, AttributeError):
        return False


def list_credentials(sets: t.Any, pruner: str, host: str, groups: topology.Groups) -> list[str]:
    """Return which credentials of a repository a host uses."""
    cluster = [*(groups.get("database") or ()), *(groups.get("database_standby") or ())]
    full = host in cluster or host == pruner
    try:
        append = bool(backups.sets_of_host(sets or (), host, groups))
    except (KeyError, TypeError):
        append = False
    return [*(["full"] if full else []), *(["append"] if append else [])]


def list_places(repository: t.Mapping[str, t.Any], kinds: t.Iterable[str], name: str) -> t.Iterator[Variables]:
    """Yield the place of a repository for each credential; an incomplete repository is a problem of the description."""
    for kind in kinds:
        credential = repository.get(kind) or {}
        known = {key: repository.get(key) for key in ("endpoint", "region", "bucket")}
        if all(known.values()) and credential.get("key") and credential.get("secret"):
            folder = "database" if kind == "full" else f"files/{name}"
            yield {
                **known,
                "name": f"repository {repository.get('name')}, credential {kind}",
                "path": f"{repository.get('path') or ''}/{folder}",
                "uri_style": repository.get("uri_style") or "host",
                "key": credential["key"],
                "secret": credential["secret"],
            }


def check_clock(found: float, begin: float, end: float) -> dict[str, str]:
    """Return whether the clock of a host has the time of the controller, which took from begin to end for the query."""
    offset = 0.0 if begin <= found <= end else min(abs(found - begin), abs(found - end))
    if offset <= CLOCK_LIMIT:
        return {"area": "time", "state": "ok", "text": "the clocks of host and controller agree", "remedy": ""}
    text = f"the clocks of host and controller differ by {offset:.0f} s"
    return {
        "area": "time",
        "state": "problem",
        "text": text,
        "remedy": "correct the wrong clock: timedatectl; chronyc tracking",
    }
