"""Permissions of the sandbox's S3 servers, as pure functions."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import parse_qs, unquote

CREDENTIAL = r"([^/,\s]+)/\d{8}/([^/,\s]+)/s3/aws4_request"
# Query parameters of an upload; any other parameter (acl, tagging, retention, ...) is another operation.
UPLOAD = {"partNumber", "uploadId", "uploads", "x-id"}
PRESIGNED = "x-amz-"
# Folder of restic's locks, which restic must be able to remove.
LOCKS = "locks"


class S3Error(Exception):
    """An error response of S3."""

    def __init__(self, status: int, code: str, message: str, **more: str) -> None:
        super().__init__(message)
        self.status = status
        self.fields = {"Code": code, "Message": message, **more}


class Signer(NamedTuple):
    """The access key and the region that a request's signature claims."""

    key: str
    region: str


def access_denied() -> S3Error:
    """Return the error for a missing permission."""
    return S3Error(403, "AccessDenied", "Access Denied")


def internal_error() -> S3Error:
    """Return the error for a failure of S3 itself."""
    return S3Error(500, "InternalError", "We encountered an internal error. Please try again.")


def split_target(target: str) -> tuple[list[str], set[str]]:
    """Return the parts of a request's path, bucket first, and the names of its query parameters."""
    path, _, query = target.partition("?")
    return unquote(path).split("/")[1:], set(parse_qs(query, keep_blank_values=True))


def parse_signer(authorizations: list[str], target: str) -> Signer:
    """Read access key and region from the header or the presigned query; raises S3Error when there is not exactly one.

    The server behind verifies the signature.
    """
    claimed = parse_qs(target.partition("?")[2]).get("X-Amz-Credential", [])
    if not authorizations and not claimed:
        raise access_denied()
    # With two signatures, the policy could check one of them and the server the other.
    if len(authorizations) + len(claimed) != 1:
        raise S3Error(400, "InvalidArgument", "Only one auth mechanism allowed")
    if authorizations and not authorizations[0].startswith("AWS4-HMAC-SHA256 "):
        message = "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256."
        raise S3Error(400, "InvalidRequest", message)
    match = (
        re.match(rf"AWS4-HMAC-SHA256 +Credential={CREDENTIAL},", authorizations[0])
        if authorizations
        else re.fullmatch(CREDENTIAL, claimed[0])
    )
    if not match:
        raise S3Error(400, "AuthorizationHeaderMalformed", "The authorization header is malformed")
    return Signer(match[1], match[2])


def check_region(signed: Signer, region: str) -> None:
    """Reject a signature for another region; like S3, the error contains the correct region."""
    if signed.region != region:
        message = f"The authorization header is malformed; the region '{signed.region}' is wrong; expecting '{region}'"
        raise S3Error(400, "AuthorizationHeaderMalformed", message, Region=region)


def may_append(method: str, target: str, exists: Callable[[list[str]], bool]) -> bool:
    """Return whether a credential allows a request that may read, list and add objects, but not remove or overwrite."""
    if method in ("GET", "HEAD"):
        return True
    path, parameters = split_target(target)
    # Operations on buckets have no key. `.` and `..` could be another spelling of an existing object.
    if len(path) < 2 or not {"", ".", ".."}.isdisjoint(path):
        return False
    is_lock = LOCKS in path[1:-1]
    if method == "DELETE":
        return "uploadId" in parameters or is_lock
    others = {name for name in parameters if not name.lower().startswith(PRESIGNED)} - UPLOAD
    return method in ("PUT", "POST") and not others and (is_lock or not exists(path))
