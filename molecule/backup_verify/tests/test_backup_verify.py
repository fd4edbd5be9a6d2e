"""Every backup is proven by a restore, a damaged one is named, and the live services are not touched."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from testinfra.host import Host

from tests import machines
from tests.databases import query, wait_until_archived
from tests.scenario import ADDRESS, NAME, Role

FOLDER = Path(__file__).resolve().parents[1]
PROGRAM = (FOLDER / "faults.py").read_text()
S3 = json.loads((machines.ROOT / ".cache/sandbox/s3.json").read_text())
# None of them may turn up in a report or in the journal.
SECRETS = [S3["full"]["secret"], S3["append"]["secret"], "molecule-cipher-pass", "molecule-restic-password"]
UNIT = "vise-backup-verify"
RUN = "/var/lib/vise/backup-verify/run"
METRICS = "/var/lib/prometheus/node-exporter/vise_restore_proof.prom"
ALL = {
    ("pgbackrest", "1"), ("pgbackrest", "2"), ("pgbackrest-yearly", "1"), ("restic", "a"), ("restic", "b"),
    ("redis", "a"), ("redis", "b"),
}  # fmt: skip
# The cluster, its process and its databases.
IDENTITY = """
cd /
head -n 4 /var/lib/postgresql/17/main/postmaster.pid
ls -d /srv/tablespace/*/*
identity='SELECT system_identifier, pg_postmaster_start_time() FROM pg_control_system()'
runuser -u postgres -- psql -Atc "$identity" -c 'SELECT oid, datname FROM pg_database'
"""
PORTS = "ss -Hltn | awk '{print $4}' | sort"


def failed_proofs(host: Host) -> set[tuple[str, ...]]:
    """Return the tool and repository of each proof that failed; all others must have succeeded."""
    found = [
        line.rsplit(" ", 1) for line in host.check_output(f"grep ^vise_restore_proof_success {METRICS}").splitlines()
    ]
    values = {tuple(labels.split('"')[1::2]): value for labels, value in found}
    assert {*values} == ALL
    return {proof for proof, value in values.items() if value != "1"}


def journal(host: Host) -> str:
    """Return the messages of the newest run of the unit."""
    return str(host.check_output(f"journalctl -u {UNIT} -o cat -n 500 | tac | sed '/^Starting/q'"))


def leaked(host: Host) -> list[str]:
    """Return the secrets in the journal, in reports, metrics and settings."""
    places = "/var/lib/vise/reports /var/lib/prometheus /etc/vise/backup-verify.json"
    text = host.check_output(f"journalctl -u {UNIT} -o cat; cat $(find {places} -type f)")
    return [secret for secret in SECRETS if secret in text]


@pytest.fixture(scope="module", autouse=True)
def identity(host: Host) -> str:
    """The identity of the live cluster before any proof."""
    write_markers(host)
    return machines.script(host, IDENTITY)


def write_markers(host: Host) -> None:
    """Write three markers in three segments, and wait until all are archived."""
    machines.script(host, (FOLDER / "marker.sh").read_text())


@pytest.fixture(scope="module", autouse=True)
def metrics_before_the_first_proof(host: Host) -> str:
    """The metrics that the first converge left."""
    return str(host.file(METRICS).content_string)


def test_backup_that_was_never_proven_has_metrics(metrics_before_the_first_proof: str) -> None:
    lines = metrics_before_the_first_proof.splitlines()
    never = [line for line in lines if line.startswith("vise_restore_proof_timestamp_seconds{") and line.endswith(" 0")]
    assert {tuple(line.split('"')[1::2]) for line in never} == ALL


@pytest.fixture(scope="module")
def report(host: Host) -> dict[str, Any]:
    """The proofs of a run of the schedule's unit, by tool and repository."""
    host.check_output(f"systemctl start {UNIT}")
    assert "proven: postgresql 1, postgresql 2, yearly 1, restic a, restic b, redis a, redis b" in journal(host)
    content = json.loads(host.check_output("cat $(ls /var/lib/vise/reports/restores/*.json | tail -1)"))
    assert content["success"]
    return {f"{proof['proof']} {proof['repository']}": proof for proof in content["proofs"]}


def tables(proof: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what was found of the application's tables."""
    return [table for table in proof["tables"] if table["database"] == "app"]


def test_restored_database_has_the_rows_of_the_original(report: dict[str, Any]) -> None:
    first, second = report["postgresql 1"], report["postgresql 2"]
    assert [table["rows"] for table in tables(first)] == [700, 5000]
    assert first["tables"][0]["checksum"] == second["tables"][0]["checksum"]
    assert tables(report["yearly 1"]) == tables(first)
    assert second["rpo_seconds"] < 3600
    assert second["facts"]["relations_checked"] > 500


def test_restored_files_and_dump_are_counted(report: dict[str, Any]) -> None:
    assert report["restic a"]["facts"]["files_files"] == 3
    assert report["restic a"]["facts"]["files_bytes"] == 1200000
    assert report["redis b"]["facts"]["redis_keys"] == 300


@pytest.mark.usefixtures("report")
def test_proof_leaves_metrics_and_no_restored_data(host: Host) -> None:
    assert failed_proofs(host) == set()
    assert not host.file(RUN).exists


@pytest.mark.usefixtures("report")
def test_proof_shows_no_secret(host: Host) -> None:
    assert leaked(host) == []


@pytest.mark.usefixtures("report")
def test_proof_does_not_touch_the_live_cluster(host: Host, identity: str) -> None:
    assert machines.script(host, IDENTITY) == identity


def back_up_dump(host: Host, content: str) -> None:
    """Back up a Redis dump to the second repository."""
    machines.script(
        host, f"set -a; . /root/b.env; {content} >/srv/redis/dump.rdb; restic backup --quiet --tag redis /srv/redis"
    )


@pytest.fixture
def truncated_dump(host: Host) -> Iterator[None]:
    """The newest backup of the dump is truncated; afterwards it is whole again."""
    host.check_output("cp /srv/redis/dump.rdb /root/whole.rdb")
    back_up_dump(host, "head -c 2000 /root/whole.rdb")
    yield
    back_up_dump(host, "cat /root/whole.rdb")


@pytest.mark.usefixtures("report", "truncated_dump")
def test_truncated_dump_is_reported(host: Host) -> None:
    done = host.run("vise-backup-verify --only redis")
    assert done.rc != 0
    assert "Unexpected EOF" in done.stdout + done.stderr
    assert failed_proofs(host) == {("redis", "b")}


def test_invalid_input_is_refused(role: Role, host: Host) -> None:
    state = "sha256sum /etc/vise/* /etc/systemd/system/vise-backup-*"
    before = host.check_output(state)
    cases: list[tuple[dict[str, Any], str]] = [
        ({"backup_verify_restic_parts": "some"}, "unable to convert to int"),
        ({"backup_verify_restic_repositories": [{"name": "a"}]}, "missing required arguments"),
        ({"backup_verify_restic_parts": 0}, "restic_parts"),
        ({"backup_verify_scratch": "/var/lib/postgresql/proofs"}, "scratch directory"),
        ({"backup_verify_restic_sets": []}, "no restic_sets to restore"),
        ({"backup_verify_restic_sets": [{"name": "files"}, {"name": "files"}]}, "set files"),
        # As YAML reads `off` and `2024` without quotes.
        (
            {"backup_verify_restic_sets": [{"name": False}]},
            "YAML reads it as true or false; quote it, as in `.{0,2}off",
        ),
        ({"backup_verify_restic_sets": [{"name": 2024}]}, r"backup_verify_restic_sets\[0\].name: .*a number; quote it"),
    ]
    role.assert_refused(cases)
    assert host.check_output(state) == before


def test_drift_is_reported_and_corrected(role: Role, host: Host) -> None:
    machines.script(
        host,
        f"systemctl disable --now {UNIT}.timer vise-backup-marker.timer\n"
        "chmod 644 /etc/vise/backup-verify-restic.json; echo '{}' >/etc/vise/backup-verify.json\n"
        f"sed -i 's/^NoNewPrivileges=.*/NoNewPrivileges=false/' /etc/systemd/system/{UNIT}.service",
    )
    role.correct()
    for timer in (f"{UNIT}.timer", "vise-backup-marker.timer"):
        assert host.check_output(f"systemctl is-active {timer}; systemctl is-enabled {timer}") == "active\nenabled"
    assert host.check_output("stat -c %a /etc/vise/backup-verify-restic.json") == "600"
    assert host.check_output(f"systemctl show -P NoNewPrivileges {UNIT}") == "yes"
    host.check_output("vise-backup-verify --check")


def scan(world: Host) -> str:
    """Return the open ports as a stranger sees them."""
    return str(world.check_output(f"nmap -n -Pn -p- -T5 --min-rate 5000 -oG - {ADDRESS} | grep Ports:"))


@pytest.mark.deep
def test_killed_run_leaves_nothing_that_runs_and_the_next_one_clears_its_files(
    host: Host, world: Host, identity: str
) -> None:
    ports, open_ports = host.check_output(PORTS), scan(world)
    host.check_output("umask 077; printf '%%s\\n' %s %s %s %s >/root/secrets", *SECRETS)
    machines.script(host, (FOLDER / "kill.sh").read_text())
    assert scan(world) == open_ports
    assert host.check_output("cat /root/ports-during") == ports
    host.check_output("kill -KILL $(pgrep -f '^/usr/bin/python3 -I /usr/local/sbin/vise-backup-verify')")
    assert machines.eventually(lambda: host.run("pgrep -u vise-backup-verify").rc != 0, 20)
    assert host.file(f"{RUN}/data/base").is_directory
    host.check_output(f"systemctl start {UNIT}")
    assert f"removed the leftovers of a killed run: {RUN}" in journal(host)
    assert not host.file(RUN).exists
    assert failed_proofs(host) == set()
    assert host.run("grep -F -f /root/secrets /root/by-hand").rc == 1
    assert leaked(host) == []
    assert machines.script(host, IDENTITY) == identity


def damage(world: Host, *arguments: str) -> None:
    """Damage an object of this host in the stores, or repair all of them."""
    world.check_output("python3 -c %s %s " + " ".join(map(shlex.quote, arguments)), PROGRAM, NAME)


@pytest.fixture
def damaged(world: Host, request: pytest.FixtureRequest) -> Iterator[None]:
    """Damaged objects in the stores; afterwards they are whole again."""
    for arguments in request.param:
        damage(world, *arguments)
    yield
    damage(world, "mend")


def run_and_fail(host: Host) -> str:
    """Let the schedule's unit fail, and return its messages."""
    assert host.run(f"systemctl start {UNIT}").rc != 0
    assert host.run(f"systemctl is-failed {UNIT}").rc == 0
    return journal(host)


def assert_in_order(text: str, *fragments: str) -> None:
    """Assert that a line of the text has these fragments, one after the other."""
    assert re.search(".*".join(map(re.escape, fragments)), text), f"{fragments} not in:\n{text}"


@pytest.mark.deep
@pytest.mark.usefixtures("damaged", "truncated_dump")
@pytest.mark.parametrize(
    "damaged",
    [
        [
            ["flip", "s3-a", "pgbackrest/backup/main/*F/bundle/*", "largest"],
            ["flip", "s3-a", "yearly/backup/main/*F/bundle/*", "largest"],
            ["delete", "s3-b", "pgbackrest/archive/main/17-1/*/*", "last-but-one"],
            ["flip", "s3-a", "restic/data/*/*", "largest"],
        ]
    ],
    indirect=True,
    ids=["bytes of a set, a yearly and a pack, and a segment"],
)
def test_every_damage_is_named_with_its_repair(host: Host) -> None:
    text = run_and_fail(host)
    assert failed_proofs(host) == ALL - {("restic", "b"), ("redis", "a")}
    assert_in_order(text, "postgresql 1", "pgbackrest restore", "ERROR")
    assert_in_order(text, "postgresql 2", "write-ahead log", "the archive ends at ", "recovery at ", "missing")
    assert_in_order(text, "restic a", "set files", "ciphertext verification failed")
    assert_in_order(text, "restic a", "pack ", " contains")
    assert_in_order(text, "redis b", "set redis", "redis-check-rdb", "Unexpected EOF")
    assert_in_order(text, "yearly 1", "pgbackrest restore", "ERROR")
    # The markers before the missing segment are young enough: nothing else is to be done.
    assert_in_order(
        text,
        "FAILED",
        "Next: make a new full backup of PostgreSQL; make a new yearly backup of PostgreSQL",
        "; make a new backup of the files; make a new dump",
    )


# Markers of yesterday, one of which was changed after it was written.
OLD_MARKERS = """
DO $$
DECLARE
  moment timestamptz; seal text := ''; made text;
BEGIN
  FOR number IN 1..3 LOOP
    moment := now() - interval '1 day' + number * interval '1 minute';
    made := encode(sha256(convert_to(
      concat_ws('|', seal, number, (extract(epoch FROM moment) * 1000000)::bigint, 'p'), 'UTF8')), 'hex');
    INSERT INTO vise.backup_marker VALUES (number, moment, 'p', seal, made);
    seal := made;
  END LOOP;
END $$;
"""


@pytest.fixture
def old_markers(host: Host) -> Iterator[None]:
    """The newest markers are of yesterday, and one was tampered with; afterwards they are new."""
    host.check_output("systemctl stop vise-backup-marker.timer")
    tamper = "UPDATE vise.backup_marker SET payload = 'other' WHERE id = 2"
    query(host, "TRUNCATE vise.backup_marker", OLD_MARKERS, tamper, "SELECT pg_switch_wal()")
    wait_until_archived(host)
    yield
    # As a person does who has found the cause.
    query(host, "TRUNCATE vise.backup_marker")
    host.check_output("systemctl start vise-backup-marker.timer")
    write_markers(host)


@pytest.mark.deep
@pytest.mark.usefixtures("damaged", "old_markers")
@pytest.mark.parametrize(
    "damaged",
    [[["delete", "s3-b", "pgbackrest/backup/main/*F/bundle/*", "largest"]]],
    indirect=True,
    ids=["an object of a set is deleted"],
)
def test_old_and_changed_markers_and_a_deleted_object_are_named(host: Host) -> None:
    text = run_and_fail(host)
    assert failed_proofs(host) == {("pgbackrest", "1"), ("pgbackrest", "2")}
    assert_in_order(text, "postgresql 1", "marker 2 was changed")
    assert_in_order(text, "postgresql 1", "RPO: the newest marker is 8", " s old, the limit is 3600 s")
    assert_in_order(text, "postgresql 2", "pgbackrest restore", "missing file")
    assert_in_order(text, "Next:", "check that WAL is archived")


@pytest.mark.deep
def test_proof_succeeds_after_the_repair(host: Host, identity: str) -> None:
    # By hand, as the last line of a failed run says.
    host.check_output("vise-backup-verify --only postgresql")
    assert failed_proofs(host) == set()
    assert machines.script(host, IDENTITY) == identity
    assert leaked(host) == []
