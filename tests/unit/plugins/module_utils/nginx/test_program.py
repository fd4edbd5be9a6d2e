"""What nginx reports about files and servers, as a table; a reload and a verification with a fake nginx."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.module_utils.host import certificates, files, programs
from ansible_collections.vise.platform.plugins.module_utils.nginx import program

SITE = program.Site("docs", "docs.example.org", "", 8443, "/tls/docs.pem")
SETTINGS = program.Settings("/run/status.sock", (SITE,))
DUMP = """\
# configuration file /etc/nginx/nginx.conf:
http {
    listen 443 ssl;

# configuration file /etc/nginx/sites-enabled/docs.conf:
server {
    server_name docs.example.org www.example.org;
}

# configuration file /etc/nginx/modules-enabled/99-own.conf:
load_module modules/ngx_stream_module.so;
stream {
    server {
        listen [::]:443 udp reuseport;
    }
    server { server_name docs.example.org; }
}

# configuration file /etc/nginx/modules-enabled/98-other.conf:
    listen 5432;
    # listen 443;
    listen unix:/run/443.sock;
"""
FOREIGN = "/etc/nginx/modules-enabled/99-own.conf:4: `listen [::]:443 udp reuseport;` takes visitors of the sites"


def test_dump_is_split_into_files() -> None:
    assert {Path(path).name: len(lines) for path, lines in program.split_dump(DUMP).items()} == {
        "nginx.conf": 2,
        "docs.conf": 3,
        "99-own.conf": 7,
        "98-other.conf": 3,
    }


@pytest.mark.parametrize(("ports", "found"), [({443}, 1), ({80}, 0), ({5432}, 1), ({443, 5432}, 2)])
def test_only_a_foreign_file_on_a_port_of_the_sites_is_reported(ports: set[int], found: int) -> None:
    lines = program.find_foreign(program.split_dump(DUMP), ports)
    assert len(lines) == found
    assert (FOREIGN in "\n".join(lines)) == (443 in ports)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("types {\n    text/html html; # htm\n}\n# types { }", ""),
        ("\ntypes { text/html html; }\n", ""),
        (
            "types { text/html html; }\nadd_header X-Frame-Options ALLOW; # by hand\ngzip off;",
            "/etc/nginx/mime.types: `add_header X-Frame-Options ALLOW;` changes all sites; remove the line",
        ),
        (
            "server { listen 8081; }",
            "/etc/nginx/mime.types: `server { listen 8081; }` changes all sites; remove the line",
        ),
    ],
)
def test_file_of_types_has_only_types(text: str, problem: str) -> None:
    dump = program.split_dump(f"# configuration file /etc/nginx/mime.types:\n{text}\n")
    assert program.find_added(dump) == ([problem] if problem else [])


def test_conflict_of_names_is_reported_with_its_places() -> None:
    warning = 'nginx: [warn] conflicting server name "www.example.org" on 0.0.0.0:443, ignored\n'
    assert program.find_conflicts(program.split_dump(DUMP), warning * 2) == [
        "www.example.org is the name of several servers, and nginx uses only the first: "
        "/etc/nginx/sites-enabled/docs.conf:2"
    ]


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, programs.Result]], None]:
    """Set what programs print, by their first word or by the last one."""

    def set_answers(answers: dict[str, programs.Result]) -> None:
        def run(argv: list[str], **_options: Any) -> programs.Result:
            return answers.get(argv[-1].removeprefix("http://nginx"), answers.get(argv[0], programs.Result(0, "")))

        monkeypatch.setattr(programs, "run", run)

    return set_answers


@pytest.mark.parametrize(
    ("result", "problem"),
    [
        (programs.Result(1, "", "nginx: [emerg] unknown directive"), "unknown directive"),
        (programs.Result(0, DUMP), "99-own.conf:4"),
        (
            programs.Result(0, "", '[warn] conflicting server name "a" on 0.0.0.0:443, ignored'),
            "a is the name of several",
        ),
    ],
)
def test_files_that_nginx_rejects_or_that_contradict_the_role_are_refused(
    answer: Callable[..., None], result: programs.Result, problem: str
) -> None:
    answer({"nginx": result})
    with pytest.raises(program.NginxError, match=problem):
        program.check(SETTINGS)


@pytest.mark.parametrize(
    ("message", "accepted"),
    [
        ('[emerg] cannot load certificate "/tls/docs.pem": BIO_new_file() failed', True),
        ('[emerg] cannot load certificate "/tls/other.pem": BIO_new_file() failed', False),
        ("[emerg] unknown directive", False),
    ],
)
def test_plan_accepts_only_a_certificate_that_a_run_creates_first(
    answer: Callable[..., None], message: str, accepted: bool
) -> None:
    answer({"nginx": programs.Result(1, "", message)})
    with contextlib.nullcontext() if accepted else pytest.raises(program.NginxError):
        program.plan(SETTINGS)


def test_certificate_that_exists_and_cannot_be_loaded_is_refused_by_the_plan(
    answer: Callable[..., None], tmp_path: Path
) -> None:
    damaged = tmp_path / "docs.pem"
    damaged.write_text("")
    answer({"nginx": programs.Result(1, "", f'[emerg] cannot load certificate "{damaged}": no start line')})
    with pytest.raises(program.NginxError, match="no start line"):
        program.plan(program.Settings("/run/status.sock", (dataclasses.replace(SITE, certificate=str(damaged)),)))


@pytest.mark.parametrize(
    ("served", "on_disk", "problem"),
    [
        (b"new", b"new", ""),
        (b"old", b"new", "the certificate that visitors get is not /tls/docs.pem"),
        (ConnectionRefusedError("refused"), b"new", "no connection by TLS: refused"),
        (b"old", ValueError("/tls/docs.pem has no certificate"), "/tls/docs.pem has no certificate"),
    ],
)
def test_site_is_verified_by_the_certificate_that_visitors_get(
    monkeypatch: pytest.MonkeyPatch,
    answer: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
    served: bytes | Exception,
    on_disk: bytes | Exception,
    problem: str,
) -> None:
    def give(value: bytes | Exception) -> bytes:
        if isinstance(value, Exception):
            raise value
        return value

    names: list[str] = []

    def read_served(*_place: Any, name: str) -> bytes:
        names.append(name)
        return give(served)

    monkeypatch.setattr(certificates, "read_served", read_served)
    monkeypatch.setattr(certificates, "read_first", lambda _path: give(on_disk))
    answer({"/generation": programs.Result(0, "abc\n")})
    if problem:
        with pytest.raises(program.NginxError, match=f"docs.example.org at port 8443: .*{problem}"):
            program.verify(SETTINGS)
    else:
        program.verify(SETTINGS)
        assert capsys.readouterr().out == "abc\n"
    assert names == ["docs.example.org"]


def test_nginx_without_an_answer_is_reported_with_its_last_errors(
    answer: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    log = tmp_path / "error.log"
    log.write_text("[warn] x\n[emerg] bind() failed\n")
    monkeypatch.setattr(program, "ERROR_LOG", str(log))
    answer({"/generation": programs.Result(7, "")})
    with pytest.raises(program.NginxError, match=r"does not report its generation .*\[emerg\] bind\(\) failed"):
        program.verify(SETTINGS)


@pytest.mark.parametrize(("worker", "loaded"), [("12", True), ("11", False), ("", False)])
def test_reload_succeeds_only_when_a_new_worker_answers(
    answer: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, worker: str, loaded: bool
) -> None:
    signals: list[int] = []
    monkeypatch.setenv("MAINPID", "10")
    monkeypatch.setattr(program, "ERROR_LOG", str(tmp_path / "error.log"))
    monkeypatch.setattr(program, "PATIENCE", 0.1)
    monkeypatch.setattr(program, "list_children", lambda _pid: {"11"})
    monkeypatch.setattr(os, "kill", lambda pid, _signal: signals.append(pid))
    answer({"/worker": programs.Result(0, worker)})
    if loaded:
        program.reload(SETTINGS)
    else:
        with pytest.raises(program.NginxError, match="did not load the files"):
            program.reload(SETTINGS)
    assert signals == [10]


def test_reload_of_rejected_files_sends_no_signal(answer: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "kill", lambda *_arguments: pytest.fail("a signal was sent"))
    answer({"nginx": programs.Result(1, "", "[emerg] unknown directive")})
    with pytest.raises(program.NginxError, match="unknown directive"):
        program.reload(SETTINGS)


@pytest.mark.parametrize(("arguments", "code"), [([], 2), (["stop"], 2), (["check"], 1)])
def test_wrong_use_and_missing_settings_are_errors(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int
) -> None:
    monkeypatch.setattr(files, "read_json", lambda _path: None)
    assert program.main(arguments) == code
