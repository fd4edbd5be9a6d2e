"""The secrets that hosts need follow from what they read, however variables refer to each other."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import trust_as_template
from ansible_collections.vise.platform.plugins.plugin_utils import needed_secrets, vault_completion

SCHEMA = needed_secrets.load_schema(vault_completion.ROLES)
OWN = {"vault_internal_ca", "vault_internal_ca_key"}


def trust(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: trust(one) for name, one in value.items()}
    if isinstance(value, list):
        return [trust(one) for one in value]
    return trust_as_template(value) if isinstance(value, str) else value


def find(groups: dict[str, list[str]], variables: dict[str, Any], **own: dict[str, Any]) -> dict[str, list[str]]:
    """Return the missing secrets of hosts, except the authority that each host needs."""
    every = sorted({host for members in groups.values() for host in members})
    hosts: dict[str, dict[str, Any]] = {}
    for host in every:
        magic = {"inventory_hostname": host, "groups": {"all": every, **groups}, "hostvars": hosts}
        hosts[host] = {"domain": "example.org", **trust(variables), **trust(own.get(host, {})), **magic}
    missing = needed_secrets.find_missing(hosts, vault_completion.ROLES, SCHEMA, DataLoader())
    assert set(missing) >= OWN - set(variables)
    return {name: readers for name, readers in missing.items() if name not in OWN}


DATABASE = {"database": ["a"], "shop": ["a"]}


def store(password: str) -> dict[str, Any]:
    return {"databases": {"shop": {"clients": "shop", "password": password}}}


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        (store("{{ vault_database_shop }}"), ["vault_database_shop"]),
        ({**store("{{ shop_password }}"), "shop_password": "{{ vault_shop }}"}, ["vault_shop"]),
        (store("{{ lookup('vars', 'vault_' ~ inventory_hostname) }}"), ["vault_a"]),
        (store("{{ hostvars[inventory_hostname].vault_shop }}"), ["vault_shop"]),
        (store("{{ vault_shop if domain == 'example.org' else vault_other }}"), ["vault_shop"]),
        (store("{{ vault_shop | default('x') }}"), []),
        (store("{{ vault_one ~ vault_two }}"), ["vault_one", "vault_two"]),
        ({**store("{{ vault_shop }}"), "vault_shop": "present"}, []),
        (store("plain"), []),
    ],
)
def test_reference_is_followed(variables: dict[str, Any], expected: list[str]) -> None:
    found = find(DATABASE, variables)
    assert sorted(set(found) - {"vault_database_pool"}) == expected


def test_all_secrets_of_a_key_are_found() -> None:
    databases = {name: {"clients": "shop", "password": f"{{{{ vault_{name} }}}}"} for name in ("one", "two", "three")}
    assert set(find(DATABASE, {"databases": databases})) == {
        "vault_database_pool",
        "vault_one",
        "vault_two",
        "vault_three",
    }


def test_only_the_secrets_of_functions_with_hosts_are_needed() -> None:
    variables = {**store("{{ vault_shop }}"), "mail_mailboxes": [{"address": "a@b.c", "password": "{{ vault_a }}"}]}
    assert find({"docs": ["a"], "edge": ["a"]}, variables) == {}


def test_standby_and_primary_need_the_password_of_the_replication() -> None:
    found = find({"database": ["a"], "database_standby": ["b"], "shop": ["a"]}, store("{{ vault_shop }}"))
    assert set(found) == {"vault_shop", "vault_database_pool", "vault_database_replication"}


def test_secret_that_one_host_has_is_needed_by_the_others() -> None:
    sets = [{"name": "files", "group": "docs", "paths": ["/srv"]}]
    credentials = {"key": "{{ vault_key }}", "secret": "{{ vault_secret }}"}
    repository = {"name": "first", "endpoint": "s3.example.net", "region": "eu", "bucket": "one"}
    variables = {
        "backup_sets": sets,
        "backup_repositories": [{**repository, "append": credentials, "full": credentials}],
    }
    own = {"vault_key": "own", "vault_secret": "own", "vault_backup_files_passphrase": "own"}
    assert find({"docs": ["a"]}, variables, a=own) == {}
    assert set(find({"docs": ["a", "b"]}, variables, a=own)) == set(own)


def test_options_of_roles_and_of_the_connection_are_read() -> None:
    variables = {
        "ansible_become_password": "{{ vault_become }}",
        "base_ntp_servers": ["{{ vault_ntp }}"],
        "unknown": "{{ vault_unknown }}",
    }
    assert find({"docs": ["a"]}, variables) == {
        "vault_become": ["ansible_become_password"],
        "vault_ntp": ["base_ntp_servers"],
    }


def test_error_of_another_kind_ends_the_search() -> None:
    assert find(DATABASE, store("{{ vault_shop | no_such_filter }}")) == {
        "vault_database_pool": ["database_pool_password"]
    }
