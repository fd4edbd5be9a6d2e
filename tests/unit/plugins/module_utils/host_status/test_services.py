"""Each state of a host is a row, and what needs attention has a command."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.module_utils.host_status import services
from ansible_collections.vise.platform.plugins.module_utils.host_status.services import DAY, HOUR

NOW = 1_800_000_000
RUNNING = {"LoadState": "loaded", "ActiveState": "active", "SubState": "running", "Result": "success"}
FAILED = {"LoadState": "loaded", "ActiveState": "failed", "SubState": "failed", "Result": "exit-code"}
COMPONENT = {"units": ["nginx.service"], "complete": True, "pending": False, "busy": False}
PRIMARY = {
    "fenced": False,
    "wanted_standby": False,
    "standby": False,
    "version": "17.5",
    "read_only": False,
    "standbys": [],
    "lost_slots": [],
    "receives": False,
    "lag_seconds": 0,
}
STANDBY = PRIMARY | {"standby": True, "wanted_standby": True, "receives": True}
FIRST = {"name": "a", "state": "streaming", "lag_bytes": 4096}


def proof(success: float, seconds: float, tool: str = "restic") -> list[tuple[str, dict[str, str], float]]:
    """Return the metrics of a proof."""
    labels = {"tool": tool, "repository": "first", "file": "vise_restore_proof"}
    return [
        ("vise_restore_proof_timestamp_seconds", labels, seconds),
        ("vise_restore_proof_success", labels, success),
    ]


def backup(kind: str, seconds: float, status: float = 0) -> list[tuple[str, dict[str, str], float]]:
    """Return the metrics of a backup of files."""
    labels = {"tool": "restic", "kind": kind, "repository": "first", "file": f"vise_restic_backup_{kind}_first"}
    found = [("vise_backup_last_status", labels, status)]
    return [*found, ("vise_backup_last_success_timestamp_seconds", labels, seconds)] if seconds else found


def evaluate(expected: list[str] | None = None, **facts: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the rows by name and the findings of a host with these facts."""
    base = {"now": NOW, "components": {"nginx": COMPONENT}, "units": {"nginx.service": RUNNING}}
    found = services.evaluate(base | facts, {}, expected or [], services.Limits())
    return {row["name"]: row for row in found["services"]}, found["findings"]


def test_healthy_host_has_rows_and_no_finding() -> None:
    rows, findings = evaluate(["nginx"], versions={"nginx": "1.26.3-3+deb13u1"})
    assert findings == []
    assert rows["nginx"]["state"] == "running"
    assert rows["nginx"]["version"] == "1.26.3"


@pytest.mark.parametrize(
    ("facts", "service", "state", "text", "remedy"),
    [
        (
            {"units": {"nginx.service": FAILED}},
            "nginx",
            "failed",
            "nginx.service is failed (exit-code)",
            "journalctl -u nginx.service -n 50; then systemctl start nginx.service",
        ),
        (
            {"units": {"nginx.service": {"LoadState": "masked", "ActiveState": "inactive"}}},
            "nginx",
            "inactive",
            "nginx.service is inactive (masked)",
            "journalctl",
        ),
        (
            {"components": {"nginx": COMPONENT | {"pending": True}}},
            "nginx",
            "unfinished",
            "a killed run left a change unfinished",
            "run vise.platform.edge",
        ),
        (
            {"components": {"nginx": COMPONENT | {"units": [], "complete": False}}},
            "nginx",
            "incomplete",
            "no run has completed it",
            "run vise.platform.edge",
        ),
        (
            {"certificates": [{"service": "nginx", "place": "a.test 443", "error": "timed out"}]},
            "nginx",
            "no answer",
            "no certificate at a.test 443: timed out",
            "systemctl status nginx.service",
        ),
        (
            {
                "components": {"postgresql-17": COMPONENT | {"units": []}},
                "replication": {"postgresql-17": PRIMARY | {"fenced": True}},
            },
            "postgresql-17",
            "fenced",
            "the server is fenced after a promotion",
            "run vise.platform.rebuild_standby",
        ),
        (
            {
                "components": {"postgresql-17": COMPONENT | {"units": []}},
                "replication": {"postgresql-17": {"fenced": False, "wanted_standby": False, "error": "timed out"}},
            },
            "postgresql-17",
            "no answer",
            "PostgreSQL does not answer: timed out",
            "journalctl -u postgresql@17-main.service",
        ),
    ],
)
def test_service_that_does_not_work_has_a_state_and_a_command(
    facts: dict[str, Any], service: str, state: str, text: str, remedy: str
) -> None:
    rows, findings = evaluate(**facts)
    assert rows[service]["state"] == state
    assert [finding for finding in findings if finding["service"] == service and text in finding["text"]]
    assert remedy in findings[0]["remedy"]
    assert not findings[0]["note"]


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        ({"failed_units": ["vise-certificates.service"]}, "vise-certificates.service has failed"),
        (
            {"certificates": [{"service": "nginx", "place": "a 443", "end": NOW + 3 * DAY, "self_signed": False}]},
            "expires in 3 days",
        ),
        (
            {"certificates": [{"service": "nginx", "place": "a 443", "end": NOW - DAY, "self_signed": False}]},
            "has expired",
        ),
        (
            {"certificates": [{"service": "nginx", "place": "a 443", "end": NOW + 99 * DAY, "self_signed": True}]},
            "a placeholder",
        ),
        ({"repositories": [{"name": "1", "newest": None}]}, "repository 1 has no backup"),
        ({"repositories": [{"name": "1", "newest": NOW - 40 * HOUR}]}, "the last backup in repository 1 is 40 h old"),
        ({"repositories": [{"name": "2", "error": "wrong key"}]}, "repository 2 cannot be read: wrong key"),
        ({"expected_files": [("mail", "first")]}, "the files mail have no backup in repository first"),
        (
            {"expected_files": [("mail", "first")], "samples": backup("mail", NOW - 3 * DAY)},
            "the last backup of the files mail in repository first is 3 d old",
        ),
        (
            {"samples": backup("mail", NOW - HOUR, status=1)},
            "the last job of restic (mail, repository first) has failed",
        ),
        ({"samples": proof(0, 0)}, "no restore has proven the backup in repository first (restic)"),
        (
            {"samples": proof(0, NOW - DAY)},
            "the last restore proof of repository first (restic) failed; proven 24 h ago",
        ),
        ({"samples": proof(1, NOW - 20 * DAY, "pgbackrest")}, "(pgbackrest) was proven 20 d ago"),
        ({"replication": {"postgresql-17": PRIMARY | {"lost_slots": ["b"]}}}, "no standby uses the replication slot b"),
        ({"replication": {"postgresql-17": PRIMARY | {"read_only": True}}}, "the cluster is read-only"),
        ({"replication": {"postgresql-17": STANDBY | {"receives": False}}}, "does not receive WAL"),
        ({"replication": {"postgresql-17": STANDBY | {"lag_seconds": 900}}}, "the standby is 15 min behind"),
        (
            {"replication": {"postgresql-17": STANDBY | {"wanted_standby": False}}},
            "it is standby, and the last run configured primary",
        ),
        (
            {"replication": {"postgresql-17": PRIMARY | {"standbys": [FIRST | {"state": "catchup"}]}}},
            "standby a is in state catchup",
        ),
        (
            {"leftovers": [{"path": "/x/pending.json", "text": "an unfinished release of a site", "remedy": "run it"}]},
            "/x/pending.json",
        ),
        (
            {"differences": {"nginx": ["update /etc/nginx/nginx.conf"]}},
            "it differs from its last run: update /etc/nginx/nginx.conf",
        ),
        ({"host": {"disks": {"/var": 93}}}, "93 % of /var is used"),
    ],
)
def test_problem_needs_attention(facts: dict[str, Any], text: str) -> None:
    _rows, findings = evaluate(**facts)
    found = [finding for finding in findings if text in finding["text"]]
    assert len(found) == 1
    assert found[0]["remedy"]
    assert not found[0]["note"]


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        ({"components": {"nginx": COMPONENT | {"busy": True, "pending": True}}}, "a run changes it at this moment"),
        ({"updates": {"pending": 3, "security": 1}}, "1 security updates are not installed"),
        ({"reboot": ["kernel 6 is installed"]}, "a reboot is required: kernel 6 is installed"),
        (
            {"leftovers": [{"path": "/var/lib/vise/taken-over/nginx", "text": "copies", "note": True}]},
            "taken-over/nginx",
        ),
        ({"expected": ["docker"]}, "the description has no such function for this host"),
    ],
)
def test_information_is_a_note(facts: dict[str, Any], text: str) -> None:
    _rows, findings = evaluate(**facts)
    assert [finding for finding in findings if finding["note"] and text in finding["text"]]


def test_function_that_no_run_has_installed_is_missing() -> None:
    rows, findings = evaluate(["nginx", "redis", "postgresql"], components={}, units={})
    assert {name: row["state"] for name, row in rows.items()} == dict.fromkeys(
        ("nginx", "redis", "postgresql"), "missing"
    )
    assert [finding["remedy"] for finding in findings] == [
        "run vise.platform.edge",
        "run vise.platform.data",
        "run vise.platform.data",
    ]


def test_empty_host_without_description_has_no_rows() -> None:
    rows, findings = evaluate(components={}, units={})
    assert rows == {}
    assert findings == []


def test_part_that_cannot_be_read_is_a_finding_and_hides_no_other() -> None:
    facts = {"now": NOW, "components": {"nginx": COMPONENT}, "units": {"nginx.service": FAILED}}
    found = services.evaluate(facts, {"updates": "`apt-get` failed"}, [], services.Limits())
    assert [finding["text"] for finding in found["findings"]] == [
        "nginx.service is failed (exit-code)",
        "updates could not be read: `apt-get` failed",
    ]


def test_oldest_backup_and_oldest_proof_of_all_repositories_count() -> None:
    samples = [*proof(1, NOW - 2 * DAY, "pgbackrest"), *proof(1, NOW - 5 * DAY, "pgbackrest-yearly")]
    rows, findings = evaluate(
        components={"postgresql-17": COMPONENT | {"units": []}},
        repositories=[{"name": "1", "newest": NOW - HOUR}, {"name": "2", "newest": NOW - 9 * HOUR}],
        samples=samples,
    )
    assert rows["postgresql-17"]["backup_seconds"] == 9 * HOUR
    assert rows["postgresql-17"]["proof_seconds"] == 5 * DAY
    assert findings == []


def test_sites_with_the_same_cause_are_one_finding() -> None:
    certificates = [{"service": "nginx", "place": f"{number}.test 443", "error": "refused"} for number in range(5)]
    _rows, findings = evaluate(certificates=certificates)
    assert [one["text"] for one in findings] == [
        "no certificate at 0.test 443, 1.test 443, 2.test 443 and 2 more: refused"
    ]


def test_stopped_service_is_reported_once_and_not_by_its_consequences() -> None:
    certificates = [{"service": "nginx", "place": "a.test 443", "error": "refused"}]
    differences = {"nginx": ["start nginx.service"]}
    _rows, findings = evaluate(units={"nginx.service": FAILED}, differences=differences, certificates=certificates)
    assert len(findings) == 1


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (PRIMARY, "primary"),
        (PRIMARY | {"standbys": [FIRST]}, "primary, a 4 KiB behind"),
        (STANDBY, "standby, 0 s behind"),
        (STANDBY | {"receives": False}, "standby, disconnected"),
    ],
)
def test_replication_is_one_cell(one: dict[str, Any], expected: str) -> None:
    assert services.describe_replication(one) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0, "0 s"), (59, "59 s"), (61, "1 min"), (3600, "1 h"), (40 * HOUR, "40 h"), (2 * DAY, "2 d"), (-5, "0 s")],
)
def test_age_has_one_unit(seconds: int, expected: str) -> None:
    assert services.format_age(seconds) == expected


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("1.26.3-3+deb13u1", "1.26.3"),
        ("5:8.0.2-3", "8.0.2"),
        ("2.55.1", "2.55.1"),
        ("26.1.5+dfsg1-9", "26.1.5+dfsg1"),
        ("", ""),
    ],
)
def test_version_is_that_of_the_program(version: str, expected: str) -> None:
    assert services.clean_version(version) == expected
