# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Execute the last task of a run on its hosts after its plays have ended, also when they have failed."""

from __future__ import annotations

import signal
import typing as t

from ansible import constants
from ansible.errors import AnsibleError
from ansible.executor.task_queue_manager import TaskQueueManager
from ansible.playbook.play import Play

# Prints nothing for a play that no playbook has.
SILENT = "vise.platform.record"
SECONDS = 30  # for a host that accepts the login and then hangs


def run(play: t.Any, hosts: t.Sequence[str], passwords: dict[str, str | None]) -> bool:
    """End the leases of the run on these hosts and record its changes there; return whether all hosts did it.

    Args:
        play: the last play of the run, which knows its inventory and its variables.
        hosts: the names of the hosts.
        passwords: what the operator has entered, as `TaskQueueManager` takes it.
    """
    variables, loader = play.get_variable_manager(), play.get_loader()
    # The last batch of a play with `serial` would exclude the other hosts.
    variables._inventory.remove_restriction()
    signals = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    manager = TaskQueueManager(
        inventory=variables._inventory,
        variable_manager=variables,
        loader=loader,
        passwords=passwords,
        stdout_callback_name=SILENT,
        run_additional_callbacks=False,
        forks=min(len(hosts), constants.DEFAULT_FORKS),
    )
    # --start-at-task has found its task, or none.
    manager._start_at_done = True
    try:
        return bool(manager.run(Play.load(describe(hosts), variable_manager=variables, loader=loader)) == 0)
    except AnsibleError:
        return False
    finally:
        manager.cleanup()
        for number, handler in signals.items():
            signal.signal(number, handler)


def describe(hosts: t.Sequence[str]) -> dict[str, t.Any]:
    """Return the play."""
    task = {"name": "End the lease and record the changes", "vise.platform.run_record": {}, "timeout": SECONDS}
    return {
        "name": "End of the run",
        "hosts": list(hosts),
        "gather_facts": False,
        # --tags must not leave it out.
        "tags": ["always"],
        "tasks": [task],
    }
