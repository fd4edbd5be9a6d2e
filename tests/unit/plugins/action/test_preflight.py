"""The preflight action: it reports every problem of a run at once, and a library that is missing."""

from __future__ import annotations

import json
import os
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
