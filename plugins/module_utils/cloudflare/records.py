# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Convert DNS records of the description and of Cloudflare into one form that can be compared. Pure."""

from __future__ import annotations

import ipaddress
import re
import typing as t
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence

from ansible_collections.vise.platform.plugins.module_utils.cloudflare.plans import LONGEST_COMMENT, SHORTEST_TTL
from ansible_collections.vise.platform.plugins.module_utils.model.domains import DomainError, to_ascii

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
# Bytes of one text: a record has 4096 at most, and each 255 of a text have one more for their length.
TEXT_LENGTH = 4080
# Bytes of all records with the same name and type.
CONTENT_LENGTH = 8192
LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
STRING = re.compile(r'"((?:[^"\\]|\\.)*)"\s*')
# In a string, a character after a backslash stands for itself, and \DDD is the byte with this decimal number.
ESCAPE = re.compile(r"\\([0-9]{3}|.)", re.DOTALL)
# How the names of these types begin.
NAME_FORMS: Mapping[str, tuple[re.Pattern[str], str]] = {
    "SRV": (re.compile(r"_[a-z0-9-]+\._[a-z]+(\.|$)"), "_service._protocol, such as _imaps._tcp"),
    "TLSA": (re.compile(r"(_[0-9]+|\*)\._[a-z]+(\.|$)"), "_port._protocol, such as _25._tcp"),
}
# Bytes of a hash, by the matching type of a TLSA record.
HASH_LENGTHS: Mapping[int, int] = {1: 32, 2: 64}
TAG_NAME = re.compile(r"[a-z0-9_-]{1,32}")
TAG_VALUE_LENGTH = 100
# Addresses to which Cloudflare does not connect. Addresses for documentation are not among them, because a proxied name
# without an origin needs one.
UNPROXIABLE: Mapping[str, tuple[str, ...]] = {
    "a private address": ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"),
    "an address that a provider shares among customers": ("100.64.0.0/10",),
    "a loopback address": ("127.0.0.0/8", "::1/128"),
    "a link-local address": ("169.254.0.0/16", "fe80::/10", "fec0::/10"),
    "a multicast address": ("224.0.0.0/4", "ff00::/8"),
    "a reserved address": ("0.0.0.0/8", "240.0.0.0/4", "::/128"),
    # https://www.cloudflare.com/ips and Cloudflare's resolvers
    "an address of Cloudflare": (
        *("1.0.0.0/24", "1.1.1.0/24", "103.21.244.0/22", "103.22.200.0/22", "103.31.4.0/22", "104.16.0.0/13"),
        *("104.24.0.0/14", "108.162.192.0/18", "131.0.72.0/22", "141.101.64.0/18", "162.158.0.0/15", "172.64.0.0/13"),
        *("173.245.48.0/20", "188.114.96.0/20", "190.93.240.0/20", "197.234.240.0/22", "198.41.128.0/17"),
        *("2400:cb00::/32", "2405:8100::/32", "2405:b500::/32", "2606:4700::/32", "2803:f800::/32"),
        *("2a06:98c0::/29", "2c0f:f248::/32"),
    ),
}
# Targets by which other services verify the owner of a name.
UNPROXIABLE_TARGETS = (".acm-validations.aws", ".dkim.amazonses.com")
# The product that manages a record, by a field of the record's `meta`.
PRODUCTS: Mapping[str, str] = {
    "email_routing": "Email Routing",
    "origin_worker_id": "Workers",
    "managed_by_argo_tunnel": "Cloudflare Tunnel",
    "managed_by_apps": "Cloudflare Apps",
}


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
    """A record of the zone, with its id, and with the product that manages it if nothing else can change it."""

    id: str
    record: Record
    manager: str = ""


def short(text: str, length: int = 60) -> str:
    """Return the beginning of a long text."""
    return text if len(text) <= length else f"{text[: length - 3]}..."


def normal_name(name: str) -> str:
    """Return a name as records have it: in lower case and ASCII, without a final dot; raises DomainError."""
    return to_ascii(name.strip()).lower().rstrip(".")


def full_name(name: str, zone: str) -> str:
    """Return a normalized name with its zone appended; @ is the zone itself; raises DomainError."""
    name = normal_name(name)
    if name in ("@", "", zone):
        return zone
    return name if name.endswith(f".{zone}") else f"{name}.{zone}"


def is_host(name: str) -> bool:
    """Return whether a name is valid for a record; wildcards and leading underscores are allowed."""
    labels = name.removeprefix("*.").split(".")
    return len(name) <= 253 and all(LABEL.fullmatch(label) for label in labels)


def unescape(text: str) -> bytes:
    """Return the bytes of a character string; a byte above 255 is a ValueError."""
    parts = ESCAPE.split(text)
    signs = [bytes([int(part)]) if len(part) == 3 else part.encode() for part in parts[1::2]]
    return b"".join(plain.encode() + sign for plain, sign in zip(parts[::2], [*signs, b""], strict=True))


def plain_text(content: str) -> str:
    """Return the text of a TXT record without quotation marks, joined from one or more character strings.

    Content that cannot be a text, such as bytes that are not UTF-8, stays as it is.
    """
    pieces, end = [], 0
    while match := STRING.match(content, end):
        pieces.append(match[1])
        end = match.end()
    try:
        return b"".join(map(unescape, pieces)).decode() if pieces and end == len(content) else content
    except ValueError:
        return content


def escape(text: str) -> str:
    """Return a text as a character string in ASCII."""
    return "".join(
        f"\\{chr(byte)}" if byte in b'"\\' else chr(byte) if 32 <= byte < 127 else f"\\{byte:03d}"
        for byte in text.encode()
    )


def quoted_text(text: str) -> str:
    """Return a text as quoted character strings of at most 255 bytes; no string ends inside a character."""
    pieces, current = [], ""
    for character in text:
        if len((current + character).encode()) > 255:
            pieces.append(current)
            current = ""
        current += character
    return " ".join(f'"{escape(piece)}"' for piece in [*pieces, current])


def canonical(kind: str, fields: Mapping[str, t.Any]) -> str:
    """Return the normalized content of a record from its fields."""
    value = str(fields.get("value") or "")
    if kind in ("A", "AAAA"):
        value = str(ipaddress.ip_address(value))
    elif kind in HOSTS:
        value = normal_name(value) or "."
    elif kind == "TLSA":
        value = re.sub(r"\s", "", value).lower()
    elif kind == "CAA":
        value = f'"{value}"'
    params = " ".join(str(fields.get("params") or "").replace('"', "").split())
    parts = {**fields, "value": value, "params": params}
    return " ".join(str(parts[field]) for field in FIELDS[kind]).strip() if kind != "TXT" else value


def clean_comment(options: Options) -> str:
    """Return the comment of a record; Cloudflare accepts only one line."""
    return " ".join(str(options.get("comment") or "").split())


def clean_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """Return tags in their order, each once; their names are not case-sensitive."""
    pairs = [(name.strip().lower(), value.strip()) for name, _colon, value in (tag.partition(":") for tag in tags)]
    return tuple(sorted({f"{name}:{value}" if value else name for name, value in pairs}))


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
        comment=f"{mark} {clean_comment(options)}".strip(),
        tags=clean_tags(options.get("tags") or ()),
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
        tags=clean_tags(row.get("tags") or ()),
    )
    return Found(row["id"], record, find_manager(row.get("meta") or {}))


def find_manager(meta: Mapping[str, t.Any]) -> str:
    """Return the product of Cloudflare that alone can change a record; empty for other records."""
    if not meta.get("read_only"):
        return ""
    return next((product for key, product in PRODUCTS.items() if meta.get(key)), "another product of Cloudflare")


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
    if kind in HOSTS:
        return host_problem(value)
    if kind == "TLSA":
        return hash_problem(value, options.get("matching_type"))
    if kind == "CAA" and '"' in value:
        return "the value contains a quotation mark"
    if kind == "TXT" and (has_control_character(value) or len(value.encode()) > TEXT_LENGTH):
        return f"the text is longer than {TEXT_LENGTH} bytes or contains a control character"
    return ""


def has_control_character(text: str) -> bool:
    """Return whether a text contains a control character, such as a line feed, or half of a character."""
    return any(unicodedata.category(sign) in ("Cc", "Cs") for sign in text)


def parse_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return an address; None for any other text."""
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def host_problem(value: str) -> str:
    """Return the problem of a target."""
    if parse_address(value):
        return f"{value} is an address; write the name of a host that has this address"
    try:
        valid = value == "." or is_host(normal_name(value))
    except DomainError as error:
        return str(error)
    return "" if valid else f"{value} is not a host name"


def hash_problem(value: str, matching_type: t.Any) -> str:
    """Return the problem of a TLSA record's hash."""
    if not re.fullmatch(r"([0-9a-fA-F]{2}\s*)+", value):
        return "the value must be a hash in hexadecimal digits"
    length = len(re.sub(r"\s", "", value)) // 2
    expected = HASH_LENGTHS.get(matching_type, length)
    return "" if length == expected else f"matching_type {matching_type} needs {expected} bytes, the value has {length}"


def proxy_problem(options: Options) -> str:
    """Return why Cloudflare cannot proxy a record with a valid value; empty if it can."""
    kind, value = options["type"], str(options["value"])
    if kind not in PROXIABLE:
        return f"a record of type {kind} cannot be proxied"
    if kind == "CNAME":
        verifies = normal_name(value).endswith(UNPROXIABLE_TARGETS)
        return f"{value} verifies the owner of the name, so it cannot be proxied" if verifies else ""
    address = parse_address(value)
    inner = getattr(address, "ipv4_mapped", None) or address
    for reason, networks in UNPROXIABLE.items():
        if inner and any(inner in ipaddress.ip_network(network) for network in networks):
            return f"{value} is {reason}, so it cannot be proxied; write the public address of the host"
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
    ttl = int(options.get("ttl") or AUTOMATIC)
    if ttl != AUTOMATIC and not SHORTEST_TTL <= ttl <= 86400:
        yield f"ttl {ttl} is neither {AUTOMATIC} (automatic) nor between {SHORTEST_TTL} and 86400"


def note_problems(options: Options) -> Iterator[str]:
    """Yield the problems of a record's comment and tags."""
    if has_control_character(clean_comment(options)):
        yield "the comment contains a control character"
    for tag in clean_tags(options.get("tags") or ()):
        name, _colon, value = tag.partition(":")
        if not TAG_NAME.fullmatch(name) or name.startswith("cf-"):
            yield f"tag {tag}: the name must be 1 to 32 letters, digits, hyphens or underscores, and not begin with cf-"
        if len(value) > TAG_VALUE_LENGTH or has_control_character(value):
            yield f"tag {tag}: the value is longer than {TAG_VALUE_LENGTH} characters or contains a control character"


def name_problem(kind: str, name: str) -> str:
    """Return the problem of a record's complete name."""
    if not is_host(name):
        return "the name is not valid"
    form, text = NAME_FORMS.get(kind, (LABEL, ""))
    return "" if not text or form.match(name) else f"the name does not begin with {text}"


def problems(wanted: Sequence[Options], zone: str, mark: str) -> list[str]:
    """Return the problems of each wanted record, and of all records together."""
    found: list[str] = []
    valid: list[Record] = []
    for options in wanted:
        try:
            name = full_name(options["name"], zone)
        except DomainError as error:
            found.append(f"{options['type']} {options['name']}: {error}")
            continue
        wrong = value_problem(options)
        texts = [wrong, *field_problems(options), name_problem(options["type"], name), *note_problems(options)]
        if options.get("proxied") and not wrong:
            texts.append(proxy_problem(options))
        if len(f"{mark} {clean_comment(options)}") > LONGEST_COMMENT:
            texts.append(f"comment and mark are longer than {LONGEST_COMMENT} characters")
        found += [f"{options['type']} {name}: {text}" for text in texts if text]
        if not any(texts):
            valid.append(from_options(options, zone, mark))
    return found + set_problems(valid, zone)


def set_problems(records: Sequence[Record], zone: str) -> list[str]:
    """Return the problems of records that cannot be in one zone together."""
    keys = [record.key for record in records]
    duplicates = sorted({record for record in records if keys.count(record.key) > 1})
    found = [f"{record}: the record is listed twice" for record in duplicates]
    aliases = {record.name for record in records if record.type == "CNAME"}
    others = [record for record in records if record.name in aliases and record.type != "CNAME"]
    targets = {(record.name, record.content) for record in records if record.type == "CNAME"}
    several = [name for name in aliases if sum(name == other for other, _target in targets) > 1]
    found += [f"{record}: the name also has a CNAME record, so it can have no other record" for record in others]
    found += [f"CNAME {name}: the name has several targets; keep one" for name in sorted(several)]
    found += [f"CNAME {name}: the name points to itself" for name, target in sorted(targets) if name == target]
    delegated = {record.name for record in records if record.type == "NS"} - {zone} - aliases
    others = [record for record in records if record.name in delegated and record.type != "NS"]
    found += [f"{record}: the name also has an NS record, so it can have no other record" for record in others]
    return found + length_problems(records)


def length_problems(records: Sequence[Record]) -> list[str]:
    """Return the names whose records of one type are too long together."""
    lengths: dict[tuple[str, str], int] = {}
    for record in records:
        key = record.type, record.name
        lengths[key] = lengths.get(key, 0) + len(record.content.encode())
    return [
        f"{kind} {name}: the {kind} records of this name have {length} bytes together, more than {CONTENT_LENGTH}"
        for (kind, name), length in lengths.items()
        if length > CONTENT_LENGTH
    ]
