"""Sample output of `pgbackrest info --output=json`, reduced to the fields that are read."""

from __future__ import annotations

import json
from typing import Any


def backup(
    repository: int, label: str, stopped: int, lsn: str = "0/3000100", timeline: int = 1, **more: Any
) -> dict[str, Any]:
    """Return one set."""
    kind = {"F": "full", "D": "diff", "I": "incr"}[label[-1]]
    return {
        "database": {"id": 1, "repo-key": repository},
        "label": label,
        "type": kind,
        "timestamp": {"stop": stopped},
        "info": {"size": 1000, "repository": {"delta": 100}},
        "lsn": {"stop": lsn},
        "archive": {"start": f"{timeline:08X}0000000000000002", "stop": f"{timeline:08X}0000000000000003"},
        "error": False,
        **more,
    }


def info(
    *backups: dict[str, Any], codes: tuple[int, ...] = (0, 0), message: str = "ok", versions: tuple[str, ...] = ("17",)
) -> str:
    """Return the whole output for a stanza `main`, whose cluster was upgraded through the versions."""
    numbers = range(1, len(codes) + 1)
    return json.dumps(
        [
            {
                "name": "main",
                "backup": list(backups),
                "db": [
                    {"id": number, "repo-key": n, "system-id": 6 + number, "version": version}
                    for n in numbers
                    for number, version in enumerate(versions, start=1)
                ],
                "archive": [
                    {"database": {"id": 1, "repo-key": n}, "id": "17-1", "max": f"00000001000000000000000{n}"}
                    for n in numbers
                ],
                "repo": [
                    {"key": n, "status": {"code": c, "message": message}} for n, c in zip(numbers, codes, strict=True)
                ],
            }
        ]
    )
