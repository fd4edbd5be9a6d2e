# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The result of a recovery drill: its stages, the restored data, and the verdict. Pure.

A drill is a mapping that is stored as JSON while the drill runs: C(began) and C(ended) (seconds since the epoch),
C(stages) (each with C(name), C(began), C(ended)), C(limits) (C(rpo) and C(rto) in seconds) and, once a stage has
inspected the rebuilt platform, C(found): C(newest) (seconds since the epoch of the newest restored row), C(checks)
(each with C(name), C(passed), C(detail)), and the counted C(tables) and C(files).
"""

from __future__ import annotations

import datetime
import typing as t

from .host.metrics import render

Drill = t.Mapping[str, t.Any]


def clock(seconds: float) -> str:
    """Return a time in ISO 8601."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def start(at: float, rpo: int, rto: int) -> dict[str, t.Any]:
    """Return a drill that starts now; the loss is assumed to happen at its start."""
    return {"began": at, "ended": None, "limits": {"rpo": rpo, "rto": rto}, "stages": [], "found": {}}


def start_stage(drill: Drill, name: str, at: float) -> dict[str, t.Any]:
    """Return the drill with another stage that has started."""
    return {**drill, "stages": [*drill["stages"], {"name": name, "began": at, "ended": None}]}


def complete_stage(drill: Drill, at: float) -> dict[str, t.Any]:
    """Return the drill with its last stage completed."""
    *before, last = drill["stages"]
    return {**drill, "stages": [*before, {**last, "ended": at}]}


def finish(drill: Drill, found: t.Mapping[str, t.Any], at: float) -> dict[str, t.Any]:
    """Return the drill at its end."""
    passed = [stage["ended"] for stage in drill["stages"] if stage["ended"] is not None]
    return {**drill, "found": dict(found), "ended": max(passed, default=at)}


def rpo(drill: Drill) -> float | None:
    """Return how many seconds of data were lost; None if no marker was restored."""
    newest = drill["found"].get("newest")
    return None if newest is None else max(0.0, drill["began"] - newest)


def rto(drill: Drill) -> float:
    """Return the seconds from the loss to the end of the last completed stage."""
    return float(drill["ended"] - drill["began"])


def problems(drill: Drill) -> list[str]:
    """Return the reasons why the drill failed; empty if it passed."""
    unfinished = [stage["name"] for stage in drill["stages"] if stage["ended"] is None]
    if unfinished:
        return [f"the stage `{unfinished[0]}` failed", *_failed_checks(drill)]
    if not drill["stages"]:
        return ["the drill ended before its first stage"]
    found = _failed_checks(drill)
    took, limits = rto(drill), drill["limits"]
    if rpo(drill) is None:
        found.append("RPO: unknown, no marker was restored")
    found += rpo_problems(drill)
    if took > limits["rto"]:
        found.append(f"RTO: the rebuild took {took:.0f} s, the limit is {limits['rto']} s")
    return found


def rpo_problems(drill: Drill) -> list[str]:
    """Return a problem if the restored data is too old; empty if it is not, or if its age is not known yet."""
    lost, limit = rpo(drill), drill["limits"]["rpo"]
    if lost is None or lost <= limit:
        return []
    return [f"RPO: {lost:.0f} s of data were lost, the limit is {limit} s"]


def _failed_checks(drill: Drill) -> list[str]:
    return [f"{check['name']}: {check['detail']}" for check in _checks(drill) if not check["passed"]]


def _checks(drill: Drill) -> list[dict[str, t.Any]]:
    return list(drill["found"].get("checks") or ())


def verdict(drill: Drill) -> str:
    """Return the result in one line."""
    failed = problems(drill)
    if failed:
        return f"drill FAILED: {'; '.join(failed)}"
    return f"drill passed: RPO {rpo(drill):.0f} s (limit {drill['limits']['rpo']}), " + (
        f"RTO {rto(drill):.0f} s (limit {drill['limits']['rto']}), {len(_checks(drill))} checks"
    )


def metrics(drill: Drill) -> str:
    """Return the result in node_exporter's textfile format."""
    lost = rpo(drill)
    values = {
        "vise_drill_timestamp_seconds": drill["began"],
        "vise_drill_success": 0 if problems(drill) else 1,
        "vise_drill_rto_seconds": rto(drill),
        **({} if lost is None else {"vise_drill_rpo_seconds": lost}),
    }
    return render((name, {}, round(value)) for name, value in values.items())


def markdown(drill: Drill) -> str:
    """Return the report in Markdown."""
    lost = rpo(drill)
    head = [
        f"# Drill of {clock(drill['began'])}",
        "",
        f"**{verdict(drill)}**",
        "",
        "| | measured | limit |",
        "| --- | --- | --- |",
        f"| data lost (RPO) | {'unknown' if lost is None else f'{lost:.0f} s'} | {drill['limits']['rpo']} s |",
        f"| time to recover (RTO) | {rto(drill):.0f} s | {drill['limits']['rto']} s |",
    ]
    parts = [head, _stage_rows(drill), _check_rows(drill), _table_rows(drill), _file_rows(drill)]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def _stage_rows(drill: Drill) -> list[str]:
    rows = [
        f"| {one['name']} | {'FAILED' if one['ended'] is None else format(one['ended'] - one['began'], '.0f')} |"
        for one in drill["stages"]
    ]
    return ["| stage | seconds |", "| --- | --- |", *rows] if rows else []


def _check_rows(drill: Drill) -> list[str]:
    rows = [
        f"| {one['name']} | {'passed' if one['passed'] else 'FAILED'} | {one['detail']} |" for one in _checks(drill)
    ]
    return ["| check | result | detail |", "| --- | --- | --- |", *rows] if rows else []


def _table_rows(drill: Drill) -> list[str]:
    tables = drill["found"].get("tables") or []
    rows = [f"| {one['name']} | {one['rows']} | `{one['checksum']}` |" for one in tables]
    return ["| table | rows | checksum over all rows |", "| --- | --- | --- |", *rows] if rows else []


def _file_rows(drill: Drill) -> list[str]:
    files = drill["found"].get("files") or []
    rows = [f"| {one['name']} | {one['files']} | {one['bytes']} |" for one in files]
    return ["| files of | files | bytes |", "| --- | --- | --- |", *rows] if rows else []
