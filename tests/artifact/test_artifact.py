"""The collection as somebody installs it: built, installed, and run by name from a directory that is no clone."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tools import collection

SHIPPED = {
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "COPYING",
    "FILES.json",
    "MANIFEST.json",
    "README.md",
    "changelogs",
    "meta",
    "playbooks",
    "plugins",
    "requirements.yml",
    "roles",
}
PLAYBOOKS = sorted(path.stem for path in (collection.ROOT / "playbooks").glob("*.yml"))


@pytest.fixture(scope="session")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return collection.build(tmp_path_factory.mktemp("artifact"))


@pytest.fixture(scope="session")
def elsewhere(artifact: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of a company's own, with the collection installed into it and nothing of the clone in reach."""
    place = tmp_path_factory.mktemp("elsewhere")
    run(place, "ansible-galaxy", "collection", "install", "--offline", "-p", str(place / "collections"), str(artifact))
    return place


def run(place: Path, *command: str, check: bool = True) -> str:
    """Run a command in a place; what it prints on both streams is the answer."""
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(place / "collections")}
    environment.pop("ANSIBLE_CONFIG", None)
    done = subprocess.run(
        command, cwd=place, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert done.returncode == 0 or not check, done.stdout
    return done.stdout


def test_only_what_a_user_needs_is_shipped(artifact: Path) -> None:
    names = collection.list_files(artifact)
    assert {name.partition("/")[0] for name in names} <= SHIPPED
    assert {"README.md", "meta/runtime.yml", "playbooks/site.yml", "plugins/modules/component.py"} <= set(names)
    schemas = {f"roles/preflight/files/description.{name}.json" for name in ("schema", "editor.schema")}
    assert schemas <= set(names)
    assert [name for name in names if "__pycache__" in name or name.startswith("playbooks/group_vars")] == []


def test_collection_is_installed_with_its_version(elsewhere: Path) -> None:
    assert "vise.platform 0.1.0" in " ".join(run(elsewhere, "ansible-galaxy", "collection", "list").split())


@pytest.mark.parametrize("playbook", PLAYBOOKS)
def test_playbook_runs_by_name_from_another_directory(elsewhere: Path, playbook: str) -> None:
    run(elsewhere, "ansible-playbook", "-i", "localhost,", f"vise.platform.{playbook}", "--syntax-check")


def test_site_lists_tasks_of_the_installed_roles(elsewhere: Path) -> None:
    listing = run(elsewhere, "ansible-playbook", "-i", "localhost,", "vise.platform.site", "--list-tasks")
    for role in ("base", "ssh", "firewall", "nginx"):
        assert f"vise.platform.{role} : " in listing


@pytest.fixture(scope="session")
def minimal(elsewhere: Path) -> Path:
    """An inventory with the least that a description must say, and no group_vars."""
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHUZ0M0gjkBaqSVdVF9XW2hLHZHGZxgXoPIPr7oz4xv2"
    variables = {
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "domain": "example.org",
        "databases": {"app": {"clients": "database", "password": "a-long-password-of-the-app"}},
        "backup_excluded_groups": ["database"],
        "preflight_plaintext_secrets": True,
        "people": [{"name": "alice", "keys": [key]}],
        "vault_internal_ca": "the certificate of an authority",
        "vault_internal_ca_key": "the key of an authority",
        "vault_database_pool": "a-long-password-of-the-pool",
    }
    inventory = elsewhere / "hosts.json"
    inventory.write_text(json.dumps({"all": {"vars": variables, "children": {"database": {"hosts": {"db-1": {}}}}}}))
    return inventory


def test_stages_without_work_end_well_with_the_defaults_of_the_description(elsewhere: Path, minimal: Path) -> None:
    stages = [f"vise.platform.{stage}" for stage in ("edge", "backups", "smoke")]
    output = run(elsewhere, "ansible-playbook", "-i", str(minimal), *stages)
    assert re.search(r"db-1 +: ok=\d+ +changed=0 +unreachable=0 +failed=0", output)


def test_preflight_refuses_nothing_of_a_minimal_description(elsewhere: Path, minimal: Path) -> None:
    # The machine of the test is not a host of the platform, so that preflight may refuse its system and its size.
    output = run(elsewhere, "ansible-playbook", "-i", str(minimal), "vise.platform.preflight", check=False)
    assert "TASK [vise.platform.preflight : " in output
    problems = re.findall(r"^ *- (\w+)[ :].*;", output, re.MULTILINE)
    assert set(problems) <= {"system", "preflight_memory_mb", "preflight_disk_mb"}, output
    assert "unreachable=0" in output


def test_installed_runbook_prints_its_usage(elsewhere: Path, minimal: Path) -> None:
    output = run(elsewhere, "ansible-playbook", "-i", str(minimal), "vise.platform.rollback_site", check=False)
    assert "missing required arguments: rollback_site" in output
    assert "-e rollback_site=SITE" in output


def test_installed_component_runs(elsewhere: Path) -> None:
    wanted = f'{{"name": "trial", "directories": [{{"path": "{elsewhere}/made"}}]}}'
    output = run(elsewhere, "ansible", "localhost", "-m", "vise.platform.component", "-a", wanted, "--check")
    assert "CHANGED" in output
    assert not (elsewhere / "made").exists()
