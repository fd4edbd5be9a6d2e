"""Arguments for restic, and the meaning of its output."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.module_utils.restic import plan

DATA: dict[str, Any] = {
    "host": "host-1",
    "sets": [{"name": "files", "paths": ["/srv/a b"], "excludes": ["*.tmp"], "before": [{"argv": ["dump"]}]}],
    "keep": {"within-daily": "30d", "yearly": "unlimited"},
    "check_days": 30,
    "answer_seconds": 10,
    "ca_file": "",
}
REPOSITORY = {"name": "a", "url": "s3:https://s3/b/p", "key": "AK", "key_secret": "SECRET", "password": "WORD"}
SETTINGS = plan.Settings.from_json(DATA, [REPOSITORY], [{**REPOSITORY, "key": "FULL", "key_secret": "MORE"}])
SNAPSHOTS = {
    "a": [
        {"id": "aaaaaaaa11", "time": "2026-03-01T02:00:00.123456789Z"},
        {"id": "aaaaaaaa22", "time": "2026-03-02T02:00:00Z"},
    ],
    "b": [
        {"id": "bbbbbbbb11", "time": "2026-03-01T02:05:00Z"},
        {"id": "bbbbbbbb22", "time": "2026-03-02T02:05:00+00:00"},
    ],
}


def test_pruning_has_its_own_credential_for_the_same_repository() -> None:
    full, plain = SETTINGS.pruned["a"], SETTINGS.repositories["a"]
    assert (full.key, full.key_secret, full.url) == ("FULL", "MORE", plain.url)
    assert (plain.key, plain.key_secret) == ("AK", "SECRET")


def test_secrets_are_passed_only_in_the_environment() -> None:
    given = plan.build_environment(SETTINGS.repositories["a"], "")
    assert (given["AWS_SECRET_ACCESS_KEY"], given["RESTIC_PASSWORD"]) == ("SECRET", "WORD")
    assert "RESTIC_CACERT" not in given
    arguments = plan.backup_arguments("files", "host-1", ["/srv/a b"], ["*.tmp"]) + plan.forget_arguments(SETTINGS.keep)
    assert not [one for one in arguments if "SECRET" in one or "WORD" in one or "AK" in one]


def test_backup_arguments_contain_host_and_set_and_end_before_the_paths() -> None:
    arguments = plan.backup_arguments("files", "host-1", ["/srv/a b"], ["*.tmp"])
    assert {"--host=host-1", "--tag=files", "--exclude=*.tmp"} <= set(arguments)
    assert arguments[-2:] == ["--", "/srv/a b"]


def test_retention_is_counted_separately_for_each_host_and_set() -> None:
    arguments = plan.forget_arguments(SETTINGS.keep)
    assert {"--group-by=host,tags", "--keep-within-daily=30d", "--keep-yearly=unlimited"} <= set(arguments)


@pytest.mark.parametrize(
    ("code", "stderr", "expected"),
    [
        (1, "Fatal: unable to open config file: Stat: Access Denied.\n", "key or its secret is wrong"),
        (10, "", "does not exist"),
        (12, "Fatal: wrong password or no key found\n", "password does not belong to the repository"),
        (124, "dial tcp: connection refused\n", "no usable answer in time.*connection refused"),
        (7, "first\n\nlast\n", "restic ended with exit code 7: first | last"),
    ],
)
def test_failure_is_described_in_words(code: int, stderr: str, expected: str) -> None:
    assert all(part in plan.describe_failure(code, stderr) for part in expected.split(".*"))


def test_summary_is_found_among_other_lines() -> None:
    assert plan.parse_summary('{"message_type":"status"}\n{"message_type":"summary","files":2}\nnoise') == {
        "message_type": "summary",
        "files": 2,
    }
    assert plan.parse_summary("noise") == {}


def test_removals_include_all_groups() -> None:
    assert plan.parse_removals('[{"remove": [{"id": "x"}]}, {"remove": null}, {"remove": [{"id": "y"}]}]') == {"x", "y"}


@pytest.mark.parametrize("off", [(), (3, 4, 5), tuple(range(10, 45))])
def test_each_part_is_read_once_per_cycle_although_the_host_was_off(off: tuple[int, ...]) -> None:
    days, start = 30, 20000
    read = plan.first_parts(days, start)
    last: dict[int, int] = {}
    for day in range(start, start + 120):
        if day - start in off:
            continue
        for part in plan.due_parts(read, days, day):
            assert day - last.get(part, start) <= days + len(off)
            last[part] = read[str(part)] = day
    assert set(last) == set(range(1, days + 1))
    assert all(start + 120 - day <= days for day in last.values())


def test_one_part_is_due_on_the_first_day_and_all_after_a_cycle_without_checks() -> None:
    first = plan.first_parts(30, 20000)
    assert plan.due_parts(first, 30, 20000) == [1]
    assert plan.due_parts({}, 30, 20000) == [1]
    assert plan.due_parts(first, 30, 20029) == list(range(1, 31))


def test_damaged_part_stays_due_and_delays_no_other() -> None:
    read = {**plan.first_parts(30, 20000), **{str(part): 20000 for part in range(2, 31)}}
    assert plan.due_parts(read, 30, 20001) == [1]
    assert plan.due_parts(read, 30, 20030)[0] == 1
    assert len(plan.due_parts(read, 30, 20030)) == 30


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("latest", ["bbbbbbbb22", "aaaaaaaa22"]),
        ("aaaaaaaa1", ["aaaaaaaa11", "bbbbbbbb11"]),
        ("2026-03-01T02:02", ["aaaaaaaa11"]),
        ("2026-03-02 00:00", ["bbbbbbbb11", "aaaaaaaa11"]),
        ("2026-03-01T03:01:00+01:00", ["aaaaaaaa11"]),
        ("2026-02-01", []),
        ("cccccccc", []),
    ],
)
def test_candidates_are_sorted_best_first(name: str, expected: list[str]) -> None:
    assert [one["id"] for _name, one in plan.list_candidates(SNAPSHOTS, name)] == expected


def test_invalid_snapshot_name_is_refused() -> None:
    with pytest.raises(ValueError, match=r"yesterday.*neither latest"):
        plan.classify_snapshot("yesterday")


@pytest.mark.parametrize(
    ("result", "status", "expected"),
    [
        ("success", "0", {"last_success": 9, "status": 0}),
        ("exit-code", "3", {"last_failure": 9, "status": 3}),
        ("timeout", "143", {"last_failure": 9, "status": 1}),
        ("signal", "KILL", {"last_failure": 9, "status": 1}),
    ],
)
def test_result_of_a_unit_is_added_to_the_state(result: str, status: str, expected: dict[str, int]) -> None:
    assert plan.update_state({"size": 5}, result, status, 9) == {"size": 5, "result": result, **expected}


@pytest.mark.parametrize(
    ("restored", "unique", "blobs", "room"),
    [
        pytest.param(100, 100, 100, 100, id="plain files"),
        pytest.param(3_000_000_005, 3_000_000_005, 524_293, 524_293, id="sparse file"),
        # The copies could be no sparse files.
        pytest.param(300, 100, 10, 210, id="copies of a sparse file"),
        pytest.param(100, 100, 120, 100, id="encryption adds bytes"),
    ],
)
def test_room_leaves_out_the_holes_of_files(restored: int, unique: int, blobs: int, room: int) -> None:
    assert plan.compute_room(restored, unique, blobs) == room


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (1023, "1023 B"), (1024, "1 KiB"), (5 << 20, "5 MiB"), (3 << 30, "3.0 GiB")]
)
def test_bytes_have_the_largest_unit(count: int, text: str) -> None:
    assert plan.format_bytes(count) == text
