"""The sandbox's S3 servers take what S3 takes, refuse what it refuses, and fail when told to."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest

CREDENTIALS = Path(__file__).resolve().parents[2] / ".cache/sandbox/s3.json"
REGIONS = {"s3-a": "eu-central-1", "s3-b": "eu-west-1"}
FOLDER = "vise-backups/e2e"
DISK = f"/var/lib/world/s3-a/{FOLDER}"


class Answer(NamedTuple):
    status: int
    text: str
    seconds: float

    @property
    def code(self) -> str:
        """S3's word for the error."""
        return "".join(re.findall("<Code>(.*)</Code>", self.text))


Ask = Callable[..., Answer]


def pair(who: str) -> dict[str, str]:
    found: dict[str, str] = json.loads(CREDENTIALS.read_text())[who]
    return found


def signed(where: str, who: str, path: str, **other: str) -> list[str]:
    """Curl's configuration for a signed request; it goes through standard input, out of sight."""
    user = {**pair(who), **other}
    signature = [f'aws-sigv4 = "aws:amz:{other.get("region", REGIONS[where])}:s3"']
    return [f'url = "https://{where}.vln.test/{path}"', *signature, f'user = "{user["key"]}:{user["secret"]}"']


@pytest.fixture(autouse=True)
def clean(world: Any) -> Iterator[None]:
    """Leave nothing in the bucket."""
    yield
    world("rm -rf /var/lib/world/s3-?/vise-backups/e2e /tmp/e2e-*")


@pytest.fixture
def ask(world: Any) -> Ask:
    """Ask one of the servers by curl."""

    def request(
        method: str, path: str, where: str = "s3-a", who: str = "full", body: str | None = None, **other: str
    ) -> Answer:
        config = signed(where, who, path, **other)
        config += ['write-out = "\\n%{http_code} %{time_total}"', f'request = "{method}"']
        config += [f'data-binary = "{body}"'] if body is not None else []
        text, _, written = world("curl -sS --config -", text="\n".join(config)).stdout.rpartition("\n")
        status, seconds = written.split()
        return Answer(int(status), text, float(seconds))

    return request


@pytest.fixture
def fault(sandbox: Any) -> Iterator[Callable[..., Any]]:
    """Make s3_a fail; it works again after the test."""
    yield lambda *how: sandbox("fault", "s3_a", *how)
    sandbox("fault", "s3_a", "none")
    sandbox("fault", "s3_a", "none", "172.30.0.3")


@pytest.mark.parametrize("where", REGIONS)
def test_object_is_a_plain_file_and_is_listed_read_and_removed(ask: Ask, world: Any, where: str) -> None:
    assert ask("PUT", f"{FOLDER}/a/b", where=where, body="content").status == 200
    file = f"/var/lib/world/{where}/{FOLDER}/a/b"
    assert world(f"cat {file}").stdout == "content"
    assert "<Key>e2e/a/b</Key>" in ask("GET", "vise-backups?list-type=2&prefix=e2e%2F", where=where).text
    assert ask("GET", f"{FOLDER}/a/b", where=where).text == "content"
    assert ask("DELETE", f"{FOLDER}/a/b", where=where).status == 204
    assert ask("GET", f"{FOLDER}/a/b", where=where).code == "NoSuchKey"
    assert world(f"test -e {file}", check=False).returncode == 1


@pytest.mark.parametrize(
    ("how", "status", "code"),
    [
        ({"key": "AKIAEXAMPLE"}, 403, "InvalidAccessKeyId"),
        ({"secret": "wrong"}, 403, "SignatureDoesNotMatch"),
        ({"who": "append", "secret": "wrong"}, 403, "SignatureDoesNotMatch"),
        ({"region": "eu-west-1"}, 400, "AuthorizationHeaderMalformed"),
    ],
    ids=["wrong key", "wrong secret", "wrong secret of append", "other region"],
)
def test_request_that_nobody_of_ours_signed_is_refused(
    ask: Ask, world: Any, how: dict[str, str], status: int, code: str
) -> None:
    refused = ask("PUT", f"{FOLDER}/foreign", body="content", **how)
    assert (refused.status, refused.code) == (status, code)
    assert world(f"test -e {DISK}/foreign", check=False).returncode == 1


def test_anonymous_request_is_refused(world: Any) -> None:
    for path in ("", "vise-backups", f"{FOLDER}/a"):
        assert "<Code>AccessDenied</Code>" in world(f"curl -sS https://s3-a.vln.test/{path}").stdout


def test_append_credential_adds_and_reads_but_neither_removes_nor_overwrites(ask: Ask) -> None:
    assert ask("PUT", f"{FOLDER}/old", who="append", body="first").status == 200
    for method, path in (
        ("PUT", f"{FOLDER}/old"),
        ("DELETE", f"{FOLDER}/old"),
        ("POST", f"{FOLDER}/old?uploads"),
        ("POST", "vise-backups?delete"),
        ("DELETE", "vise-backups"),
    ):
        refused = ask(method, path, who="append", body="second")
        assert (refused.status, refused.code) == (403, "AccessDenied"), f"{method} {path}"
    assert ask("GET", f"{FOLDER}/old", who="append").text == "first"
    assert "<UploadId>" in ask("POST", f"{FOLDER}/new?uploads", who="append").text


@pytest.mark.parametrize(("mode", "code"), [("403", "AccessDenied"), ("500", "InternalError")])
def test_error_is_answered_while_it_is_on(ask: Ask, fault: Any, mode: str, code: str) -> None:
    fault(mode)
    refused = ask("PUT", f"{FOLDER}/a", body="content")
    assert (refused.status, refused.code) == (int(mode), code)
    assert ask("PUT", f"{FOLDER}/a", where="s3-b", body="content").status == 200
    fault("none")
    assert ask("GET", f"{FOLDER}/a").code == "NoSuchKey"


def test_slow_server_answers_late_and_in_small_doses(ask: Ask, fault: Any, world: Any) -> None:
    world(f"mkdir -p {DISK} && head -c 1M /dev/zero | tr '\\0' x >{DISK}/big")
    fault("slow")
    late = ask("GET", f"{FOLDER}/big")
    # A second before the answer, and at least one for 512 KiB.
    assert (late.status, len(late.text)) == (200, 1 << 20)
    assert late.seconds > 2
    fault("none")
    assert ask("GET", f"{FOLDER}/big").seconds < late.seconds


def test_outage_cuts_an_upload_and_keeps_the_object_that_was_there(ask: Ask, fault: Any, world: Any) -> None:
    assert ask("PUT", f"{FOLDER}/kept", body="first").status == 200
    world("head -c 4M /dev/zero >/tmp/e2e-body")
    with ThreadPoolExecutor() as pool:
        config = "\n".join(signed("s3-a", "full", f"{FOLDER}/kept"))
        upload = pool.submit(
            world, "curl -sS --limit-rate 512k --upload-file /tmp/e2e-body --config -", text=config, check=False
        )
        world(f"timeout 10 sh -c 'until ls -A {DISK} | grep -q rclone_temp; do sleep 0.1; done'")
        fault("outage")
        assert upload.result().returncode in (55, 56)
    fault("none")
    assert ask("GET", f"{FOLDER}/kept").text == "first"


def test_fault_for_one_client_is_none_for_another(fault: Any, world: Any) -> None:
    ask = "curl -s -o /dev/null -w '%{http_code}' -4 https://s3-a.vln.test/ --interface"
    fault("500", "172.30.0.3")
    assert [world(f"{ask} {address}").stdout for address in ("172.30.0.3", "172.30.0.4")] == ["500", "403"]
    fault("outage", "172.30.0.3")
    assert world(f"{ask} 172.30.0.3", check=False).returncode == 7
    assert world(f"{ask} 172.30.0.4").stdout == "403"
    fault("none", "172.30.0.3")
    assert world(f"{ask} 172.30.0.3").stdout == "403"


@pytest.fixture
def restic(world: Any) -> Callable[..., Any]:
    """Run restic in world with one of the credentials, which it reads from its environment."""

    def command(who: str, arguments: str, check: bool = True) -> Any:
        user = pair(who)
        environment = {
            "AWS_ACCESS_KEY_ID": user["key"],
            "AWS_SECRET_ACCESS_KEY": user["secret"],
            "RESTIC_REPOSITORY": f"s3:https://s3-a.vln.test/{FOLDER}/restic",
            "RESTIC_PASSWORD": "sandbox",
        }
        exports = "".join(f"export {name}={value}\n" for name, value in environment.items())
        return world("sh -es", text=f"{exports}restic --quiet --no-cache {arguments}\n", check=check)

    return command


def test_restic_appends_with_one_credential_and_forgets_only_with_the_other(
    restic: Callable[..., Any], world: Any
) -> None:
    restic("append", "init")
    for content in ("one", "two"):
        world(f"mkdir -p /tmp/e2e-files && echo {content} >/tmp/e2e-files/a")
        restic("append", "backup /tmp/e2e-files")
    assert world(f"ls {DISK}/restic/locks", check=False).stdout == ""
    refused = restic("append", "forget --keep-last 1 --prune", check=False)
    assert refused.returncode != 0
    assert "Access Denied" in refused.stderr
    assert len(world(f"ls {DISK}/restic/snapshots").stdout.split()) == 2
    restic("full", "forget --keep-last 1 --prune")
    assert len(world(f"ls {DISK}/restic/snapshots").stdout.split()) == 1
    restic("append", "check --read-data")
