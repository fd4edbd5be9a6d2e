"""A company that has the built collection only: its site is served, and a second run changes nothing."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import re
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from testinfra.host import Host

from tests import machines, scenario

WORKER = os.environ.get("VISE_WORKER", "1")
DOMAIN = f"kiosk{WORKER}.vln.test"
SCRATCH = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"])
COMPANY = SCRATCH / "company"
VAULT = "inventory/group_vars/all/vault.yml"


def run(*command: str, check: bool = True, **environment: str) -> str:
    """Run a command in the company's folder, without any setting of this repository or of Molecule."""
    done = subprocess.run(
        command,
        cwd=COMPANY,
        env={"PATH": os.environ["PATH"], "HOME": str(SCRATCH), "LC_ALL": "C.UTF-8", **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0 or not check, done.stdout[-6000:]
    return done.stdout


Step = Callable[[str], contextlib.AbstractContextManager[None]]


@pytest.fixture
def step(capsys: pytest.CaptureFixture[str]) -> Step:
    """Print how many minutes a step of the journey took."""

    @contextlib.contextmanager
    def measure(name: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        with capsys.disabled():
            print(f"\njourney: {(time.monotonic() - began) / 60:5.1f} min  {name}")

    return measure


def converge() -> str:
    """Run the platform, as `make converge` does."""
    return run("ansible-playbook", "vise.platform.site")


def edit(path: str, pattern: str) -> None:
    """Remove lines from a file of the description."""
    file = COMPANY / path
    text, count = re.subn(pattern, "", file.read_text(), flags=re.MULTILINE)
    assert count == 1, f"{pattern} in {path}"
    file.write_text(text)


def init(**answers: str) -> str:
    """Run init again in the repository; an answer that is not given is empty, as after Enter."""
    names = ("folder", "domain", "hosts", "user", "functions", "applications", "sites", "people", "dns", "storage")
    values = {f"init_{name}": answers.get(name, "") for name in names} | {"init_folder": "."}
    return run("ansible-playbook", "vise.platform.init", "-e", json.dumps(values))


def request(world: Host, name: str) -> str:
    """Return the page that a visitor gets, with a certificate that the visitor trusts."""
    return machines.script(world, f"curl --silent --show-error --fail --max-time 10 https://{name}.{DOMAIN}/")


def test_page_is_served_with_a_certificate(world: Host) -> None:
    assert f"<h1>handbook.{DOMAIN}</h1>" in request(world, "handbook")
    issuer = machines.script(world, f"curl -sv https://handbook.{DOMAIN}/ 2>&1 | grep -i issuer")
    assert "Pebble" in issuer


def test_no_visitor_got_an_error_during_the_first_run(world: Host) -> None:
    log = f"/tmp/first-run-{WORKER}"
    machines.script(world, f"test ! -e {log}.taken || exit 0; touch {log}.end; mv {log} {log}.taken")
    answers = machines.script(world, f"cat {log}.taken").split()
    # Until nginx runs, nothing answers; from then on, each answer is the page.
    assert {*answers} == {"000", "200"}, {status: answers.count(status) for status in {*answers}}


def test_administrator_of_the_answers_logs_in_and_becomes_root() -> None:
    for user in ("maria", "debian"):
        command = [*machines.ssh_command(scenario.ADDRESS, user=user), "sudo -n id -un"]
        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "root\n"


def test_second_run_and_second_init_change_nothing() -> None:
    before = {path: path.read_bytes() for path in (COMPANY / "inventory").rglob("*") if path.is_file()}
    output = run("ansible-playbook", "vise.platform.site")
    assert re.search(r"^box-1 .*changed=0 .*failed=0 ", output, re.MULTILINE), output[-6000:]
    output = init(domain=DOMAIN, functions="docs", sites="handbook")
    assert "changed=0" in output
    assert {path: path.read_bytes() for path in before} == before


def test_no_secret_is_missing_and_none_is_in_plain_text() -> None:
    assert "no secret that can be generated is missing" in run("ansible-playbook", "vise.platform.make_secrets")
    assert (COMPANY / "inventory/group_vars/all/vault.yml").read_text().startswith("$ANSIBLE_VAULT;")


def test_wrong_and_missing_vault_passwords_are_named(tmp_path: Path) -> None:
    for text, expected in (
        ("wrong\n", "- inventory/group_vars/all/vault.yml: cannot be decrypted: Decryption failed"),
        (None, "The vault password file"),
    ):
        if text:
            (tmp_path / "password").write_text(text)
        file = str(tmp_path / ("password" if text else "absent"))
        output = run("ansible-playbook", "vise.platform.site", check=False, ANSIBLE_VAULT_PASSWORD_FILE=file)
        assert expected in output
        assert "PLAY RECAP" not in output


def edit_vault(values: dict[str, str], scratch: Path) -> None:
    """Add secrets of a provider by the command that init prints, with an editor that appends lines."""
    lines = scratch / "lines"
    lines.write_text("".join(f"{name}: {value}\n" for name, value in values.items()))
    editor = scratch / "editor"
    editor.write_text(f'#!/bin/sh\ncat {lines} >>"$1"\n')
    editor.chmod(0o700)
    run("ansible-vault", "edit", VAULT, EDITOR=str(editor))


@pytest.mark.deep
def test_second_terminal_is_refused_and_an_interrupted_run_is_completed(host: Host, world: Host, step: Step) -> None:
    """The first run is stopped while it has the lease, then the second one meets it, then the user presses Ctrl-C."""
    init(sites="notes")
    first = subprocess.Popen(
        ["ansible-playbook", "vise.platform.site"],
        cwd=COMPANY,
        env={"PATH": os.environ["PATH"], "HOME": str(SCRATCH), "LC_ALL": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    machines.script(host, "for _ in $(seq 300); do test -e /run/vise/lease.json && exit; sleep 1; done; exit 1")
    first.send_signal(signal.SIGSTOP)
    lease = json.loads(machines.script(host, "cat /run/vise/lease.json"))
    with step("a second terminal is refused"):
        refusal = run("ansible-playbook", "vise.platform.site", check=False)
    since = time.strftime("%H:%M UTC", time.gmtime(lease["since"]))
    user = pwd.getpwuid(os.getuid()).pw_name
    expected = f"box-1: {user} runs vise.platform.site from {socket.gethostname()} on this host since {since}"
    assert expected in " ".join(refusal.split())
    assert f"-e end_lease={lease['run']}" in " ".join(refusal.split())
    assert "PLAY [Baseline]" not in refusal
    first.send_signal(signal.SIGCONT)
    first.send_signal(signal.SIGINT)
    output, _none = first.communicate(timeout=120)
    assert "User interrupted execution" in output
    # The interrupted task may still run on the host; the same user is not blocked.
    machines.script(host, "test -e /run/vise/lease.json")
    with step("the interrupted run is completed: a second site"):
        converge()
    machines.script(host, "test ! -e /run/vise/lease.json")
    assert f"<h1>notes.{DOMAIN}</h1>" in request(world, "notes")
    assert f"<h1>handbook.{DOMAIN}</h1>" in request(world, "handbook")


@pytest.mark.deep
def test_failed_run_and_failed_runbook_end_their_leases(host: Host) -> None:
    # The first release of a site has no previous one.
    output = run("ansible-playbook", "vise.platform.rollback_site", "-e", "rollback_site=notes", check=False)
    assert re.search(
        r"has no previous release, or it is damaged; releases on the host: (\w{12}) \(\1 is live\)", output
    )
    machines.script(host, "test ! -e /run/vise/lease.json")
    held = {"run": "ansible-local-1abcdefgh", "who": "otto", "origin": "desk", "machine": "desk 1", "command": "x.yml"}
    clock = machines.script(host, "cut -d. -f1 /proc/uptime")
    text = json.dumps({**held, "since": 1796000400, "renewed": int(clock), "seconds": 600})
    machines.script(host, f"printf %s '{text}' >/run/vise/lease.json")
    output = run("ansible-playbook", "vise.platform.rollback_site", "-e", "rollback_site=notes", check=False)
    assert "refused, nothing was changed: otto runs x.yml from desk on this host since 01:00 UTC" in output
    command = ("ansible-playbook", "vise.platform.rollback_site", "-e", "rollback_site=notes")
    assert "has no previous release" in run(*command, "-e", f"end_lease={held['run']}", check=False)
    machines.script(host, "test ! -e /run/vise/lease.json")


@pytest.mark.deep
def test_application_gets_a_database_and_a_cache_with_backups(host: Host, tmp_path: Path, step: Step) -> None:
    buckets = "s3-a.vln.test/eu-central-1/vise-backups s3-b.vln.test/eu-west-1/vise-backups"
    output = init(functions="database cache", applications="shop", storage=buckets)
    assert "vault_backup_first_append_key, vault_backup_first_append_secret, vault_backup_first_key" in output
    # What differs in the sandbox: a new path for each run, because the buckets are shared and never emptied.
    backups = COMPANY / "inventory/group_vars/all/backups.yml"
    place = f"    path: /{DOMAIN}-{uuid.uuid4().hex[:8]}\n    uri_style: path\n    append:"
    backups.write_text(backups.read_text().replace("    append:", place))
    pairs = json.loads((machines.ROOT / ".cache/sandbox/s3.json").read_text())
    issued = {
        f"vault_backup_{name}_{'append_' if kind == 'append' else ''}{part}": pairs[kind][part]
        for name in ("first", "second")
        for kind in ("append", "full")
        for part in ("key", "secret")
    }
    missing = run("ansible-playbook", "vise.platform.preflight", check=False)
    assert f"vault_backup_second_secret ({VAULT}): is missing, and backup_repositories needs it" in missing
    edit_vault(issued, tmp_path)
    assert "no secret that can be generated is missing" in run("ansible-playbook", "vise.platform.make_secrets")
    with step("a database, a cache and their backups"):
        converge()
    secrets = yaml.safe_load(run("ansible-vault", "view", VAULT))
    authority = "/etc/vise/tls/internal/ca.pem"
    login = f"host={scenario.ADDRESS} port=6432 dbname=shop user=shop sslmode=verify-full sslrootcert={authority}"
    words = f"PGPASSWORD={secrets['vault_database_shop']} psql -XAtc 'SELECT current_user' '{login}'"
    assert machines.script(host, words) == "shop"
    words = f"REDISCLI_AUTH={secrets['vault_cache_shop']} redis-cli --tls --cacert {authority} -h {scenario.ADDRESS}"
    words += " --user shop SET shop:a 1"
    assert machines.script(host, words) == "OK"
    output = run("ansible-playbook", "vise.platform.site")
    assert re.search(r"^box-1 .*changed=0 .*failed=0 ", output, re.MULTILINE), output[-6000:]


def describe_example() -> str:
    """Return the program in Python of the manual, for the address of this host."""
    text = (machines.ROOT / "docs/applications.md").read_text()
    return text.partition("```python\n")[2].partition("```")[0].replace("192.0.2.11", scenario.ADDRESS)


@pytest.mark.deep
def test_program_of_the_manual_connects(host: Host) -> None:
    secrets = yaml.safe_load(run("ansible-vault", "view", VAULT))
    passwords = f"DATABASE_PASSWORD={secrets['vault_database_shop']} CACHE_PASSWORD={secrets['vault_cache_shop']}"
    program = f"{passwords} python3 - <<'END'\n{{}}END\n"
    assert machines.script(host, program.format(describe_example())).split("\n") == ["('shop',)", "b'hello'"]
    # The certificate has no such name.
    wrong = program.format(describe_example().replace(scenario.ADDRESS, "localhost"))
    refused = machines.script(host, f"({wrong}) 2>&1 | grep -c 'does not match host name' || true")
    assert refused == "1"


@pytest.mark.deep
def test_restore_brings_the_rows_of_the_backups_back(host: Host, step: Step) -> None:
    machines.script(
        host,
        'psql() { runuser -u postgres -- psql -XAtq shop -c "$1"; }\n'
        "psql 'CREATE TABLE orders (id int)'; psql 'INSERT INTO orders VALUES (7)'\n"
        "wal=$(psql 'SELECT pg_walfile_name(pg_switch_wal())')\n"
        "for _ in $(seq 120); do\n"
        "test \"$(psql 'SELECT last_archived_wal FROM pg_stat_archiver')\" '<' \"$wal\" || exit 0\n"
        "sleep 1; done; exit 1",
    )
    with step("the database is restored from its backups"):
        run("ansible-playbook", "vise.platform.restore_database", "-e", "restore_replace_live=box-1")
    machines.script(host, "test ! -e /run/vise/lease.json")
    assert machines.script(host, "runuser -u postgres -- psql -XAtqc 'SELECT id FROM orders' shop") == "7"


@pytest.mark.deep
def test_removed_site_is_not_served_and_a_left_function_is_reported(world: Host, step: Step) -> None:
    edit("inventory/group_vars/all/sites.yml", r"^  notes:\n(?:    .*\n)+")
    edit("inventory/hosts.yml", r"^    cache:\n(?:      .*\n)+")
    with step("a site is removed, and the host leaves the group of the cache"):
        output = converge()
    assert "retire_function" in output
    answer = machines.script(world, f"curl --silent --max-time 10 https://notes.{DOMAIN}/ || echo closed")
    assert "<h1>notes" not in answer
    assert f"<h1>handbook.{DOMAIN}</h1>" in request(world, "handbook")


@pytest.mark.deep
def test_retired_function_leaves_nothing_in_the_status_and_a_run_without_a_change(host: Host, step: Step) -> None:
    retire = ("-e", "retire_host=box-1", "-e", "retire_function=cache")
    output = run("ansible-playbook", "vise.platform.retire_function", *retire, check=False)
    assert "add -e retire_confirm=cache" in " ".join(output.split())
    with step("the cache is retired"):
        run("ansible-playbook", "vise.platform.retire_function", *retire, "-e", "retire_confirm=cache")
    assert machines.script(host, "systemctl is-active redis-server || true") == "inactive"
    converge()
    with step("status"):
        # The run below compares the host with the description; the status does it within seconds, for a host at rest.
        output = run("ansible-playbook", "vise.platform.status", "-e", "status_differences=false", check=False)
    assert "box-1" in output
    assert "redis" not in output.partition("box-1: debian")[2].partition("restic")[0], output[-6000:]
    assert "the host still has it" not in output, output[-6000:]
    with step("a run without a change"):
        output = converge()
    assert re.search(r"^box-1 .*changed=0 .*failed=0 ", output, re.MULTILINE), output[-6000:]
