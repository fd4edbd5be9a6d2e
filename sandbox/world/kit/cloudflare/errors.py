"""How Cloudflare says no."""

from __future__ import annotations

from typing import Any


class Refused(Exception):
    """An answer that is an error, in Cloudflare's words."""

    def __init__(self, status: int, code: int, message: str, *chain: dict[str, Any]) -> None:
        super().__init__(message)
        self.status = status
        self.error: dict[str, Any] = {
            "code": code,
            "message": message,
            **({"error_chain": list(chain)} if chain else {}),
        }


def invalid(code: int, message: str) -> Refused:
    """Return the refusal of a record."""
    return Refused(400, 1004, "DNS Validation Error", {"code": code, "message": message})


def unroutable(path: str) -> Refused:
    """Return the refusal of a path that leads nowhere, or to a zone that the token does not know."""
    return Refused(404, 7003, f"Could not route to {path}, perhaps your object identifier is invalid?")


def unauthorized() -> Refused:
    """Return what a valid token hears that lacks a permission; it is not told which."""
    return Refused(403, 10000, "Authentication error")
