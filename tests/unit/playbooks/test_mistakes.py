"""Mistakes of a newcomer: each one is named with its file or host, and what to write, before anything changes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from ansible.parsing.vault import VaultLib, VaultSecret

from tools import collection

TEXT = "correct horse"
HOSTS = """\
all:
  hosts:
    web-1: {ansible_connection: local, ansible_python_interpreter: PYTHON}
    web-2: {ansible_host: 127.0.0.1, ansible_port: 1, ansible_ssh_retries: 0}
  children:
    docs: {hosts: {web-1: {}, web-2: {}}}
"""


@pytest.fixture
def company(tmp_path: Path) -> Path:
    """Return the repository of a company with an encrypted vault."""
    folder = tmp_path / "inventory/group_vars/all"
    folder.mkdir(parents=True)
    (tmp_path / "inventory/hosts.yml").write_text(HOSTS.replace("PYTHON", sys.executable))
    (folder / "domain.yml").write_text("domain: example.org\ncontact_email: a@example.org\n")
    (folder / "sites.yml").write_text("sites: {docs: {domain: docs.example.org, group: docs, source: /x}}\n")
    secret = VaultSecret(TEXT.encode())
    vault = VaultLib([("default", secret)])
    (folder / "vault.yml").write_bytes(vault.encrypt(b"vault_internal_ca: x\n", secret))
    (tmp_path / "password").write_text(TEXT)
    return tmp_path


def preflight(company: Path, file: str = "password") -> str:
    """Run the first stage by its name, which must fail; return its output in one line."""
    environment = {**os.environ, "ANSIBLE_CONFIG": str(collection.ROOT / "ansible.cfg")}
    environment |= {"ANSIBLE_VAULT_PASSWORD_FILE": str(company / file)} if file else {}
    done = subprocess.run(
        ["ansible-playbook", "-i", "inventory", "vise.platform.preflight"],
        cwd=company,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    output = " ".join((done.stdout + done.stderr).split())
    assert done.returncode != 0, output
    return output


@pytest.mark.parametrize(
    ("file", "cause"),
    [
        ("wrong", "inventory/group_vars/all/vault.yml: cannot be decrypted: Decryption failed"),
        (
            "",
            "inventory/group_vars/all/vault.yml: cannot be decrypted: Attempting to decrypt but no vault secrets found",
        ),
    ],
)
def test_wrong_or_missing_password_of_the_vault_is_named_with_the_file(company: Path, file: str, cause: str) -> None:
    (company / "wrong").write_text("battery staple")
    output = preflight(company, file)
    assert "nothing was changed" in output
    assert cause in output
    assert "set ANSIBLE_VAULT_PASSWORD_FILE to the file with the password, or add --ask-vault-pass" in output
    assert "TASK [" not in output


@pytest.mark.parametrize(
    ("file", "content", "place"),
    [
        ("inventory/group_vars/all/domain.yml", "domain: example.org\ndns:\n\tx: 1\n", "domain.yml, line 3, column 1"),
        ("inventory/group_vars/docs/more.yml", "x:\n  - a\n\t- b\n", "more.yml, line 3, column 1"),
    ],
)
def test_tab_is_named_with_file_and_line(company: Path, file: str, content: str, place: str) -> None:
    (company / file).parent.mkdir(exist_ok=True)
    (company / file).write_text(content)
    output = preflight(company)
    assert f"{place}: the YAML is not valid: the line is indented by a tab; write spaces" in output
    assert "TASK [" not in output


def test_tab_in_the_inventory_ends_the_run_with_file_and_line(company: Path) -> None:
    # Ansible itself does it, before any playbook; the Makefile of the company adds what to write.
    (company / "inventory/hosts.yml").write_text("all:\n  hosts:\n\tweb-1: {}\n")
    output = preflight(company)
    assert "Tabs are usually invalid in YAML. Origin: " in output
    assert "inventory/hosts.yml:3:1" in output
    assert "PLAY [" not in output


def test_host_that_is_not_reached_hides_no_problem_of_another_one(company: Path) -> None:
    output = preflight(company)
    assert "- web-2: cannot be reached: " in output
    assert "web-1: cannot be reached" not in output
    assert "vault_internal_ca_key (inventory/group_vars/all/vault.yml): is missing" in output


@pytest.mark.parametrize(
    ("arguments", "notice"),
    [
        ([], "No INVENTORY is given: this run is for the sandbox (inventories/development)."),
        (["INVENTORY=inventories/staging"], ""),
    ],
)
def test_run_without_an_inventory_names_the_sandbox(arguments: list[str], notice: str) -> None:
    command = ["make", "--dry-run", "--old-file=setup", "--old-file=docs", "--old-file=secrets", "converge", *arguments]
    done = subprocess.run(command, cwd=collection.ROOT, capture_output=True, text=True, check=False)
    assert ("No INVENTORY is given" in done.stdout) == bool(notice), done.stdout + done.stderr
    assert notice in done.stdout
    assert "playbooks/site.yml" in done.stdout


@pytest.mark.parametrize("settings", ["clone", "company"])
def test_group_without_hosts_gives_no_warning(company: Path, settings: str) -> None:
    (company / "inventory/hosts.yml").write_text("all: {hosts: {web-1: {}}}\n")
    own = (collection.ROOT / "playbooks/templates/init/ansible.cfg.j2").read_text()
    # The lines of Jinja only choose the file of the password, and the path of an installed collection is not needed.
    lines = [
        line for line in own.splitlines() if not line.startswith(("<%", "vault_password_file", "collections_path"))
    ]
    (company / "ansible.cfg").write_text("\n".join(lines))
    path = (company if settings == "company" else collection.ROOT) / "ansible.cfg"
    environment = {
        **os.environ,
        "ANSIBLE_CONFIG": str(path),
        "ANSIBLE_COLLECTIONS_PATH": str(collection.ROOT / ".cache/collections"),
        "ANSIBLE_VAULT_PASSWORD_FILE": str(company / "password"),
    }
    done = subprocess.run(
        ["ansible-playbook", "-i", "inventory", "--list-hosts", "vise.platform.site"],
        cwd=company,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    assert "Could not match supplied host pattern" not in output
    assert "play #3 (database:cache)" in output


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        # What a shell leaves of -e 'init_functions=docs cache'
        ("init_functions=docs cache", "cache: this is separated from its value by a space, and would have no effect"),
        ("init_hosts=web-1=192.0.2.10 db-1=192.0.2.11", "db-1=192.0.2.11: this is separated from its value by a space"),
        ("init_function=docs", "init_function: this runbook has no such option; did you mean init_functions?"),
    ],
)
def test_answer_that_would_have_no_effect_is_named_and_nothing_is_written(
    answer: str, problem: str, tmp_path: Path
) -> None:
    folder = tmp_path / "platform"
    given = ["-e", f"init_folder={folder}", "-e", "init_domain=example.org", "-e", answer]
    done = subprocess.run(
        ["ansible-playbook", "vise.platform.init", *given],
        cwd=tmp_path,
        env={**os.environ, "ANSIBLE_CONFIG": str(collection.ROOT / "ansible.cfg")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert problem in done.stdout
    assert not folder.exists()
