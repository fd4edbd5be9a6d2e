# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""mailcow's checkout, certificate and containers: compare them with the configuration, and change them."""

from __future__ import annotations

import ipaddress
import json
import socket
import time
import typing as t
import urllib.error
from pathlib import Path

from ..host import clients, files
from . import outgoing
from .checkout import require_own, switch
from .commands import load_input, run
from .repository import fetch, release
from .settings import STATE, UPGRADE, Problem, Settings, parse_conf

# These services read the certificate only at their start; mailcow's own renewal restarts them, too.
CERTIFICATE_USERS = ("postfix-mailcow", "dovecot-mailcow", "nginx-mailcow")
# The beginning of the plain-text greeting of a service, by the variable of its port in mailcow.conf.
GREETINGS = {"SMTP_PORT": b"220", "IMAP_PORT": b"* OK"}
# Seconds after the start of an upgrade in which a rollback is assumed to lose no work of users.
FRESH = 3600
RESTART = STATE / "restart-for-certificate"
# Files that the containers need, and that mailcow's own installer would create.
PLACEHOLDER = "data/conf/rspamd/override.d/worker-controller-password.inc"
DHPARAMS = "data/assets/{}/dhparams.pem"


# Postfix passes each message to rspamd at this port; until rspamd listens, it answers with the temporary error 451.
MILTER = ("rspamd-mailcow", 9900)


class Container(t.NamedTuple):
    """A container of the project."""

    service: str
    hash: str
    state: str


def read_conf(config: Settings) -> dict[str, str]:
    """Return the variables of mailcow.conf."""
    return parse_conf((config.directory / "mailcow.conf").read_text())


def compose(config: Settings, *arguments: str) -> str:
    """Run docker compose for mailcow's project."""
    return run(["docker", "compose", *arguments], directory=config.directory)


def is_stale(note: t.Mapping[str, t.Any]) -> bool:
    """Return whether an upgrade is so old that a rollback could discard work of users."""
    begun: float = note.get("begun", time.time())
    return time.time() - begun > FRESH


def refuse_other_release(config: Settings) -> None:
    """Fail if the configured release is not the installed one, unless it is that of the upgrade in progress.

    Fail, too, if somebody else has installed what is there.
    """
    note = UPGRADE.read()
    if is_stale(note):
        raise Problem(
            f"the upgrade to {note['to']} was started over an hour ago and not finished. To keep the running release, "
            "run `vise-mailcow keep`. To roll back to the snapshot, which discards all later changes except messages, "
            "run `vise-mailcow revert`"
        )
    require_own(config, read_conf(config)["COMPOSE_PROJECT_NAME"])
    now = release(config)
    if now and now != config.version and note.get("to") != config.version:
        raise Problem(
            f"mailcow runs release {now}, but the configured release is {config.version}: run upgrade_mail.yml"
        )


def check(config: Settings) -> None:
    """Validate the new configuration files; the role runs this before they are live."""
    refuse_other_release(config)
    if not release(config):
        refuse_closed_network(config)
    if release(config) == config.version:
        compose(config, "config", "--quiet")


def refuse_closed_network(config: Settings) -> None:
    """Fail before the installation if mailcow could not resolve names; mailcow's own check can be disabled."""
    problem = "" if read_conf(config).get("SKIP_UNBOUND_HEALTHCHECK") == "y" else outgoing.find_problem()
    if problem:
        raise Problem(problem)


def configured_hashes(config: Settings) -> dict[str, str]:
    """Return the hash of each service's configuration, environment and image included."""
    pairs = (line.split() for line in compose(config, "config", "--hash", "*").splitlines() if line.strip())
    return {pair[0]: pair[1] for pair in pairs}


def list_containers(config: Settings) -> list[Container]:
    """Return the project's containers."""
    label = "com.docker.compose"
    form = f'{{{{.Label "{label}.service"}}}} {{{{.Label "{label}.config-hash"}}}} {{{{.State}}}}'
    argv = ["docker", "ps", "--all", "--filter", f"label={label}.project={read_conf(config)['COMPOSE_PROJECT_NAME']}"]
    lines = run([*argv, "--format", form]).splitlines()
    return [Container(*line.split()) for line in lines if len(line.split()) == 3]


def find_differences(wanted: t.Mapping[str, str], found: t.Sequence[Container]) -> list[str]:
    """Return the services that do not run as configured, and those that run and are not configured."""
    right = {c.service for c in found if c.state == "running" and wanted.get(c.service) == c.hash}
    return sorted((wanted.keys() | {c.service for c in found}) - right)


def network_differences(config: Settings) -> list[str]:
    """Return the networks that differ from the configuration; Docker cannot change a network that exists."""
    wanted = json.loads(compose(config, "config", "--format", "json")).get("networks") or {}
    names = {network["name"]: network for network in wanted.values() if network and not network.get("external")}
    found = run(["docker", "network", "ls", "--format", "{{.Name}}"]).split()
    return sorted(
        name
        for name, network in names.items()
        if name in found and network_differs(network, json.loads(run(["docker", "network", "inspect", name]))[0])
    )


def network_differs(wanted: t.Mapping[str, t.Any], found: t.Mapping[str, t.Any]) -> bool:
    """Return whether a network of Docker has other subnets or another IPv6 setting than the Compose file."""
    ipv6 = bool(wanted.get("enable_ipv6"))
    if ipv6 != bool(found.get("EnableIPv6")):
        return True
    subnets = [
        {ipaddress.ip_network(text) for text in texts if text and (ipv6 or ":" not in text)}
        for texts in (
            [part.get("subnet") for part in (wanted.get("ipam") or {}).get("config") or []],
            [part.get("Subnet") for part in (found.get("IPAM") or {}).get("Config") or []],
        )
    ]
    return bool(subnets[0]) and subnets[0] != subnets[1]


def start(config: Settings) -> None:
    """Start the containers as configured; a changed network is removed with its containers first."""
    # Download all images before a container stops
    compose(config, "pull", "--quiet", "--policy", "missing")
    if network_differences(config):
        compose(config, "down")
    compose(config, "up", "--detach", "--remove-orphans", "--quiet-pull")


def container_id(config: Settings, service: str) -> str:
    """Return the id of a service's running container; an empty text if it does not run."""
    return next(iter(compose(config, "ps", "--quiet", service).split()), "")


def run_sql(config: Settings, statements: str) -> str:
    """Run statements in MariaDB as root, in mailcow's database, and return the output."""
    return run(_sql_client(config), stdin=statements, MYSQL_PWD=read_conf(config)["DBROOT"])


def load_sql(config: Settings, source: Path) -> None:
    """Run the statements of a file in MariaDB as root, in mailcow's database."""
    load_input(_sql_client(config), source, MYSQL_PWD=read_conf(config)["DBROOT"])


def _sql_client(config: Settings) -> list[str]:
    exec_ = ["docker", "exec", "--interactive", "--env", "MYSQL_PWD", container_id(config, "mysql-mailcow")]
    return [*exec_, "mariadb", "--user=root", "--skip-column-names", read_conf(config)["DBNAME"]]


def certificate_files(config: Settings) -> dict[Path, str]:
    """Return the files from which mailcow's services read the certificate, with the wanted content."""
    sources = {"cert.pem": config.certificate, "key.pem": config.certificate_key}
    missing = [path for path in sources.values() if not Path(path).is_file()]
    if missing:
        raise Problem(f"{missing[0]} does not exist: create the certificate and its key before mailcow starts")
    public = [
        run(["openssl", "x509", "-in", config.certificate, "-noout", "-pubkey"]),
        run(["openssl", "pkey", "-in", config.certificate_key, "-pubout"]),
    ]
    if public[0] != public[1]:
        raise Problem(f"{config.certificate_key} is not the key of {config.certificate}")
    return {config.directory / "data/assets/ssl" / name: Path(path).read_text() for name, path in sources.items()}


def certificate_differs(config: Settings) -> bool:
    """Return whether mailcow uses an older certificate than the configured one."""
    found = certificate_files(config)
    return RESTART.exists() or any(not path.is_file() or path.read_text() != text for path, text in found.items())


def update_certificates(config: Settings) -> bool:
    """Install the certificate and restart the services that use it; return whether anything changed."""
    if not release(config) or not certificate_differs(config):
        return False
    # Written first: if this run is killed, the next run completes it
    files.replace_file(str(RESTART), "")
    for path, text in certificate_files(config).items():
        files.make_directories(str(path.parent))
        files.replace_file(str(path), text)
    running = [c.service for c in list_containers(config) if c.state == "running" and c.service in CERTIFICATE_USERS]
    if running:
        compose(config, "restart", *running)
    files.remove_file(str(RESTART))
    return True


def install(config: Settings) -> None:
    """Check out the release and create the files that mailcow's own installer would create."""
    switch(config, fetch(config, config.version))
    write_once(config.directory / PLACEHOLDER, "# Placeholder\n")
    example = config.directory / DHPARAMS.format("ssl-example")
    if example.is_file():
        write_once(config.directory / DHPARAMS.format("ssl"), example.read_text())


def write_once(path: Path, text: str) -> None:
    """Write a file unless it exists."""
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        files.replace_file(str(path), text, mode=0o644)


def plan(config: Settings) -> list[str]:
    """Return the necessary actions."""
    refuse_other_release(config)
    if release(config) != config.version:
        return [f"check out {config.version}", "install certificate", "start containers"]
    actions = ["install certificate"] if certificate_differs(config) else []
    actions += [f"recreate network {name}" for name in network_differences(config)]
    return actions + [f"start {name}" for name in find_differences(configured_hashes(config), list_containers(config))]


def up(config: Settings) -> list[str]:
    """Make mailcow run as configured and wait until it answers; return the actions."""
    actions = plan(config)
    certificate_files(config)
    if release(config) != config.version:
        install(config)
    update_certificates(config)
    if network_differences(config) or find_differences(configured_hashes(config), list_containers(config)):
        start(config)
    wait_until_healthy(config)
    return actions


def check_api(config: Settings) -> str:
    """Return the reason if the API does not answer; otherwise an empty text."""
    url = f"http://127.0.0.1:{config.port}/api/v1/get/status/version"
    try:
        with clients.open_url(url, headers={"X-API-Key": read_conf(config).get("API_KEY", "")}, timeout=10) as reply:
            content = json.loads(reply.read())
    except urllib.error.HTTPError as error:
        return f"the API answers {error.code}: {error.read()[:200].decode('utf-8', 'replace')}"
    except (OSError, ValueError) as error:
        return f"the API does not answer: {error}"
    return (
        ""
        if isinstance(content, dict) and content.get("version")
        else f"the API does not return its version: {content}"
    )


def check_health(config: Settings) -> str:
    """Return the problem of the running mailcow; an empty text if it has none."""
    down = find_differences(configured_hashes(config), list_containers(config))
    if down:
        return f"not running as configured: {', '.join(down)}"
    problems = (check_greeting(config, name) for name in GREETINGS)
    return check_api(config) or check_milter(config) or next(filter(None, problems), "")


def check_milter(config: Settings) -> str:
    """Return the reason if rspamd does not listen; it starts when the API already answers."""
    service, port = MILTER
    form = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    address = run(["docker", "inspect", "--format", form, container_id(config, service)]).strip()
    try:
        socket.create_connection((address, port), timeout=10).close()
    except OSError as error:
        return f"{service} port {port} does not answer: {error}"
    return ""


def queue(config: Settings) -> list[dict[str, t.Any]]:
    """Return the messages in Postfix's queue. mailcow's API returns an empty list also if this query fails."""
    service = container_id(config, "postfix-mailcow")
    if not service:
        raise Problem("postfix-mailcow does not run")
    return [json.loads(line) for line in run(["docker", "exec", service, "postqueue", "-j"]).splitlines()]


def check_greeting(config: Settings, name: str) -> str:
    """Return the reason if a mail service sends no greeting; Docker accepts connections before the service runs."""
    port = read_conf(config).get(name, "").rpartition(":")[2]
    try:
        with socket.create_connection(("127.0.0.1", int(port)), timeout=10) as connection:
            greeting = connection.recv(100)
    except (OSError, ValueError) as error:
        return f"{name} {port} does not answer: {error}"
    return "" if greeting.startswith(GREETINGS[name]) else f"{name} {port} sends no greeting: {greeting!r}"


def wait_until_healthy(config: Settings) -> None:
    """Wait until mailcow is healthy."""
    end = time.monotonic() + config.start_seconds
    while problem := check_health(config):
        if time.monotonic() > end:
            raise Problem(f"mailcow does not work after {config.start_seconds} s: {problem}")
        time.sleep(1)
