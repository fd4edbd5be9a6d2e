"""Over simulated years, the repository keeps what the manual promises, and each kept moment can be restored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from testinfra.host import Host

YEARS = (Path(__file__).resolve().parents[1] / "files/years.py").read_text()
DAY = 86400
HOURS = DAY / 4  # between the moments that are planned and those of the backups


@pytest.fixture(scope="module")
def years(host: Host) -> dict[str, Any]:
    """The result of the simulation, with the host's configuration of pgBackRest."""
    host.check_output("DEBIAN_FRONTEND=noninteractive apt-get install -qq faketime")
    host.check_output("printf %%s %s >/root/years.py", YEARS)
    found: dict[str, Any] = json.loads(host.check_output("python3 /root/years.py"))
    return found


def list_ends(step: dict[str, Any], kind: str) -> list[float]:
    """Return the ends of the sets of a kind that the repository lists after a step."""
    return [one["end"] for one in step["sets"] if one["label"][-1] == kind]


@pytest.mark.deep
def test_each_expiry_keeps_the_weeklies_of_90_days_and_the_dailies_of_30(years: dict[str, Any]) -> None:
    made: dict[str, list[float]] = {"F": [], "D": []}
    for step in (one for one in years["steps"] if one["kind"] != "yearly"):
        now, letter = step["simulated"], step["kind"][0].upper()
        newest = step["sets"][-1]
        assert newest["label"][-1] == letter
        made[letter].append(newest["end"])
        for kind, days in (("F", 90), ("D", 30)):
            kept = list_ends(step, kind)
            assert [end for end in made[kind] if end >= now - days * DAY + HOURS] == [
                end for end in kept if end >= now - days * DAY + HOURS
            ]
        # A full backup from before the period covers its begin; nothing older stays.
        fulls = list_ends(step, "F")
        assert sum(end < now - 90 * DAY - HOURS for end in fulls) <= 1
        assert made["F"][0] > now - 90 * DAY or fulls[0] <= now - 90 * DAY + HOURS
        # Full backups count, too, and seven are for those outside of the schedule.
        assert len([end for end in list_ends(step, "D") if end < now - 40 * DAY]) == 0


@pytest.mark.deep
def test_yearly_backups_never_expire(years: dict[str, Any]) -> None:
    made = [step for step in years["steps"] if step["kind"] == "yearly"]
    assert len(made) == 3
    assert [len(step["sets"]) for step in made] == [1, 2, 3]
    assert years["yearly"] == made[-1]["sets"]


@pytest.mark.deep
def test_newest_and_oldest_promised_moments_are_restored_exactly(years: dict[str, Any]) -> None:
    # Every commit until the end, and every commit until a moment thirty days ago.
    assert years["newest"]["rows"] == years["rows"]
    assert years["point"]["rows"] == years["until"]
    assert float(years["point"]["newest"]) <= years["now"] - 30 * DAY + HOURS
    # The oldest set is complete without the WAL that has expired.
    assert years["now"] - float(years["oldest"]["newest"]) > 89 * DAY
