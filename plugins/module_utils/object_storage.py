# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Write, read and remove one small object of S3-compatible storage, before the programs of backups are installed."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import hmac
import re
import typing as t
import urllib.error
import urllib.parse

from .host import clients

ALGORITHM = "AWS4-HMAC-SHA256"
SIGNED = "host;x-amz-content-sha256;x-amz-date"
LONGEST = 65536  # bytes of an answer


class StorageError(Exception):
    """The storage refused a request or gave no answer; the text has the reason."""


@dataclasses.dataclass(frozen=True)
class Bucket:
    """A bucket with a credential."""

    endpoint: str
    region: str
    name: str
    key: str
    secret: str
    uri_style: str = "host"

    def locate(self, path: str) -> tuple[str, str]:
        """Return host and path of an object, by the style of the storage."""
        path = urllib.parse.quote(path.lstrip("/"), safe="/-_.~")
        if self.uri_style == "path":
            return self.endpoint, f"/{self.name}/{path}"
        return f"{self.name}.{self.endpoint}", f"/{path}"


def sign(
    bucket: Bucket, method: str, host: str, path: str, content: bytes, now: datetime.datetime, query: str = ""
) -> dict[str, str]:
    """Return the headers of a request with its signature (version 4)."""
    moment, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
    digest = hashlib.sha256(content).hexdigest()
    headers = f"host:{host}\nx-amz-content-sha256:{digest}\nx-amz-date:{moment}\n"
    request = "\n".join([method, path, query, headers, SIGNED, digest])
    scope = f"{day}/{bucket.region}/s3/aws4_request"
    text = "\n".join([ALGORITHM, moment, scope, hashlib.sha256(request.encode()).hexdigest()])
    key = f"AWS4{bucket.secret}".encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    authorization = f"{ALGORITHM} Credential={bucket.key}/{scope},SignedHeaders={SIGNED},Signature={signature}"
    return {
        "Host": host,
        "x-amz-content-sha256": digest,
        "x-amz-date": moment,
        "Authorization": authorization,
    }


def request(bucket: Bucket, method: str, path: str, timeout: float, content: bytes = b"") -> bytes:
    """Send a signed request for an object; return the answer.

    Raises:
        StorageError: the storage refuses it, or gives no answer.
    """
    host, location = bucket.locate(path)
    now = datetime.datetime.now(datetime.UTC)
    headers = sign(bucket, method, host, location, content, now)
    data = content if method == "PUT" else None
    try:
        url = f"https://{host}{location}"
        with clients.open_url(url, headers=headers, timeout=timeout, method=method, data=data) as answer:
            return t.cast("bytes", answer.read(LONGEST))
    except urllib.error.HTTPError as error:
        raise StorageError(describe_refusal(error.code, error.read(LONGEST).decode("utf-8", "replace"))) from error
    except (OSError, ValueError) as error:
        raise StorageError(f"{host} gives no answer: {getattr(error, 'reason', error)}") from error


def describe_refusal(status: int, body: str) -> str:
    """Return why the storage refused a request, from the error in its answer."""
    code, message = (re.search(rf"<{name}>([^<]*)</{name}>", body) for name in ("Code", "Message"))
    parts = [found[1] for found in (code, message) if found and found[1]]
    return f"{': '.join(parts) or 'no reason'} (status {status})"


def prove(bucket: Bucket, path: str, content: bytes, timeout: float) -> str:
    """Write an object, read it back and remove it; return what failed, or an empty text."""
    step = "write"
    try:
        request(bucket, "PUT", path, timeout, content)
        step = "read"
        if request(bucket, "GET", path, timeout) != content:
            return "the storage returns other content than was written"
        step = "remove"
        request(bucket, "DELETE", path, timeout)
    except StorageError as error:
        return f"the credential cannot {step} an object: {error}"
    return ""
