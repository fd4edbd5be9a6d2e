# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""DNS records as the description gives them and as Cloudflare shows them, in one form that can be compared. Pure."""

from __future__ import annotations

import ipaddress
import re
import typing as t
from collections.abc import Iterator, Mapping, Sequence

Options = Mapping[str, t.Any]

# What makes up the content of each type, in the order of a zone file.
FIELDS: Mapping[str, tuple[str, ...]] = {
    "A": ("value",),
    "AAAA": ("value",),
    "CNAME": ("value",),
    "NS": ("value",),
    "TXT": ("value",),
    "MX": ("priority", "value"),
    "SRV": ("priority", "weight", "port", "value"),
    "CAA": ("flags", "tag", "value"),
    "TLSA": ("usage", "selector", "matching_type", "value"),
    "HTTPS": ("priority", "value", "params"),
}
# What the API calls them, where that differs; types that are not here have content alone.
DATA_NAMES: Mapping[str, Mapping[str, str]] = {
    "SRV": {"value": "target"},
    "CAA": {},
    "TLSA": {"value": "certificate"},
    "HTTPS": {"value": "target", "params": "value"},
}
NUMBERS: Mapping[str, int] = {
    "priority": 65535,
    "weight": 65535,
    "port": 65535,
    "flags": 255,
    "usage": 255,
    "selector": 255,
    "matching_type": 255,
}
PROXIABLE = ("A", "AAAA", "CNAME")
HOSTS = ("CNAME", "NS", "MX", "SRV", "HTTPS")
AUTOMATIC = 1
COMMENT_LENGTH = 100
# Of a record's data on the wire.
TEXT_LENGTH = 4000
LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
STRING = re.compile(r'"((?:[^"\\]|\\.)*)"\s*')


class Record(t.NamedTuple):
    """One record; content is what a zone file has, in one spelling, and TXT is plain text."""

    type: str
    name: str
    content: str
    ttl: int = AUTOMATIC
    proxied: bool = False
    comment: str = ""
    tags: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, str, str]:
        """Return what no two records of a zone may have in common."""
        return self.type, self.name, self.content

    def __str__(self) -> str:
        return f"{self.type} {self.name} {short(self.content)}"


class Found(t.NamedTuple):
    """A record that is there."""

    id: str
    record: Record


def short(text: str, length: int = 60) -> str:
    """Return the beginning of a long text."""
    return text if len(text) <= length else f"{text[: length - 3]}..."


def full_name(name: str, zone: str) -> str:
    """Return a name with its zone; @ is the zone itself."""
    name = name.lower().rstrip(".")
    if name in ("@", "", zone):
        return zone
    return name if name.endswith(f".{zone}") else f"{name}.{zone}"


def is_host(name: str) -> bool:
    """Return whether a name can be a host's, wildcards and leading underscores included."""
    labels = name.removeprefix("*.").split(".")
    return len(name) <= 253 and all(LABEL.fullmatch(label) for label in labels)


def plain_text(content: str) -> str:
    """Return the text of a TXT record's character strings, however it is split; marks may be missing."""
    pieces, end = [], 0
    while match := STRING.match(content, end):
        pieces.append(re.sub(r"\\(.)", r"\1", match[1]))
        end = match.end()
    return "".join(pieces) if pieces and end == len(content) else content


def quoted_text(text: str) -> str:
    """Return a text as character strings of at most 255 bytes, none of which cuts a character."""
    pieces, current = [], ""
    for character in text:
        if len((current + character).encode()) > 255:
            pieces.append(current)
            current = ""
        current += character
    quoted = (piece.replace("\\", "\\\\").replace('"', '\\"') for piece in [*pieces, current])
    return " ".join(f'"{piece}"' for piece in quoted)


def canonical(kind: str, fields: Mapping[str, t.Any]) -> str:
    """Return the content of a record from its fields, in one spelling."""
    value = str(fields.get("value") or "")
    if kind in ("A", "AAAA"):
        value = str(ipaddress.ip_address(value))
    elif kind in HOSTS:
        value = value.lower().rstrip(".") or "."
    elif kind == "TLSA":
        value = re.sub(r"\s", "", value).lower()
    elif kind == "CAA":
        value = f'"{value}"'
    params = " ".join(str(fields.get("params") or "").replace('"', "").split())
    parts = {**fields, "value": value, "params": params}
    return " ".join(str(parts[field]) for field in FIELDS[kind]).strip() if kind != "TXT" else value


def from_options(options: Options, zone: str, mark: str) -> Record:
    """Return a wanted record, whose options have no problem; the mark says whose it is."""
    proxied = bool(options.get("proxied"))
    return Record(
        type=options["type"],
        name=full_name(options["name"], zone),
        content=canonical(options["type"], options),
        # What is proxied has no lifetime of its own.
        ttl=AUTOMATIC if proxied else int(options.get("ttl") or AUTOMATIC),
        proxied=proxied,
        comment=f"{mark} {options.get('comment') or ''}".strip(),
        tags=tuple(sorted(options.get("tags") or ())),
    )


def from_api(row: Mapping[str, t.Any]) -> Found:
    """Return a record as the API shows it; of types that are not ours the content is kept as it is."""
    kind, data = row["type"], row.get("data") or {}
    fields = {name: data.get(DATA_NAMES[kind].get(name, name)) for name in FIELDS[kind]} if kind in DATA_NAMES else {}
    if kind == "TXT":
        fields = {"value": plain_text(row["content"])}
    elif kind in FIELDS and not fields:
        fields = {"value": row["content"], "priority": row.get("priority")}
    record = Record(
        type=kind,
        name=row["name"].lower(),
        content=canonical(kind, fields) if kind in FIELDS else str(row.get("content")),
        ttl=int(row.get("ttl") or AUTOMATIC),
        proxied=bool(row.get("proxied")),
        comment=row.get("comment") or "",
        tags=tuple(sorted(row.get("tags") or ())),
    )
    return Found(row["id"], record)


def body(record: Record) -> dict[str, t.Any]:
    """Return a record as the API takes it."""
    kind = record.type
    parts = record.content.split(" ", len(FIELDS[kind]) - 1) if kind != "TXT" else [record.content]
    # A record for HTTPS may have no parameters.
    values: dict[str, t.Any] = dict(zip(FIELDS[kind], [*parts, ""], strict=False))
    values.update({name: int(values[name]) for name in NUMBERS if name in values})
    common = {
        "type": kind,
        "name": record.name,
        "ttl": record.ttl,
        "proxied": record.proxied,
        "comment": record.comment,
        # Only paid plans have tags; even an empty list is refused by none.
        **({"tags": list(record.tags)} if record.tags else {}),
    }
    if kind in DATA_NAMES:
        values["value"] = values["value"].strip('"') if kind == "CAA" else values["value"]
        return {**common, "data": {DATA_NAMES[kind].get(name, name): value for name, value in values.items()}}
    content = quoted_text(record.content) if kind == "TXT" else values["value"]
    return {**common, "content": content, **({"priority": values["priority"]} if kind == "MX" else {})}


def value_problem(options: Options) -> str:
    """Return what is wrong with the value of a record; empty when nothing is."""
    kind, value = options["type"], str(options.get("value") or "")
    if not value:
        return "it has no value"
    if kind in ("A", "AAAA"):
        version = 4 if kind == "A" else 6
        try:
            right = ipaddress.ip_address(value).version == version
        except ValueError:
            right = False
        return "" if right else f"{value} is no IPv{version} address"
    if kind in HOSTS and value != "." and not is_host(value.lower().rstrip(".")):
        return f"{value} is no name of a host"
    if kind == "TLSA" and not re.fullmatch(r"([0-9a-fA-F]{2}\s*)+", value):
        return "its value is no hash in hexadecimal digits"
    if kind == "CAA" and '"' in value:
        return "its value holds a quotation mark"
    if kind == "TXT" and (len(value.encode()) > TEXT_LENGTH or re.search(r"[\x00-\x1f]", value)):
        return f"its text is longer than {TEXT_LENGTH} bytes or holds a control character"
    return ""


def field_problems(options: Options) -> Iterator[str]:
    """Yield what is wrong with the other fields of a record."""
    kind = options["type"]
    for field in FIELDS[kind]:
        if field in NUMBERS and options.get(field) is None:
            yield f"it has no {field}"
        elif field in NUMBERS and not 0 <= int(options[field]) <= NUMBERS[field]:
            yield f"{field} {options[field]} is not between 0 and {NUMBERS[field]}"
    if kind == "CAA" and options.get("tag") not in ("issue", "issuewild", "iodef"):
        yield f"tag {options.get('tag')} is none of issue, issuewild, iodef"
    if options.get("proxied") and kind not in PROXIABLE:
        yield f"a record of type {kind} cannot be proxied"
    ttl = int(options.get("ttl") or AUTOMATIC)
    if ttl != AUTOMATIC and not 60 <= ttl <= 86400:
        yield f"ttl {ttl} is neither {AUTOMATIC} (automatic) nor between 60 and 86400"


def problems(wanted: Sequence[Options], zone: str, mark: str) -> list[str]:
    """Return what is wrong with each record that is wanted, and with all of them together."""
    found: list[str] = []
    right: list[Record] = []
    for options in wanted:
        name = full_name(options["name"], zone)
        said = [value_problem(options), *field_problems(options)]
        if not is_host(name):
            said.append("the name is not possible")
        if len(f"{mark} {options.get('comment') or ''}") > COMMENT_LENGTH:
            said.append(f"comment and mark are longer than {COMMENT_LENGTH} characters")
        found += [f"{options['type']} {name}: {text}" for text in said if text]
        if not any(said):
            right.append(from_options(options, zone, mark))
    return found + together(right)


def together(records: Sequence[Record]) -> list[str]:
    """Return which records cannot stand in one zone."""
    keys = [record.key for record in records]
    twice = sorted({record for record in records if keys.count(record.key) > 1})
    found = [f"{record}: it is wanted twice" for record in twice]
    aliases = {record.name for record in records if record.type == "CNAME"}
    beside = [record for record in records if record.name in aliases and record.type != "CNAME"]
    targets = {(record.name, record.content) for record in records if record.type == "CNAME"}
    several = [name for name in aliases if sum(name == other for other, _target in targets) > 1]
    found += [f"{record}: its name is a CNAME as well, and a CNAME stands alone" for record in beside]
    return found + [f"CNAME {name}: it leads to several names" for name in sorted(several)]
