# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Convert DNS records of the description and of Cloudflare into one form that can be compared. Pure."""

from __future__ import annotations

import ipaddress
import re
import typing as t
from collections.abc import Iterator, Mapping, Sequence

from ansible_collections.vise.platform.plugins.module_utils.cloudflare.plans import LONGEST_COMMENT, SHORTEST_TTL

Options = Mapping[str, t.Any]

# The fields of each type's content, in the order of a zone file.
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
# The API's names of these fields in `data`, if they differ. Types that are not listed have only `content`.
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
# Bytes of a record's data.
TEXT_LENGTH = 4000
LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
STRING = re.compile(r'"((?:[^"\\]|\\.)*)"\s*')


class Record(t.NamedTuple):
    """One record; content is in the form of a zone file and normalized, and a TXT is plain text."""

    type: str
    name: str
    content: str
    ttl: int = AUTOMATIC
    proxied: bool = False
    comment: str = ""
    tags: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, str, str]:
        """Return the fields by which a record is unique in its zone."""
        return self.type, self.name, self.content

    def __str__(self) -> str:
        return f"{self.type} {self.name} {short(self.content)}"


class Found(t.NamedTuple):
    """A record of the zone, with its id."""

    id: str
    record: Record


def short(text: str, length: int = 60) -> str:
    """Return the beginning of a long text."""
    return text if len(text) <= length else f"{text[: length - 3]}..."


def full_name(name: str, zone: str) -> str:
    """Return a name with its zone appended; @ is the zone itself."""
    name = name.lower().rstrip(".")
    if name in ("@", "", zone):
        return zone
    return name if name.endswith(f".{zone}") else f"{name}.{zone}"


def is_host(name: str) -> bool:
    """Return whether a name is valid for a record; wildcards and leading underscores are allowed."""
    labels = name.removeprefix("*.").split(".")
    return len(name) <= 253 and all(LABEL.fullmatch(label) for label in labels)


def plain_text(content: str) -> str:
    """Return the text of a TXT record without quotation marks, joined from one or more character strings."""
    pieces, end = [], 0
    while match := STRING.match(content, end):
        pieces.append(re.sub(r"\\(.)", r"\1", match[1]))
        end = match.end()
    return "".join(pieces) if pieces and end == len(content) else content


def quoted_text(text: str) -> str:
    """Return a text as quoted character strings of at most 255 bytes; no string ends inside a character."""
    pieces, current = [], ""
    for character in text:
        if len((current + character).encode()) > 255:
            pieces.append(current)
            current = ""
        current += character
    quoted = (piece.replace("\\", "\\\\").replace('"', '\\"') for piece in [*pieces, current])
    return " ".join(f'"{piece}"' for piece in quoted)


def canonical(kind: str, fields: Mapping[str, t.Any]) -> str:
    """Return the normalized content of a record from its fields."""
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
    """Return a wanted record from valid options; the mark names its owner."""
    proxied = bool(options.get("proxied"))
    return Record(
        type=options["type"],
        name=full_name(options["name"], zone),
        content=canonical(options["type"], options),
        # Cloudflare sets the TTL of a proxied record.
        ttl=AUTOMATIC if proxied else int(options.get("ttl") or AUTOMATIC),
        proxied=proxied,
        comment=f"{mark} {options.get('comment') or ''}".strip(),
        tags=tuple(sorted(options.get("tags") or ())),
    )


def from_api(row: Mapping[str, t.Any]) -> Found:
    """Return a record of the API; the content of an unknown type stays as it is."""
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
    """Return a record as a request body."""
    kind = record.type
    parts = record.content.split(" ", len(FIELDS[kind]) - 1) if kind != "TXT" else [record.content]
    # An HTTPS record may have no parameters.
    values: dict[str, t.Any] = dict(zip(FIELDS[kind], [*parts, ""], strict=False))
    values.update({name: int(values[name]) for name in NUMBERS if name in values})
    common = {
        "type": kind,
        "name": record.name,
        "ttl": record.ttl,
        "proxied": record.proxied,
        "comment": record.comment,
        # Only paid plans accept this field, so it is omitted if the record has no tags.
        **({"tags": list(record.tags)} if record.tags else {}),
    }
    if kind in DATA_NAMES:
        values["value"] = values["value"].strip('"') if kind == "CAA" else values["value"]
        return {**common, "data": {DATA_NAMES[kind].get(name, name): value for name, value in values.items()}}
    content = quoted_text(record.content) if kind == "TXT" else values["value"]
    return {**common, "content": content, **({"priority": values["priority"]} if kind == "MX" else {})}


def value_problem(options: Options) -> str:
    """Return the problem of a record's value; empty if the value is valid."""
    kind, value = options["type"], str(options.get("value") or "")
    if not value:
        return "the value is missing"
    if kind in ("A", "AAAA"):
        version = 4 if kind == "A" else 6
        try:
            right = ipaddress.ip_address(value).version == version
        except ValueError:
            right = False
        return "" if right else f"{value} is not an IPv{version} address"
    if kind in HOSTS and value != "." and not is_host(value.lower().rstrip(".")):
        return f"{value} is not a host name"
    if kind == "TLSA" and not re.fullmatch(r"([0-9a-fA-F]{2}\s*)+", value):
        return "the value must be a hash in hexadecimal digits"
    if kind == "CAA" and '"' in value:
        return "the value contains a quotation mark"
    if kind == "TXT" and (len(value.encode()) > TEXT_LENGTH or re.search(r"[\x00-\x1f]", value)):
        return f"the text is longer than {TEXT_LENGTH} bytes or contains a control character"
    return ""


def field_problems(options: Options) -> Iterator[str]:
    """Yield the problems of a record's other fields."""
    kind = options["type"]
    for field in FIELDS[kind]:
        if field in NUMBERS and options.get(field) is None:
            yield f"the {field} is missing"
        elif field in NUMBERS and not 0 <= int(options[field]) <= NUMBERS[field]:
            yield f"{field} {options[field]} is not between 0 and {NUMBERS[field]}"
    if kind == "CAA" and options.get("tag") not in ("issue", "issuewild", "iodef"):
        yield f"tag {options.get('tag')} is not one of issue, issuewild, iodef"
    if options.get("proxied") and kind not in PROXIABLE:
        yield f"a record of type {kind} cannot be proxied"
    ttl = int(options.get("ttl") or AUTOMATIC)
    if ttl != AUTOMATIC and not SHORTEST_TTL <= ttl <= 86400:
        yield f"ttl {ttl} is neither {AUTOMATIC} (automatic) nor between {SHORTEST_TTL} and 86400"


def problems(wanted: Sequence[Options], zone: str, mark: str) -> list[str]:
    """Return the problems of each wanted record, and of all records together."""
    found: list[str] = []
    valid: list[Record] = []
    for options in wanted:
        name = full_name(options["name"], zone)
        texts = [value_problem(options), *field_problems(options)]
        if not is_host(name):
            texts.append("the name is not valid")
        if len(f"{mark} {options.get('comment') or ''}") > LONGEST_COMMENT:
            texts.append(f"comment and mark are longer than {LONGEST_COMMENT} characters")
        found += [f"{options['type']} {name}: {text}" for text in texts if text]
        if not any(texts):
            valid.append(from_options(options, zone, mark))
    return found + set_problems(valid)


def set_problems(records: Sequence[Record]) -> list[str]:
    """Return the problems of records that cannot be in one zone together."""
    keys = [record.key for record in records]
    duplicates = sorted({record for record in records if keys.count(record.key) > 1})
    found = [f"{record}: the record is listed twice" for record in duplicates]
    aliases = {record.name for record in records if record.type == "CNAME"}
    others = [record for record in records if record.name in aliases and record.type != "CNAME"]
    targets = {(record.name, record.content) for record in records if record.type == "CNAME"}
    several = [name for name in aliases if sum(name == other for other, _target in targets) > 1]
    found += [f"{record}: the name also has a CNAME record, so it can have no other record" for record in others]
    return found + [f"CNAME {name}: the name has several targets; keep one" for name in sorted(several)]
