# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Hash a built site on the controller, compare it with the host, and send the missing release in one archive."""

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

TASK_OPTIONS = {key: option for key, option in ARGUMENT_SPEC.items() if key not in ("files", "archive")}
NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
MODULE = "vise.platform.static_release"
BROTLI = {"name": "brotli", "update_cache": True, "cache_valid_time": 3600, "install_recommends": False}


class ActionModule(ActionBase):  # type: ignore[misc,unused-ignore]  # ansible-core ships no type hints
    """Action plugin of the module static_release."""

    TRANSFERS_FILES = True
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Run the module, provide its prerequisites if it returns any, run it again; return the result."""
        super().run(tmp, task_vars)
        _result, arguments = self.validate_argument_spec(
            TASK_OPTIONS, mutually_exclusive=[("source", "release")], required_one_of=[("source", "release")]
        )
        if not NAME.fullmatch(arguments["name"]):
            msg = f"{arguments['name']!r} is not a valid site name: use lower-case letters, digits, - and _"
            raise AnsibleActionFail(msg)
        if arguments["keep"] < 2:
            msg = f"{arguments['name']}: keep must be at least 2: the live release and the previous one"
            raise AnsibleActionFail(msg)
        if arguments["source"]:
            arguments["files"] = hash_source(arguments["source"])
        result = self._call(MODULE, arguments, task_vars)
        prerequisites = result.pop("prerequisites", None)
        if prerequisites is None or result.get("failed"):
            return result
        if "brotli" in prerequisites:
            installation = self._call("ansible.builtin.apt", {**BROTLI, "lock_timeout": 300}, task_vars)
            if installation.get("failed"):
                return installation
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
        if result.pop("prerequisites", None):
            msg = f"{arguments['name']}: the release was sent, but the host still reports it as missing"
            return {**result, "failed": True, "msg": msg}
        return result

    def _call(self, module: str, arguments: dict[str, t.Any], task_vars: t.Any) -> dict[str, t.Any]:
        result: dict[str, t.Any] = self._execute_module(module_name=module, module_args=arguments, task_vars=task_vars)
        result.pop("invocation", None)
        return result


def hash_source(source: str) -> dict[str, str]:
    """Return path and SHA-256 of each file of a built site.

    Raises AnsibleActionFail when the directory or its index.html is missing, or when it contains a link.
    """
    if not os.path.isdir(source):
        raise AnsibleActionFail(f"source {source} is not a directory on the controller: build the site first")
    files = {}
    for place, folders, names in os.walk(source):
        for name in [*names, *folders]:
            path = os.path.join(place, name)
            relative = os.path.relpath(path, source)
            if os.path.islink(path):
                raise AnsibleActionFail(
                    f"source {source}: {relative} is a link; a release may contain only plain files"
                )
            if name in names:
                files[relative] = releases.compute_digest(path)
    if "index.html" not in files:
        raise AnsibleActionFail(f"source {source} has no index.html ({len(files)} files): it is not a built site")
    return files


def pack(source: str, paths: t.Iterable[str], archive: str) -> None:
    """Write the files to an archive."""
    with tarfile.open(archive, "w:gz", compresslevel=1) as packed:
        for path in paths:
            packed.add(os.path.join(source, path), arcname=path, recursive=False)
