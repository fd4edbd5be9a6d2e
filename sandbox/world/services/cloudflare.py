"""Cloudflare's API, as far as certificates by DNS-01 need it; its records are served by the sandbox's DNS.

names: api.cloudflare.com
address: 5
ports: 443
ready: curl -sS https://api.cloudflare.com/client/v4/zones | grep -q 9106
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import kit

TOKEN = kit.SHARED / "cloudflare.token"
STATE = kit.STATE / "cloudflare.json"
ZONE_ID = hashlib.md5(kit.ZONE.encode(), usedforsecurity=False).hexdigest()
ZONE = {
    "id": ZONE_ID,
    "name": kit.ZONE,
    "status": "active",
    "paused": False,
    "type": "full",
    "name_servers": ["ns.vln.test"],
}
TYPES = ("A", "AAAA", "CNAME", "TXT", "MX", "CAA", "NS", "SRV")
LOCK = threading.Lock()
PREFIX = "/client/v4"


class Refused(Exception):
    """An answer that is an error, in Cloudflare's words."""

    def __init__(self, status: int, code: int, message: str, *chain: dict[str, Any]) -> None:
        super().__init__(message)
        self.status = status
        self.error = {"code": code, "message": message, **({"error_chain": list(chain)} if chain else {})}


def authorize(header: str | None, path: str) -> None:
    """Refuse what Cloudflare refuses: no token, something that is none, a wrong one."""
    if not header:
        raise Refused(400, 9106, "Missing X-Auth-Key, X-Auth-Email or Authorization headers")
    match = re.fullmatch(r"Bearer ([A-Za-z0-9_-]{30,})", header)
    if not match:
        chain = {"code": 6111, "message": "Invalid format for Authorization header"}
        raise Refused(400, 6003, "Invalid request headers", chain)
    if match[1] != TOKEN.read_text().strip():
        if path == "/user/tokens/verify":
            raise Refused(401, 1000, "Invalid API Token")
        raise Refused(403, 9109, "Invalid access token")


def load() -> dict[str, dict[str, Any]]:
    """The records by id."""
    records: dict[str, dict[str, Any]] = json.loads(STATE.read_text()) if STATE.exists() else {}
    return records


def save(records: dict[str, dict[str, Any]]) -> None:
    """Keep the records over a restart."""
    kit.STATE.mkdir(parents=True, exist_ok=True)
    STATE.write_text(json.dumps(records))


def data_of(record: dict[str, Any]) -> str:
    """A record's content as a zone file has it."""
    content = str(record["content"])
    if record["type"] == "TXT":
        text = content.strip('"').replace("\\", "\\\\").replace('"', '\\"')
        return " ".join(f'"{text[start : start + 250]}"' for start in range(0, len(text) or 1, 250))
    if record["type"] == "MX":
        return f"{record.get('priority', 10)} {content.rstrip('.')}."
    return f"{content.rstrip('.')}." if record["type"] in ("CNAME", "NS") else content


def publish(verb: str, record: dict[str, Any]) -> None:
    """Have the DNS say so."""
    lifetime = " 1" if verb == "add" else ""
    kit.update_dns(f"update {verb} {record['name']}.{lifetime} {record['type']} {data_of(record)}")


def wanted(body: Any) -> dict[str, Any]:
    """A record from a request's body, or the error that Cloudflare gives."""
    kind, name, content = (str((body or {}).get(key, "")) for key in ("type", "name", "content"))
    if kind not in TYPES:
        raise (
            Refused(400, 9005, "Content for record is invalid.") if kind else Refused(400, 9000, "DNS name is invalid.")
        )
    if not name or not content:
        raise Refused(400, 1004, "DNS Validation Error", {"code": 9005, "message": "Content for record is invalid."})
    name = name.rstrip(".").lower()
    if name != kit.ZONE and not name.endswith(f".{kit.ZONE}"):
        name = kit.ZONE if name == "@" else f"{name}.{kit.ZONE}"
    extra = {key: body[key] for key in ("priority", "comment", "tags") if key in body}
    return {
        "type": kind,
        "name": name,
        "content": content,
        "ttl": body.get("ttl", 1),
        "proxied": bool(body.get("proxied")),
        **extra,
    }


def create(body: Any) -> dict[str, Any]:
    """A new record, which must not be there yet."""
    record, records = wanted(body), load()
    same = ("type", "name", "content")
    if any(all(other[key] == record[key] for key in same) for other in records.values()):
        raise Refused(400, 81058, "An identical record already exists.")
    record["id"] = hashlib.md5(repr([record[key] for key in same]).encode(), usedforsecurity=False).hexdigest()
    publish("add", record)
    save({**records, record["id"]: record})
    return record


def change(identity: str, body: Any, whole: bool) -> dict[str, Any]:
    """A record replaced (PUT) or changed in part (PATCH)."""
    records = load()
    old = find(records, identity)
    new = {**wanted(body if whole else {**old, **(body or {})}), "id": identity}
    publish("delete", old)
    publish("add", new)
    save({**records, identity: new})
    return new


def delete(identity: str) -> dict[str, Any]:
    """A record taken away."""
    records = load()
    publish("delete", find(records, identity))
    save({key: value for key, value in records.items() if key != identity})
    return {"id": identity}


def find(records: dict[str, dict[str, Any]], identity: str) -> dict[str, Any]:
    """A record by its id."""
    if identity not in records:
        raise Refused(404, 81044, "Record does not exist.")
    return records[identity]


def page(found: list[dict[str, Any]], query: dict[str, str]) -> dict[str, Any]:
    """One page of a list that is filtered by name, type, content, as Cloudflare sends it."""
    rows = [
        row
        for row in found
        if all(str(row.get(key)) == query[key] for key in ("name", "type", "content") if key in query)
    ]
    size, number = int(query.get("per_page", 100)), int(query.get("page", 1))
    part = rows[(number - 1) * size : number * size]
    pages = -(-len(rows) // size)
    info = {"page": number, "per_page": size, "count": len(part), "total_count": len(rows), "total_pages": pages}
    return {"result": part, "result_info": info}


def route(method: str, path: str, query: dict[str, str], body: Any) -> dict[str, Any]:
    """The answer to one request."""
    if (method, path) == ("GET", "/user/tokens/verify"):
        return {"result": {"id": ZONE_ID, "status": "active"}}
    if (method, path) == ("GET", "/zones"):
        return page([ZONE], query)
    match = re.fullmatch(r"/zones/([^/]+)(/dns_records(?:/([^/]+))?)?", path)
    if not match or match[1] != ZONE_ID:
        message = f"Could not route to {PREFIX}{path}, perhaps your object identifier is invalid?"
        raise Refused(404, 7003, message)
    if not match[2]:
        return {"result": ZONE}
    if not match[3]:
        collection: dict[str, Callable[[], dict[str, Any]]] = {
            "GET": lambda: page(list(load().values()), query),
            "POST": lambda: {"result": create(body)},
        }
        return act(collection, method)
    identity = match[3]
    return act(
        {
            "GET": lambda: {"result": find(load(), identity)},
            "PUT": lambda: {"result": change(identity, body, whole=True)},
            "PATCH": lambda: {"result": change(identity, body, whole=False)},
            "DELETE": lambda: {"result": delete(identity)},
        },
        method,
    )


def act(choices: dict[str, Callable[[], dict[str, Any]]], method: str) -> dict[str, Any]:
    """What the method stands for."""
    if method not in choices:
        raise Refused(405, 10405, "Method not allowed for this authentication scheme")
    return choices[method]()


class Handler(kit.JsonHandler):
    """One request, one envelope."""

    def handle_any(self) -> None:
        """Authorize, act, answer."""
        url = urlsplit(self.path)
        path = url.path.removeprefix(PREFIX)
        body = self.body()
        try:
            authorize(self.headers.get("Authorization"), path)
            with LOCK:
                done = route(self.command, path, dict(parse_qsl(url.query)), body)
            self.answer(200, {"success": True, "errors": [], "messages": [], **done})
        except Refused as refused:
            content = {"success": False, "errors": [refused.error], "messages": [], "result": None}
            self.answer(refused.status, content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any  # noqa: N815 (http.server's names)


if __name__ == "__main__":
    kit.serve_https(Handler, "5", ("api.cloudflare.com",))
