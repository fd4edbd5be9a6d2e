# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Parse what programs print and what jobs have written. Pure."""

from __future__ import annotations

import re
import ssl
import typing as t

from ..host import metrics

LINE = re.compile(r"^(?P<name>[a-zA-Z_:][\w:]*)(?:\{(?P<labels>.*)\})? (?P<value>\S+)$")
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
ESCAPES = {"n": "\n", "\\": "\\", '"': '"'}


def parse(text: str) -> list[metrics.Sample]:
    """Return the samples of a file of metrics in Prometheus's text format; other lines are skipped."""
    found: list[metrics.Sample] = []
    for line in text.splitlines():
        if not (match := LINE.match(line)):
            continue
        labels = {name: _unescape(value) for name, value in LABEL.findall(match["labels"] or "")}
        try:
            found.append((match["name"], labels, float(match["value"])))
        except ValueError:
            continue
    return found


def _unescape(text: str) -> str:
    return re.sub(r"\\(.)", lambda one: ESCAPES.get(one[1], one[0]), text)


def find_setting(text: str, name: str) -> str:
    """Return the last value of a setting in a file of lines `name value`, as in redis.conf; empty without one."""
    found = re.findall(rf"^\s*{re.escape(name)}[ \t]+(\S.*?)\s*$", text, re.MULTILINE)
    return t.cast("str", found[-1]).strip('"') if found else ""


def count_updates(text: str) -> dict[str, int]:
    """Return the pending upgrades in the output of a simulation of apt, and those of the security archive."""
    lines = [line for line in text.splitlines() if line.startswith("Inst ")]
    return {"pending": len(lines), "security": sum("Debian-Security" in line for line in lines)}


def parse_certificate(text: str) -> dict[str, int | bool]:
    """Return the end of a certificate and whether it is self-signed, from what openssl prints; empty without both."""
    found = re.search(r"^notAfter=(.+)$", text, re.MULTILINE)
    hashes = re.findall(r"^([0-9a-f]{8})$", text, re.MULTILINE)
    if not found or len(hashes) != 2:
        return {}
    return {"end": ssl.cert_time_to_seconds(found[1]), "self_signed": hashes[0] == hashes[1]}
