# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Record what each run of a playbook of the collection has changed."""

from __future__ import annotations

DOCUMENTATION = r"""
name: record
type: aggregate
short_description: Record on the controller and on the hosts what a run has changed, and end its leases
version_added: 0.1.0
description:
  - A run that has changed a host writes a record to C(reports/runs) in the directory in which it was started, also when
    it failed. It contains who ran which playbook and when, the commit of the description, and the names of the changed
    tasks. It contains no values of variables, and so no secret.
  - M(vise.platform.run_record) writes the same to the hosts. It is the last task of C(site.yml). At the end of any
    other run, and of one that failed, this callback executes it on each host of which the run still has the lease, so
    that the next run can start at once. A run that is interrupted by Ctrl-C keeps its leases, because its last task may
    still run on a host; another run of the same controller ends them.
requirements:
  - Enable it by C(callbacks_enabled = vise.platform.record) in the section C([defaults]) of C(ansible.cfg).
author:
  - vise.platform contributors (@vise-platform)
"""

import contextlib
import os
import typing as t
from pathlib import Path

from ansible import constants, context
from ansible.plugins.callback import CallbackBase
from ansible_collections.vise.platform.plugins.plugin_utils import last_tasks, run_lease, run_records
from ansible_collections.vise.platform.plugins.plugin_utils.run_checks import PLAYBOOKS


class CallbackModule(CallbackBase):  # type: ignore[misc,unused-ignore]  # ansible-core ships no type hints
    """Collects the changed tasks of a run."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "vise.platform.record"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *arguments: t.Any, **options: t.Any) -> None:
        super().__init__(*arguments, **options)
        self._recorded = False
        self._play: t.Any = None
        self._passwords: dict[str, str | None] = {}

    def set_play_context(self, play_context: t.Any) -> None:
        """Keep the passwords that an operator has entered for this run; the last tasks need them."""
        self._passwords = {"conn_pass": play_context.password, "become_pass": play_context.become_pass}

    def v2_playbook_on_play_start(self, play: t.Any) -> None:
        """Note the play, which knows the inventory."""
        self._play = play

    def v2_playbook_on_start(self, playbook: t.Any) -> None:
        """Record only playbooks of the collection, and those that import one."""
        run_lease.announce()
        self._recorded = not context.CLIARGS.get("check") and is_of_collection(str(getattr(playbook, "_file_name", "")))

    def v2_runner_on_ok(self, result: t.Any) -> None:
        """Note a change of a host; files that a run writes on the controller are not one."""
        if self._recorded and result.is_changed() and result.host.name not in constants.LOCALHOST:
            run_records.note_change(run_lease.find_directory(), result.host.name, str(result.task.get_name()))

    def v2_playbook_on_stats(self, stats: t.Any) -> None:
        """Write the record, and end the leases that the run still has."""
        self._write_record()
        held = [host for host in sorted(stats.processed) if host not in stats.dark and run_lease.is_used(host)]
        if held and self._play and not last_tasks.run(self._play, held, self._passwords):
            self._display.warning(
                f"the lease of {', '.join(held)} could not be ended; a run of this controller can start at once, "
                "one of another controller when the lease has ended by itself"
            )

    def _write_record(self) -> None:
        changes = run_records.read_changes(run_lease.find_directory()) if self._recorded else {}
        if not changes:
            return
        sources = [source for source in context.CLIARGS.get("inventory") or () if "," not in source]
        folder = os.path.dirname(os.path.abspath(sources[0])) if sources else "."
        lease = {"who": run_lease.find_user(), "origin": run_lease.find_origin(), "command": run_lease.name_command()}
        record = run_records.build(lease, folder, changes)
        try:
            path = run_records.write(Path.cwd(), record)
        except OSError as error:
            self._display.warning(f"the record of this run cannot be written: {error}")
            return
        self._display.display(f"Recorded in {os.path.relpath(path)}")


def is_of_collection(path: str) -> bool:
    """Return whether a playbook is one of the collection, or imports one."""
    if not path:
        return False
    if PLAYBOOKS.resolve() in Path(path).resolve().parents:
        return True
    with contextlib.suppress(OSError):
        return "import_playbook: vise.platform." in Path(path).read_text(encoding="utf-8")
    return False
