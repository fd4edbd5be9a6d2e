"""The state of the API: MariaDB tables with mailcow's names, and Redis."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

Row = dict[str, Any]
_TAIL = {
    "created": "DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP",
    "modified": "DATETIME NULL ON UPDATE CURRENT_TIMESTAMP",
}
_NAME = "VARCHAR(255) NOT NULL"
_ID = "INT NOT NULL AUTO_INCREMENT PRIMARY KEY"


def _flags(default: int, *names: str) -> dict[str, str]:
    return dict.fromkeys(names, f"TINYINT(1) NOT NULL DEFAULT {default}")


# Tables and columns with the names of the real mailcow, as far as the stand-in or a backup uses them.
TABLES: dict[str, dict[str, str]] = {
    "versions": {"application": f"{_NAME} PRIMARY KEY", "version": _NAME, "created": _TAIL["created"]},
    "domain": {
        "domain": f"{_NAME} PRIMARY KEY",
        "description": "VARCHAR(255)",
        "aliases": "INT NOT NULL DEFAULT 0",
        "mailboxes": "INT NOT NULL DEFAULT 0",
        "defquota": "BIGINT NOT NULL DEFAULT 3072",
        "maxquota": "BIGINT NOT NULL DEFAULT 102400",
        "quota": "BIGINT NOT NULL DEFAULT 102400",
        "relayhost": "VARCHAR(255) NOT NULL DEFAULT '0'",
        **_flags(0, "backupmx"),
        **_flags(1, "gal"),
        **_flags(0, "relay_all_recipients", "relay_unknown_only"),
        **_TAIL,
        **_flags(1, "active"),
    },
    "alias_domain": {"alias_domain": f"{_NAME} PRIMARY KEY", "target_domain": _NAME, **_TAIL, **_flags(1, "active")},
    "mailbox": {
        "username": f"{_NAME} PRIMARY KEY",
        "password": _NAME,
        "name": "VARCHAR(255)",
        "description": "VARCHAR(255)",
        "mailbox_path_prefix": "VARCHAR(150) DEFAULT '/var/vmail/'",
        "quota": "BIGINT NOT NULL DEFAULT 102400",
        "local_part": _NAME,
        "domain": _NAME,
        "attributes": "JSON",
        "custom_attributes": "JSON NOT NULL DEFAULT ('{}')",
        "kind": "VARCHAR(100) NOT NULL DEFAULT ''",
        "multiple_bookings": "INT NOT NULL DEFAULT -1",
        "authsource": "VARCHAR(32) DEFAULT 'mailcow'",
        **_TAIL,
        **_flags(1, "active"),
    },
    "alias": {
        "id": _ID,
        "address": f"{_NAME} UNIQUE",
        "goto": "TEXT NOT NULL",
        "domain": _NAME,
        **_TAIL,
        "private_comment": "TEXT",
        "public_comment": "TEXT",
        **_flags(1, "sogo_visible"),
        **_flags(0, "internal"),
        **_flags(1, "sender_allowed", "active"),
    },
    "spamalias": {
        "address": f"{_NAME} PRIMARY KEY",
        "goto": "TEXT NOT NULL",
        "description": "TEXT NOT NULL",
        **_TAIL,
        "validity": "INT",
        **_flags(0, "permanent"),
    },
    "sender_acl": {"id": _ID, "logged_in_as": _NAME, "send_as": _NAME, **_flags(0, "external")},
    "app_passwd": {
        "id": _ID,
        "name": _NAME,
        "mailbox": _NAME,
        "domain": _NAME,
        "password": _NAME,
        **_TAIL,
        **_flags(1, "imap_access", "smtp_access", "dav_access", "eas_access", "pop3_access", "sieve_access", "active"),
    },
    "quota2": {
        "username": f"{_NAME} PRIMARY KEY",
        "bytes": "BIGINT NOT NULL DEFAULT 0",
        "messages": "BIGINT NOT NULL DEFAULT 0",
    },
    "tags_domain": {"tag_name": _NAME, "domain": _NAME},
    "tags_mailbox": {"tag_name": _NAME, "username": _NAME},
    "admin": {
        "username": f"{_NAME} PRIMARY KEY",
        "password": _NAME,
        **_flags(0, "superadmin"),
        **_TAIL,
        **_flags(1, "active"),
        "attributes": "JSON",
    },
    "domain_admins": {
        "id": _ID,
        "username": _NAME,
        "domain": _NAME,
        "created": _TAIL["created"],
        **_flags(1, "active"),
    },
    "api": {
        "api_key": f"{_NAME} PRIMARY KEY",
        "allow_from": "VARCHAR(512) NOT NULL",
        **_flags(0, "skip_ip_check"),
        **_TAIL,
        "access": "VARCHAR(2) NOT NULL DEFAULT 'rw'",
        **_flags(1, "active"),
    },
    "relayhosts": {"id": _ID, "hostname": _NAME, "username": _NAME, "password": _NAME, **_flags(1, "active")},
    "transports": {
        "id": _ID,
        "destination": _NAME,
        "nexthop": _NAME,
        "username": "VARCHAR(255) NOT NULL DEFAULT ''",
        "password": "VARCHAR(255) NOT NULL DEFAULT ''",
        **_flags(0, "is_mx_based"),
        **_flags(1, "active"),
    },
}


def schema() -> list[str]:
    """Return the statements that create the tables."""
    return [
        f"CREATE TABLE IF NOT EXISTS `{table}` ({', '.join(f'`{name}` {kind}' for name, kind in columns.items())})"
        for table, columns in TABLES.items()
    ]


class Store:
    """The state for one request."""

    def __init__(self, database: Any, redis: Any) -> None:
        self.database = database
        self.redis = redis

    def close(self) -> None:
        """Close the connections."""
        self.database.close()
        self.redis.close()

    def rows(self, statement: str, *values: Any) -> list[Row]:
        """Return the rows of a query."""
        cursor = self.database.cursor()
        cursor.execute(statement, values)
        return [dict(row) for row in cursor.fetchall()]

    def one(self, statement: str, *values: Any) -> Row | None:
        """Return the first row of a query."""
        return next(iter(self.rows(statement, *values)), None)

    def count(self, statement: str, *values: Any) -> int:
        """Return the only number of a query."""
        return int(next(iter((self.one(statement, *values) or {"": 0}).values())) or 0)

    def run(self, statement: str, *values: Any) -> int:
        """Run a change; return the id of a new row."""
        cursor = self.database.cursor()
        cursor.execute(statement, values)
        return int(cursor.lastrowid or 0)

    def insert(self, table: str, row: Row) -> int:
        """Insert a row; return its id."""
        columns = ", ".join(f"`{name}`" for name in row)
        return self.run(f"INSERT INTO `{table}` ({columns}) VALUES ({', '.join(['%s'] * len(row))})", *row.values())  # noqa: S608 (names are ours)

    def update(self, table: str, key: str, value: Any, row: Row) -> None:
        """Update columns of a row."""
        columns = ", ".join(f"`{name}` = %s" for name in row)
        self.run(f"UPDATE `{table}` SET {columns} WHERE `{key}` = %s", *row.values(), value)  # noqa: S608

    def log(self, key: str, line: Row) -> None:
        """Write a line to a log in Redis."""
        self.redis.lpush(key, json.dumps({"time": int(time.time()), **line}))
        self.redis.ltrim(key, 0, 9999)


class Reply:
    """The reply to a change, in the form of the real API: a list of messages, each with a severity."""

    def __init__(self, verb: str, kind: str) -> None:
        self.messages: list[Row] = []
        self._log = [kind, verb]

    def _add(self, severity: str, words: tuple[Any, ...]) -> None:
        message = words[0] if len(words) == 1 else list(words)
        self.messages.append({"type": severity, "log": [*self._log, None], "msg": message})

    def success(self, *words: Any) -> None:
        """Add a message of success."""
        self._add("success", words)

    def danger(self, *words: Any) -> None:
        """Add a message of refusal."""
        self._add("danger", words)


def number(value: Any) -> int:
    """Convert like PHP's intval: the number at the start of a text, else 0."""
    match = re.match(r"\s*[+-]?\d+", str(int(value) if isinstance(value, bool) else value))
    return int(match[0]) if match else 0


def given(attributes: Row, key: str, otherwise: Any) -> int:
    """Return a number of a request, or the default."""
    return number(attributes[key]) if attributes.get(key) is not None else number(otherwise)


def words(text: Any) -> list[str]:
    """Split a text into a list."""
    parts = text if isinstance(text, list) else re.split(r"[ ,;\n]", str(text or ""))
    return [str(part).strip() for part in parts if str(part).strip()]


def to_ascii(domain: Any) -> str:
    """Convert an international domain like PHP's idn_to_ascii; an invalid one is empty."""
    if str(domain).isascii():
        return str(domain).lower()
    try:
        return str(domain).encode("idna").decode("ascii").lower()
    except UnicodeError:
        return ""


def is_domain(name: Any) -> bool:
    """Return whether a text is a valid domain name."""
    label = r"[a-z\d](?:[a-z\d-]{0,61}[a-z\d])?"
    return len(str(name)) <= 253 and bool(re.fullmatch(rf"{label}(?:\.{label})*", str(name), re.IGNORECASE))


def is_address(text: Any) -> bool:
    """Return whether a text is a valid mail address."""
    local, at, domain = str(text).rpartition("@")
    plain = re.fullmatch(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*", local)
    return bool(at and plain and len(local) <= 64 and is_domain(domain) and "." in domain)


def version() -> str | None:
    """Return the version that update.sh or generate_config.sh wrote; the real API has no other source."""
    file = Path("/web/inc/app_info.inc.php")
    found = re.search(r'\$MAILCOW_GIT_VERSION\s*=\s*"([^"]*)"', file.read_text()) if file.exists() else None
    return found[1] if found else None
