"""Validate DNS records as Cloudflare does; pure."""

from __future__ import annotations

import ipaddress
import re
import unicodedata
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
# The first labels of a name, by type.
NAMES = {"SRV": re.compile(r"_[a-z0-9-]+\._[a-z]+(\.|$)"), "TLSA": re.compile(r"(_[0-9]+|\*)\._[a-z]+(\.|$)")}
# Bytes of a hash, by matching type.
HASHES = {1: 32, 2: 64}
STRING = re.compile(r'"((?:[^"\\]|\\.)*)"\s*')
ESCAPE = re.compile(r"\\([0-9]{3}|.)", re.DOTALL)
# Bytes of one record in the form of the DNS, and characters of all records with the same name and type.
RECORD_LENGTH, CONTENT_LENGTH = 4096, 8192
# Limits by plan: characters of a comment, tags of a record, the shortest TTL.
COMMENT_LENGTHS, LONG_COMMENT = {"free": 100}, 500
TAGS, MANY_TAGS = {"free": 0}, 20
TTLS, LONG_TTL = {"enterprise": 30}, 60
TAG = re.compile(r"[A-Za-z0-9_-]{1,32}(:[^\r\n]{1,100})?")
# Networks to which Cloudflare does not connect. The networks for documentation are permitted, for zones without origin.
UNPROXIABLE = [
    ipaddress.ip_network(network)
    for network in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.168.0.0/16", "224.0.0.0/4", "240.0.0.0/4", "1.0.0.0/24", "1.1.1.0/24", "104.16.0.0/13"),
        *("::/127", "fc00::/7", "fe80::/10", "ff00::/8", "2606:4700::/32"),
    )
]
# Targets that verify the owner of a name, and that Cloudflare therefore does not hide.
UNPROXIABLE_TARGETS = (".acm-validations.aws", ".dkim.amazonses.com")


def punycode(name: str) -> str:
    """Return a name as the DNS has it."""
    try:
        return ".".join(
            label if label.isascii() else label.encode("idna").decode() for label in name.lower().split(".")
        )
    except UnicodeError as error:
        raise Refused(400, 9000, "DNS name is invalid.") from error


def full_name(name: str, zone: str) -> str:
    """Return the full name of a record in Punycode; a request may omit the zone."""
    name, zone = punycode(name.rstrip(".")), punycode(zone)
    if name in ("@", zone):
        return zone
    return name if name.endswith(f".{zone}") else f"{name}.{zone}"


def wrong_content(kind: str) -> Refused:
    """Return the error for invalid content."""
    return invalid(9005, f"Content for {kind} record is invalid.")


def unescape(text: str) -> bytes:
    r"""Return the bytes of a character string; \DDD is the byte with this decimal number."""
    found = b""
    for position, part in enumerate(ESCAPE.split(text)):
        number = int(part) if position % 2 and len(part) == 3 else 0
        if number > 255:
            raise wrong_content("TXT")
        found += bytes([number]) if position % 2 and len(part) == 3 else part.encode()
    return found


def escape(text: bytes) -> str:
    """Return a character string in quotation marks, in ASCII."""
    signs = [f"\\{chr(byte)}" if byte in b'"\\' else chr(byte) if 31 < byte < 127 else f"\\{byte:03d}" for byte in text]
    return f'"{"".join(signs)}"'


def strings(content: str) -> list[bytes]:
    """Return the character strings of a TXT record, each of at most 255 bytes; quotation marks are optional."""
    found, end = [], 0
    if not content.startswith('"'):
        found, end = [content.encode()], len(content)
    while match := STRING.match(content, end):
        found.append(unescape(match[1]))
        end = match.end()
    if end != len(content):
        raise wrong_content("TXT")
    return [text[start : start + 255] for text in found for start in range(0, len(text) or 1, 255)]


def text_of(content: str) -> str:
    """Return the content of a TXT record as it is stored: without quotation marks only if the request has none."""
    pieces = strings(content)
    if sum(len(piece) + 1 for piece in pieces) > RECORD_LENGTH:
        raise invalid(9015, f"Record content exceeds the allowed length of {RECORD_LENGTH} wire format bytes.")
    return " ".join(map(escape, pieces)) if content.startswith('"') else content


def address_of(kind: str, content: str) -> str:
    """Return an address in its canonical form; raise an error unless it has the right version."""
    version = 4 if kind == "A" else 6
    try:
        address = ipaddress.ip_address(content)
    except ValueError:
        address = None
    if not address or address.version != version:
        raise invalid(9005, f"Content for {kind} record must be a valid IPv{version} address.")
    return str(address)


def is_address(content: str) -> bool:
    """Return whether a text is an address."""
    try:
        ipaddress.ip_address(content)
    except ValueError:
        return False
    return True


def host_of(kind: str, content: str) -> str:
    """Return the name of a host in its canonical form."""
    if is_address(content):
        code = {"MX": 9009, "CNAME": 9007}.get(kind, 9005)
        raise invalid(code, f"Change the content of your {kind} record to be a hostname (and not an IP address).")
    if content != "." and not HOSTNAME.fullmatch(content):
        raise invalid(9007 if kind == "CNAME" else 9005, f"Content for {kind} record is invalid.")
    return content.rstrip(".").lower() or "."


def data_of(kind: str, body: Record) -> Record:
    """Return the data of a record in a request."""
    data = body.get("data") or {}
    missing = [field for field in FIELDS[kind] if field not in data]
    if missing:
        raise invalid(9101, f"{missing[0]} is a required data field.")
    found = {field: data[field] for field in FIELDS[kind]}
    numbers = [found[field] for field in FIELDS[kind] if field not in ("target", "tag", "value", "certificate")]
    if any(not isinstance(number, int) or not 0 <= number <= 65535 for number in numbers):
        raise wrong_content(kind)
    if "target" in found:
        found["target"] = host_of(kind, str(found["target"]))
    if kind == "TLSA":
        # Cloudflare returns hashes in upper case.
        found["certificate"] = hash_of(str(found["certificate"]), found["matching_type"])
    return found


def hash_of(text: str, matching_type: int) -> str:
    """Return the hash of a TLSA record; raise an error if its length is wrong."""
    try:
        length = len(bytes.fromhex(text))
    except ValueError:
        length = 0
    if length == 0 or length != HASHES.get(matching_type, length):
        raise wrong_content("TLSA")
    return text.upper()


def content_of(kind: str, body: Record) -> Record:
    """Return the content, and the data of types that have it, of a record in a request."""
    if kind in FIELDS:
        data = data_of(kind, body)
        values = [
            f'"{data[field]}"' if (kind, field) == ("CAA", "value") else str(data[field]) for field in FIELDS[kind]
        ]
        return {"content": " ".join(values).strip(), "data": data}
    content = str(body.get("content") or "")
    if not content:
        raise invalid(9020, "DNS record has no content.")
    if kind in ("A", "AAAA"):
        return {"content": address_of(kind, content)}
    if kind == "TXT":
        return {"content": text_of(content)}
    content = host_of(kind, content)
    if kind == "MX":
        if not isinstance(body.get("priority"), int):
            raise invalid(9100, "priority is a required field.")
        return {"content": content, "priority": body["priority"]}
    return {"content": content}


def record_of(body: Any, zone: str, plan: str = "free") -> Record:
    """Return a record from a request's body, or raise Cloudflare's error."""
    body = body or {}
    kind, name = str(body.get("type") or ""), str(body.get("name") or "")
    if kind not in TYPES:
        raise invalid(9004, "DNS record type is invalid.") if kind else Refused(400, 9000, "DNS name is invalid.")
    name = full_name(name, zone)
    if not HOSTNAME.fullmatch(name):
        raise Refused(400, 9000, "DNS name is invalid.")
    record = {"type": kind, "name": name, **content_of(kind, body), **attributes(kind, body, plan)}
    if kind in NAMES and not NAMES[kind].match(name):
        raise Refused(400, 9000, "DNS name is invalid.")
    if kind == "CNAME" and record["content"] == name:
        raise invalid(9039, "CNAME content cannot reference itself.")
    if record["proxied"] and not is_proxiable(record):
        raise Refused(400, 9003, f"Target {record['content']} is not allowed for a proxied record.")
    return {**record, "proxiable": is_proxiable(record), "meta": {}}


def is_proxiable(record: Record) -> bool:
    """Return whether Cloudflare can proxy a record."""
    if record["type"] not in ("A", "AAAA"):
        return record["type"] == "CNAME" and not record["content"].endswith(UNPROXIABLE_TARGETS)
    address = ipaddress.ip_address(record["content"])
    inner = getattr(address, "ipv4_mapped", None) or address
    return not any(inner.version == network.version and inner in network for network in UNPROXIABLE)


def attributes(kind: str, body: Record, plan: str) -> Record:
    """Return the attributes of a record."""
    ttl, proxied = body.get("ttl", 1), bool(body.get("proxied"))
    shortest = TTLS.get(plan, LONG_TTL)
    if ttl != 1 and not (isinstance(ttl, int) and shortest <= ttl <= 86400):
        text = f"Invalid TTL. Must be between {shortest} and 86400 seconds, or 1 for Automatic."
        raise invalid(9021, text)
    if proxied and kind not in PROXIABLE:
        raise invalid(9004, f"This record type cannot be proxied: {kind}.")
    comment, tags = comment_of(body, plan), tags_of(body, plan)
    # Cloudflare sets the TTL of a proxied record.
    return {"ttl": 1 if proxied else ttl, "proxied": proxied, "comment": comment, "tags": tags}


def comment_of(body: Record, plan: str) -> str | None:
    """Return the comment of a record."""
    comment, limit = body.get("comment"), COMMENT_LENGTHS.get(plan, LONG_COMMENT)
    if comment and len(comment) > limit:
        raise Refused(400, 9313, f"DNS record comment exceeds the maximum length of {limit} characters.")
    if comment and any(unicodedata.category(sign) == "Cc" for sign in comment):
        # The code is not Cloudflare's.
        raise Refused(400, 9314, "DNS record has a comment with an invalid character.")
    return comment or None


def tags_of(body: Record, plan: str) -> list[str]:
    """Return the tags of a record; their names are not case-sensitive."""
    tags, limit = list(body.get("tags") or []), TAGS.get(plan, MANY_TAGS)
    if len(tags) > limit:
        raise Refused(400, 9300, f"DNS record has {len(tags)} tags, exceeding the quota of {limit}.")
    pairs = [(name.lower(), value) for name, _, value in (tag.partition(":") for tag in tags)]
    # The codes are not Cloudflare's.
    if len(set(pairs)) < len(pairs):
        raise Refused(400, 9301, "DNS record has duplicate tags.")
    if any(not TAG.fullmatch(tag) or tag.lower().startswith("cf-") for tag in tags):
        raise Refused(400, 9302, "DNS record has an invalid tag.")
    return tags


def check_conflicts(record: Record, others: Iterable[Record], zone: str = "") -> None:
    """Raise an error for a record that conflicts with another one."""
    same = [other for other in others if other["name"] == record["name"]]
    for other in same:
        if all(other.get(key) == record.get(key) for key in ("type", "content", "priority")):
            raise Refused(400, 81058, "An identical record already exists.")
        kinds = {record["type"], other["type"]}
        if record["type"] == "CNAME" and other["type"] in PROXIABLE:
            raise Refused(400, 81053, "An A, AAAA, or CNAME record with that host already exists.")
        if "CNAME" in kinds and kinds & {"A", "AAAA"}:
            raise Refused(400, 81054, "A CNAME record with that host already exists.")
        # Below the zone's own name, NS records delegate the name, so it can have nothing else; only DS belongs to them.
        if "NS" in kinds and len(kinds - {"DS"}) > 1 and (record["name"] != punycode(zone) or "CNAME" in kinds):
            raise Refused(400, 81056, "NS records with that host already exist.")
    if sum(length_of(other) for other in [record, *same] if other["type"] == record["type"]) > CONTENT_LENGTH:
        text = (
            f"Combined content length of records with this name and type must not exceed {CONTENT_LENGTH} characters."
        )
        raise Refused(400, 83011, text)


def length_of(record: Record) -> int:
    """Return the length of a record's content, of a text without quotation marks and escapes."""
    return sum(map(len, strings(record["content"]))) if record["type"] == "TXT" else len(record["content"])


def zone_file(record: Record) -> str:
    """Return a record's data in the form of a zone file; a proxied record has its origin, as there is no proxy."""
    kind, content = record["type"], str(record["content"])
    if kind == "TXT":
        return " ".join(map(escape, strings(content)))
    if kind == "MX":
        return f"{record['priority']} {content.rstrip('.')}."
    if kind in ("SRV", "HTTPS"):
        data = dict(record["data"])
        data["target"] = f"{str(data['target']).rstrip('.')}."
        return " ".join(str(data[field]) for field in FIELDS[kind]).strip()
    return f"{content}." if kind in ("CNAME", "NS") else content
