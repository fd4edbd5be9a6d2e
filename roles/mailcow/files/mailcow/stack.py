"""mailcow's checkout, certificate and containers: what differs from what is wanted, and how it is made so."""

from __future__ import annotations

import json
import socket
import time
import typing as t
import urllib.error
import urllib.request
from pathlib import Path

from mailcow.host import MARKER, STATE, Problem, Settings, configuration, run, write

# They read the certificate when they start, and mailcow's own renewal restarts them too.
CERTIFICATE_USERS = ("postfix-mailcow", "dovecot-mailcow", "nginx-mailcow")
# What answers in clear, by its variable of mailcow.conf, and how it begins.
GREETINGS = {"SMTP_PORT": b"220", "IMAP_PORT": b"* OK"}
# Seconds within which an upgrade that has begun is one that runs, or that was killed just now.
FRESH = 3600
RESTART = STATE / "restart-for-certificate"
# What containers must find, and mailcow's own installer would have made.
PLACEHOLDER = "data/conf/rspamd/override.d/worker-controller-password.inc"
DHPARAMS = "data/assets/{}/dhparams.pem"


class Container(t.NamedTuple):
    """A container of the project."""

    service: str
    hash: str
    state: str


def conf(of: Settings) -> dict[str, str]:
    """Return the variables of mailcow.conf."""
    return configuration((of.directory / "mailcow.conf").read_text())


def compose(of: Settings, *arguments: str) -> str:
    """Run docker compose on mailcow's project."""
    return run(["docker", "compose", *arguments], cwd=of.directory)


def release(of: Settings) -> str:
    """Return the tag that is checked out; nothing before the first."""
    if not (of.directory / ".git").is_dir():
        return ""
    try:
        return run(["git", "describe", "--tags", "--exact-match", "HEAD"], cwd=of.directory).strip()
    except Problem:
        return ""


def marker() -> dict[str, t.Any]:
    """Return what an upgrade that has begun has noted; nothing when there is none."""
    found: dict[str, t.Any] = json.loads(MARKER.read_text()) if MARKER.exists() else {}
    return found


def stale(note: t.Mapping[str, t.Any]) -> bool:
    """Tell whether an upgrade was left so long ago that mail was used since, which the way back would lose."""
    return time.time() - note.get("begun", time.time()) > FRESH


def refuse(of: Settings) -> None:
    """Stop where another release is wanted than the one that holds mail, unless an upgrade has begun."""
    note = marker()
    if stale(note):
        raise Problem(
            f"the upgrade to {note['to']} was never ended. Stay with what runs: vise-mailcow keep; go back to the "
            "databases of before it, without what was changed since: vise-mailcow revert"
        )
    now = release(of)
    if now and now != of.version and note.get("to") != of.version:
        raise Problem(f"mailcow is at {now}, and {of.version} is wanted: upgrade_mail.yml goes there with a way back")


def check(of: Settings) -> None:
    """See that the wanted files go with what is there; the role runs it before anybody else sees them."""
    refuse(of)
    if release(of) == of.version:
        compose(of, "config", "--quiet")


def wanted_hashes(of: Settings) -> dict[str, str]:
    """Return the hash of each service's configuration, environment and image included."""
    pairs = (line.split() for line in compose(of, "config", "--hash", "*").splitlines() if line.strip())
    return {pair[0]: pair[1] for pair in pairs}


def containers(of: Settings) -> list[Container]:
    """Return the project's containers."""
    label = "com.docker.compose"
    form = f'{{{{.Label "{label}.service"}}}} {{{{.Label "{label}.config-hash"}}}} {{{{.State}}}}'
    argv = ["docker", "ps", "--all", "--filter", f"label={label}.project={conf(of)['COMPOSE_PROJECT_NAME']}"]
    lines = run([*argv, "--format", form]).splitlines()
    return [Container(*line.split()) for line in lines if len(line.split()) == 3]


def differing(wanted: t.Mapping[str, str], found: t.Sequence[Container]) -> list[str]:
    """Return the services that do not run as wanted, and those that run and are not wanted."""
    right = {c.service for c in found if c.state == "running" and wanted.get(c.service) == c.hash}
    return sorted((wanted.keys() | {c.service for c in found}) - right)


def container(of: Settings, service: str) -> str:
    """Return the id of a service's running container; nothing when it does not run."""
    return next(iter(compose(of, "ps", "--quiet", service).split()), "")


def sql(of: Settings, statements: bytes) -> str:
    """Have MariaDB run statements as root, on mailcow's database, and return what it printed."""
    known = conf(of)
    exec_ = ["docker", "exec", "--interactive", "--env", "MYSQL_PWD", container(of, "mysql-mailcow")]
    client = ["mariadb", "--user=root", "--skip-column-names", known["DBNAME"]]
    return run([*exec_, *client], data=statements, MYSQL_PWD=known["DBROOT"])


def certificate_files(of: Settings) -> dict[Path, str]:
    """Return what must lie where mailcow's services look for their certificate."""
    sources = {"cert.pem": of.certificate, "key.pem": of.certificate_key}
    missing = [path for path in sources.values() if not Path(path).is_file()]
    if missing:
        raise Problem(f"{missing[0]} is not there: mailcow needs a certificate before it starts")
    public = [
        run(["openssl", "x509", "-in", of.certificate, "-noout", "-pubkey"]),
        run(["openssl", "pkey", "-in", of.certificate_key, "-pubout"]),
    ]
    if public[0] != public[1]:
        raise Problem(f"{of.certificate_key} is not the key of {of.certificate}")
    return {of.directory / "data/assets/ssl" / name: Path(path).read_text() for name, path in sources.items()}


def certificate_differs(of: Settings) -> bool:
    """Tell whether a certificate waits to be used."""
    files = certificate_files(of)
    return RESTART.exists() or any(not path.is_file() or path.read_text() != text for path, text in files.items())


def certificates(of: Settings) -> bool:
    """Give mailcow the certificate, and have those who use it start anew; return whether anything was done."""
    if not release(of) or not certificate_differs(of):
        return False
    # Written first: a run that is killed in between is finished by the next.
    write(RESTART, "")
    for path, text in certificate_files(of).items():
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        path.parent.chmod(0o755)
        write(path, text)
    running = [c.service for c in containers(of) if c.state == "running" and c.service in CERTIFICATE_USERS]
    if running:
        compose(of, "restart", *running)
    RESTART.unlink()
    return True


def checkout(of: Settings) -> None:
    """Bring the release; the directory holds the configuration already, so that it cannot be cloned into."""
    tag = f"refs/tags/{of.version}"
    git = ["git", "-C", str(of.directory)]
    run(["git", "init", "--quiet", str(of.directory)])
    run([*git, "fetch", "--quiet", "--depth", "1", of.repository, f"+{tag}:{tag}"])
    # What containers have changed of mailcow's own files goes, as with mailcow's own update.
    run([*git, "checkout", "--quiet", "--force", of.version])
    write_once(of.directory / PLACEHOLDER, "# Placeholder\n")
    example = of.directory / DHPARAMS.format("ssl-example")
    if example.is_file():
        write_once(of.directory / DHPARAMS.format("ssl"), example.read_text())


def write_once(path: Path, text: str) -> None:
    """Write a file where there is none."""
    if not path.exists():
        write(path, text)
        path.chmod(0o644)


def plan(of: Settings) -> list[str]:
    """Return what has to be done."""
    refuse(of)
    if release(of) != of.version:
        return [f"check out {of.version}", "use certificate", "start containers"]
    actions = ["use certificate"] if certificate_differs(of) else []
    return actions + [f"start {name}" for name in differing(wanted_hashes(of), containers(of))]


def up(of: Settings) -> list[str]:
    """Make mailcow as wanted, and see it answer; return what was done."""
    actions = plan(of)
    certificate_files(of)
    if release(of) != of.version:
        checkout(of)
    certificates(of)
    if differing(wanted_hashes(of), containers(of)):
        # Everything is there before anything is stopped.
        compose(of, "pull", "--quiet", "--policy", "missing")
        compose(of, "up", "--detach", "--remove-orphans", "--quiet-pull")
    wait(of)
    return actions


def answer(of: Settings) -> str:
    """Return why the API does not answer; nothing when it does."""
    url = f"http://127.0.0.1:{of.port}/api/v1/get/status/version"
    request = urllib.request.Request(url, headers={"X-API-Key": conf(of).get("API_KEY", "")})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=10) as reply:
            found = json.loads(reply.read())
    except urllib.error.HTTPError as error:
        return f"the API answers {error.code}: {error.read()[:200].decode('utf-8', 'replace')}"
    except (OSError, ValueError) as error:
        return f"the API does not answer: {error}"
    return "" if isinstance(found, dict) and found.get("version") else f"the API does not tell its version: {found}"


def health(of: Settings) -> str:
    """Return what is wrong with mailcow as it runs; nothing when all is well."""
    down = differing(wanted_hashes(of), containers(of))
    if down:
        return f"not running as wanted: {', '.join(down)}"
    return answer(of) or next((said for name in GREETINGS if (said := silence(of, name))), "")


def silence(of: Settings, name: str) -> str:
    """Return why a mail service does not greet; nothing when it does. Docker takes a connection before there is one."""
    port = conf(of).get(name, "").rpartition(":")[2]
    try:
        with socket.create_connection(("127.0.0.1", int(port)), timeout=10) as connection:
            said = connection.recv(100)
    except (OSError, ValueError) as error:
        return f"{name} {port} does not answer: {error}"
    return "" if said.startswith(GREETINGS[name]) else f"{name} {port} does not greet: {said!r}"


def wait(of: Settings) -> None:
    """Wait until mailcow is healthy."""
    end = time.monotonic() + of.start_seconds
    while said := health(of):
        if time.monotonic() > end:
            raise Problem(f"mailcow is not up after {of.start_seconds} s: {said}")
        time.sleep(1)
