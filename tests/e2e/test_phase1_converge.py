"""One host in every group, from an empty machine on: check mode, a killed first run, a run by name."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e import booting
from tests.e2e.converge import ADDRESS, HOST, PHASE1, ROOT, URL, Platform
from tools import collection

Shell = Callable[..., "subprocess.CompletedProcess[str]"]


def test_check_mode_on_an_empty_host_passes_and_changes_no_byte(empty: Platform, listing: Callable[[], str]) -> None:
    before = listing()
    assert len(before.splitlines()) > 500
    run = empty.converge("site", "--check", "--diff")
    assert run.changed[HOST] > 0
    assert listing() == before


@pytest.mark.deep
def test_killed_first_converge_is_finished_by_the_next_run(converged: str, world: Shell) -> None:
    assert "/srv/sites/docs/current" in converged
    world(f"curl -fsS {URL}")


@pytest.mark.deep
@pytest.mark.parametrize("kind", [booting.ORDERLY, booting.CUT])
def test_everything_runs_again_after_the_host_has_booted(converged: str, kind: str) -> None:
    assert converged
    boot = booting.boot([HOST], kind, booting.WAYS)
    print(f"{kind}: healthy after {boot.seconds:.0f} s")
    assert boot.missing == []
    assert boot.ailing == []


@pytest.mark.deep
def test_drift_before_a_run_and_within_it_is_found_by_a_surveyed_run(converged: str, on_host: Shell) -> None:
    assert converged
    # Records what is right; the next run surveys it.
    PHASE1.converge("site")
    on_host(ADDRESS, "echo '# by-hand' >>/etc/systemd/system/vise-backup-verify.timer")
    run = PHASE1.converge("site", "--diff")
    assert run.changed[HOST] == 1
    assert "-# by-hand" in run.output
    plays = ROOT / ".cache/e2e/drift.yml"
    stage = {
        "ansible.builtin.import_playbook": str(ROOT / "playbooks/preflight.yml"),
        "vars": {"preflight_survey": True},
    }
    drift = {"ansible.builtin.file": {"path": "/etc/vise/cloudflare-ranges.json", "state": "absent"}}
    last = {"ansible.builtin.import_playbook": str(ROOT / "playbooks/edge.yml")}
    plays.write_text(json.dumps([stage, {"hosts": "all", "gather_facts": False, "tasks": [drift]}, last]))
    run = PHASE1.converge("../.cache/e2e/drift")
    assert run.changed[HOST] == 2
    on_host(ADDRESS, "test -s /etc/vise/cloudflare-ranges.json")


def test_run_leaves_a_record_of_its_changes_and_no_lease(converged: str, on_host: Shell) -> None:
    assert converged
    on_host(ADDRESS, "test ! -e /run/vise/lease.json")
    record = json.loads(on_host(ADDRESS, "cat $(ls /var/lib/vise/runs/*.json | head -1)").stdout)
    assert record["playbook"] == "site.yml"
    assert any("nginx" in task for task in record["changed"][HOST])


@pytest.mark.parametrize(
    ("target", "typed", "answer"),
    [
        (["ssh", "HOST=edge", "ARGS=hostname"], "", HOST),
        (["psql", "DB=edu"], "SELECT current_database() || '-' || 'reached';", "edu-reached"),
        (["redis"], "PING", "PONG"),
        (["release", "SITE=docs"], "", "changed=0"),
    ],
)
def test_daily_command_reaches_its_program_and_is_printed(
    converged: str, target: list[str], typed: str, answer: str
) -> None:
    assert converged
    done = subprocess.run(["make", *target], cwd=ROOT, input=f"{typed}\n", capture_output=True, text=True, check=True)
    assert answer in done.stdout
    assert "ssh -F " in done.stdout or "playbooks/release_site.yml" in done.stdout


# After the boots, so that whatever they have lost is seen here.
def test_run_by_name_from_a_directory_of_ones_own_changes_nothing(converged: str, tmp_path: Path) -> None:
    assert converged
    artifact = collection.build(tmp_path / "artifact")
    collections = tmp_path / "collections"
    install = ["ansible-galaxy", "collection", "install", "--offline", "-p", str(collections), str(artifact)]
    subprocess.run(install, check=True, capture_output=True, cwd=tmp_path)
    inventory = tmp_path / "inventory"
    own_description(inventory)
    done = subprocess.run(
        ["ansible-playbook", "-i", str(inventory), "vise.platform.site"],
        cwd=tmp_path,
        text=True,
        capture_output=True,
        check=False,
        env=environment(collections),
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr
    assert re.search(rf"^{HOST} .*changed=0 ", done.stdout, re.M), done.stdout[-6000:]


def own_description(inventory: Path) -> None:
    """An inventory and a description like a company's own, with nothing of the clone but its values."""
    topics = inventory / "group_vars/all"
    topics.mkdir(parents=True)
    key = ROOT / ".cache/sandbox/id_ed25519"
    text = (ROOT / PHASE1.inventory / "hosts.yml").read_text()
    (inventory / "hosts.yml").write_text(text.replace("{{ inventory_dir }}/../../", f"{ROOT}/"))
    for name in (
        "all/domain",
        "all/sites",
        "all/database",
        "all/cache",
        "all/backups",
        "all/mail",
        "development/dns",
        "development/sandbox",
        "development/people",
    ):
        text = (ROOT / f"group_vars/{name}.yml").read_text()
        text = text.replace("{{ playbook_dir }}/..", str(ROOT)).replace("playbook_dir ~ '/..", f"'{ROOT}")
        # Further down the alphabet than what it differs from.
        (topics / f"{name.replace('development/', 'z-').replace('all/', 'a-')}.yml").write_text(text)
    (topics / "vault.yml").write_text((ROOT / PHASE1.inventory / "group_vars/all/vault.yml").read_text())
    assert key.exists()


def environment(collections: Path) -> dict[str, str]:
    """The environment of somebody who has the collection and no clone."""
    return {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(collections), "ANSIBLE_PIPELINING": "true"}
