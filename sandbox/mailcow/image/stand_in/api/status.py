"""What runs, what was logged, what waits in the queue."""

from __future__ import annotations

import json
from typing import Any

from stand_in import docker_client
from stand_in.api import store as tables
from stand_in.api.store import Row, Said, Store

LOGS = {
    "postfix": "POSTFIX_MAILLOG",
    "dovecot": "DOVECOT_MAILLOG",
    "netfilter": "NETFILTER_LOG",
    "api": "API_LOG",
    "watchdog": "WATCHDOG_LOG",
    "acme": "ACME_LOG",
}


def get(_store: Store, name: str, _more: str) -> Any:
    """Containers, or the version."""
    if name == "version":
        return {"version": tables.version()}
    if name != "containers":
        return {}
    return {
        service: {
            "type": "info",
            "container": service,
            "state": details["State"]["Status"],
            "started_at": details["State"]["StartedAt"],
            "image": details["Config"]["Image"],
        }
        for service, details in docker_client.containers().items()
    }


def get_logs(store: Store, name: str, lines: str) -> Any:
    """The last lines of a log, newest first."""
    if name not in LOGS:
        return {}
    return [json.loads(line) for line in store.redis.lrange(LOGS[name], 0, int(lines or 1000) - 1)]


def get_queue(_store: Store, _name: str, _more: str) -> Any:
    """Messages that wait, as Postfix's postqueue tells of them; [] for none, which for others is {}."""
    said = docker_client.run("mailq")["msg"]
    return [json.loads(line) for line in said.splitlines() if line.startswith("{")] or EMPTY


class _Empty(list[Any]):
    """A list that holds nothing, and is not taken for nothing."""

    def __bool__(self) -> bool:
        return True


EMPTY = _Empty()


def edit_queue(_store: Store, said: Said, _items: list[Any], attributes: Row) -> None:
    """Try to send again what waits."""
    if attributes.get("action") == "flush":
        _queue(said, "mailq-flush")


def delete_queue(_store: Store, said: Said, _items: list[Any]) -> None:
    """Forget what waits."""
    _queue(said, "mailq-delete-all")


def _queue(said: Said, task: str) -> None:
    done = docker_client.run(task)
    if done["type"] == "success":
        said.success("queue_command_success")
    else:
        said.danger(f"Error: {done['msg']}")
