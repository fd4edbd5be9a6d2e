"""Files come back byte for byte, no credential of the host deletes a backup, and every fault is reported."""

from __future__ import annotations

import datetime
import json
import shlex
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from testinfra.host import Host

from tests import machines, storage
from tests.scenario import NAME, Role

TREE = (Path(__file__).resolve().parents[1] / "files/tree.py").read_text()
STORE = f"/var/lib/world/s3-a/vise-backups/restic/{NAME}"
LOCKS = f"{STORE}/locks"
UNIT = "restic-backup@odd:a"
METRICS = "cat /var/lib/prometheus/node-exporter/*.prom"
STATE = "sha256sum /etc/vise/restic/* /etc/systemd/system/restic-*"
RUNBOOK = "restore_files"
SECRET = "must-not-be-shown"  # noqa: S105
# A rotation of the check, in days; vars.yml sets it.
DAYS = 3
# A shell does not end at a command behind `!`, whatever its result is.
NOT = 'not() { if "$@"; then echo "succeeded: $*" >&2; exit 1; fi; }\n'


def metric(host: Host, name: str, kind: str, repository: str = "a") -> str:
    """Return a metric's value, empty when it is absent."""
    labels = f'{name}{{tool="restic",kind="{kind}",repository="{repository}"}} '
    values = [line.split()[-1] for line in host.check_output(METRICS).splitlines() if labels in line]
    return values[0] if values else ""


def journal(host: Host, unit: str) -> str:
    """Return the messages of a unit."""
    return str(host.check_output("journalctl -o cat -u %s", unit))


def is_equal(host: Host, directory: str) -> bool:
    """Return whether a restored tree equals the backed-up one, in every byte and attribute."""
    return bool(host.run("python3 /srv/tree.py show %s | cmp - /root/wanted", directory).rc == 0)


def snapshot_ids(host: Host, repository: str, name: str = "odd") -> list[str]:
    """Return the ids of the snapshots of a set."""
    found = host.check_output(f"vise-restic with {repository} snapshots --no-cache --json --tag {name}")
    return [one["id"] for one in json.loads(found)]


@pytest.fixture(scope="module")
def first_snapshots(host: Host) -> dict[str, list[str]]:
    """The snapshots that the first converge left in each repository."""
    return {repository: snapshot_ids(host, repository) for repository in "ab"}


@pytest.fixture(scope="module", autouse=True)
def tree(host: Host, first_snapshots: dict[str, list[str]]) -> None:
    """A tree of everything that is hard to back up, in both repositories."""
    assert set(first_snapshots) == {"a", "b"}
    host.check_output("printf %%s %s >/srv/tree.py", TREE)
    host.check_output("python3 /srv/tree.py make /srv/odd && python3 /srv/tree.py show /srv/odd >/root/wanted")
    host.check_output("ln -sfn odd /srv/link")
    for repository in "ba":
        host.check_output(f"systemctl start restic-backup@odd:{repository}")


@pytest.mark.parametrize("repository", ["a", "b"])
def test_first_converge_leaves_a_snapshot_in_each_repository(
    first_snapshots: dict[str, list[str]], repository: str
) -> None:
    assert len(first_snapshots[repository]) == 1


@pytest.mark.parametrize("repository", ["a", "b"])
def test_backup_has_the_set_and_its_prepared_files(host: Host, repository: str) -> None:
    # Some names in the list are not text.
    listed = f"vise-restic with {repository} ls latest | grep -a -x -e /var/tmp/dump -e '.*left-out.*'"
    assert host.check_output(listed) == "/var/tmp/dump"
    assert metric(host, "last_success_timestamp_seconds", "odd", repository)
    assert host.file("/var/lib/vise/restic/after").exists
    assert not host.file("/var/tmp/dump").exists


@pytest.mark.parametrize("unit", ["restic-backup@odd:a", "restic-backup@odd:b", "restic-check@a", "restic-check@b"])
def test_backup_and_check_are_scheduled(host: Host, unit: str) -> None:
    assert host.check_output(f"systemctl is-enabled {unit}.timer") == "enabled"
    assert host.check_output(f"systemctl is-active {unit}.timer") == "active"


def test_only_root_reads_the_credentials(host: Host) -> None:
    assert host.check_output("stat -c %a /etc/vise/restic /etc/vise/restic/repositories.json") == "700\n600"


@pytest.mark.parametrize(
    "restore_by",
    [
        "vise-restic restore odd /root/out latest",
        "vise-restic with b restore latest --quiet --sparse --target /root/out",
    ],
)
def test_restored_tree_is_equal(host: Host, restore_by: str) -> None:
    host.check_output(f"rm -rf /root/out; {restore_by}")
    assert is_equal(host, "/root/out/srv/odd")
    assert host.check_output("readlink /root/out/srv/link") == "odd"
    assert host.check_output("cat /root/out/var/tmp/dump") == "dumped"


def test_whole_read_finds_no_damage(host: Host) -> None:
    host.check_output("systemctl start restic-check@a")


def test_invalid_input_is_refused_without_its_secrets(role: Role, host: Host) -> None:
    def repository(**changes: str) -> dict[str, Any]:
        return {"restic_repositories": ["{{ repositories[0] | combine(changes) }}"], "changes": changes}

    before = host.check_output(STATE)
    wrong = f"wrong-secret-that-{SECRET}"
    cases: list[tuple[dict[str, Any], str]] = [
        (repository(key_secret=wrong), "a: the key or its secret is wrong"),
        (repository(password=wrong), "a: the password does not belong to the repository"),
        (repository(url="s3:http://s3-a.vln.test/vise-backups"), "url must have the form s3:https"),
        (
            {**repository(url="s3:https://s3-a.vln.test:1/vise-backups/x"), "restic_answer_seconds": 3},
            "a: no usable answer in time",
        ),
        ({"restic_sets": [{"name": "odd", "paths": ["srv"]}]}, "must be an absolute path"),
    ]
    role.assert_refused(cases, secret=SECRET)
    assert host.check_output(STATE) == before


def test_host_cannot_delete_its_backups(host: Host) -> None:
    count = "vise-restic with a snapshots --no-cache --json"
    host.check_output(f"systemctl start {UNIT}")
    before = json.loads(host.check_output(count))
    assert len(before) >= 2
    assert "unable to remove" in machines.output(host, "vise-restic with a forget --keep-last 1")
    assert json.loads(host.check_output(count)) == before


OVERWRITE = f"""
cd {STORE}
object=$(ls -d snapshots/* | tail -1)
before=$(sha256sum $object)
for method in PUT DELETE; do
  curl -sS -o /dev/null -w '%{{http_code}} ' -X $method --data-binary other -K - <<END
user = "$KEY:$KEY_SECRET"
aws-sigv4 = "aws:amz:eu-central-1:s3"
url = "https://s3-a.vln.test/vise-backups/restic/{NAME}/$object"
END
done
test "$(sha256sum $object)" = "$before"
"""


def test_credential_of_the_host_overwrites_and_deletes_no_object(world: Host) -> None:
    credential = json.loads((machines.ROOT / ".cache/sandbox/s3.json").read_text())["append"]
    # In the script, not among the arguments of a program
    secrets = f"KEY={shlex.quote(credential['key'])}; KEY_SECRET={shlex.quote(credential['secret'])}\n"
    assert machines.script(world, secrets + OVERWRITE) == "403 403"


def test_drift_is_reported_and_corrected(role: Role, host: Host) -> None:
    machines.script(
        host,
        f"systemctl disable --now {UNIT}.timer; rm /etc/vise/restic/repositories.json; chmod 755 /etc/vise/restic\n"
        "sed -i 's/^KillMode=.*/KillMode=none/' /etc/systemd/system/restic-backup@.service",
    )
    role.correct()
    assert host.check_output("stat -c %a /etc/vise/restic /etc/vise/restic/repositories.json") == "700\n600"
    assert host.check_output(f"systemctl is-active {UNIT}.timer") == "active"
    assert host.check_output(f"systemctl show -P KillMode {UNIT}") == "control-group"
    host.check_output(f"systemctl start {UNIT}")


NEW_SETS = [
    {"name": "odd", "paths": ["/srv/odd", "/srv/tree.py"]},
    {"name": "later", "paths": ["/srv/tree.py"]},
    {"name": "refused", "paths": ["/srv/tree.py"], "before": [{"argv": ["sh", "-c", "echo no socket; exit 4"]}]},
    {"name": "slow", "paths": ["/srv/tree.py"], "before": [{"argv": ["sleep", "60"]}]},
]


def test_new_set_is_backed_up_by_the_run_that_adds_it(role: Role, host: Host) -> None:
    before = snapshot_ids(host, "a")
    # As on a host that replaces a lost one and has restored no file yet
    host.check_output("rm /var/lib/vise/restic/backup@odd:a.json")
    run = role.run(restic_sets=NEW_SETS, restic_first_backup_seconds=30)
    assert run.code != 0
    for message in (
        "no socket",
        "systemctl start restic-backup@refused:a.service restic-backup@refused:b.service",
        "the first backup restic-backup@slow:b.service still runs after 30 s",
    ):
        assert message in run.output.replace("\n", " ")
    assert [len(snapshot_ids(host, repository, "later")) for repository in "ab"] == [1, 1]
    assert snapshot_ids(host, "a") == before
    # The configuration stays, and neither a failed nor a running backup is a reason for another run to fail.
    host.check_output("systemctl is-active restic-backup@refused:a.timer")
    assert role.apply(restic_sets=NEW_SETS).output.count("changed=0 ") == 1
    host.check_output("systemctl stop restic-backup@slow:a restic-backup@slow:b; systemctl reset-failed 'restic-*'")
    role.apply()


DRILL: dict[str, Any] = {
    "backups_enabled": False,
    "backup_files_passphrase": "a-passphrase",
    "backup_repositories": [
        {
            "name": "a",
            "endpoint": "s3-a.vln.test",
            "region": "eu-central-1",
            "bucket": "vise-backups",
            "path": f"/restic/{NAME}/drill",
            "append": {"key": "{{ s3.append.key }}", "secret": "{{ s3.append.secret }}"},
        }
    ],
    "backup_sets": [{"name": name, "group": "all", "paths": ["/srv/tree.py"]} for name in ("first-set", "second-set")],
    "s3": json.loads((machines.ROOT / ".cache/sandbox/s3.json").read_text()),
}


def look_for_backups(role: Role, **more: Any) -> Any:
    """Run the first stage of a drill."""
    path = role.scratch / "drill.json"
    path.write_text(json.dumps({**DRILL, **more}))
    return role.runbook("drill_backups", f"--extra-vars=@{path}")


def test_drill_names_each_set_without_a_backup_and_creates_no_repository(role: Role, host: Host, world: Host) -> None:
    run = look_for_backups(role)
    assert run.code != 0
    for message in (f"No backup exists of first-set of {NAME}, second-set of {NAME}", "the repository does not exist"):
        assert message in " ".join(run.output.split())
    assert not world.file(f"{STORE}/drill").exists
    host.check_output("vise-restic with a init")
    host.check_output(f"vise-restic with a backup --quiet --host {NAME} --tag first-set /srv/tree.py")
    assert f"No backup exists of second-set of {NAME}" in " ".join(look_for_backups(role).output.split())
    assert look_for_backups(role, backup_sets=DRILL["backup_sets"][:1]).code == 0
    role.apply()


@pytest.fixture(scope="module")
def outage(host: Host) -> Iterator[None]:
    """The second repository is away when a backup starts."""
    with storage.fault("s3_b", "outage"):
        host.check_output("systemctl start restic-backup@odd:a")
        assert host.run("systemctl start restic-backup@odd:b").rc != 0
        yield


@pytest.mark.deep
@pytest.mark.usefixtures("outage")
def test_outage_of_one_repository_is_reported_and_the_other_has_the_backup(host: Host) -> None:
    assert host.run("systemctl is-failed restic-backup@odd:b").rc == 0
    assert host.run("systemctl is-failed restic-backup@odd:a").rc != 0
    assert "b: no usable answer in time" in journal(host, "restic-backup@odd:b")
    assert metric(host, "last_failure_timestamp_seconds", "odd", "b")
    assert metric(host, "last_status", "odd", "b") == "1"
    assert metric(host, "last_status", "odd", "a") == "0"


def restore(role: Role, *options: str) -> Any:
    """Call the runbook."""
    return role.runbook(RUNBOOK, *(word for one in ("restore_set=odd", *options) for word in ("--extra-vars", one)))


@pytest.mark.deep
@pytest.mark.usefixtures("outage")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param(["restore_directory=/root/restored"], "", id="no host is named"),
        pytest.param(["restore_replace_live=another-host"], "", id="another host is named"),
        pytest.param(
            [f"restore_host={NAME}", "restore_directory=/srv"],
            "/srv is not an empty directory",
            id="the directory is not empty",
        ),
    ],
)
def test_restore_is_refused(role: Role, options: list[str], message: str) -> None:
    run = restore(role, *options)
    assert run.code != 0
    assert message in run.output


@pytest.mark.deep
@pytest.mark.usefixtures("outage")
def test_restore_to_a_directory_uses_the_repository_that_answers(role: Role, host: Host) -> None:
    run = restore(role, f"restore_host={NAME}", "restore_directory=/root/restored", "restore_repository=b")
    assert run.code == 0, run.tail
    for message in ("b: no usable answer", "of a) are in", "Next: inspect the files"):
        assert message in run.output
    assert is_equal(host, "/root/restored/srv/odd")
    assert host.check_output("cat /root/restored/var/tmp/dump") == "dumped"


@pytest.mark.deep
def test_restore_over_a_bind_mount_is_refused_and_changes_nothing(role: Role, host: Host) -> None:
    host.check_output("mount --bind /srv/odd/plain.d /srv/odd/empty")
    run = restore(role, f"restore_replace_live={NAME}")
    host.check_output("umount /srv/odd/empty")
    assert run.code != 0
    assert "/srv/odd/empty: a mount point cannot be renamed" in " ".join(run.output.split())
    assert host.check_output("find /srv -name '*-restore-*'") == ""


@pytest.mark.deep
def test_restore_in_place_keeps_the_files_of_before(role: Role, host: Host) -> None:
    storage.switch("s3_b", "none")
    machines.script(
        host, "systemctl start restic-backup@odd:b; rm -r /srv/odd/big /srv/odd/plain.d; echo new >/srv/odd/since"
    )
    run = restore(role, f"restore_replace_live={NAME}")
    assert run.code == 0, run.tail
    assert "remove /srv/odd.before-restore" in run.output
    assert is_equal(host, "/srv/odd")
    assert host.check_output("cat /srv/odd.before-restore-*/since") == "new"
    host.check_output("rm -rf /srv/odd.before-restore-* /root/restored")
    assert host.check_output("find / -xdev -name '.vise-restore-*'") == ""


SPARSE = [{"name": "images", "paths": ["/srv/images"]}]
SMALL_DISK = """
mkdir -p /srv/small
truncate -s 3G /srv/images/disk
echo data | dd of=/srv/images/disk bs=1 seek=1G conv=notrunc status=none
systemctl start restic-backup@images:a
mount -t tmpfs -o size=32m tmpfs /srv/small
"""


@pytest.mark.deep
def test_sparse_file_is_restored_to_a_disk_smaller_than_its_size(role: Role, host: Host) -> None:
    host.check_output("mkdir /srv/images")
    role.apply(restic_repositories="{{ repositories[:1] }}", restic_sets=SPARSE)
    machines.script(host, SMALL_DISK)
    try:
        host.check_output("vise-restic restore images /srv/small/whole")
        host.check_output("cmp /srv/images/disk /srv/small/whole/srv/images/disk")
        assert int(host.check_output("du -sk /srv/small | cut -f1")) < 2000
        host.check_output("rm -r /srv/small/whole; head -c 8000000 /dev/urandom >/srv/images/more")
        host.check_output("systemctl start restic-backup@images:a && mount -o remount,size=4m /srv/small")
        refused = host.run("vise-restic restore images /srv/small/whole")
        assert refused.rc != 0
        assert "nothing was changed" in refused.stderr
        assert "in /srv/small, only" in refused.stderr
        assert host.check_output("ls -A /srv/small") == ""
    finally:
        host.run("umount /srv/small; rm -r /srv/images")
    role.apply()


# Another program takes the space as soon as the restore writes.
FULL_DISK = """
mkdir -p /srv/small
mount -t tmpfs -o size=200m tmpfs /srv/small
systemd-run --quiet --collect --unit=filler bash -c '
  until ls -d /srv/small/whole/srv/.vise-restore-*; do sleep 0.01; done
  fallocate -l $(( $(df --output=avail -B1 /srv/small | tail -1) - 1000000 )) /srv/small/filler'
"""


@pytest.mark.deep
def test_full_disk_during_a_restore_leaves_nothing_and_the_next_run_succeeds(host: Host) -> None:
    machines.script(host, FULL_DISK)
    try:
        refused = host.run("vise-restic restore odd /srv/small/whole")
        assert refused.rc != 0
        assert "nothing was changed: the disk became full" in refused.stderr
        assert "free space, then run the same restore again" in refused.stderr
        assert host.check_output("ls -A /srv/small") == "filler"
        host.check_output("rm /srv/small/filler; vise-restic restore odd /srv/small/whole")
        assert is_equal(host, "/srv/small/whole/srv/odd")
    finally:
        host.run("systemctl stop filler; umount /srv/small; rmdir /srv/small")


# A snapshot of a path, at another time than now.
DATED = f"""
dated() {{ vise-restic with a backup --quiet --host={NAME} --tag=odd --time="$(date -d "$1" '+%F %T')" "$2"; }}
"""
# With the credential that only adds, as an attacker who has taken the host would date them. restic keeps the oldest as
# well while there are no years yet, and the last of the week.
OLD_SNAPSHOTS = """
for day in 1 2 29; do
  dated "today -$day days 02:10" /srv/odd/empty
  dated "today -$day days 23:59:59" /srv/tree.py
done
for hour in 02 03 04; do dated "today -60 days $hour:10" /srv/odd/empty; done
"""


def snapshots(host: Host, path: str) -> list[dict[str, Any]]:
    """Return the snapshots of a path."""
    command = f"vise-restic with a snapshots --no-cache --json --path={path}"
    found: list[dict[str, Any]] = json.loads(host.check_output(command))
    return found


@pytest.mark.deep
def test_prune_removes_old_snapshots_and_no_forged_one_replaces_a_real_one(role: Role, host: Host) -> None:
    full = "{{ repositories.0 | combine({'key': s3.full.key, 'key_secret': s3.full.secret}) }}"
    role.apply(restic_prune_repositories=[full])
    host.check_output("systemctl is-active restic-prune@a.timer")
    machines.script(host, DATED + OLD_SNAPSHOTS)
    host.check_output("systemctl start restic-prune@a")
    kept = snapshots(host, "/srv/odd/empty")
    assert len(kept) == 5
    assert not [one for one in kept if "T03:10" in one["time"]]
    assert len(snapshots(host, "/srv/tree.py")) == 3
    assert metric(host, "last_success_timestamp_seconds", "prune")


# One snapshot for each day that is given, with the day as its content; two at a time, as restic permits.
BACK_UP_DAYS = f"""
one() {{
  mkdir -p /srv/years/$1/srv
  echo $1 >/srv/years/$1/day
  vise-restic with a backup --quiet --host={NAME} --tag=years --time="$1 02:10:00" /srv/years/$1/day
}}
export -f one
printf '%s\n' {{days}} | xargs -P 2 -I {{}} bash -c 'one {{}}'
rm -r /srv/years
"""


def list_days(host: Host) -> list[datetime.date]:
    """Return the days of the snapshots that the repository lists, oldest first."""
    found = json.loads(host.check_output("vise-restic with a snapshots --no-cache --json --tag years"))
    return sorted(datetime.date.fromisoformat(one["time"][:10]) for one in found)


@pytest.mark.deep
def test_retention_keeps_over_three_years_what_the_manual_promises(role: Role, host: Host) -> None:
    full = "{{ repositories.0 | combine({'key': s3.full.key, 'key_secret': s3.full.secret}) }}"
    role.apply(restic_prune_repositories=[full])
    today = datetime.date.fromisoformat(host.check_output("date +%F"))
    # One night of each week of the first years, every night of the last hundred days.
    nights = [today - datetime.timedelta(days=age) for age in range(1095, -1, -1) if age < 100 or age % 7 == 0]
    every = list[datetime.date]()
    for number in range(0, len(nights), 27):
        chunk = nights[number : number + 27]
        machines.script(host, BACK_UP_DAYS.replace("{days}", " ".join(map(str, chunk))))
        host.check_output("systemctl start restic-prune@a")
        every += chunk
        kept = list_days(host)
        # At each moment: the newest, all of the last 30 days, and the last one of each week of 90 days.
        assert set(every[-30:]) & {day for day in every if chunk[-1] - day < datetime.timedelta(days=30)} <= set(kept)
        weeks = {day.isocalendar()[:2]: day for day in every if chunk[-1] - day < datetime.timedelta(days=90)}
        assert set(weeks.values()) <= set(kept)
        # The last one of each year, for ever.
        years = {day.year: day for day in every}
        assert set(years.values()) <= set(kept)
        # Nothing else: restic also keeps the oldest, as long as there are fewer years than it may keep.
        recent = {day for day in every if chunk[-1] - day <= datetime.timedelta(days=30)}
        weekly = set(weeks.values())
        last_weeks = {
            day for day in kept if datetime.timedelta(days=84) <= chunk[-1] - day <= datetime.timedelta(days=91)
        }
        assert set(kept) <= recent | weekly | last_weeks | set(years.values()) | {every[0]}
    # Each of them can be restored.
    for day in [every[-1], *years.values(), kept[0]]:
        command = f"vise-restic restore years /root/out {day + datetime.timedelta(days=1)}"
        host.check_output(f"rm -rf /root/out; {command}")
        assert host.check_output("cat /root/out/srv/years/*/day") == str(day)
    host.check_output("rm -rf /root/out; systemctl start restic-check@a")
    role.apply()


@pytest.mark.deep
def test_prune_that_may_not_delete_fails(role: Role, host: Host) -> None:
    # restic itself exits with 0.
    role.apply(restic_prune_repositories=["{{ repositories.0 }}"])
    machines.script(host, f'{DATED}\ndated "today -60 days 03:10" /srv/odd/empty')
    assert host.run("systemctl start restic-prune@a").rc != 0
    assert "1 of 1 snapshots were not removed" in journal(host, "restic-prune@a")


REMOVED_PRUNE = """
test ! -e /etc/vise/restic/prune.json
test ! -e /etc/systemd/system/restic-prune@.service
test ! -L /etc/systemd/system/timers.target.wants/restic-prune@a.timer
not systemctl is-active restic-prune@a.timer
not ls /var/lib/prometheus/node-exporter/*prune*
"""


@pytest.mark.deep
def test_removed_prune_credential_leaves_nothing(role: Role, host: Host) -> None:
    role.apply()
    machines.script(host, NOT + REMOVED_PRUNE)


FAILING_SETS = [
    "{{ odd }}",
    {"name": "refused", "paths": ["/srv/odd"], "before": [{"argv": ["sh", "-c", "echo no socket; exit 4"]}]},
    {"name": "endless", "paths": ["/srv/odd"], "before": [{"argv": ["sleep", "300"], "limit": 1}]},
    {"name": "absent", "paths": ["/srv/odd/empty", "/srv/absent"]},
    {"name": "dangling", "paths": ["/srv/odd/empty", "/srv/dangling"]},
    {"name": "socket", "paths": ["/srv/odd/empty", "/run/systemd/notify"]},
    {"name": "excluded", "paths": ["/srv/odd/empty", "/srv/odd/big"], "excludes": ["/srv/odd/b*"]},
    # Reading its first byte fails, for root as well.
    {"name": "unreadable", "paths": ["/srv/odd/empty", "/proc/self/mem"]},
]


@pytest.fixture(scope="module")
def failing_sets(role: Role, host: Host) -> None:
    """Sets whose backups fail in one repository, with a limit below restic's own quarter of an hour."""
    host.check_output("ln -sfn absent /srv/dangling")
    run = role.run(
        restic_repositories="{{ repositories[:1] }}",
        restic_sets=FAILING_SETS,
        restic_limits={"backup": "60s", "check": "6h", "prune": "12h"},
    )
    assert "the first backup failed" in run.output


@pytest.mark.deep
@pytest.mark.usefixtures("failing_sets")
@pytest.mark.parametrize(
    ("name", "message", "status", "has_snapshot"),
    [
        ("refused", "before the backup ended with 4", "1", False),
        ("endless", "did not end within 1 s", "1", False),
        ("absent", "incomplete: /srv/absent does not exist", "3", True),
        ("dangling", "incomplete: /srv/dangling is a symbolic link to /srv/absent, which does not exist", "3", True),
        ("socket", "incomplete: /run/systemd/notify is a socket", "3", True),
        ("excluded", "incomplete: /srv/odd/big is not in the snapshot", "3", True),
        ("unreadable", "incomplete: files could not be read", "3", True),
    ],
)
def test_incomplete_backup_fails_and_is_reported(
    host: Host, name: str, message: str, status: str, has_snapshot: bool
) -> None:
    assert host.run(f"systemctl start restic-backup@{name}:a").rc != 0
    assert message in journal(host, f"restic-backup@{name}:a")
    assert metric(host, "last_status", name) == status
    found = json.loads(host.check_output(f"vise-restic with a snapshots --json --tag {name}"))
    assert bool(found) == has_snapshot


def is_under_way(host: Host) -> bool:
    """Return whether the backup has not ended yet."""
    return "activating" in host.run(f"systemctl is-active {UNIT}").stdout


def begin_backup(host: Host, world: Host) -> None:
    """Start a backup to the slow repository; it holds its lock, so it has opened the repository and begins to write."""
    host.check_output("head -c 8000000 /dev/urandom >/srv/odd/more; systemctl reset-failed")
    host.check_output(f"systemctl start --no-block {UNIT}")
    assert machines.eventually(lambda: world.run(f"ls {LOCKS} | grep -q .").rc == 0, 30)


@dataclass(frozen=True)
class Outcome:
    """The result of a backup during which its repository failed."""

    failed: bool
    status: str
    is_complete: bool
    message: str


@pytest.fixture
def more(host: Host) -> Iterator[None]:
    """A file that a test adds to the set is removed, or the largest pack would be one that no later snapshot needs."""
    yield
    host.check_output("rm -f /srv/odd/more")


def back_up_under(host: Host, world: Host, kind: str, seconds: float) -> Outcome:
    """Let the repository fail for some seconds while a backup is written to it, or until the backup has ended."""
    began = time.time()
    # So slow that it has not ended before it is halted.
    with storage.fault("s3_a", "slow"):
        begin_backup(host, world)
        host.check_output(f"systemctl kill --signal=STOP {UNIT}")
        assert is_under_way(host)
    with storage.fault("s3_a", kind):
        host.check_output(f"systemctl kill --signal=CONT {UNIT}")
        machines.eventually(lambda: not is_under_way(host), seconds)
        late = is_under_way(host)
    assert machines.eventually(lambda: not is_under_way(host), 150)
    assert late == (kind == "slow")
    return Outcome(
        failed=host.run(f"systemctl is-failed {UNIT}").rc == 0,
        status=metric(host, "last_status", "odd"),
        is_complete=host.run("vise-restic with a ls latest | grep -aqx /srv/odd/more").rc == 0,
        message=host.check_output(f"journalctl -u {UNIT} -o cat --since=@{began:.0f}"),
    )


@pytest.mark.deep
@pytest.mark.usefixtures("failing_sets", "more")
@pytest.mark.parametrize(
    ("kind", "seconds", "failed", "message"),
    [
        ("403", 150, True, "secret is wrong, or lacks the permission"),
        ("500", 150, True, "Failed with result"),
        # One pack of 8 MB at 512 KiB/s: the backup waits for longer than the fault lasts.
        ("slow", 8, False, ""),
    ],
)
def test_backup_to_a_failing_repository_is_reported_and_the_next_one_succeeds(
    host: Host, world: Host, kind: str, seconds: float, failed: bool, message: str
) -> None:
    outcome = back_up_under(host, world, kind, seconds)
    assert outcome.failed == failed
    assert outcome.status == ("1" if failed else "0")
    assert outcome.is_complete != failed
    assert message in outcome.message
    assert not failed or "Failed with result" in outcome.message
    host.check_output(f"rm /srv/odd/more; systemctl start {UNIT}")
    assert world.run(f"ls {LOCKS}").stdout.split() == []


@pytest.mark.deep
@pytest.mark.usefixtures("failing_sets", "more")
def test_lock_of_a_killed_backup_blocks_nothing(host: Host, world: Host) -> None:
    with storage.fault("s3_a", "slow"):
        begin_backup(host, world)
        host.check_output(f"systemctl kill --signal=KILL {UNIT}")
        assert machines.eventually(lambda: host.run(f"systemctl is-failed {UNIT}").rc == 0)
        assert world.check_output(f"ls {LOCKS}")
    assert metric(host, "last_failure_timestamp_seconds", "odd")
    host.check_output("rm /srv/odd/more; python3 /srv/tree.py show /srv/odd >/root/wanted")
    # The check needs the repository for itself.
    host.check_output("systemctl start restic-check@a")
    assert host.check_output("vise-restic with a list locks --no-lock") == ""


@pytest.mark.deep
def test_removed_set_leaves_nothing(role: Role, host: Host) -> None:
    role.apply()
    assert host.run("systemctl is-active restic-backup@refused:a.timer").rc != 0
    assert host.run("ls /var/lib/prometheus/node-exporter/*refused*").rc != 0


# The largest pack has bytes that each snapshot needs, the smallest has trees.
OBJECTS = {
    "pack": "find data -type f -printf '%s %p\\n' | sort -n | tail -1 | cut -d' ' -f2",
    "tree": "find data -type f -printf '%s %p\\n' | sort -n | head -1 | cut -d' ' -f2",
    "index": "ls -d index/* | tail -1",
    "snapshot": "ls -t -d snapshots/* | head -1",
}
FLIP = """python3 - $object <<'PY'
import sys
with open(sys.argv[1], "r+b") as handle:
    middle = handle.seek(0, 2) // 2
    handle.seek(middle)
    byte = handle.read(1)[0]
    handle.seek(middle)
    handle.write(bytes([byte ^ 1]))
PY"""
DAMAGES = {
    "flipped": FLIP,
    "truncated": "truncate -s $(($(stat -c %s $object) / 2)) $object",
    "deleted": "rm $object",
}
KEPT = f"/root/whole.{NAME}"
# A day goes by: what is remembered of the reads is a day older.
NEXT_DAY = """python3 - <<'PY'
import json
path = "/var/lib/vise/restic/check@a.json"
remembered = json.load(open(path))
remembered["read"] = {name: day - 1 for name, day in remembered.get("read", {}).items()}
json.dump(remembered, open(path, "w"))
PY"""


def day_of_detection(host: Host) -> int:
    """Let the timer's unit run on each day of a cycle; return the day on which it fails, or 0."""
    host.check_output("rm -f /var/lib/vise/restic/check@a.json")
    for day in range(1, DAYS + 1):
        if host.run("systemctl start restic-check@a").rc:
            return day
        host.run(NEXT_DAY)
    return 0


@pytest.fixture(scope="module")
def newest_is_in_a(host: Host) -> None:
    """The newest snapshot is in the repository that is damaged."""
    host.check_output("systemctl start restic-backup@odd:b && systemctl start restic-backup@odd:a")
    host.check_output("python3 /srv/tree.py show /srv/odd >/root/wanted")


@pytest.fixture
def damaged(world: Host, request: pytest.FixtureRequest) -> Iterator[None]:
    """One damaged object, which is whole again afterwards."""
    kind, damage = request.param
    name = world.check_output(f"cd {STORE} && {OBJECTS[kind]}")
    damaging = f"cd {STORE}; object={name}; cp -p $object {KEPT}\n{DAMAGES[damage]}\n"
    # World remembers the disk for a second at most.
    machines.script(world, f"{damaging}if cmp -s $object {KEPT}; then exit 9; fi; sleep 1.2")
    yield
    machines.script(world, f"cp -p {KEPT} {STORE}/{name}; sleep 1.2")


@pytest.mark.deep
@pytest.mark.usefixtures("newest_is_in_a", "damaged")
@pytest.mark.parametrize(
    ("damaged", "sources"),
    [
        # What the newest snapshot does not need may be damaged, and its source be a.
        pytest.param((kind, damage), ["b"] if kind in ("pack", "snapshot") else ["a", "b"], id=f"{damage} {kind}")
        for kind in OBJECTS
        for damage in DAMAGES
    ],
    indirect=["damaged"],
)
def test_damaged_object_is_found_within_the_cycle_and_the_restore_is_whole(host: Host, sources: list[str]) -> None:
    assert day_of_detection(host) in range(1, DAYS + 1)
    report = host.check_output("rm -rf /root/out; vise-restic restore odd /root/out latest")
    assert json.loads(report.splitlines()[0])["repository"] in sources
    assert is_equal(host, "/root/out/srv/odd")


@pytest.mark.deep
@pytest.mark.usefixtures("newest_is_in_a")
def test_repaired_repository_is_whole(host: Host) -> None:
    assert day_of_detection(host) == 0


def test_variables_of_a_login_have_no_effect(role: Role, host: Host) -> None:
    role.assert_login_environment_has_no_effect(host, "vise-restic ready", "vise-restic with a snapshots --no-cache")


STORES = [f"/var/lib/world/s3-{letter}/vise-backups/restic/{NAME}" for letter in "ab"]
HIDDEN = f"/root/hidden.{NAME}"


@pytest.fixture
def damaged_newest(host: Host, world: Host) -> Iterator[None]:
    """What only the newest snapshots need is missing in both repositories; the ones before them are whole."""
    host.check_output("systemctl start restic-backup@odd:a restic-backup@odd:b")
    host.check_output("python3 /srv/tree.py show /srv/odd >/root/wanted; head -c 1000000 /dev/urandom >/srv/odd/more")
    world.check_output(f"mkdir -p {HIDDEN}")
    for store in STORES:
        before = f"{HIDDEN}/before"
        world.check_output(f"find {store}/data -type f | sort >{before}")
        host.check_output(f"systemctl start restic-backup@odd:{store[18]}")
        added = f"find {store}/data -type f | sort | comm -13 {before} - >{HIDDEN}/added; test -s {HIDDEN}/added"
        machines.script(
            world, f"{added}; xargs cp -p --parents -t {HIDDEN}/ <{HIDDEN}/added; xargs rm <{HIDDEN}/added; sleep 1.2"
        )
    yield
    machines.script(world, f"cp -a {HIDDEN}/var /; rm -r {HIDDEN}; sleep 1.2")
    host.check_output("rm -rf /srv/odd/more /srv/odd.before-restore-*")


@pytest.mark.deep
@pytest.mark.usefixtures("damaged_newest")
def test_snapshot_before_a_damaged_one_is_restored_only_with_consent(role: Role, host: Host) -> None:
    before = host.check_output("ls -A /srv; stat -c %i /srv/odd")
    refused = restore(role, f"restore_replace_live={NAME}")
    assert refused.code != 0
    for message in (
        "nothing was changed",
        "older snapshots, not tried: ",
        "add -e restore_snapshot=",
        "older_backup=true",
    ):
        assert message in " ".join(refused.output.split())
    assert host.check_output("ls -A /srv; stat -c %i /srv/odd") == before
    run = restore(role, f"restore_replace_live={NAME}", "restore_older_backup=true")
    assert run.code == 0, run.tail
    assert "Changes between these times are lost" in " ".join(run.output.split())
    assert is_equal(host, "/srv/odd")
