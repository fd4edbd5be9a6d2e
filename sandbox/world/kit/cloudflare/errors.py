"""Error responses of Cloudflare."""

from __future__ import annotations

from typing import Any


class Refused(Exception):
    """An error response, with Cloudflare's code and message."""

    def __init__(self, status: int, code: int, message: str, *chain: dict[str, Any]) -> None:
        super().__init__(message)
        self.status = status
        self.error: dict[str, Any] = {
            "code": code,
            "message": message,
            **({"error_chain": list(chain)} if chain else {}),
        }


def invalid(code: int, message: str) -> Refused:
    """Return the error for an invalid record."""
    return Refused(400, 1004, "DNS Validation Error", {"code": code, "message": message})


def unroutable(path: str) -> Refused:
    """Return the error for an unknown path or zone."""
    return Refused(404, 7003, f"Could not route to {path}, perhaps your object identifier is invalid?")


def unauthorized() -> Refused:
    """Return the error for a missing permission, which it does not name."""
    return Refused(403, 10000, "Authentication error")
