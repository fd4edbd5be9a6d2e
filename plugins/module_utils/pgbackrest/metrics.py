# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Metrics of backups and of the archive queue, as text files for node_exporter."""

from __future__ import annotations

import os
import typing as t

DIRECTORY = "/var/lib/prometheus/node-exporter"
HELP = {
    "vise_backup_last_success_timestamp_seconds": "Time at which the newest backup of its kind was completed.",
    "vise_backup_last_failure_timestamp_seconds": "Time of the last failed backup of its kind.",
    "vise_backup_size_bytes": "Bytes that the newest backup of its kind added to the repository.",
    "vise_backup_repository_up": "Whether the repository could be read.",
    "vise_archive_queue_bytes": "Bytes of WAL that wait to be archived.",
    "vise_archive_queue_limit_bytes": "Size of the queue above which the cluster becomes read-only.",
    "vise_archive_guard_active": "Whether the cluster is read-only because of the queue.",
}

Sample = tuple[str, t.Mapping[str, str], float]


def render(samples: t.Iterable[Sample]) -> str:
    """Return the samples in Prometheus's text format, grouped by name."""
    samples = list(samples)
    lines = []
    for name in dict.fromkeys(name for name, _labels, _value in samples):
        lines += [f"# HELP {name} {HELP[name]}", f"# TYPE {name} gauge"]
        lines += [f"{name}{_braces(labels)} {value:.0f}" for other, labels, value in samples if other == name]
    return "".join(f"{line}\n" for line in lines)


def _braces(labels: t.Mapping[str, str]) -> str:
    return "{" + ",".join(f'{key}="{value}"' for key, value in labels.items()) + "}" if labels else ""


def write(name: str, text: str, directory: str = DIRECTORY) -> None:
    """Replace a file atomically, so that node_exporter never reads an incomplete one."""
    staged = os.path.join(directory, f".{name}.{os.getpid()}")
    with open(staged, "w", encoding="utf-8") as handle:
        handle.write(text)
        os.fchmod(handle.fileno(), 0o644)
    os.rename(staged, os.path.join(directory, name))
