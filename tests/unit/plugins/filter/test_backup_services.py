"""The backups of one host as a filter. The tests of the derived values are those of the model."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.vise.platform.plugins.filter.backup_services import FilterModule

DERIVE = FilterModule().filters()["backup_services"]
GROUPS = {"all": ["a"]}
HOSTVARS: dict[str, dict[str, str]] = {"a": {}}
SETS = [{"name": "files", "group": "all", "paths": ["/srv"]}]


def test_platform_without_repositories_backs_up_nothing() -> None:
    found = DERIVE(None, "a", GROUPS, HOSTVARS, None, None, "a")
    assert (found["file_repositories"], found["sets"], found["pruned_repositories"]) == ([], [], [])


def test_missing_passphrase_is_an_error_of_the_filter() -> None:
    credential = {"key": "K", "secret": "S"}
    repository = {"name": "r", "endpoint": "e", "region": "r", "bucket": "b", "append": credential, "full": credential}
    with pytest.raises(AnsibleFilterError, match="backup_files_passphrase is missing"):
        DERIVE([repository], "a", GROUPS, HOSTVARS, SETS)
