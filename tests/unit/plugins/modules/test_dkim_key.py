"""The module on a temporary directory: each state, each refusal, and no private key in the output."""

from __future__ import annotations

import contextlib
import json
import pathlib
import syslog
import typing as t

import pytest
from ansible.module_utils import basic
from ansible.module_utils.testing import patch_module_args
from ansible_collections.vise.platform.plugins.module_utils.dkim import keys, store
from ansible_collections.vise.platform.plugins.modules import dkim_key

PEM = keys.create("rsa", 2048)
OTHER = keys.create("ed25519", 0)
# Any line of a key's middle.
CANARY = PEM.splitlines()[5]


class Host:
    """Runs the module, and reads the store."""

    def __init__(self, root: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.root, self.capsys, self.output = root, capsys, ""

    def call(self, *wanted: dict[str, t.Any], **options: t.Any) -> dict[str, t.Any]:
        basic._ANSIBLE_ARGS = None
        entries = [{"domain": "example.org", "selector": "s1", **one} for one in wanted]
        given = {"directory": str(self.root), "keys": entries, "_ansible_diff": True, **options}
        with patch_module_args(given), contextlib.suppress(SystemExit):
            dkim_key.main()
        self.output = self.capsys.readouterr().out
        answer: dict[str, t.Any] = json.loads(self.output)
        return answer

    def states(self) -> dict[str, str]:
        return {one["selector"]: one["state"] for one in self.call()["dkim_keys"]}

    def files(self) -> list[str]:
        return sorted(path.name for path in self.root.rglob("*") if path.is_file() and path.name != ".lock")


@pytest.fixture
def host(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> Host:
    return Host(tmp_path / "dkim", capsys)


@pytest.mark.parametrize(("size", "kind"), [(2048, "rsa"), (4096, "rsa"), (2048, "ed25519")])
def test_key_is_created_once(host: Host, size: int, kind: str) -> None:
    first = host.call({"type": kind, "size": size})
    second = host.call({"type": kind, "size": size})
    assert (first["changed"], second["changed"]) == (True, False)
    assert first["dkim_keys"] == second["dkim_keys"]
    (found,) = first["dkim_keys"]
    assert (found["record"], found["state"]) == ("s1._domainkey.example.org", "made")
    assert (found["type"], found["size"]) == (kind, 256 if kind == "ed25519" else size)
    pem = host.root / "example.org/s1.pem"
    assert found["txt"] == keys.facts(pem.read_text()).txt
    assert [path.stat().st_mode & 0o777 for path in (pem, pem.parent, host.root)] == [0o600, 0o700, 0o700]


def test_one_execution_returns_the_keys_of_all_domains(host: Host) -> None:
    wanted = [{"domain": domain, "selector": name} for domain in ("b.test", "a.test") for name in ("s2", "s1")]
    host.call(*wanted)
    answer = host.call()
    assert [one["record"] for one in answer["dkim_keys"]] == [
        f"{name}._domainkey.{domain}" for domain in ("a.test", "b.test") for name in ("s1", "s2")
    ]
    assert (answer["changed"], answer["actions"]) == (False, [])


def test_key_is_imported_from_the_controller_and_from_the_host(host: Host, tmp_path: pathlib.Path) -> None:
    (tmp_path / "other.pem").write_text(OTHER)
    wanted = [{}, {"selector": "s2", "source": str(tmp_path / "other.pem")}]
    options = {"private_keys": {"example.org/s1": PEM}}
    assert host.call(*wanted, **options)["actions"] == [
        "import a key for s1._domainkey.example.org",
        "import a key for s2._domainkey.example.org",
    ]
    assert host.call(*wanted, **options)["changed"] is False
    assert [one["type"] for one in host.call()["dkim_keys"]] == ["rsa", "ed25519"]
    assert (host.root / "example.org/s1.pem").read_text() == PEM


def test_key_passes_all_states_from_made_to_absent(host: Host) -> None:
    host.call({"selector": "old"}, {"selector": "new"})
    host.call({"selector": "old", "state": "active"})
    for state in ("published", "switching", "active"):
        assert host.call({"selector": "new", "state": state})["changed"] is True
        assert host.call({"selector": "new", "state": state})["changed"] is False
    assert host.states() == {"old": "retiring", "new": "active"}
    host.call({"selector": "old", "state": "retired"})
    assert host.files() == ["keys.json", "new.pem"]
    assert host.states() == {"old": "retired", "new": "active"}
    host.call({"selector": "old", "state": "absent"})
    assert host.states() == {"new": "active"}
    assert host.call({"selector": "old", "state": "absent"})["changed"] is False


def test_removal_that_was_interrupted_is_completed_by_the_next_run(host: Host) -> None:
    host.call({})
    pem = (host.root / "example.org/s1.pem").read_text()
    host.call({"state": "retired"})
    (host.root / "example.org/s1.pem").write_text(pem)
    assert host.call({"state": "retired"})["changed"] is True
    assert host.files() == ["keys.json"]


def test_key_without_an_entry_is_not_replaced(host: Host) -> None:
    before = host.call({})["dkim_keys"][0]["txt"]
    (host.root / "example.org/keys.json").unlink()
    answer = host.call({"state": "published"})
    assert (answer["dkim_keys"][0]["txt"], answer["dkim_keys"][0]["state"]) == (before, "published")


def test_check_mode_on_an_empty_host_reports_the_plan(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "HAS_CRYPTOGRAPHY", False)
    answer = host.call({}, {"selector": "s2"}, private_keys={"example.org/s2": PEM}, _ansible_check_mode=True)
    assert [(one["selector"], one["txt"], one["state"]) for one in answer["dkim_keys"]] == [
        ("s1", "", "made"),
        ("s2", "", "made"),
    ]
    assert len(answer["actions"]) == 2
    assert not host.root.exists()


def test_check_mode_reports_states_and_records_none(host: Host) -> None:
    host.call({"selector": "old"}, {"selector": "new"})
    host.call({"selector": "old", "state": "active"})
    answer = host.call({"selector": "new", "state": "active"}, _ansible_check_mode=True)
    assert {one["selector"]: one["state"] for one in answer["dkim_keys"]} == {"old": "retiring", "new": "active"}
    assert host.states() == {"old": "active", "new": "made"}


def test_wrong_mode_is_corrected_and_reported(host: Host) -> None:
    host.call({})
    (host.root / "example.org/s1.pem").chmod(0o644)
    assert host.call(_ansible_check_mode=True)["changed"] is True
    assert host.call()["actions"] == [f"restrict {host.root}/example.org/s1.pem to root"]
    assert host.call()["changed"] is False


REFUSED: list[tuple[list[dict[str, t.Any]], dict[str, t.Any], str]] = [
    ([{"selector": "none", "state": "active"}], {}, "create it first"),
    ([{"state": "absent"}], {}, "the key signs mail"),
    ([{"selector": "gone", "state": "active"}], {}, "cannot be used again"),
    ([{"selector": "gone"}], {}, "cannot be used again"),
    ([{}], {"private_keys": {"example.org/s1": PEM}}, "the selector has another key, which cannot be changed"),
    ([{"selector": "lost", "state": "active"}], {}, "the private key is missing"),
    ([{"selector": "n"}], {"private_keys": {"example.org/n": f"x{CANARY}"}}, "not a private key"),
    ([{"selector": "n", "source": "/nowhere.pem"}], {}, "No such file"),
    ([{}, {}], {}, "listed more than once"),
    ([{}], {"private_keys": {"example.org/other": PEM}}, "example.org/other is not in keys"),
    ([{"selector": "n", "size": 1024}], {}, "2048 to 4096 bits, not 1024"),
    ([{"domain": "../etc"}], {}, "not a domain"),
    ([{"selector": "a/b"}], {}, "it must be one label"),
]


@pytest.mark.parametrize(("wanted", "options", "message"), REFUSED)
def test_invalid_request_is_refused_before_anything_changes(
    host: Host, wanted: list[dict[str, t.Any]], options: dict[str, t.Any], message: str
) -> None:
    host.call({"selector": "lost"}, {"selector": "gone"}, {})
    host.call({"state": "active"}, {"selector": "gone", "state": "retired"})
    (host.root / "example.org/lost.pem").unlink()
    before = host.states()
    answer = host.call({"selector": "fine"}, *wanted, **options)
    assert message in answer["msg"]
    assert CANARY not in host.output
    assert host.states() == before


def test_no_private_key_leaves_the_host(host: Host, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    journal: list[str] = []
    monkeypatch.setattr(basic, "has_journal", False)
    monkeypatch.setattr(syslog, "syslog", lambda *line: journal.append(str(line)))
    (tmp_path / "source.pem").write_text(OTHER)
    outputs = []
    for options in ({"_ansible_check_mode": True}, {}, {}):
        wanted = [{}, {"selector": "s2", "source": str(tmp_path / "source.pem")}, {"selector": "s3"}]
        host.call(*wanted, private_keys={"example.org/s1": PEM}, **options)
        outputs.append(host.output)
    private = [path.read_text() for path in host.root.rglob("*.pem")]
    lines = {line for pem in private for line in pem.splitlines()[1:-1]}
    assert len(private) == 3
    assert CANARY in lines
    assert journal, "the module logs its call, so this test looks where a leak would be"
    assert [line for line in lines if line in "\n".join(outputs + journal)] == []


def test_reading_does_not_wait_for_the_lock(host: Host) -> None:
    host.call({})
    with store.lock(str(host.root)):
        assert host.states() == {"s1": "made"}
