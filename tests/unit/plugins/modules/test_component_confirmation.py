"""The module commits or reverts a change that waits, and reports when none does."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
from ansible_collections.vise.platform.plugins.module_utils.component import host, revert_timer
from ansible_collections.vise.platform.plugins.module_utils.component.model import Manifest
from ansible_collections.vise.platform.plugins.module_utils.component.store import Journal, Store
from ansible_collections.vise.platform.plugins.module_utils.host import files
from ansible_collections.vise.platform.plugins.modules import component_confirmation as module

EMPTY = {"manifest": {"generation": "g", "paths": [], "users": []}, "record": {"name": "demo"}}
STEPS = {"commands": [], "verbs": [], "daemon_reload": False}
RECORD = {**EMPTY, "wanted": {"name": "demo", "generation": "g", "units": [], "probes": [], "confirm_within": 60}}


class Exit(Exception):
    """The end of a module, with its result."""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> t.Callable[..., dict[str, t.Any]]:
    """Run the module in a temporary directory."""
    store = Store("demo", str(tmp_path))

    class Module:
        """The part of AnsibleModule that the module uses."""

        check_mode = False

        def __init__(self, _spec: object, **_options: object) -> None:
            self.params = params

        def exit_json(self, **result: t.Any) -> t.NoReturn:
            raise Exit(result)

        def fail_json(self, **result: t.Any) -> t.NoReturn:
            raise Exit({"failed": True, **result})

    params: dict[str, t.Any] = {}

    def run(state: str, *, waiting: bool = True, check_mode: bool = False, generation: str = "g") -> dict[str, t.Any]:
        params.update(name="demo", generation=generation, state=state)
        Module.check_mode = check_mode
        if waiting:
            store.write_manifest(Manifest("older"))
            store.write_journal(Journal({}, {}, Manifest("older")))
            files.write_json(revert_timer._record_path(store), {**RECORD, "steps": STEPS})
        with pytest.raises(Exit) as stopped:
            module.main()
        return {**stopped.value.args[0], "generation": store.read_manifest().generation}

    monkeypatch.setattr(module, "AnsibleModule", Module)
    monkeypatch.setattr(module, "Store", lambda _name: store)
    monkeypatch.setattr(revert_timer, "UNITS", str(tmp_path / "units"))
    monkeypatch.setattr(host, "run", lambda *_a: (0, ""))
    (tmp_path / "units/timers.target.wants").mkdir(parents=True)
    (tmp_path / "demo").mkdir()
    return run


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"state": "confirmed"}, (True, True, "g", "The change is committed.")),
        ({"state": "confirmed", "generation": "x"}, (False, False, "older", "another run has changed demo")),
        ({"state": "confirmed", "waiting": False}, (False, False, "", "no change of demo waits")),
        ({"state": "reverted"}, (True, False, "older", "Rolled back to the previous configuration")),
        ({"state": "reverted", "generation": ""}, (True, False, "older", "Rolled back to the previous configuration")),
        ({"state": "reverted", "waiting": False}, (False, False, "", "No change waits")),
        ({"state": "reverted", "check_mode": True}, (True, False, "older", "A change waits.")),
    ],
)
def test_outcome(
    run: t.Callable[..., dict[str, t.Any]], options: dict[str, t.Any], expected: tuple[bool, bool, str, str]
) -> None:
    result = run(**options)
    changed, confirmed, generation, msg = expected
    assert (result["changed"], result["confirmed"], result["generation"]) == (changed, confirmed, generation)
    assert msg in result["msg"]
