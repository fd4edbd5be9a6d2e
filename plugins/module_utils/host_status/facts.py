# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read the state of a host by the evaluation of each program; every reader has a time limit and changes nothing."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import socket
import ssl
import time
import typing as t
from concurrent import futures

from ..base import reboot
from ..component import copies, survey
from ..component.store import ROOT, Store
from ..host import certificates, files, locks, metrics, programs
from ..pgbackrest import jobs as pgbackrest_jobs
from ..pgbackrest import repository, tool
from ..pgbackrest.restore import NOTES
from ..postgresql import session
from ..postgresql.upgrade_host import NOTE
from ..restic import jobs as restic_jobs
from . import samples

QUICK, SLOW = 15, 60  # seconds
THREADS = 12
UNIT_PROPERTIES = "Id,LoadState,ActiveState,SubState,Result"
SSL_REQUEST = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"
# Without the caches of apt, because a simulation as root would write them. The lists may be updated meanwhile.
SIMULATE = (
    *("apt-get", "--simulate", "-o", "Debug::NoLocking=true"),
    *("-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache=", "dist-upgrade"),
)
REPLICATION = """
SELECT json_build_object(
  'standby', pg_is_in_recovery(),
  'version', split_part(current_setting('server_version'), ' ', 1),
  'read_only', current_setting('default_transaction_read_only') = 'on',
  'standbys', (SELECT coalesce(json_agg(json_build_object(
      'name', coalesce(nullif(application_name, ''), host(client_addr)), 'state', state,
      'lag_bytes', pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn()
        ELSE pg_current_wal_lsn() END, replay_lsn))), '[]') FROM pg_stat_replication
      WHERE application_name <> 'pg_basebackup'),
  'lost_slots', (SELECT coalesce(json_agg(slot_name), '[]') FROM pg_replication_slots WHERE NOT active),
  'receives', EXISTS (SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming'),
  'lag_seconds', CASE WHEN NOT pg_is_in_recovery() OR pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0
    ELSE extract(epoch FROM now() - pg_last_xact_replay_timestamp()) END)
"""
# What interrupted runs leave: pattern of the files, what they are, and how they end.
JOURNALS = (
    (f"{NOTES}/*.json", "the note of a restore of PostgreSQL", "run vise.platform.restore_database again"),
    (f"/{NOTE}", "the note of an upgrade of PostgreSQL", "run vise.platform.upgrade_postgresql again"),
    ("/var/lib/vise/mailcow/upgrade.json", "an upgrade of mailcow", "run vise.platform.upgrade_mail again"),
    ("/srv/sites/*/pending.json", "an unfinished release of a site", "run vise.platform.sites again"),
    ("/srv/sites/*/releases/.old-*", "a release that was to be removed", "run vise.platform.sites again"),
    ("/var/lib/postgresql/*/*.vise-new", "a staging directory of PostgreSQL", "run vise.platform.data again"),
    ("/var/lib/postgresql/*/*.vise-old", "replaced data of PostgreSQL", "run vise.platform.data again"),
    ("/etc/vise/tls/*.new", "a staged certificate", "run vise.platform.site again"),
)

Data = dict[str, t.Any]


def collect(readers: t.Mapping[str, t.Callable[[], t.Any]]) -> tuple[Data, dict[str, str]]:
    """Run all readers at once; return what they found, and the error of each that failed."""
    found: Data = {}
    errors: dict[str, str] = {}
    with futures.ThreadPoolExecutor(THREADS) as pool:
        running = {name: pool.submit(reader) for name, reader in readers.items()}
        for name, future in running.items():
            try:
                found[name] = future.result()
            # Any error: one part that cannot be read must not hide the others.
            except Exception as error:  # noqa: BLE001
                errors[name] = " ".join((str(error) or type(error).__name__).split())[-300:]
    return found, errors


def read_host() -> Data:
    """Return system, kernel, uptime and the share of each disk that is used."""
    release = dict(line.split("=", 1) for line in files.read_text("/etc/os-release").splitlines() if "=" in line)
    version = files.read_text("/etc/debian_version").strip() or release.get("VERSION_ID", "").strip('"')
    return {
        "system": f"{release.get('ID', 'unknown')} {version}".strip(),
        "kernel": os.uname().release,
        "uptime_seconds": int(float((files.read_text("/proc/uptime").split() or ["0"])[0])),
        "disks": {path: measure_use(path) for path in ("/", "/var", "/srv", "/opt") if is_own_disk(path)},
    }


def is_own_disk(path: str) -> bool:
    """Return whether a path is a mounted file system of its own, or the root."""
    return path == "/" or os.path.ismount(path)


def measure_use(path: str) -> int:
    """Return the percentage of a file system that is used, as `df` computes it."""
    space = os.statvfs(path)
    used = space.f_blocks - space.f_bfree
    return -(-100 * used // max(1, used + space.f_bavail))


def read_components(root: str = ROOT) -> dict[str, Data]:
    """Return the components that were applied to the host, with their units and what a killed run left."""
    found = {}
    for name in sorted(os.listdir(root)) if os.path.isdir(root) else []:
        store = Store(name, root)
        if not store.exists():
            continue
        record = store.read_record()
        units = [unit["name"] for unit in record.get("units", ()) if unit["state"] == "started"]
        pending = os.path.exists(os.path.join(root, name, "pending.json"))
        found[name] = {"units": units, "complete": bool(record), "pending": pending, "busy": is_busy(store)}
    return found


def is_busy(store: Store) -> bool:
    """Return whether a run works on the component now."""
    if not os.path.exists(os.path.join(store.directory, "lock")):
        return False
    try:
        with store.lock(wait=False):
            return False
    except locks.LockedError:
        return True


def read_units(names: t.Iterable[str]) -> dict[str, dict[str, str]]:
    """Return the properties of units as systemd has them."""
    names = list(dict.fromkeys(names))
    if not names:
        return {}
    text = programs.call(["systemctl", "show", "--property", UNIT_PROPERTIES, *names], timeout=QUICK)
    blocks = [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in text.split("\n\n")]
    # The answer has one block for each name; its own name may be that of an alias.
    return dict(zip(names, filter(None, blocks), strict=False))


def read_failed_units() -> list[str]:
    """Return the units that have failed."""
    argv = ["systemctl", "list-units", "--state=failed", "--plain", "--no-legend", "--no-pager", "--full"]
    return [line.split()[0] for line in programs.call(argv, timeout=QUICK).splitlines() if line.strip()]


def read_versions() -> dict[str, str]:
    """Return the versions of all installed packages."""
    argv = ["dpkg-query", "--show", "--showformat", "${Package} ${Version} ${db:Status-Status}\n"]
    lines = [line.split() for line in programs.call(argv, timeout=QUICK).splitlines()]
    return {words[0]: words[1] for words in lines if words[-1] == "installed"}


def read_updates() -> dict[str, int]:
    """Return how many packages apt would upgrade, and how many of them for security."""
    return samples.count_updates(programs.call(SIMULATE, timeout=SLOW))


def read_containers(directory: str) -> list[dict[str, str]]:
    """Return the containers of a project of Docker Compose with their state."""
    label = '{{.Label "com.docker.compose.project.working_dir"}}'
    argv = ["docker", "ps", "--all", "--format", f"{{{{.Names}}}}\t{{{{.State}}}}\t{{{{.Status}}}}\t{label}"]
    rows = [line.split("\t") for line in programs.call(argv, timeout=QUICK).splitlines() if line.count("\t") == 3]
    return [{"name": name, "state": state, "status": status} for name, state, status, at in rows if at == directory]


# ---- certificates ----


def list_places() -> list[Data]:
    """Return each place at which a service of this host presents a certificate."""
    places: list[Data] = []
    for site in (files.read_json("/etc/vise/nginx.json") or {}).get("sites", ()):
        name = site["domain"].replace("*", "any", 1)
        places.append({"service": "nginx", "name": name, "address": site["address"], "port": site["port"]})
    for path in sorted(glob.glob("/etc/vise/postgresql-*.json")):
        service = os.path.basename(path).removesuffix(".json")
        places.append({"service": service, "port": files.read_json(path)["port"], "begin": SSL_REQUEST})
    if pool := files.read_json("/etc/vise/pgbouncer.json"):
        places.append({"service": "pgbouncer", "port": pool["port"], "begin": SSL_REQUEST})
    if port := samples.find_setting(files.read_text("/etc/redis/redis.conf"), "tls-port"):
        pair = [samples.find_setting(files.read_text("/etc/redis/redis.conf"), f"tls-{one}-file") for one in PAIR]
        places.append({"service": "redis", "port": int(port), "client": tuple(pair) if all(pair) else None})
    if os.path.exists("/etc/vise/mailcow/settings.json"):
        places += [{"service": "mailcow", "port": port} for port in (465, 993)]
    return places


PAIR = ("cert", "key")


def read_certificate(place: Data) -> Data:
    """Return when the certificate ends that a service really presents, or why there is none."""
    found = {"service": place["service"], "place": f"{place.get('name') or 'port'} {place['port']}"}

    def begin(connection: socket.socket) -> None:
        connection.sendall(place["begin"])
        if connection.recv(1) != b"S":
            raise OSError("the server refuses TLS")

    prepare = begin if "begin" in place else None
    address, name = place.get("address") or "127.0.0.1", place.get("name", "")
    try:
        served = certificates.read_served(address, place["port"], prepare, place.get("client"), name)
    except (OSError, ValueError) as error:
        return {**found, "error": str(error) or type(error).__name__}
    # openssl is on each host; the library python3-cryptography only where a role needs it.
    argv = ["openssl", "x509", "-noout", "-enddate", "-subject_hash", "-issuer_hash"]
    result = programs.run(argv, stdin=ssl.DER_cert_to_PEM_cert(served or b""), timeout=QUICK)
    facts = samples.parse_certificate(result.out)
    return {**found, **facts} if facts else {**found, "error": f"the certificate cannot be read: {result.text}"}


def read_certificates() -> list[Data]:
    """Return the certificates of all services, each by a connection to its port."""
    places = list_places()
    with futures.ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(read_certificate, places))


# ---- data ----


def read_replication() -> dict[str, Data]:
    """Return, for each component of PostgreSQL, its role and its replication, or the error of the query."""
    found: dict[str, Data] = {}
    for path in sorted(glob.glob("/etc/vise/postgresql-*.json")):
        settings = files.read_json(path)
        query = " ".join(REPLICATION.split())
        result = tool.psql(query, "/var/run/postgresql", settings["port"], seconds=QUICK)
        name = os.path.basename(path).removesuffix(".json")
        fenced = os.path.exists(settings["fence"])
        answer = {"error": result.text[-300:]} if result.failed else json.loads(result.out)
        found[name] = {"fenced": fenced, "wanted_standby": settings["standby"], **answer}
    return found


def read_repositories() -> list[Data]:
    """Return the newest backup in each repository of pgBackRest, as `pgbackrest info` reports it."""
    try:
        settings = pgbackrest_jobs.Settings.load("/etc/vise/pgbackrest.json")
    except pgbackrest_jobs.JobError:
        return []
    argv = ["pgbackrest", f"--config={settings.config}", f"--stanza={settings.stanza}", *pgbackrest_jobs.INFO, "info"]
    result = programs.run(
        argv,
        user=tool.USER,
        environment={**tool.ENVIRONMENT, **session.build_environment("")},
        timeout=SLOW,
        hide=tool.read_secrets(settings.config),
    )
    if result.failed:
        problem = f"`pgbackrest info` failed: {repository.extract_error(result.text) or result.text[-300:]}"
        return [{"name": str(number), "error": problem} for number in settings.repositories]
    known = {one.number: one for one in repository.parse_info(result.out, settings.stanza)}
    return [_describe_repository(number, known.get(number)) for number in settings.repositories]


def _describe_repository(number: int, found: repository.Repository | None) -> Data:
    if found is None or not found.reachable:
        return {"name": str(number), "error": found.message if found else "pgBackRest does not know it"}
    return {"name": str(number), "newest": max((one.end_time for one in found.backups), default=None)}


def read_samples(directory: str = metrics.DIRECTORY) -> list[metrics.Sample]:
    """Return the metrics that backups and proofs have written, with the name of their file as a label."""
    found: list[metrics.Sample] = []
    for path in sorted(glob.glob(f"{directory}/vise_*.prom")):
        name = os.path.basename(path).removesuffix(".prom")
        found += [(one, {**labels, "file": name}, value) for one, labels, value in samples.parse(files.read_text(path))]
    return found


def read_expected_files() -> list[tuple[str, str]]:
    """Return the sets of files that this host backs up, each with every repository."""
    try:
        settings = restic_jobs.load_settings()
    except restic_jobs.JobError:
        return []
    return [(name, repository) for name in settings.sets for repository in settings.repositories]


# ---- leftovers and differences ----


def read_leftovers(components: t.Iterable[str], root: str = ROOT) -> list[Data]:
    """Return what interrupted runs left, and the copies of files of others that were taken over."""
    found: list[Data] = [
        {"path": path, "text": text, "remedy": remedy}
        for pattern, text, remedy in JOURNALS
        for path in sorted(glob.glob(pattern))
    ]
    folders = {os.path.dirname(path) for name in components for path in Store(name, root).read_manifest().paths}
    for folder in sorted(folders):
        with contextlib.suppress(OSError):
            staged = [name for name in sorted(os.listdir(folder)) if files.is_staged(name)]
            found += [
                {"path": f"{folder}/{name}", "text": "a staged file", "remedy": "run vise.platform.site again"}
                for name in staged
            ]
    found += [
        {"path": path, "text": "copies of files of others", "remedy": "", "note": True}
        for path in sorted(glob.glob(f"{copies.ROOT}/*"))
    ]
    return found


def read_differences(root: str = ROOT) -> dict[str, list[str]]:
    """Return how each component differs from its last successful run, by its own probes."""
    codes: dict[str, None] = {}
    for name in sorted(os.listdir(root)) if os.path.isdir(root) else []:
        with contextlib.suppress(OSError, ValueError, AttributeError):
            codes[str(Store(name, root).read_record().get("code") or "")] = None
    found = {name: one for code in codes if code for name, one in survey.survey(code, root).items()}
    return {name: one["differences"] for name, one in found.items() if one["differences"]}


def read_reboot() -> list[str]:
    """Return why the host needs a reboot."""
    return reboot.find_reasons()


def read_now() -> int:
    """Return the seconds since 1970."""
    return int(time.time())
