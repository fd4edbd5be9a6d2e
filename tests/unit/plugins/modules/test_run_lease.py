"""The module takes the lease for an hour without a sign, and returns the lease of another run."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
from ansible_collections.vise.platform.plugins.module_utils.host import leases
from ansible_collections.vise.platform.plugins.modules import run_lease

ALICE = {"run": "a", "who": "alice", "origin": "laptop", "machine": "m1", "command": "restore_files.yml", "ends": ""}
BOB = {**ALICE, "run": "b", "who": "bob"}


class Exit(Exception):
    """The end of the module, with its result."""


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "DIRECTORY", str(tmp_path / "vise"))


def run(lease: dict[str, str], monkeypatch: pytest.MonkeyPatch, check_mode: bool = False) -> dict[str, t.Any]:
    """Run the module; return its result."""

    class Module:
        """The part of AnsibleModule that the module uses."""

        def __init__(self, _spec: object, **_options: object) -> None:
            self.params, self.check_mode = {"lease": lease}, check_mode

        def exit_json(self, **result: t.Any) -> t.NoReturn:
            raise Exit(result)

        def fail_json(self, **result: t.Any) -> t.NoReturn:
            raise Exit({"failed": True, **result})

    monkeypatch.setattr(run_lease, "AnsibleModule", Module)
    with pytest.raises(Exit) as end:
        run_lease.main()
    found: dict[str, t.Any] = end.value.args[0]
    return found


def test_lease_is_taken_and_another_run_gets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(ALICE, monkeypatch) == {"changed": False}
    held = run(BOB, monkeypatch)["held_by"]
    assert (held["who"], held["seconds"]) == ("alice", leases.LONG_SECONDS)


def test_check_mode_takes_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(ALICE, monkeypatch, check_mode=True) == {"changed": False}
    assert leases.find_other("b") == {}


def test_directory_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "vise").write_text("")
    assert "the lease of this host cannot be written: " in run(ALICE, monkeypatch)["msg"]
