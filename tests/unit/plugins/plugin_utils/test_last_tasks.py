"""The last play of a run: its task runs with each selection of tags, and a host that hangs does not hold it."""

from __future__ import annotations

from ansible_collections.vise.platform.plugins.plugin_utils import last_tasks


def test_play_executes_one_task_on_these_hosts_with_a_limit() -> None:
    play = last_tasks.describe(["web-1", "db-1"])
    (task,) = play["tasks"]
    assert (play["hosts"], play["tags"], play["gather_facts"]) == (["web-1", "db-1"], ["always"], False)
    assert task["vise.platform.run_record"] == {}
    assert task["timeout"] == last_tasks.SECONDS
