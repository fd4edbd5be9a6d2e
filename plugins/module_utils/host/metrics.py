# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Metrics as text files, which node_exporter's textfile collector publishes."""

from __future__ import annotations

import os
import typing as t

from . import files

DIRECTORY = "/var/lib/prometheus/node-exporter"

# Name, labels and value; all are gauges.
Sample = tuple[str, t.Mapping[str, str], float]


def render(samples: t.Iterable[Sample], descriptions: t.Mapping[str, str] | None = None) -> str:
    """Return gauges in Prometheus's text format, grouped by name.

    Args:
        samples: the gauges.
        descriptions: the description of each name. Leave them out when several files share the names, because
            node_exporter rejects descriptions that differ.
    """
    samples = list(samples)
    lines = []
    for name in dict.fromkeys(name for name, _labels, _value in samples):
        lines += [f"# HELP {name} {descriptions[name]}"] if descriptions is not None else []
        lines.append(f"# TYPE {name} gauge")
        lines += [f"{name}{_braces(labels)} {_number(value)}" for other, labels, value in samples if other == name]
    return "".join(f"{line}\n" for line in lines)


def write(name: str, text: str, directory: str = DIRECTORY) -> None:
    """Replace a file of metrics, which every user can read; the name ends with `.prom`."""
    files.replace_file(os.path.join(directory, name), text, mode=0o644)


def _braces(labels: t.Mapping[str, str]) -> str:
    pairs = (f'{key}="{_escape(value)}"' for key, value in labels.items())
    return "{" + ",".join(pairs) + "}" if labels else ""


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return f"{value:.0f}" if value == int(value) else f"{value:.3f}"
