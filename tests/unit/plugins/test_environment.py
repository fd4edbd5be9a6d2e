"""Wrong values in the environment and in the home directory have no effect on any client or program."""

from __future__ import annotations

import http.server
import os
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.vise.platform.plugins.module_utils import mail_probe
from ansible_collections.vise.platform.plugins.module_utils.cloudflare import client as cloudflare
from ansible_collections.vise.platform.plugins.module_utils.host import clients, programs
from ansible_collections.vise.platform.plugins.module_utils.mailcow import client as mailcow
from ansible_collections.vise.platform.plugins.module_utils.mailcow_host import commands
from ansible_collections.vise.platform.plugins.module_utils.pgbackrest import tool
from ansible_collections.vise.platform.plugins.module_utils.restic import jobs
from ansible_collections.vise.platform.plugins.modules import mailcow_dkim

from tests.unit.plugins.cloudflare import TOKEN, running
from tools.collection import ROOT

FOREIGN: dict[str, str] = yaml.safe_load((ROOT / "tests/foreign_environment.yml").read_text())["foreign_environment"]
DOTFILES = {
    ".netrc": "default login foreign password foreign\n",
    ".gitconfig": '[user]\n  name = foreign\n[url "https://foreign.invalid/"]\n  insteadOf = https://\n',
    ".pgpass": "*:*:*:*:foreign\n",
    ".docker/config.json": '{"currentContext": "foreign", "proxies": {"default": {"httpProxy": "http://127.0.0.1:9"}}}',
}


@pytest.fixture(autouse=True)
def foreign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Wrong values for everything that libraries and programs read by themselves; the home directory."""
    home = tmp_path / "home"
    for name, text in DOTFILES.items():
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o600)
    for name, value in FOREIGN.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NETRC")
    monkeypatch.setenv("HOME", str(home))
    return home


@pytest.fixture
def received() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """A server that answers each request with an empty object; its URL and the headers that it received."""
    headers: list[dict[str, str]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            headers.append({name.lower(): value for name, value in self.headers.items()})
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_given: Any) -> None:
            """Be quiet."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", headers
    server.shutdown()
    server.server_close()


def connect(endpoint: str, **options: Any) -> cloudflare.Session:
    """Return a session with Cloudflare that does not try again."""
    params = {"token": TOKEN, "endpoint": endpoint, "timeout": 5, **options}
    return cloudflare.Session(params, sleep=lambda _seconds: pytest.fail("the call failed"))


def test_cloudflare_gets_the_token_and_no_other_credential(received: tuple[str, list[dict[str, str]]]) -> None:
    url, headers = received
    connect(url).call_once("", connect(url).api.zones.with_raw_response.list)
    assert headers[0]["authorization"] == f"Bearer {TOKEN}"
    assert [name for name in headers[0] if name.startswith("x-auth")] == []


def test_cloudflare_is_called_at_the_given_endpoint_without_a_proxy() -> None:
    with running() as double:
        assert [zone["name"] for zone in connect(double.endpoint).zones()] != []


def test_cloudflare_is_called_through_the_given_proxy(received: tuple[str, list[dict[str, str]]]) -> None:
    url, headers = received
    session = connect("http://cloudflare.invalid", proxy=url)
    session.call_once("", session.api.zones.with_raw_response.list)
    assert headers[0]["host"] == "cloudflare.invalid"


def test_log_of_the_sdk_stays_off() -> None:
    program = (
        "import ansible_collections.vise.platform.plugins.module_utils.cloudflare.client, logging\n"
        "assert logging.getLogger('cloudflare').level == logging.NOTSET"
    )
    variables = {**os.environ, "PYTHONPATH": str(ROOT / ".cache/collections")}
    subprocess.run([*PYTHON, program], check=True, env=variables)


PYTHON = [sys.executable, "-c"]


def test_mailcow_gets_the_key_and_no_credential_of_netrc(received: tuple[str, list[dict[str, str]]]) -> None:
    url, headers = received
    mailcow.Client(url, "the-key", tries=1).rows("domain", "all")
    assert headers[0]["x-api-key"] == "the-key"
    assert "authorization" not in headers[0]


def test_urls_are_opened_without_a_proxy_unless_one_is_given(received: tuple[str, list[dict[str, str]]]) -> None:
    url, headers = received
    with clients.open_url(f"{url}/a", headers={"X-Given": "yes"}, timeout=5) as answer:
        assert answer.read() == b"{}"
    with clients.open_url("http://elsewhere.invalid/b", timeout=5, proxy=url) as answer:
        assert answer.read() == b"{}"
    assert [entry["host"] for entry in headers] == [url.removeprefix("http://"), "elsewhere.invalid"]
    assert (headers[0]["x-given"], "authorization" in headers[0]) == ("yes", False)


@pytest.mark.parametrize(
    "make",
    [clients.make_tls_context, mail_probe.Account("host", "192.0.2.1", "user", "password").tls],
    ids=["clients", "mail_probe"],
)
def test_tls_trusts_the_authorities_of_the_system(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    context = make()
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE"):
        monkeypatch.delenv(name)
    expected = ssl.create_default_context()
    assert context.cert_store_stats() == expected.cert_store_stats()
    assert (context.keylog_filename, context.verify_flags) == (None, expected.verify_flags)
    assert context.verify_mode == ssl.CERT_REQUIRED


def test_clean_environment_ends_with_its_block() -> None:
    before = dict(os.environ)
    with clients.clean_environment():
        # As a library in C sees it
        assert "foreign" not in subprocess.check_output(["/usr/bin/env"], text=True)
        assert dict(os.environ) == programs.ENVIRONMENT
    assert dict(os.environ) == before


def read_environment(out: str) -> dict[str, str]:
    """Return the variables in the output of env."""
    return dict(line.split("=", 1) for line in out.splitlines())


@pytest.mark.parametrize(
    ("run", "given"),
    [
        (programs.run, {}),
        (jobs.run, {}),
        (commands.execute, commands.OWN_SETTINGS),
        (lambda argv: programs.run(argv, environment=tool.ENVIRONMENT), tool.ENVIRONMENT),
    ],
    ids=["programs", "restic", "mailcow", "pgbackrest"],
)
def test_program_has_only_the_clean_environment(run: Any, given: dict[str, str]) -> None:
    assert read_environment(run(["env"]).out) == {**programs.ENVIRONMENT, **given}


def test_files_that_are_streamed_to_docker_change_nothing(tmp_path: Path) -> None:
    commands.save_output(["env"], tmp_path / "env")
    assert read_environment((tmp_path / "env").read_text()) == {**programs.ENVIRONMENT, **commands.OWN_SETTINGS}


def test_git_uses_the_given_repository_and_address(tmp_path: Path) -> None:
    commands.run(["git", "init", "--quiet", str(tmp_path / "checkout")])
    listed = commands.run(["git", "config", "--list", "--show-origin"], directory=tmp_path / "checkout")
    given = {f"command line:\t{name.lower()}={value}" for name, value in commands.GIT_SETTINGS.items()}
    assert {line for line in listed.splitlines() if ".git/config" not in line} == given
    commands.run(["git", "remote", "add", "origin", "https://given.example/"], directory=tmp_path / "checkout")
    address = commands.run(["git", "remote", "get-url", "origin"], directory=tmp_path / "checkout")
    assert address.strip() == "https://given.example/"


def test_openssl_reads_a_key_whatever_its_configuration_is(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    programs.call(["openssl", "genrsa", "-out", str(path), "2048"])
    assert mailcow_dkim.read_public_key(str(path)).startswith("MIIB")


def test_messages_of_programs_are_in_english() -> None:
    result = programs.run(["ls", "/does/not/exist"])
    assert "No such file or directory" in result.err


def test_times_of_programs_do_not_depend_on_the_session() -> None:
    assert programs.run(["date", "-d", "@0", "+%z"]).out.strip() != "+1400"
