"""A company that has the built collection only: its site is served, and a second run changes nothing."""

from __future__ import annotations

import json
import os
import re
import subprocess
import uuid
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
def test_second_site_is_added_and_served(world: Host) -> None:
    init(sites="notes")
    run("ansible-playbook", "vise.platform.site")
    assert f"<h1>notes.{DOMAIN}</h1>" in request(world, "notes")
    assert f"<h1>handbook.{DOMAIN}</h1>" in request(world, "handbook")


@pytest.mark.deep
def test_application_gets_a_database_and_a_cache_with_backups(host: Host, tmp_path: Path) -> None:
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
    run("ansible-playbook", "vise.platform.site")
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
