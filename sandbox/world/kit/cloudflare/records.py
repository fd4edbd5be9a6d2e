"""Validate DNS records as Cloudflare does; pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import Any

from .errors import Refused, invalid

Record = dict[str, Any]

# The fields of `data`, in the order of a zone file.
FIELDS: dict[str, tuple[str, ...]] = {
    "SRV": ("priority", "weight", "port", "target"),
    "CAA": ("flags", "tag", "value"),
    "TLSA": ("usage", "selector", "matching_type", "certificate"),
    "HTTPS": ("priority", "target", "value"),
}
TYPES = ("A", "AAAA", "CNAME", "MX", "NS", "TXT", *FIELDS)
PROXIABLE = ("A", "AAAA", "CNAME")
HOSTNAME = re.compile(r"(?=.{1,253}$)(\*\.)?([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.?)+")
STRING = re.compile(r'"((?:[^"\\]|\\.)*)"\s*')
# Limits of the free plan.
COMMENT_LENGTH = 100
TAGS = 0


def full_name(name: str, zone: str) -> str:
    """Return the full name of a record; a request may omit the zone."""
    name = name.rstrip(".").lower()
    if name in ("@", zone):
        return zone
    return name if name.endswith(f".{zone}") else f"{name}.{zone}"


def strings(content: str) -> list[str]:
    """Return the character strings of a TXT record; quotation marks are optional."""
    if not content.startswith('"'):
        return [content]
    found, end = [], 0
    while match := STRING.match(content, end):
        found.append(re.sub(r"\\(.)", r"\1", match[1]))
        end = match.end()
    if end != len(content):
        raise invalid(9005, "Content for TXT record is invalid.")
    return found


def check_address(kind: str, content: str) -> None:
    """Raise an error unless the content is an address of the right version."""
    version = 4 if kind == "A" else 6
    try:
        valid = ipaddress.ip_address(content).version == version
    except ValueError:
        valid = False
    if not valid:
        raise invalid(9005, f"Content for {kind} record must be a valid IPv{version} address.")


def content_of(kind: str, body: Record) -> Record:
    """Return the content, and the data of types that have it, of a record in a request."""
    if kind in FIELDS:
        data = body.get("data") or {}
        missing = [field for field in FIELDS[kind] if field not in data]
        if missing:
            raise invalid(9101, f"{missing[0]} is a required data field.")
        values = [
            f'"{data[field]}"' if (kind, field) == ("CAA", "value") else str(data[field]) for field in FIELDS[kind]
        ]
        return {"content": " ".join(values).strip(), "data": {field: data[field] for field in FIELDS[kind]}}
    content = str(body.get("content") or "")
    if not content:
        raise invalid(9020, "DNS record has no content.")
    if kind in ("A", "AAAA"):
        check_address(kind, content)
    elif kind == "TXT":
        strings(content)
    elif not HOSTNAME.fullmatch(content):
        raise invalid(9005 if kind != "CNAME" else 9007, f"Content for {kind} record is invalid.")
    else:
        content = content.rstrip(".").lower()
    if kind == "MX":
        if not isinstance(body.get("priority"), int):
            raise invalid(9105, "priority is a required field.")
        return {"content": content, "priority": body["priority"]}
    return {"content": content}


def record_of(body: Any, zone: str) -> Record:
    """Return a record from a request's body, or raise Cloudflare's error."""
    body = body or {}
    kind, name = str(body.get("type") or ""), str(body.get("name") or "")
    if kind not in TYPES:
        raise invalid(9004, "DNS record type is invalid.") if kind else Refused(400, 9000, "DNS name is invalid.")
    name = full_name(name, zone)
    if not HOSTNAME.fullmatch(name):
        raise Refused(400, 9000, "DNS name is invalid.")
    record = {"type": kind, "name": name, **content_of(kind, body), **attributes(kind, body)}
    if kind == "CNAME" and record["content"] == name:
        raise invalid(9039, "CNAME content cannot reference itself.")
    return record


def attributes(kind: str, body: Record) -> Record:
    """Return the attributes of a record."""
    ttl, proxied = body.get("ttl", 1), bool(body.get("proxied"))
    comment, tags = body.get("comment"), list(body.get("tags") or [])
    if ttl != 1 and not (isinstance(ttl, int) and 60 <= ttl <= 86400):
        raise invalid(9021, "Invalid TTL. Must be between 60 and 86400 seconds, or 1 for Automatic.")
    if proxied and kind not in PROXIABLE:
        raise invalid(9004, f"This record type cannot be proxied: {kind}.")
    if comment and len(comment) > COMMENT_LENGTH:
        length = f"DNS record has a comment of {len(comment)} characters, exceeding the quota of {COMMENT_LENGTH}."
        raise Refused(400, 9313, length)
    if len(tags) > TAGS:
        raise Refused(400, 9300, f"DNS record has {len(tags)} tags, exceeding the quota of {TAGS}.")
    # Cloudflare sets the TTL of a proxied record.
    return {"ttl": 1 if proxied else ttl, "proxied": proxied, "comment": comment, "tags": tags}


def check_conflicts(record: Record, others: Iterable[Record]) -> None:
    """Raise an error for a record that conflicts with another one."""
    for other in others:
        if other["name"] != record["name"]:
            continue
        if all(other.get(key) == record.get(key) for key in ("type", "content", "priority")):
            raise Refused(400, 81058, "An identical record already exists.")
        kinds = {record["type"], other["type"]}
        if record["type"] == "CNAME" and other["type"] in PROXIABLE:
            raise Refused(400, 81053, "An A, AAAA, or CNAME record with that host already exists.")
        if "CNAME" in kinds and kinds & {"A", "AAAA"}:
            raise Refused(400, 81054, "A CNAME record with that host already exists.")
        if "CNAME" in kinds and "NS" in kinds:
            raise Refused(400, 81056, "NS records with that host already exist.")


def zone_file(record: Record) -> str:
    """Return a record's data in the form of a zone file; a proxied record has its origin, as there is no proxy."""
    kind, content = record["type"], str(record["content"])
    if kind == "TXT":
        pieces = [text[start : start + 255] for text in strings(content) for start in range(0, len(text) or 1, 255)]
        return " ".join('"' + piece.replace("\\", "\\\\").replace('"', '\\"') + '"' for piece in pieces)
    if kind == "MX":
        return f"{record['priority']} {content}."
    if kind in ("SRV", "HTTPS"):
        data = dict(record["data"])
        data["target"] = f"{str(data['target']).rstrip('.')}."
        return " ".join(str(data[field]) for field in FIELDS[kind]).strip()
    return f"{content}." if kind in ("CNAME", "NS") else content
