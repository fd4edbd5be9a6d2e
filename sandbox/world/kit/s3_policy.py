"""Who may do what at the sandbox's S3 servers; pure, so that a test can list the cases."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import parse_qs, unquote

CREDENTIAL = r"([^/,\s]+)/\d{8}/([^/,\s]+)/s3/aws4_request"
# What an upload of an object may ask for; anything else (acl, tagging, retention, ...) is another operation.
UPLOAD = {"partNumber", "uploadId", "uploads", "x-id"}
PRESIGNED = "x-amz-"
# Below it restic keeps its locks, which it must be able to remove.
LOCKS = "locks"


class Refused(Exception):
    """An answer that is an error, in S3's words."""

    def __init__(self, status: int, code: str, message: str, **more: str) -> None:
        super().__init__(message)
        self.status = status
        self.fields = {"Code": code, "Message": message, **more}


class Signer(NamedTuple):
    """Whose signature a request claims to carry, and for which region it was made."""

    key: str
    region: str


def denied() -> Refused:
    """What S3 says to everybody who may not."""
    return Refused(403, "AccessDenied", "Access Denied")


def internal_error() -> Refused:
    """S3's own failure."""
    return Refused(500, "InternalError", "We encountered an internal error. Please try again.")


def split(target: str) -> tuple[list[str], set[str]]:
    """The parts of a request's path, bucket first, and the names in its query."""
    path, _, query = target.partition("?")
    return unquote(path).split("/")[1:], set(parse_qs(query, keep_blank_values=True))


def signer(authorizations: list[str], target: str) -> Signer:
    """Read the access key from the header or the presigned query; the signature is for the server to check."""
    claimed = parse_qs(target.partition("?")[2]).get("X-Amz-Credential", [])
    if not authorizations and not claimed:
        raise denied()
    # Two would let the policy look at one of them and the server at the other.
    if len(authorizations) + len(claimed) != 1:
        raise Refused(400, "InvalidArgument", "Only one auth mechanism allowed")
    if authorizations and not authorizations[0].startswith("AWS4-HMAC-SHA256 "):
        message = "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256."
        raise Refused(400, "InvalidRequest", message)
    found = (
        re.match(rf"AWS4-HMAC-SHA256 +Credential={CREDENTIAL},", authorizations[0])
        if authorizations
        else re.fullmatch(CREDENTIAL, claimed[0])
    )
    if not found:
        raise Refused(400, "AuthorizationHeaderMalformed", "The authorization header is malformed")
    return Signer(found[1], found[2])


def check_region(signed: Signer, region: str) -> None:
    """Refuse what was signed for another region, and tell the right one, as clients expect."""
    if signed.region != region:
        message = f"The authorization header is malformed; the region '{signed.region}' is wrong; expecting '{region}'"
        raise Refused(400, "AuthorizationHeaderMalformed", message, Region=region)


def may_append(method: str, target: str, exists: Callable[[list[str]], bool]) -> bool:
    """Whether a credential may that reads, lists and adds objects, but neither removes nor overwrites any."""
    if method in ("GET", "HEAD"):
        return True
    path, asked = split(target)
    # Buckets and lists of objects to delete have no key; a server might take other spellings for the same object.
    if len(path) < 2 or not {"", ".", ".."}.isdisjoint(path):
        return False
    is_lock = LOCKS in path[1:-1]
    if method == "DELETE":
        return "uploadId" in asked or is_lock
    more = {name for name in asked if not name.lower().startswith(PRESIGNED)} - UPLOAD
    return method in ("PUT", "POST") and not more and (is_lock or not exists(path))
