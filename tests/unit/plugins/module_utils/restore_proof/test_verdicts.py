"""The output of the tools decides, not only their exit status. The samples are output of the tools in Debian 13."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.module_utils.restore_proof import verdicts
from ansible_collections.vise.platform.plugins.module_utils.restore_proof.settings import ProofError
from ansible_collections.vise.platform.plugins.module_utils.restore_proof.verdicts import Count, Marker

GIB = 1 << 30
SEGMENT = 16 << 20


@pytest.mark.parametrize(
    ("need", "free", "total", "enough"),
    [
        (10 * GIB, 13 * GIB, 20 * GIB, True),
        (10 * GIB, 12 * GIB, 20 * GIB, False),
        # On a larger disk, the reserve for the host is larger.
        (10 * GIB, 13 * GIB, 100 * GIB, False),
        (0, 2 * GIB, 20 * GIB, True),
    ],
)
def test_restore_must_leave_free_space(need: int, free: int, total: int, enough: bool) -> None:
    assert (verdicts.find_disk_problems(need, free, total) == []) is enough


# PostgreSQL


def backup(label: str, stop: int, repository: int = 1, **further: Any) -> dict[str, Any]:
    database = {"id": 1, "repo-key": repository}
    return {"label": label, "database": database, "info": {"size": 5}, "timestamp": {"stop": stop}, **further}


def info(backups: list[dict[str, Any]], archives: list[dict[str, Any]] | None = None) -> str:
    plain = [{"database": {"id": 1, "repo-key": 1}, "id": "17-1", "max": "000000010000000000000003"}]
    repo = [{"key": 1, "status": {"message": "no valid backups"}}]
    return json.dumps([{"backup": backups, "archive": plain if archives is None else archives, "repo": repo}])


def test_newest_set_of_the_repository_is_chosen() -> None:
    found = verdicts.parse_newest_set(
        info([backup("old", 10), backup("new", 20), backup("other", 30, repository=2)]), 1
    )
    assert (found.label, found.wal_max) == ("new", "000000010000000000000003")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ERROR: no answer", "no usable output: ERROR: no answer"),
        ("[]", "no usable output"),
        (info([]), "has no backup: no valid backups"),
        (info([backup("bad", 1, error=True)]), "wrong page checksums"),
        (info([backup("alone", 1)], []), "no write-ahead log"),
        (info([backup("alone", 1)], [{"database": {"id": 2, "repo-key": 1}, "max": "0" * 24}]), "no write-ahead log"),
    ],
)
def test_repository_without_a_usable_set_fails(text: str, expected: str) -> None:
    with pytest.raises(ProofError, match=expected):
        verdicts.parse_newest_set(text, 1)


HISTORY = "1\t0/4000000\tno recovery target specified\n"


@pytest.mark.parametrize(
    ("log", "history", "wal_max", "expected"),
    [
        ("", HISTORY, "000000010000000000000003", []),
        # More WAL was archived during the restore.
        ("", HISTORY, "000000010000000000000002", []),
        ("", "1\t0/3030C60\tno recovery target specified\n", "000000010000000000000003", []),
        ("", HISTORY, "000000010000000000000004", ["is missing or damaged"]),
        ("", "", "000000010000000000000004", ["no new timeline"]),
        ("", "1\t0/4000000\tx\n\n2\t0/6000000\tx\n", "000000020000000000000005", []),
        # Recovery stayed on the old timeline and missed the WAL after the failover.
        ("", "1\t0/9000000\tx\n", "000000020000000000000005", ["is missing or damaged"]),
        ("", "1\t2/1000000\tx\n", "000000010000000200000000", []),
        ("", "1\t2/1000000\tx\n", "000000010000000200000001", ["is missing or damaged"]),
        (
            "P00  ERROR: [029]: bad\nP00  ERROR: [029]: bad\n",
            HISTORY,
            "000000010000000000000003",
            ["ERROR: [029]: bad"],
        ),
    ],
)
def test_recovery_must_reach_the_end_of_the_archive(log: str, history: str, wal_max: str, expected: list[str]) -> None:
    found = verdicts.find_recovery_problems(log, history, wal_max, SEGMENT)
    assert len(found) == len(expected)
    assert all(text in problem for text, problem in zip(expected, found, strict=True))


def test_number_of_the_control_file_is_parsed() -> None:
    assert verdicts.parse_control_number("max_prepared_xacts setting:           7\n", "max_prepared_xacts setting") == 7
    with pytest.raises(ProofError, match="does not report"):
        verdicts.parse_control_number("", "max_prepared_xacts setting")


def test_errors_of_a_server_that_does_not_start_are_extracted() -> None:
    log = "LOG: on\nx FATAL:  the database system is starting up\nx FATAL:  could not locate checkpoint\nx LOG: off\n"
    assert verdicts.extract_errors(log) == "x FATAL:  could not locate checkpoint"


def row(number: int, previous: str) -> Marker:
    return Marker(
        number,
        number * 60_000_000,
        f"p{number}",
        previous,
        verdicts.hash_marker(previous, number, number * 60_000_000, f"p{number}"),
    )


def rows(first: int, count: int) -> list[Marker]:
    found: list[Marker] = []
    for number in range(first, first + count):
        found.append(row(number, found[-1].sha256 if found else "hash of a trimmed row"))
    return found


def changed(found: list[Marker], index: int, **values: Any) -> list[Marker]:
    return [*found[:index], dataclasses.replace(found[index], **values), *found[index + 1 :]]


GOOD = rows(8, 5)
RESEALED = {"payload": "x", "sha256": verdicts.hash_marker(GOOD[2].previous, 10, GOOD[2].written_us, "x")}
ALL_CHANGED = [dataclasses.replace(one, payload="x") for one in rows(1, 9)]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (GOOD, []),
        (GOOD[:1], []),
        ([], []),
        (changed(GOOD, 2, payload="other"), ["marker 10 was changed"]),
        (changed(GOOD, 0, payload="other"), ["marker 8 was changed"]),
        (changed(GOOD, 4, written_us=1), ["marker 12 was changed"]),
        (GOOD[:2] + GOOD[3:], ["broken between 9 and 11"]),
        # A changed row with a recomputed hash breaks the chain.
        (changed(GOOD, 2, **RESEALED), ["broken between 10 and 11"]),
        (ALL_CHANGED, ["1 was", "2 was", "3 was", "4 was", "5 was", "4 more"]),
    ],
)
def test_changed_or_missing_markers_are_found(found: list[Marker], expected: list[str]) -> None:
    problems = verdicts.find_marker_problems(found)
    assert len(problems) == len(expected)
    assert all(text in problem for text, problem in zip(expected, problems, strict=True))


@pytest.mark.parametrize(
    ("found", "moment", "age", "expected"),
    [
        (GOOD, 12 * 60 + 30, 30.0, ""),
        (GOOD, 12 * 60 + 3600, 3600.0, ""),
        (GOOD, 12 * 60 + 86400, 86400.0, "RPO: the newest marker is 86400 s old, the limit is 3600 s"),
        # A clock that was set back.
        (GOOD, 0, 0.0, ""),
        ([], 0, None, "RPO cannot be measured"),
    ],
)
def test_rpo_is_the_age_of_the_newest_marker(
    found: list[Marker], moment: float, age: float | None, expected: str
) -> None:
    measured, problems = verdicts.measure_rpo(found, moment, 3600)
    assert measured == age
    assert bool(problems) == bool(expected)
    assert expected in "".join(problems)


def test_markers_are_parsed_from_psqls_rows() -> None:
    assert verdicts.parse_markers([["1", "1795556221000001", "p", "", "h"]]) == [
        Marker(1, 1795556221000001, "p", "", "h")
    ]


PROGRESS = "  0/545 relations (0%),    0/1640 pages (0%)\n545/545 relations (100%), 1640/1640 pages (100%)\n"


@pytest.mark.parametrize(
    ("status", "out", "err", "count", "expected"),
    [
        (0, "", PROGRESS, 545, ""),
        (2, "heap table app.public.t, block 0, offset 1:\n    xmin is wrong\n", PROGRESS, 545, "xmin is wrong"),
        (0, "heap table app.public.t, block 0\n", PROGRESS, 545, "block 0"),
        (0, "", PROGRESS + "pg_amcheck: warning: skipping database\n", 545, "skipping database"),
        (0, "", PROGRESS + "WARNING:  database app has a collation version mismatch\nHINT:  rebuild\n", 545, ""),
        (0, "", "  0/545 relations (0%),    0/1640 pages (0%)\n", 0, "not all relations were read"),
        (0, "", "", 0, "not all relations were read"),
        (1, "", "", 0, "exit 1"),
    ],
)
def test_amcheck_must_read_everything_without_errors(
    status: int, out: str, err: str, count: int, expected: str
) -> None:
    found, problems = verdicts.parse_amcheck(status, out, err)
    assert found == count
    assert bool(problems) == bool(expected)
    assert expected in "".join(problems)


def test_errors_of_a_client_exclude_warnings_of_the_server() -> None:
    text = "WARNING:  collation version mismatch\nDETAIL:  x\npsql:<stdin>:3: ERROR:  invalid page in block 7\n"
    assert verdicts.parse_client_errors(text) == ["psql:<stdin>:3: ERROR:  invalid page in block 7"]


CHECKED = "Checksum operation completed\nFiles scanned:   950\nBlocks scanned:  2858\nBad checksums:  {}\n"


@pytest.mark.parametrize(
    ("status", "out", "err", "blocks", "expected"),
    [
        (0, CHECKED.format(0), "", 2858, ""),
        (1, CHECKED.format(1), "checksum verification failed in file base/1/2", 2858, "failed in file base/1/2"),
        (0, CHECKED.format(1), "", 2858, "Bad checksums:  1"),
        (1, "", "pg_checksums: error: data checksums are not enabled in cluster", 0, "not enabled"),
        (0, "Blocks scanned:  0\nBad checksums:  0\n", "", 0, "pg_checksums"),
    ],
)
def test_checksums_must_be_read_and_correct(status: int, out: str, err: str, blocks: int, expected: str) -> None:
    found, problems = verdicts.parse_checksums(status, out, err)
    assert found == blocks
    assert bool(problems) == bool(expected)
    assert expected in "".join(problems)


# restic


def lines(*messages: dict[str, Any]) -> str:
    return "".join(json.dumps(message) + "\n" for message in messages)


SUMMARY = {"message_type": "summary", "total_files": 7, "files_restored": 7, "total_bytes": 9, "bytes_restored": 9}
FEWER = {**SUMMARY, "files_restored": 6}
ERROR = {"message_type": "error", "error": {"message": "ciphertext verification failed"}, "item": "/d/b"}


@pytest.mark.parametrize(
    ("status", "out", "err", "found", "expected"),
    [
        (0, lines(SUMMARY), "", Count(4, 9), []),
        (1, lines(FEWER), lines(ERROR), Count(3, 8), ["/d/b: ciphertext", "6 of 7", "but 3 with 8 were restored"]),
        (0, lines(SUMMARY), lines(ERROR), Count(4, 9), ["/d/b: ciphertext"]),
        (0, lines(SUMMARY), "", Count(4, 8), ["lists 4 files with 9 bytes"]),
        # restic reports success when no file matches.
        (0, lines({"message_type": "summary"}), "", Count(), ["0 of ?", "lists 4 files"]),
        (0, "", "", Count(4, 9), ["0 of ?"]),
        (1, lines(SUMMARY), "", Count(4, 9), ["exit 1"]),
    ],
)
def test_restored_files_are_compared_with_the_list(
    status: int, out: str, err: str, found: Count, expected: list[str]
) -> None:
    problems = verdicts.find_restore_problems(status, out, err, Count(4, 9), found)
    assert len(problems) == len(expected)
    assert all(text in problem for text, problem in zip(expected, problems, strict=True))


def test_snapshot_without_files_is_a_problem_when_earlier_ones_have_some() -> None:
    summary = lines({"message_type": "summary", "total_files": 1, "files_restored": 1})
    (problem,) = verdicts.find_restore_problems(0, summary, "", Count(), Count(), needs_files=True)
    assert "contains no file, earlier ones do: check that the file systems are mounted, or write `may_be" in problem
    assert verdicts.find_restore_problems(0, summary, "", Count(), Count(), needs_files=False) == []


def snapshot(day: int, files: int | None) -> dict[str, Any]:
    more = {} if files is None else {"summary": {"total_files_processed": files}}
    return {"id": f"of {day}", "time": f"2026-0{day // 40 + 1}-{day % 40:02}T00:00:00Z", **more}


@pytest.mark.parametrize(
    ("earlier", "had_files"),
    [
        ([], False),
        ([snapshot(58, 0)], False),
        ([snapshot(57, 3), snapshot(58, 0)], True),
        # An old restic records no number.
        ([snapshot(58, None)], True),
        # After a month a set counts as one that is empty on purpose.
        ([snapshot(1, 3), snapshot(58, 0)], False),
    ],
)
def test_files_of_the_last_month_are_remembered(earlier: list[dict[str, Any]], had_files: bool) -> None:
    found = verdicts.parse_newest_snapshot(0, json.dumps([snapshot(59, 0), *earlier]), "")
    assert (found.id, found.had_files) == ("of 59", had_files)


def test_size_of_a_snapshot_is_read_or_the_reason_reported() -> None:
    assert verdicts.parse_total_size(0, lines({"total_size": 0, "total_file_count": 1}), "") == 0
    for status, out in ((0, ""), (1, lines({"total_size": 7}))):
        with pytest.raises(ProofError, match="no key"):
            verdicts.parse_total_size(status, out, lines({"message_type": "exit_error", "message": "no key"}))


def test_files_of_a_snapshot_are_counted() -> None:
    node = {"struct_type": "node", "message_type": "node"}
    out = lines(
        {"struct_type": "snapshot"},
        {**node, "type": "dir"},
        {**node, "type": "file", "size": 6},
        {**node, "type": "file"},
        {**node, "type": "symlink"},
    )
    assert verdicts.parse_listing(0, out, "") == Count(2, 6)
    with pytest.raises(ProofError, match="wrong password"):
        verdicts.parse_listing(1, "", lines({"message_type": "exit_error", "message": "Fatal: wrong password"}))


def test_newest_snapshot_of_several_paths_is_chosen() -> None:
    out = json.dumps(
        [
            {"id": "old", "time": "2026-01-01T00:00:00.123456789Z"},
            {"id": "new", "time": "2026-01-02T00:00:00+02:00"},
        ]
    )
    found = verdicts.parse_newest_snapshot(0, out, "")
    assert (found.id, found.moment) == ("new", 1767304800.0)


@pytest.mark.parametrize(
    ("status", "out", "err", "expected"),
    [
        (0, "[]", "", "there is no snapshot"),
        (0, "null", "", "there is no snapshot"),
        (0, "", "", "there is no snapshot"),
        (1, "[]", "no route", "cannot be read: no route"),
        (1, "", lines({"message_type": "exit_error", "message": "Fatal: no key"}), "cannot be read: Fatal: no key"),
        (1, "", "plain words", "cannot be read: plain words"),
    ],
)
def test_missing_snapshot_and_unreadable_list_are_distinguished(status: int, out: str, err: str, expected: str) -> None:
    with pytest.raises(ProofError, match=expected):
        verdicts.parse_newest_snapshot(status, out, err)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:01:00Z", 60.0),
        ("1970-01-01T00:01:00.5Z", 60.5),
        ("1970-01-01T02:01:00.250000000+02:00", 60.25),
        ("1970-01-01T00:01:00-00:00", 60.0),
    ],
)
def test_times_of_restic_are_parsed(text: str, expected: float) -> None:
    assert verdicts.parse_time(text) == expected


DAMAGED = {"message_type": "error", "message": "pack 7e44 contains 2 errors"}
CLEAN = {"message_type": "summary", "num_errors": 0, "broken_packs": None}


@pytest.mark.parametrize(
    ("status", "out", "err", "expected"),
    [
        (0, lines(CLEAN), "", ""),
        (1, lines({**CLEAN, "num_errors": 1, "broken_packs": ["7e44"]}), lines(DAMAGED), "pack 7e44"),
        (0, lines({**CLEAN, "num_errors": 1}), "", "found 1 errors"),
        (0, lines({**CLEAN, "broken_packs": ["7e44"]}), "", "found 0 errors"),
        (1, "", lines({"message_type": "exit_error", "message": "Fatal: unable to open"}), "unable to open"),
        (0, "", "", "printed no summary"),
    ],
)
def test_packs_must_be_intact(status: int, out: str, err: str, expected: str) -> None:
    problems = verdicts.find_pack_problems(status, out, err)
    assert bool(problems) == bool(expected)
    assert expected in "".join(problems)


def test_each_part_is_read_once_in_as_many_weeks() -> None:
    start = 1795556221.0
    assert sorted(verdicts.select_part(start + week * 7 * 86400, 4) for week in range(4)) == [1, 2, 3, 4]
    assert verdicts.select_part(start, 1) == 1


# Redis

LOOKS_OK = "[offset 122] \\o/ RDB looks OK! \\o/\n[info] 4 keys read\n[info] 1 expires\n"
CUT = "--- RDB ERROR DETECTED ---\n[offset 54] Unexpected EOF reading RDB file\n[info] 2 keys read\n"


@pytest.mark.parametrize(
    ("status", "out", "keys", "expected"),
    [
        (0, LOOKS_OK, 4, ""),
        (1, CUT, 2, "Unexpected EOF"),
        (0, CUT, 2, "Unexpected EOF"),
        (1, LOOKS_OK, 4, "redis-check-rdb"),
        (0, "", 0, "redis-check-rdb"),
    ],
)
def test_dump_must_pass_its_checker(status: int, out: str, keys: int, expected: str) -> None:
    found, problems = verdicts.parse_dump_check(status, out)
    assert found == keys
    assert bool(problems) == bool(expected)
    assert expected in "".join(problems)


@pytest.mark.parametrize(
    ("in_dump", "loaded", "recorded", "expected"),
    [
        (4, 4, 4, []),
        (4, 4, None, []),
        (0, 0, 0, []),
        (4, 3, 4, ["loads 3 keys of 4"]),
        (4, 4, 5, ["5 were counted"]),
        (0, 0, None, ["contains no key"]),
    ],
)
def test_three_counts_of_keys_are_compared(
    in_dump: int, loaded: int, recorded: int | None, expected: list[str]
) -> None:
    problems = verdicts.find_key_problems(in_dump, loaded, recorded)
    assert len(problems) == len(expected)
    assert all(text in problem for text, problem in zip(expected, problems, strict=True))


def test_key_count_is_the_first_number_of_the_record() -> None:
    assert verdicts.parse_key_count("300 keys\n") == 300
    with pytest.raises(ProofError, match="contains no number"):
        verdicts.parse_key_count("none\n")
