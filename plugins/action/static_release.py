# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Describe a built site on the controller, ask the host what it lacks, and send that in one archive."""

from __future__ import annotations

import os
import re
import tarfile
import tempfile
import typing as t

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.vise.platform.plugins.module_utils import releases
from ansible_collections.vise.platform.plugins.modules.static_release import ARGUMENT_SPEC

GIVEN = {key: option for key, option in ARGUMENT_SPEC.items() if key not in ("files", "archive")}
NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
MODULE = "vise.platform.static_release"
BROTLI = {"name": "brotli", "update_cache": True, "cache_valid_time": 3600, "install_recommends": False}


class ActionModule(ActionBase):  # type: ignore[misc,unused-ignore]  # ansible-core ships no type hints
    """The static_release action."""

    TRANSFERS_FILES = True
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Return the task's result."""
        super().run(tmp, task_vars)
        _result, arguments = self.validate_argument_spec(
            GIVEN, mutually_exclusive=[("source", "release")], required_one_of=[("source", "release")]
        )
        if not NAME.fullmatch(arguments["name"]):
            raise AnsibleActionFail(f"{arguments['name']!r} is no name for a site: use small letters, digits, - and _")
        if arguments["keep"] < 2:
            raise AnsibleActionFail(f"{arguments['name']}: keep must be 2 or more: the live release and the one before")
        if arguments["source"]:
            arguments["files"] = described(arguments["source"])
        result = self._call(MODULE, arguments, task_vars)
        needs = result.pop("needs", None)
        if needs is None or result.get("failed"):
            return result
        if "brotli" in needs:
            errand = self._call("ansible.builtin.apt", {**BROTLI, "lock_timeout": 300}, task_vars)
            if errand.get("failed"):
                return errand
        return self._send(arguments, task_vars)

    def _send(self, arguments: dict[str, t.Any], task_vars: dict[str, t.Any] | None) -> dict[str, t.Any]:
        remote = self._make_tmp_path()
        archive = self._connection._shell.join_path(remote, "site.tar.gz")
        try:
            with tempfile.NamedTemporaryFile(suffix=".tar.gz") as local:
                pack(arguments["source"], sorted(arguments["files"]), local.name)
                self._transfer_file(local.name, archive)
            result = self._call(MODULE, {**arguments, "archive": archive}, task_vars)
        finally:
            self._remove_tmp_path(remote)
        if result.pop("needs", None):
            return {**result, "failed": True, "msg": f"{arguments['name']}: the host did not take the release"}
        return result

    def _call(self, module: str, arguments: dict[str, t.Any], task_vars: t.Any) -> dict[str, t.Any]:
        result: dict[str, t.Any] = self._execute_module(module_name=module, module_args=arguments, task_vars=task_vars)
        result.pop("invocation", None)
        return result


def described(source: str) -> dict[str, str]:
    """Return path and SHA-256 of each file of a built site; raise when it cannot be one."""
    if not os.path.isdir(source):
        raise AnsibleActionFail(f"source {source} is not a directory on the controller: build the site first")
    files = {}
    for place, folders, names in os.walk(source):
        for name in [*names, *folders]:
            path = os.path.join(place, name)
            relative = os.path.relpath(path, source)
            if os.path.islink(path):
                raise AnsibleActionFail(f"source {source}: {relative} is a link; a release holds plain files only")
            if name in names:
                files[relative] = releases.digest(path)
    if "index.html" not in files:
        raise AnsibleActionFail(f"source {source} has no index.html ({len(files)} files): it is not a built site")
    return files


def pack(source: str, paths: t.Iterable[str], archive: str) -> None:
    """Pack the files."""
    with tarfile.open(archive, "w:gz", compresslevel=1) as packed:
        for path in paths:
            packed.add(os.path.join(source, path), arcname=path, recursive=False)
