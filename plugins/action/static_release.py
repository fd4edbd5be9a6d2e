# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Hash a built site on the controller, compare it with the host, and send the missing release in one archive."""

from __future__ import annotations

import os
import stat
import tarfile
import tempfile
import typing as t

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.vise.platform.plugins.module_utils import releases
from ansible_collections.vise.platform.plugins.module_utils.model import names
from ansible_collections.vise.platform.plugins.modules.static_release import ARGUMENT_SPEC
from ansible_collections.vise.platform.plugins.plugin_utils import apt_environment, run_lease

TASK_OPTIONS = {key: option for key, option in ARGUMENT_SPEC.items() if key not in ("files", "archive")}
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
        # The argument itself: a conversion to text would accept true and numbers.
        if problem := names.find_problem("site", self._task.args["name"]):
            raise AnsibleActionFail(f"static_site_sites: {problem.line()}")
        if arguments["keep"] < 2:
            msg = f"{arguments['name']}: keep must be at least 2: the live release and the previous one"
            raise AnsibleActionFail(msg)
        left_out: list[str] = []
        if arguments["source"]:
            arguments["files"], left_out = hash_source(arguments["source"])
        result = self._converge(arguments, task_vars)
        if left_out:
            result["warnings"] = [*result.get("warnings", []), describe_left_out(arguments["name"], left_out)]
        return result

    def _converge(self, arguments: dict[str, t.Any], task_vars: dict[str, t.Any] | None) -> dict[str, t.Any]:
        result = self._call(MODULE, arguments, task_vars)
        prerequisites = result.pop("prerequisites", None)
        if prerequisites is None or result.get("failed"):
            return result
        taken = run_lease.take(self, task_vars or {})
        if taken.get("failed"):
            return taken
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
                try:
                    pack(arguments["source"], sorted(arguments["files"]), local.name)
                except OSError as error:
                    msg = f"source {arguments['source']} changed while it was packed, run again: {error}"
                    raise AnsibleActionFail(msg) from error
                self._transfer_file(local.name, archive)
            result = self._call(MODULE, {**arguments, "archive": archive}, task_vars)
        finally:
            self._remove_tmp_path(remote)
        if result.pop("prerequisites", None):
            msg = f"{arguments['name']}: the release was sent, but the host still reports it as missing"
            return {**result, "failed": True, "msg": msg}
        return result

    def _call(self, module: str, arguments: dict[str, t.Any], task_vars: t.Any) -> dict[str, t.Any]:
        with apt_environment.own_configuration(self._task, module):
            result: dict[str, t.Any] = self._execute_module(
                module_name=module, module_args=arguments, task_vars=task_vars
            )
        result.pop("invocation", None)
        return result


def hash_source(source: str) -> tuple[dict[str, str], list[str]]:
    """Return path and SHA-256 of each file of a built site, and the paths that are not for visitors.

    Raises AnsibleActionFail when the directory or its index.html is missing, when it contains a link or another special
    file, or when a file cannot be read.
    """
    if not os.path.isdir(source):
        raise AnsibleActionFail(f"source {source} is not a directory on the controller: build the site first")
    files: dict[str, str] = {}
    left_out: list[str] = []
    try:
        for path, mode in list_source(source, left_out):
            if not stat.S_ISREG(mode):
                kind = "a link" if stat.S_ISLNK(mode) else "a special file"
                raise AnsibleActionFail(f"source {source}: {path} is {kind}; a release may contain only plain files")
            files[path] = releases.compute_digest(os.path.join(source, path))
    except OSError as error:
        raise AnsibleActionFail(f"source {source} cannot be read: {error}") from error
    if "index.html" not in files:
        raise AnsibleActionFail(f"source {source} has no index.html ({len(files)} files): it is not a built site")
    return files, sorted(left_out)


def list_source(source: str, left_out: list[str]) -> t.Iterator[tuple[str, int]]:
    """Yield path and mode of everything in a source that is not a directory; add to `left_out` what is not public."""

    def fail(error: OSError) -> t.NoReturn:
        raise error

    # Without `onerror`, a directory that cannot be read would be missing in the release.
    for place, folders, file_names in os.walk(source, onerror=fail):
        for name in [*file_names, *folders]:
            path = os.path.relpath(os.path.join(place, name), source)
            is_folder = name in folders and not os.path.islink(os.path.join(place, name))
            if not releases.is_public(path, is_folder):
                left_out.append(path + "/" * is_folder)
            elif not is_folder:
                yield path, os.lstat(os.path.join(place, name)).st_mode
        folders[:] = [
            name for name in folders if releases.is_public(os.path.relpath(os.path.join(place, name), source), True)
        ]


def describe_left_out(name: str, paths: t.Sequence[str]) -> str:
    """Return a warning that names the first of the paths that are not for visitors."""
    shown = ", ".join(releases.printable(path) for path in paths[:8])
    more = f" and {len(paths) - 8} more" if len(paths) > 8 else ""
    return f"{name}: hidden files and backups are not for visitors and were not published: {shown}{more}"


def pack(source: str, paths: t.Iterable[str], archive: str) -> None:
    """Write the files to an archive."""
    # Two names of one file become two files: each has its own time on the host.
    with tarfile.open(archive, "w:gz", compresslevel=1, dereference=True) as packed:
        for path in paths:
            packed.add(os.path.join(source, path), arcname=path, recursive=False)
