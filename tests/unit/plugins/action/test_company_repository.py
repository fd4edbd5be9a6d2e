"""The action writes a repository that the platform's own preflight accepts, and never writes over a file."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.vault import VaultLib, VaultSecret
from ansible_collections.vise.platform.plugins.action import company_repository as action
from ansible_collections.vise.platform.plugins.module_utils.company_repository import files
from ansible_collections.vise.platform.plugins.plugin_utils import vault_completion

from tests.unit.plugins import installed

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHUZ0M0gjkBaqSVdVF9XW2hLHZHGZxgXoPIPr7oz4xv2"
DOCS = {
    "init_domain": "example.org",
    "init_hosts": "web-1=192.0.2.10,2001:db8::10",
    "init_user": "debian",
    "init_functions": "docs",
    "init_people": f"alice={KEY}",
}
COMPONENTS = ["admin_users", "docker", "mailcow", "nginx", "pgbackrest", "pgbouncer", "postgresql", "redis", "ssh"]
STORAGE = "s3.example.net/eu/one s3.example.com/us/two"
SHAPES: dict[str, dict[str, str]] = {
    "docs only": DOCS,
    "one host with everything": {
        **DOCS,
        "init_functions": "all",
        "init_applications": "my-shop",
        "init_sites": "docs my-shop:3000",
        "init_dns": "cloudflare",
        "init_storage": STORAGE,
    },
    "one host for each function": {
        **DOCS,
        "init_hosts": "edge-1=192.0.2.1 docs-1=192.0.2.2 mail-1=192.0.2.3 database-1=192.0.2.4 "
        "database-standby-1=192.0.2.5 cache-1=192.0.2.6 shop-1=192.0.2.7",
        "init_functions": "edge all database_standby",
        "init_applications": "shop",
        "init_dns": "cloudflare",
        "init_storage": STORAGE,
    },
    "addresses of IPv6 only, another port, a long domain, no DNS provider": {
        **DOCS,
        "init_domain": "platform.intern.eu.example-company.co.uk",
        "init_hosts": "web-1=[2001:db8::1]:2222 db-1=[2001:db8::2]:2222",
        "init_user": "ubuntu",
        "init_functions": "docs=web-1 database=db-1",
        "init_applications": "the-big-shop=web-1",
        "init_sites": "my-docs=docs.example.net the-big-shop:3000",
        "init_people": f"anne-marie={KEY}",
        "init_storage": "none",
    },
    "two hosts at the edge and an application without functions": {
        **DOCS,
        "init_hosts": "a=192.0.2.1 b=192.0.2.2 01=192.0.2.3",
        "init_functions": "edge=a,b",
        "init_applications": "shop=01",
        "init_sites": "shop:8080",
        "init_dns": "cloudflare",
    },
}


@pytest.fixture(scope="module")
def collections(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed.install(tmp_path_factory.mktemp("collections"))


@pytest.fixture(autouse=True, scope="module")
def environment(collections: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANSIBLE_COLLECTIONS_PATH", str(collections))
        patch.delenv("ANSIBLE_CONFIG", raising=False)
        yield


def run(place: Path, *command: str, **environment: str) -> tuple[int, str]:
    done = subprocess.run(
        command,
        cwd=place,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def init(folder: Path, answers: dict[str, Any], *options: str, **environment: str) -> tuple[int, str]:
    """Run the playbook by its name, as a user does."""
    values = {"init_folder": str(folder), **dict.fromkeys(SHAPES["one host with everything"], ""), **answers}
    playbook = "vise.platform.init"
    return run(folder.parent, "ansible-playbook", playbook, "-e", json.dumps(values), *options, **environment)


def write(folder: Path, answers: dict[str, str]) -> vault_completion.Outcome:
    """Write a repository as the action does, without a process."""
    options = {name: answers.get(f"init_{name}", "") for name in action.ANSWERS} | {"usage": "", "folder": str(folder)}
    existing = action.read_repository(action.read_present(folder))
    whole = action.complete_answers(options, existing)
    password = action.choose_password(folder, "", bool(existing.hosts))
    settings = files.Settings(version="0.1.0", playbooks={"site"})
    secrets = password.prepare()
    action.store(folder, files.write_files(whole, settings, action.make_renderer()), {})
    return action.complete_vault(folder, secrets)


@pytest.mark.parametrize("shape", SHAPES)
def test_preflight_accepts_the_written_repository(shape: str, tmp_path: Path) -> None:
    outcome = write(tmp_path, SHAPES[shape])
    issued = dict.fromkeys(outcome.issued, "an-issued-value-of-a-provider")
    # The machine of the test is the host, and the names of the sites do not resolve on it.
    given = {
        **issued,
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "ansible_become": False,
        "ansible_user": "root",
        "acme_challenge": "dns-01",
        "cloudflare_acme_token": "an-issued-value-of-a-provider",
        "preflight_take_over": COMPONENTS,
    }
    _status, output = run(tmp_path, "ansible-playbook", "vise.platform.preflight", "-e", json.dumps(given))
    problems = re.findall(r"^ *- (.*;.*)", output, re.MULTILINE)
    assert [line for line in problems if not re.search("system: |preflight_(memory|disk)_mb: ", line)] == [], output
    assert "unreachable=0" in output


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("company") / "platform"
    status, output = init(folder, DOCS)
    assert status == 0, output
    return folder, output


def test_secrets_are_encrypted_by_a_password_that_is_never_committed(company: tuple[Path, str]) -> None:
    folder, output = company
    password, vault = folder / ".vault-password", folder / "inventory/group_vars/all/vault.yml"
    assert stat.S_IMODE(password.stat().st_mode) == 0o600
    assert stat.S_IMODE(vault.stat().st_mode) == 0o600
    secret = VaultSecret(password.read_bytes().strip())
    secrets = yaml.safe_load(VaultLib([("default", secret)]).decrypt(vault.read_bytes()))
    assert set(secrets) == {"vault_internal_ca", "vault_internal_ca_key"}
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    listed = subprocess.run(
        ["git", "add", "--all", "--verbose"], cwd=folder, check=True, capture_output=True, text=True
    )
    assert "vault.yml" in listed.stdout
    assert "password" not in listed.stdout
    assert not [value for value in secrets.values() if value[30:60] in output]


def test_last_lines_are_what_the_user_has_to_do(company: tuple[Path, str]) -> None:
    _folder, output = company
    steps = output.partition('"Next:"')[2]
    assert "docs.example.org A 192.0.2.10" in steps
    assert "docs.example.org AAAA 2001:db8::10" in steps
    assert "store the password of the vault, which is in .vault-password" in steps
    assert "`ssh debian@192.0.2.10`" in steps
    assert "make converge" in steps


def test_steps_name_the_secrets_of_providers_the_zones_and_the_publication(tmp_path: Path) -> None:
    answers = {**SHAPES["one host with everything"], "init_sites": "docs my-shop=shop.example.net:3000"}
    status, output = init(tmp_path / "new", answers)
    assert status == 0, output
    steps = output.partition('"Next:"')[2]
    for expected in (
        "vault_cloudflare_token: create an API token at Cloudflare",
        "vault_backup_first_append_key, vault_backup_first_append_secret, vault_backup_first_key",
        "set the reverse DNS of 192.0.2.10, 2001:db8::10 to mail.example.org",
        "add the zones of shop.example.net to dns_zones",
        "run `ansible-playbook vise.platform.publish_dns`",
    ):
        assert expected in steps


def test_second_call_with_the_same_answers_changes_nothing(company: tuple[Path, str]) -> None:
    folder, _output = company
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and ".git/" not in str(path)}
    status, output = init(folder, DOCS)
    assert status == 0, output
    assert "changed=0" in output
    assert "nothing was changed" in output
    assert {path: path.read_bytes() for path in before} == before


def test_bad_answers_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    status, output = init(tmp_path / "new", {**DOCS, "init_hosts": "web-1=web", "init_functions": "dcos"})
    assert status == 2
    assert "init_hosts: web-1: `web` is not an IP address" in output
    assert "init_functions: `dcos` is not a function; did you mean `docs`?" in output
    assert "Usage:" in output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("people", "expected"),
    [
        ("alice=ssh-ed25519 AAAA", "init_people: alice's key 1 is damaged"),
        ("root=" + KEY, "init_people: root is an account of the system"),
        ("Alice=" + KEY, "init_people: people[0].name: `Alice` is not a valid name"),
        (f"alice={KEY} bob={KEY}", "init_people: alice and bob have the same public key"),
    ],
)
def test_keys_and_names_are_validated_as_the_roles_do(people: str, expected: str, tmp_path: Path) -> None:
    with pytest.raises(action.Refusal, match=re.escape(expected)):
        write(tmp_path, {**DOCS, "init_people": people})


def test_existing_file_is_kept(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine\n")
    status, output = init(tmp_path, DOCS)
    assert status == 0, output
    assert (tmp_path / "README.md").read_text() == "mine\n"
    assert (tmp_path / "Makefile").exists()


def test_check_mode_writes_nothing(tmp_path: Path) -> None:
    status, output = init(tmp_path / "new", DOCS, "--check")
    assert status == 0, output
    assert "changed=1" in output
    assert list(tmp_path.iterdir()) == []


def test_password_of_the_user_encrypts_the_vault(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("my password\n")
    status, output = init(tmp_path / "new", DOCS, ANSIBLE_VAULT_PASSWORD_FILE=str(tmp_path / "mine"))
    assert status == 0, output
    assert not (tmp_path / "new/.vault-password").exists()
    assert f"vault_password_file = {tmp_path}/mine" in (tmp_path / "new/ansible.cfg").read_text()
    vault = (tmp_path / "new/inventory/group_vars/all/vault.yml").read_bytes()
    assert b"vault_internal_ca:" in VaultLib([("default", VaultSecret(b"my password"))]).decrypt(vault)


def test_archive_of_the_collection_is_named_by_its_path_in_the_repository(tmp_path: Path) -> None:
    for path in ("platform/x.tar.gz", "y.tar.gz"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text("")
    folder = tmp_path / "platform"
    assert action.locate_collection(folder, f"{folder}/x.tar.gz") == "./x.tar.gz"
    assert action.locate_collection(folder, f"{tmp_path}/y.tar.gz") == f"{tmp_path}/y.tar.gz"
    assert action.locate_collection(folder, "") == "vise.platform"
    with pytest.raises(action.Refusal, match=r"z\.tar\.gz does not exist; build it"):
        action.locate_collection(folder, "z.tar.gz")


def test_missing_password_of_an_existing_vault_is_not_generated(tmp_path: Path) -> None:
    write(tmp_path, DOCS)
    (tmp_path / "ansible.cfg").write_text("[defaults]\nvault_password_file = .vault-password\n")
    (tmp_path / ".vault-password").unlink()
    with pytest.raises(action.Refusal, match="its password is missing; write it into"):
        action.choose_password(tmp_path, "", True)
    assert not (tmp_path / ".vault-password").exists()


def test_missing_password_file_is_refused(tmp_path: Path) -> None:
    status, output = init(tmp_path / "new", {**DOCS, "init_vault_password_file": "~/no-such-file"})
    assert status == 2
    assert "init_vault_password_file: ~/no-such-file does not exist; create it" in output
    assert list(tmp_path.iterdir()) == []


def test_inventory_of_another_form_is_refused(tmp_path: Path) -> None:
    (tmp_path / "inventory").mkdir()
    (tmp_path / "inventory/hosts.yml").write_text("production: {hosts: {web-1: {}}}\n")
    status, output = init(tmp_path, DOCS)
    assert status == 2
    assert "inventory/hosts.yml exists and has no `all: {hosts: ...}`" in output
    assert [path.name for path in tmp_path.iterdir()] == ["inventory"]


def test_folder_of_a_collection_is_refused(tmp_path: Path) -> None:
    (tmp_path / "galaxy.yml").write_text("namespace: vise\n")
    status, output = init(tmp_path, DOCS)
    assert status == 2
    assert "is a collection; write the folder of your own repository" in output
    assert [path.name for path in tmp_path.iterdir()] == ["galaxy.yml"]


def test_repository_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    write(tmp_path, DOCS)
    (tmp_path / "inventory/hosts.yml").write_text("all:\n\thosts:\n")
    with pytest.raises(action.Refusal, match=r"The files of the repository cannot be read: .*line 2"):
        action.read_repository(action.read_present(tmp_path))
