"""Permissions of the sandbox's S3 servers."""

from __future__ import annotations

import pytest
from kit import s3_policy as policy

OLD = ["vise-backups", "data", "old"]
KEY = "AKIAEXAMPLE"
SCOPE = "20261124/eu-central-1/s3/aws4_request"
HEADER = f"AWS4-HMAC-SHA256 Credential={KEY}/{SCOPE}, SignedHeaders=host;x-amz-date, Signature=0123"
PRESIGNED = (
    f"/b/k?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={KEY}%2F{SCOPE.replace('/', '%2F')}&X-Amz-Signature=0"
)


@pytest.mark.parametrize(
    ("method", "target", "allowed"),
    [
        ("GET", "/", True),
        ("GET", "/vise-backups?list-type=2&prefix=data%2F", True),
        ("GET", "/vise-backups/data/old", True),
        ("HEAD", "/vise-backups/data/old", True),
        ("PUT", "/vise-backups/data/new", True),
        ("PUT", "/vise-backups/data/new?x-id=PutObject&X-Amz-Signature=0", True),
        ("PUT", "/vise-backups/data/old", False),
        ("PUT", "/vise-backups/data/%6Fld", False),
        ("PUT", "/vise-backups/data//old", False),
        ("PUT", "/vise-backups/locks/../data/old", False),
        ("PUT", "/vise-backups/locks/%2E%2E/data/old", False),
        ("PUT", "//vise-backups/data/old", False),
        ("PUT", "/vise-backups/data/new?acl", False),
        ("PUT", "/vise-backups/data/new?tagging=", False),
        ("PUT", "/vise-backups", False),
        ("PUT", "/vise-backups/", False),
        ("PUT", "*", False),
        ("POST", "/vise-backups/data/new?uploads", True),
        ("PUT", "/vise-backups/data/new?partNumber=1&uploadId=1", True),
        ("POST", "/vise-backups/data/new?uploadId=1", True),
        ("DELETE", "/vise-backups/data/new?uploadId=1", True),
        ("POST", "/vise-backups/data/old?uploads", False),
        ("POST", "/vise-backups/data/old?uploadId=1", False),
        ("DELETE", "/vise-backups/data/old", False),
        ("DELETE", "/vise-backups/data/new", False),
        ("DELETE", "/vise-backups", False),
        ("POST", "/vise-backups?delete", False),
        ("PUT", "/vise-backups/files/locks/1", True),
        ("DELETE", "/vise-backups/files/locks/1", True),
        ("DELETE", "/vise-backups/files/locks/../data/old", False),
        ("DELETE", "/vise-backups/locks", False),
        ("DELETE", "/locks/data/old", False),
        ("DELETE", "/vise-backups/data/unlocks/1", False),
    ],
)
def test_append_credential_can_read_and_add_but_not_remove_or_overwrite(
    method: str, target: str, allowed: bool
) -> None:
    assert policy.may_append(method, target, lambda path: path == OLD) is allowed


def test_append_credential_can_overwrite_a_lock() -> None:
    assert policy.may_append("PUT", "/vise-backups/files/locks/1", lambda _path: True)


@pytest.mark.parametrize(("headers", "target"), [([HEADER], "/b/k"), ([], PRESIGNED)], ids=["header", "presigned"])
def test_access_key_and_region_are_parsed(headers: list[str], target: str) -> None:
    assert policy.parse_signer(headers, target) == (KEY, "eu-central-1")


@pytest.mark.parametrize(
    ("headers", "target", "status", "code"),
    [
        ([], "/b/k", 403, "AccessDenied"),
        ([HEADER], PRESIGNED, 400, "InvalidArgument"),
        ([HEADER, HEADER], "/b/k", 400, "InvalidArgument"),
        (["AWS AKIAEXAMPLE:c2ln"], "/b/k", 400, "InvalidRequest"),
        (["Bearer token"], "/b/k", 400, "InvalidRequest"),
        ([f"AWS4-HMAC-SHA256 Credential={KEY}/2026/s3, Signature=0"], "/b/k", 400, "AuthorizationHeaderMalformed"),
        ([], "/b/k?X-Amz-Credential=x", 400, "AuthorizationHeaderMalformed"),
    ],
    ids=["none", "both", "two", "version 2", "other scheme", "malformed", "malformed query"],
)
def test_request_without_exactly_one_valid_signature_is_refused(
    headers: list[str], target: str, status: int, code: str
) -> None:
    with pytest.raises(policy.S3Error) as refused:
        policy.parse_signer(headers, target)
    assert (refused.value.status, refused.value.fields["Code"]) == (status, code)


def test_other_region_is_refused_with_the_correct_one() -> None:
    with pytest.raises(policy.S3Error) as refused:
        policy.check_region(policy.Signer(KEY, "us-east-1"), "eu-central-1")
    assert refused.value.fields["Region"] == "eu-central-1"
    policy.check_region(policy.Signer(KEY, "eu-central-1"), "eu-central-1")
