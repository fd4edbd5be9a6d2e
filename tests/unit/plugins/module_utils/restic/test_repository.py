"""Environment of restic for a repository."""

from __future__ import annotations

import pytest
from ansible_collections.vise.platform.plugins.module_utils.restic.repository import Repository

PLAIN = {
    "RESTIC_REPOSITORY": "s3:https://a/b",
    "RESTIC_PASSWORD": "password-1",
    "AWS_ACCESS_KEY_ID": "access-1",
    "AWS_SECRET_ACCESS_KEY": "secret-1",
}


@pytest.mark.parametrize(
    ("region", "ca_file", "further"),
    [("", "", {}), ("eu", "/ca.pem", {"AWS_DEFAULT_REGION": "eu", "RESTIC_CACERT": "/ca.pem"})],
)
def test_environment_contains_address_and_credential(region: str, ca_file: str, further: dict[str, str]) -> None:
    repository = Repository("a", "s3:https://a/b", "password-1", "access-1", "secret-1", region)
    assert repository.environment(ca_file) == {**PLAIN, **further}
