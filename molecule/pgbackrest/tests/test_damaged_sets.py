"""A restore uses the set before a damaged one and names both, or changes nothing; a full disk loses nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from testinfra.host import Host

from tests import machines
from tests.databases import query, wait_until_archived
from tests.scenario import NAME, Role

DATA = "/var/lib/postgresql/17"
BEGAN = "SELECT pg_postmaster_start_time()"
COUNT = "SELECT count(*) FROM kept"
STORES = f"/var/lib/world/s3-[ab]/vise-backups/{NAME}"
ASIDE = f"/root/whole.{NAME}"
# Both repositories have the damage; world remembers the disk for a second at most.
DAMAGE = """
for object in {objects}; do
  mkdir -p {aside}/$(dirname $object)
  cp -p $object {aside}/$object
  {damage}
done
test -d {aside}
sleep 1.2
"""
FLIP = "printf x | dd of=$object bs=1 seek=$(($(stat -c %s $object) / 2)) conv=notrunc status=none"
REPAIR = f"cp -a {ASIDE}/. / && rm -r {ASIDE} && sleep 1.2"


def list_labels(host: Host, repository: int = 1) -> list[str]:
    """Return the labels of the sets in a repository, oldest first."""
    info = f"runuser -u postgres -- pgbackrest --stanza=main --repo={repository} --output=json info"
    return [backup["label"] for backup in json.loads(host.check_output(info))[0]["backup"]]


def restore(role: Role, **options: Any) -> dict[str, Any]:
    """Restore over the running cluster, whatever the result is."""
    task = {
        "name": "Restore",
        "vise.platform.database_restore": {"replace_live": True, **options},
        "register": "restored",
        "failed_when": False,
    }
    [result] = role.results([task]).values()
    return dict(result)


@pytest.fixture(scope="module", autouse=True)
def impatient(role: Role) -> Iterator[None]:
    """PgBackRest reports a damaged file at once; usually it reads it three times within half a minute."""
    role.apply(pgbackrest_settings={"job-retry": 0})
    yield
    role.apply()


@pytest.fixture
def sets(host: Host) -> Iterator[list[str]]:
    """A full and a differential backup in both repositories, with rows before, between and after them; their labels."""
    query(host, "DROP TABLE IF EXISTS kept", "CREATE TABLE kept AS SELECT g FROM generate_series(1, 1000) AS g")
    host.check_output("systemctl start vise-pgbackrest@full")
    query(host, "INSERT INTO kept SELECT g FROM generate_series(1001, 2000) AS g")
    host.check_output("systemctl start vise-pgbackrest@diff")
    query(host, "INSERT INTO kept SELECT g FROM generate_series(2001, 3000) AS g", "SELECT pg_switch_wal()")
    wait_until_archived(host)
    yield list_labels(host)[-2:]
    host.check_output(f"rm -rf {DATA}/main.before-*")


@pytest.fixture
def damaged(world: Host, host: Host, sets: list[str], request: pytest.FixtureRequest) -> Iterator[list[str]]:
    """The newest set is damaged in both repositories."""
    pattern, damage = request.param
    folders = [f"{STORES}/backup/main/{list_labels(host, number)[-1]}" for number in (1, 2)]
    objects = " ".join(f"$(ls -d {folder}/{pattern} 2>/dev/null || true)" for folder in folders)
    machines.script(world, DAMAGE.format(objects=objects, aside=ASIDE, damage=damage))
    yield sets
    machines.script(world, REPAIR)


DAMAGES = {
    "files are missing": ("bundle/*", "rm $object"),
    "bytes are changed": ("bundle/*", FLIP),
    "the list of files is missing": ("backup.manifest*", "rm $object"),
}


@pytest.mark.deep
@pytest.mark.parametrize("damaged", DAMAGES.values(), ids=list(DAMAGES), indirect=True)
def test_set_before_a_damaged_one_restores_every_row_and_is_named(role: Role, host: Host, damaged: list[str]) -> None:
    full, differential = damaged
    began = query(host, BEGAN)
    # The requested set and no other one: nothing changes, and the other sets are named, with a command.
    refused = restore(role, set=differential)
    assert "existing cluster was not changed" in refused["msg"], refused
    assert f"; set {full} of repository 1, which ended at" in refused["msg"]
    assert f"-e restore_backup_label={list_labels(host, 2)[-1]} -e restore_repository=2" in refused["msg"]
    assert query(host, BEGAN) == began
    assert not host.file(f"{DATA}/main.restoring").exists
    report = restore(role)["report"]
    assert report["set"] == full
    assert f"Set {differential} of repository 1 was not used: " in report["skipped"][0]
    assert f"Set {full} of repository 1, which ended at" in report["skipped"][-1]
    assert query(host, COUNT) == "3000"


# The data are on a small file system of their own, where the space check of a restore passes at first.
SMALL_DISK = f"""
systemctl stop postgresql@17-main
cp -a {DATA} /srv/data
mount -t tmpfs -o size=1500m,mode=755 tmpfs {DATA}
cp -a /srv/data/. {DATA}/
rm -r /srv/data
systemctl start postgresql@17-main
"""
BACK = f"""
systemctl stop postgresql@17-main
systemctl stop filler 2>/dev/null || true
rm -rf {DATA}/main.before-* {DATA}/filler
cp -a {DATA} /srv/data
umount {DATA}
rm -r {DATA}/main
cp -a /srv/data/main {DATA}/
rm -r /srv/data
systemctl start postgresql@17-main
"""
# Another program takes the space as soon as the restore writes; what it leaves is less than the cluster.
FILL = """
rm -f {data}/filler
systemctl stop filler 2>/dev/null || true
systemd-run --quiet --collect --unit=filler bash -c '
  until ls -d {begun} &>/dev/null; do sleep 0.01; done
  fallocate -l $(( $(df --output=avail -B1 {data} | tail -1) - {left} )) {data}/filler'
"""


@pytest.fixture
def small_disk(host: Host, sets: list[str]) -> Iterator[list[str]]:
    """The cluster is on a small file system."""
    machines.script(host, SMALL_DISK)
    yield sets
    machines.script(host, BACK)


@pytest.mark.deep
def test_full_disk_during_a_restore_loses_nothing_and_the_next_run_succeeds(
    role: Role, host: Host, small_disk: list[str]
) -> None:
    began = query(host, BEGAN)
    machines.script(host, FILL.format(data=DATA, begun=f"{DATA}/main.restoring/*", left=10 << 20))
    failed = restore(role)
    assert "has no space left for the restored cluster" in failed["msg"], failed
    assert "The existing cluster was not changed. Free space" in failed["msg"]
    assert not host.file(f"{DATA}/main.restoring").exists
    query(host, "INSERT INTO kept VALUES (3001)")
    assert query(host, COUNT) == "3001"
    assert query(host, BEGAN) == began
    host.check_output(f"rm {DATA}/filler")
    report = restore(role)["report"]
    assert report["set"] == small_disk[-1]
    assert report["skipped"] == []
    assert query(host, COUNT) == "3001"


@pytest.mark.deep
def test_full_disk_during_an_overwriting_restore_is_repeated_with_the_same_command(
    role: Role, host: Host, small_disk: list[str]
) -> None:
    # As after a loss: most files are missing, so that the restore writes them.
    machines.script(host, f"systemctl stop postgresql@17-main; rm -r {DATA}/main/base {DATA}/main/global")
    machines.script(host, FILL.format(data=DATA, begun=f"{DATA}/main/backup.manifest", left=1 << 20))
    failed = restore(role, mode="delta")
    assert "has no space left for the restored cluster" in failed["msg"], failed
    assert "are partly overwritten. Free space" in failed["msg"]
    host.check_output(f"rm {DATA}/filler")
    assert restore(role, mode="delta")["report"]["set"] == small_disk[-1]
    assert query(host, COUNT) == "3000"
