# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Print a summary at the end of a run of the whole platform, also of a failed one."""

from __future__ import annotations

DOCUMENTATION = r"""
name: summary
type: aggregate
short_description: Print addresses, changes, what needs attention and the next command after C(site.yml)
version_added: 0.1.0
description:
  - At the end of C(site.yml), or of a playbook that imports C(vise.platform.site), it prints the addresses of what
    runs, with the answers of the smoke tests, what the run changed on each host, and the warnings of its tasks. After
    a failure it prints which host failed at which task.
  - It composes all this from the description and from the results of the run. It executes nothing on the hosts.
requirements:
  - Enable it by C(callbacks_enabled = vise.platform.survey, vise.platform.summary) in the section C([defaults]) of
    C(ansible.cfg).
author:
  - vise.platform contributors (@vise-platform)
"""

import contextlib
import time
import typing as t
from pathlib import Path

from ansible import context
from ansible.errors import AnsibleError
from ansible.plugins.callback import CallbackBase
from ansible.template import Templar
from ansible_collections.vise.platform.plugins.module_utils.model import topology
from ansible_collections.vise.platform.plugins.module_utils.preflight_checks import shorten_path
from ansible_collections.vise.platform.plugins.plugin_utils import run_summary
from ansible_collections.vise.platform.plugins.plugin_utils.run_checks import PLAYBOOKS

ROLE = "vise.platform.description"
SITE_PROBE = "vise.platform.site_probe"


class CallbackModule(CallbackBase):  # type: ignore[misc,unused-ignore]  # ansible-core ships no type hints
    """Collects the results of a run of the whole platform."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "vise.platform.summary"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *arguments: t.Any, **options: t.Any) -> None:
        super().__init__(*arguments, **options)
        self._run: run_summary.Run | None = None
        self._play: t.Any = None
        self._described: t.Any = None  # the last play that has the description
        self._started = 0.0

    def v2_playbook_on_start(self, playbook: t.Any) -> None:
        """Begin a summary when the playbook is the whole platform."""
        path = str(getattr(playbook, "_file_name", "") or "")
        self._run = None
        with contextlib.suppress(OSError):
            if run_summary.is_converge(path, Path(path).read_text(encoding="utf-8"), PLAYBOOKS):
                self._started = time.monotonic()
                self._run = run_summary.Run(name_inventories(), bool(context.CLIARGS.get("check")))

    def v2_playbook_on_play_start(self, play: t.Any) -> None:
        """Note the stage."""
        self._play = play
        if any(str(role) == ROLE for role in play.roles):
            self._described = play

    def v2_runner_on_ok(self, result: t.Any) -> None:
        """Note a change, the warnings, and what a smoke test found."""
        if not self._run:
            return
        host, found = result.host.name, result.result
        if result.is_changed():
            self._run.record_change(host, name_part(result.task))
        self._note_warnings(self._run, host, found)
        if result.task.action == SITE_PROBE:
            self._note_probes(self._run, found)

    def v2_runner_on_failed(self, result: t.Any, ignore_errors: bool = False) -> None:
        """Note where a host failed; the statistics decide later whether a rescue followed."""
        if self._run and not ignore_errors:
            self._note_failure(self._run, result, "failed")

    def v2_runner_on_unreachable(self, result: t.Any) -> None:
        """Note that a host was not reached."""
        if self._run:
            self._note_failure(self._run, result, "cannot be reached")

    def v2_playbook_on_stats(self, stats: t.Any) -> None:
        """Print the summary."""
        run = self._run
        if not run:
            return
        run.hosts = sorted(stats.processed)
        run.seconds = time.monotonic() - self._started
        run.failures = {host: one for host, one in run.failures.items() if host in {*stats.failures, *stats.dark}}
        self._display.display(f"\n{run_summary.format_summary(run, self._list_services(run))}\n")

    def _note_warnings(self, run: run_summary.Run, host: str, found: dict[str, t.Any]) -> None:
        for one in [found, *(item for item in found.get("results") or () if isinstance(item, dict))]:
            for text in one.get("warnings") or ():
                run.record_warning(host, str(text))
            if one.get("unreached"):
                names = ", ".join(map(str, one["unreached"]))
                run.record_warning(host, f"this controller did not reach {names}, so it was not tested from outside")

    def _note_probes(self, run: run_summary.Run, found: dict[str, t.Any]) -> None:
        for probe in found.get("probes") or ():
            run.record_probe(probe)

    def _note_failure(self, run: run_summary.Run, result: t.Any, text: str) -> None:
        found = result.result
        if result.task.action == SITE_PROBE:
            self._note_probes(run, found)
        found = find_failed_item(found)
        lines = str(found.get("msg") or text).strip().splitlines() or [text]
        if len(lines) > 1 and lines[0].endswith("nothing was changed"):
            # The heading of a list of problems does not name the cause.
            lines[:2] = [f"{lines[0]}: {lines[1].removeprefix('- ')}"]
        more = f" ({len(lines) - 1} more lines above)" if len(lines) > 1 else ""
        failure = run_summary.Failure(
            self._play.get_name() if self._play else "", result.task.get_name(), run_summary.shorten(lines[0]) + more
        )
        run.failures[result.host.name] = failure

    def _list_services(self, run: run_summary.Run) -> list[run_summary.Service]:
        """Return what the description has; a fault in it was reported by preflight."""
        if not self._described or not run.hosts:
            return []
        manager = self._described.get_variable_manager()
        inventory = manager._inventory
        host = inventory.get_host(run.hosts[0])
        if host is None:
            return []
        variables = manager.get_vars(play=self._described, host=host)
        templar = Templar(loader=self._described.get_loader(), variables=variables)
        sites = evaluate(templar, variables.get("sites"), {})
        plan = topology.Topology(sites, {}, variables["groups"], variables["hostvars"])
        databases, caches = (list(name_stores(templar, variables.get(key))) for key in ("databases", "caches"))
        mail = str(evaluate(templar, variables.get("mail_hostname"), ""))
        try:
            return run_summary.list_services(plan, databases, caches, mail, run)
        except (topology.TopologyError, AttributeError, KeyError, TypeError):
            return []


def find_failed_item(found: dict[str, t.Any]) -> dict[str, t.Any]:
    """Return the first failed item of a loop, whose own message only counts its items; or the result itself."""
    items = [one for one in found.get("results") or () if isinstance(one, dict)]
    # Some versions of ansible-core give callbacks an exception instead of the word.
    return next((one for one in items if one.get("failed") or "exception" in one), found)


def evaluate(templar: t.Any, value: t.Any, unknown: t.Any) -> t.Any:
    """Return the value of a variable; another one if it is missing or needs what is missing."""
    try:
        return templar.template(value) or unknown
    except AnsibleError:
        return unknown


def name_stores(templar: t.Any, value: t.Any) -> t.Iterable[str]:
    """Return the names of databases or caches; their passwords are not evaluated."""
    return evaluate(templar, value, {}) if isinstance(value, str) else value or {}


def name_part(task: t.Any) -> str:
    """Return the role of a task, or its name."""
    role = task._role.get_name(include_role_fqcn=False) if task._role else ""
    return role or str(task.get_name())


def name_inventories() -> str:
    """Return the options of the command line that name the inventories; they have no secret."""
    sources = [str(source) for source in context.CLIARGS.get("inventory") or ()]
    return " ".join(f"-i {source if ',' in source else shorten_path(source)}" for source in sources)
