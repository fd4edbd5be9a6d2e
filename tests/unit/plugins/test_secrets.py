"""Which secrets of group_vars a platform needs, by its groups: preflight asks for them, stages read them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.vise.platform.plugins.module_utils import description, preflight_checks

ROOT = Path(__file__).resolve().parents[3]
Variables = dict[str, Any]
# The host of each group, and the stages that derive its services.
HOSTS = {"docs": "a", "edge": "a", "edu": "b", "database": "c", "database_standby": "d", "cache": "e", "mail": "f"}
STAGES = ("baseline", "data", "backups")

CA = {"vault_internal_ca", "vault_internal_ca_key"}
DATABASE = {"vault_database_edu", "vault_database_pool", "vault_backup_database_passphrase"}
CACHE = {"vault_cache_edu"}
MAIL = {
    "vault_mail_admin",
    "vault_mail_api_key",
    "vault_mail_database",
    "vault_mail_database_root",
    "vault_mail_redis",
    "vault_mail_sogo",
    "vault_mailbox_postmaster",
    "vault_mailbox_probe",
}
FILES = {"vault_backup_files_passphrase"}
APPEND = {f"vault_backup_{name}_append_{part}" for name in ("first", "second") for part in ("key", "secret")}
FULL = {f"vault_backup_{name}_{part}" for name in ("first", "second") for part in ("key", "secret")}
REPOSITORIES = APPEND | FULL


def load(path: Path) -> Any:
    """Return a file's content, whose strings Ansible may template."""
    return DataLoader().load_from_file(str(path), trusted_as_template=True) or {}


DESCRIPTION: Variables = load(ROOT / "roles/description/defaults/main.yml")
for file in sorted((ROOT / "group_vars/all").glob("*.yml")):
    DESCRIPTION |= load(file)
# The variables of each play, and its values that derive services.
DERIVED = [
    (play["vars"], value)
    for stage in STAGES
    for play in load(ROOT / f"playbooks/{stage}.yml")[:1]
    for value in play["vars"].values()
    if re.search(r"vise\.platform\.(data|backup)_services\(", str(value))
]
SCHEMA = description.inline_references(json.loads((ROOT / "roles/preflight/files/description.schema.json").read_text()))
# Without a token nothing is published, and the others exist only while the authority is replaced.
OPTIONAL = {"vault_cloudflare_token", "vault_internal_ca_next", "vault_internal_ca_previous"}
SECRETS = set(re.findall(r"\bvault_\w+", str(DESCRIPTION)))


def variables(host: str, groups: list[str], missing: str) -> Variables:
    """Return what a host of a platform with these groups sees, when one secret is missing."""
    hosts = sorted({HOSTS[group] for group in groups})
    return {
        **DESCRIPTION,
        **dict.fromkeys(SECRETS - {missing}, "a1b2c3d4e5f6a7b8"),
        "inventory_hostname": host,
        "playbook_dir": str(ROOT / "playbooks"),
        "groups": {"all": hosts, **{group: [HOSTS[group]] for group in groups}},
        "hostvars": {name: {"ansible_host": f"192.0.2.{number}"} for number, name in enumerate(hosts, 1)},
    }


def needed(look: Callable[[Variables], object], host: str, groups: list[str]) -> set[str]:
    """Return the secrets without which looking fails."""

    def fails(secret: str) -> bool:
        try:
            look(variables(host, groups, missing=secret))
        except AnsibleError as error:
            assert re.search(
                f"'{secret}' is undefined|{secret}: is missing|{secret.removeprefix('vault_')} is missing", str(error)
            )
            return True
        return False

    return {secret for secret in SECRETS if fails(secret)}


def asked(host: str, groups: list[str], sets: list[dict[str, Any]] = DESCRIPTION["backup_sets"]) -> set[str]:
    """Return the secrets in what preflight asks for, on a platform with these groups and sets of backups."""
    seen = variables(host, groups, missing="")
    read = description.select_keys(SCHEMA, seen["groups"], {"backup_sets": sets})
    told = {name: DESCRIPTION[name] for name in read["properties"] if "vault_" in str(DESCRIPTION.get(name))}

    def validate(seen: Variables) -> None:
        values = Templar(loader=DataLoader(), variables=seen).template(told)
        for problem in preflight_checks.find_missing_secrets(values, seen, SCHEMA).values():
            raise AnsibleError(problem.line())

    return needed(validate, host, groups)


def stages(seen: Variables) -> None:
    """Template what stages derive for the host."""
    templar = Templar(loader=DataLoader(), variables=seen)
    for play_variables, value in DERIVED:
        templar.available_variables = {**seen, **play_variables}
        templar.template(value)


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        (["docs", "edge"], CA),
        (["docs", "edge", "edu"], CA),
        (["docs", "edge", "cache"], CA | CACHE | REPOSITORIES | FILES),
        (["edge", "mail"], CA | MAIL | REPOSITORIES | FILES),
        (["edge", "database"], CA | DATABASE | REPOSITORIES),
        (["edge", "database", "database_standby"], CA | DATABASE | REPOSITORIES | {"vault_database_replication"}),
        (sorted(HOSTS), SECRETS - OPTIONAL),
    ],
)
def test_preflight_asks_for_the_secrets_of_groups_that_have_a_host(groups: list[str], expected: set[str]) -> None:
    assert asked(HOSTS[groups[0]], groups) == expected


def test_services_are_derived_in_each_stage() -> None:
    assert len(DERIVED) == 4


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        ("edge", set()),
        ("edu", set()),
        ("cache", CACHE | APPEND | FILES),
        ("mail", APPEND | FILES),
        # The first removes old backups of files as well
        ("database", DATABASE | {"vault_database_replication"} | FULL | FILES),
        ("database_standby", DATABASE | {"vault_database_replication"} | FULL),
    ],
)
def test_stages_read_the_secrets_of_a_hosts_own_groups_alone(group: str, expected: set[str]) -> None:
    assert needed(stages, HOSTS[group], sorted(HOSTS)) == expected


def test_stages_of_a_docs_site_alone_read_none_of_them() -> None:
    assert needed(stages, "a", ["docs", "edge"]) == set()


def test_platform_whose_own_files_are_backed_up_is_asked_where_to() -> None:
    sets = [{"name": "uploads", "group": "docs", "paths": ["/srv/uploads"]}]
    assert asked("a", ["docs", "edge"], sets) == CA | REPOSITORIES | FILES
