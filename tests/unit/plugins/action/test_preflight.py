"""The preflight action: it reports every problem of a run at once, and a library that is missing."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible import context
from ansible.errors import AnsibleActionFail
from ansible_collections.vise.platform.plugins.action import preflight
from ansible_collections.vise.platform.plugins.module_utils import description

ROOT = Path(__file__).resolve().parents[4]
PLAY = [{"hosts": "all", "gather_facts": False, "roles": ["vise.platform.description", "vise.platform.preflight"]}]


def run_preflight(folder: Path, variables: dict[str, Any], **environment: str) -> str:
    """Run preflight on the controller, which it must refuse; return the output without line ends."""
    hosts = {"a": {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}}
    inventory = {"all": {"hosts": hosts, "vars": variables, "children": {"edge": {"hosts": {"a": {}}}}}}
    (folder / "hosts.json").write_text(json.dumps(inventory))
    (folder / "play.json").write_text(json.dumps(PLAY))
    done = subprocess.run(
        ["ansible-playbook", f"--inventory={folder}/hosts.json", str(folder / "play.json")],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    output = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == 2, output
    return output


def test_problems_of_the_inventorys_own_file_are_reported_with_that_file(tmp_path: Path) -> None:
    output = run_preflight(
        tmp_path,
        {
            "domain": "vln test",
            "domian": "vln.test",
            "internal_ca": "{{ vault_internal_ca }}",
            "cloudflare_token": "todo",
            "sites": {"docs": {"domain": "docs.vln.test", "group": "docs", "gruop": "docs"}},
        },
    )
    file = os.path.relpath(tmp_path / "hosts.json", ROOT)
    file = min(file, str(tmp_path / "hosts.json"), key=len)
    for line in (
        f"domain ({file}): `vln test` is not valid; write `domain: example.org`",
        f"domian ({file}): unknown variable; did you mean `domain`?",
        f"vault_internal_ca ({Path(file).parent}/group_vars/all/vault.yml): is missing, and internal_ca needs it",
        f"cloudflare_token ({file}): is a placeholder; write the real secret, encrypted",
        f"sites.docs.gruop ({file}): unknown key; did you mean `group`?",
        f"sites.docs ({file}): no host is in group docs",
        "is missing, and internal_ca_key needs it; write it encrypted",
        "people: has no administrator",
    ):
        assert line in output
    assert "nothing was changed" in output


def test_missing_key_is_reported_once_and_hides_no_other(tmp_path: Path) -> None:
    output = run_preflight(tmp_path, {"vault_internal_ca": "a certificate", "vault_internal_ca_key": "a key"})
    # The defaults of contact_email, dns_zones and others need it.
    assert output.count("- domain: is missing; write `domain: example.org`") == output.count("nothing was changed")
    assert "is undefined" not in output
    advice = "write `sites: {docs: {domain: docs.example.org, group: docs, source: "
    assert f"group edge: it has a, and `sites` has no entry; {advice}" in output


def test_missing_library_is_reported_instead_of_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "jsonschema.py").write_text("raise ModuleNotFoundError('no jsonschema', name='jsonschema')")
    output = run_preflight(tmp_path, {}, PYTHONPATH=str(tmp_path))
    assert "needs the Python package jsonschema on the controller" in output
    assert "-m pip install jsonschema`" in output
    assert "Traceback" not in output


def test_schema_cannot_be_used_without_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(description, "MISSING_LIBRARY", "jsonschema")
    with pytest.raises(AnsibleActionFail, match="the Python package jsonschema on the controller"):
        preflight.load_schema("description.schema.json")


@pytest.mark.parametrize(
    ("survey", "options", "expected"),
    [
        (True, {}, True),
        ("yes", {}, True),
        (False, {}, False),
        (True, {"tags": ["nginx"]}, False),
        (True, {"tags": ["all", "nginx"]}, False),
        (True, {"skip_tags": ["nginx"]}, False),
        (True, {"start_at_task": "Configure sshd"}, False),
        (True, {"step": True}, False),
    ],
)
def test_only_a_run_of_all_tasks_surveys(
    monkeypatch: pytest.MonkeyPatch, survey: Any, options: dict[str, Any], expected: bool
) -> None:
    monkeypatch.setattr(context, "CLIARGS", {"tags": ["all"], "skip_tags": [], **options})
    assert preflight.is_complete_run(survey) is expected


KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHUZ0M0gjkBaqSVdVF9XW2hLHZHGZxgXoPIPr7oz4xv2"
COMMON: dict[str, Any] = {
    "ansible_connection": "local",
    "ansible_python_interpreter": sys.executable,
    "domain": "vln.test",
    "people": [{"name": "alice", "keys": [KEY]}],
    "acme_challenge": "dns-01",
    "vault_cloudflare_token": "a-token-of-cloudflare",
    "vault_internal_ca": "a certificate",
    "vault_internal_ca_key": "a key",
    "vault_database_pool": "a-long-password-of-the-pool",
    "preflight_plaintext_secrets": True,
    "backup_excluded_groups": ["database"],
}
SITE = {"domain": "shop.vln.test", "group": "shop", "port": 3000}
STORE = {"clients": "shop", "password": "a-long-password-of-shop"}
LONG = "a" * 63
A, B = "ansible_host=192.0.2.1", "ansible_host=192.0.2.2"
FOREIGN: dict[str, tuple[str, dict[str, Any]]] = {
    "only a database": (f"[database]\na {A}", {"databases": {"a": {**STORE, "clients": "database"}}}),
    "an own group serves and is a client": (
        f"[edge]\na {A}\n[shop]\na\nb {B}\n[database]\nb\n[cache]\nb",
        {"sites": {"shop": SITE}, "databases": {"shop": STORE}, "caches": {"shop": STORE}},
    ),
    "odd names of hosts": (
        f"[edge]\nWEB_1.Example.org {A}\n[shop]\n{LONG} {B}\n01 ansible_host=192.0.2.3",
        {"sites": {"shop": SITE}},
    ),
    "addresses of IPv6 only": (
        "[edge]\na ansible_host=2001:db8::1\n[shop]\nb ansible_host=2001:db8::2",
        {"sites": {"shop": SITE}},
    ),
    "nested own groups": (
        f"[edge]\na {A}\n[eu:children]\nedge\nshop\n[shop]\na\n[office:children]\neu",
        {"sites": {"shop": SITE}, "preflight_own_groups": ["eu", "office"]},
    ),
    "no function": ("a", {}),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_foreign_description_is_accepted(case: str, tmp_path: Path) -> None:
    hosts, variables = FOREIGN[case]
    (tmp_path / "hosts").write_text(f"{hosts}\n")
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars/all.json").write_text(json.dumps({**COMMON, **variables}))
    (tmp_path / "play.json").write_text(json.dumps(PLAY))
    output = run_command(tmp_path, f"--inventory={tmp_path}/hosts", str(tmp_path / "play.json"))
    # The machine of the test may be too small or have another system.
    problems = re.findall(r"^ *- (.*;.*)", output, re.MULTILINE)
    assert [line for line in problems if not re.search("system: |preflight_(memory|disk)_mb: ", line)] == [], output
    assert "unreachable=0" in output


@pytest.mark.parametrize(
    ("hosts", "variables", "expected"),
    [
        ("[databse]\na", {}, "group databse: unknown group; did you mean `database`?"),
        ("[database]\na", {}, "group database: it has a, and `databases` has no entry; write `databases: {edu:"),
        (
            "[database]\na",
            {"databases": {"a": STORE}},
            "databases.a.clients (group_vars/all.json): `shop` is not valid; write one of docs",
        ),
        (
            "[database]\na\n[shop]\n",
            {"databases": {"a": STORE}},
            "databases.a.clients (group_vars/all.json): no host is in group shop; put one into that group",
        ),
        (
            "[database]\na",
            {"databases": {"a": {**STORE, "clients": "database"}}, "backup_excluded_groups": []},
            "group database: it has a, and its data are not backed up: `backup_repositories` has no entry for it",
        ),
        (
            "[edge]\na\n[shop]\na",
            {"sites": {"shop": {**SITE, "nginx": {"max_body_siz": "1m"}}}},
            "sites.shop.nginx.max_body_siz (group_vars/all.json): unknown key; did you mean `max_body_size`?",
        ),
        (
            f"[edge]\na {A}\n[shop]\nb {B}",
            {"sites": {"shop": {**SITE, "nginx": {"static": {"immutable": ['"']}}}}},
            "sites (group_vars/all.json): shop: '\"' must not contain a quotation mark",
        ),
        ("a", {"preflight_plaintext_secrets": False}, "group_vars/all.json: 4 secrets in plain text: vault_cloud"),
        ("a", {"ssh_port": "two"}, "ssh_port (group_vars/all.json): argument 'ssh_port' is of type str and we were"),
    ],
)
def test_invalid_description_is_refused_with_what_to_write(
    hosts: str, variables: dict[str, Any], expected: str, tmp_path: Path
) -> None:
    (tmp_path / "hosts").write_text(f"{hosts}\n")
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars/all.json").write_text(json.dumps({**COMMON, **variables}))
    (tmp_path / "play.json").write_text(json.dumps(PLAY))
    output = run_command(tmp_path, f"--inventory={tmp_path}/hosts", str(tmp_path / "play.json"))
    assert f"- {expected}" in output.replace(f"{tmp_path}/", ""), output
    assert "-internal" not in output


NAMES = """
databases:
  off: {clients: shop, password: "a-long-password-of-shop"}
  2024: {clients: shop, password: "a-long-password-of-shop"}
  my-app: {clients: shop, password: "a-long-password-of-shop"}
  postgres: {clients: shop, password: "a-long-password-of-shop"}
caches:
  no: {clients: shop, password: "a-long-password-of-shop"}
mail_domains: [{name: on}]
database_settings: {yes: 1}
nginx_rate_limits: [{name: 12.5, rate: 1r/s}]
"""
FILE = "(group_vars/all/names.yml): "
NOT_TEXT = f"{FILE}the name is not text: YAML reads it as "
REFUSED = [
    f'databases.false {NOT_TEXT}true or false; quote it, as in `"off"`',
    f"databases.2024 {NOT_TEXT}a number; quote it, and use lower-case letters",
    f"databases.my-app {FILE}`my-app` is not a valid name; use lower-case letters, digits and underscores",
    f"databases.postgres {FILE}`postgres` is reserved by PostgreSQL; choose another name",
    f'caches.false {NOT_TEXT}true or false; quote it, as in `"off"`',
    f'mail_domains[0].name {NOT_TEXT}true or false; quote it, as in `"on"`',
    f'database_settings.true {NOT_TEXT}true or false; quote it, as in `"on"`',
    f"nginx_rate_limits[0].name {NOT_TEXT}a number; quote it, and use letters, digits, - and _",
]


def test_names_that_are_not_text_are_refused_by_name_together(tmp_path: Path) -> None:
    hosts = f"[database]\na {A}\n[cache]\na\n[mail]\na\n[shop]\na\n"
    (tmp_path / "hosts").write_text(hosts)
    (tmp_path / "group_vars/all").mkdir(parents=True)
    (tmp_path / "group_vars/all/common.json").write_text(json.dumps(COMMON))
    (tmp_path / "group_vars/all/names.yml").write_text(NAMES)
    (tmp_path / "play.json").write_text(json.dumps(PLAY))
    output = run_command(tmp_path, f"--inventory={tmp_path}/hosts", str(tmp_path / "play.json"))
    output = output.replace(f"{tmp_path}/", "")
    assert [line for line in REFUSED if f"- {line}" not in output] == [], output
    assert "Traceback" not in output


def run_command(folder: Path, *arguments: str) -> str:
    """Run a play in a folder that is no clone; return its output."""
    done = subprocess.run(
        ["ansible-playbook", *arguments],
        cwd=folder,
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_CALLBACK_RESULT_FORMAT": "yaml"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr
