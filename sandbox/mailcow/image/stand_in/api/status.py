"""Containers, logs and queue."""

from __future__ import annotations

import json
from typing import Any

from stand_in import docker_client
from stand_in.api import store as tables
from stand_in.api.store import Reply, Row, Store

LOGS = {
    "postfix": "POSTFIX_MAILLOG",
    "dovecot": "DOVECOT_MAILLOG",
    "netfilter": "NETFILTER_LOG",
    "api": "API_LOG",
    "watchdog": "WATCHDOG_LOG",
    "acme": "ACME_LOG",
}


def get(_store: Store, name: str, _more: str) -> Any:
    """Return the containers, or the version."""
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
    """Return the last lines of a log, newest first."""
    if name not in LOGS:
        return {}
    return [json.loads(line) for line in store.redis.lrange(LOGS[name], 0, int(lines or 1000) - 1)]


def get_queue(_store: Store, _name: str, _more: str) -> Any:
    """Return the queue in the form of Postfix's postqueue; [] if it is empty, where other lists are {}."""
    output = docker_client.run("mailq")["msg"]
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")] or EMPTY


class _Empty(list[Any]):
    """An empty list that is true, so that it is not replaced by {}."""

    def __bool__(self) -> bool:
        return True


EMPTY = _Empty()


def edit_queue(_store: Store, reply: Reply, _items: list[Any], attributes: Row) -> None:
    """Flush the queue."""
    if attributes.get("action") == "flush":
        _queue(reply, "mailq-flush")


def delete_queue(_store: Store, reply: Reply, _items: list[Any]) -> None:
    """Delete the queue."""
    _queue(reply, "mailq-delete-all")


def _queue(reply: Reply, task: str) -> None:
    done = docker_client.run(task)
    if done["type"] == "success":
        reply.success("queue_command_success")
    else:
        reply.danger(f"Error: {done['msg']}")
