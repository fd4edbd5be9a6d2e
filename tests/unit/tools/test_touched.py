"""A change selects the tests that it reaches, in this checkout."""

from __future__ import annotations

import pytest

from tools import tiers, touched
from tools.collection import ROOT

ALL = set(tiers.contract_scenarios(ROOT))
DEEP = set(tiers.deep_targets(ROOT))


@pytest.mark.parametrize(
    ("change", "scenarios", "deep"),
    [
        pytest.param("roles/redis/tasks/main.yml", {"redis"}, {"redis", "platform"}, id="tasks of a role"),
        pytest.param(
            "roles/base/templates/chrony.conf.j2",
            {"baseline"},
            {"platform"},
            id="template of a role in a shared scenario",
        ),
        pytest.param("molecule/base/tests/test_base.py", {"baseline"}, set(), id="test of a role in a shared scenario"),
        pytest.param(
            "plugins/modules/postgresql_upgrade.py", set(), {"upgrade-postgresql"}, id="module of a deep scenario"
        ),
        pytest.param(
            "plugins/module_utils/pgbackrest/restore.py",
            {"pgbackrest"},
            {"restore-database"},
            id="import of a module",
        ),
        pytest.param(
            "plugins/module_utils/component/host.py",
            ALL - {"preflight", "static_site"},
            DEEP - {"corruption"},
            id="the mechanism of all roles",
        ),
        pytest.param(
            "plugins/module_utils/nginx/cloudflare_ranges.py", {"nginx"}, {"platform"}, id="program of a host"
        ),
        pytest.param("plugins/filter/nginx_model.py", {"nginx"}, {"platform"}, id="filter"),
        pytest.param(
            "playbooks/restore_database.yml",
            {"newcomer"},
            {"restore-database", "platform", "newcomer"},
            id="runbook",
        ),
        pytest.param("playbooks/promote_standby.yml", {"postgresql"}, {"postgresql"}, id="runbook of a deep test"),
        pytest.param("playbooks/restore_files.yml", {"restic"}, {"backups"}, id="runbook of a deep test of backups"),
        pytest.param("playbooks/edge.yml", set(), {"platform", "spread"}, id="stage"),
        pytest.param("group_vars/all/mail.yml", set(), {"platform", "platform-mail", "spread"}, id="description"),
        pytest.param("sandbox/host/Dockerfile", ALL, DEEP, id="the sandbox"),
        pytest.param("requirements/controller.txt", ALL, DEEP, id="the environment"),
        pytest.param("tests/scenario.py", ALL, {"upgrade-postgresql"}, id="fixtures of all scenarios"),
    ],
)
def test_change_selects_what_it_reaches(change: str, scenarios: set[str], deep: set[str]) -> None:
    selection = touched.select([change], ROOT)
    assert scenarios <= set(selection.scenarios)
    assert deep <= set(selection.deep)


@pytest.mark.parametrize(
    ("change", "scenarios", "deep"),
    [
        (
            "roles/redis/tasks/main.yml",
            {"nginx", "postgresql", "baseline"},
            {"postgresql", "backups"},
        ),
        ("plugins/modules/dkim_key.py", {"nginx", "redis", "baseline"}, {"postgresql", "backups"}),
        # The journey of a newcomer restores the database.
        ("playbooks/restore_database.yml", ALL - {"newcomer"}, {"mail", "backups"}),
        ("roles/redis/README.md", ALL, DEEP),
        ("docs/mail.md", ALL, DEEP),
        ("changelogs/fragments/mail.yml", ALL, DEEP),
    ],
)
def test_change_does_not_select_what_it_does_not_reach(change: str, scenarios: set[str], deep: set[str]) -> None:
    selection = touched.select([change], ROOT)
    assert not scenarios & set(selection.scenarios)
    assert not deep & set(selection.deep)


@pytest.mark.parametrize(
    ("change", "files"),
    [
        ("playbooks/site.yml", {"test_phase1_converge.py", "test_phase1_outside.py", "test_phase2.py"}),
        ("playbooks/publish_dns.yml", {"test_dns.py"}),
        ("roles/nginx/templates/site.conf.j2", {"test_phase1_outside.py"}),
        ("tests/e2e/test_world_s3.py", {"test_world_s3.py"}),
    ],
)
def test_change_selects_end_to_end_tests(change: str, files: set[str]) -> None:
    assert files <= set(touched.select([change], ROOT).e2e)


def test_removed_file_selects_the_scenarios_of_its_folder() -> None:
    assert "redis" in touched.select(["roles/redis/templates/was-here.conf.j2"], ROOT).scenarios


def test_base_is_required(capsys: pytest.CaptureFixture[str]) -> None:
    assert touched.main([]) == 2
    assert "BASE=<rev>" in capsys.readouterr().err
