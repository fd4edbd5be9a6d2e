"""Client of the service with access to Docker."""

from __future__ import annotations

import http.client
import json
from typing import Any


def _ask(method: str, path: str) -> Any:
    connection = http.client.HTTPConnection("dockerapi", 8080, timeout=30)
    try:
        connection.request(method, path)
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


def run(task: str, argument: str = "") -> dict[str, str]:
    """Run a task; an error is an answer too."""
    try:
        done: dict[str, str] = _ask("POST", f"/exec/{task}/{argument}".rstrip("/"))
    except (OSError, ValueError, http.client.HTTPException) as problem:
        return {"type": "danger", "msg": str(problem)}
    return done


def containers() -> dict[str, Any]:
    """Return Docker's description of each container of this project, by service."""
    found: dict[str, Any] = _ask("GET", "/containers")
    return found
