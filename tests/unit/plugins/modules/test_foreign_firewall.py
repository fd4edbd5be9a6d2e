"""The module refuses a host with rules of others, or keeps a copy of them; a host of the role is not new."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
from ansible_collections.vise.platform.plugins.module_utils.component.model import Manifest
from ansible_collections.vise.platform.plugins.module_utils.component.store import Journal, Store
from ansible_collections.vise.platform.plugins.module_utils.firewall import foreign, loaders, snapshot
from ansible_collections.vise.platform.plugins.module_utils.host import programs
from ansible_collections.vise.platform.plugins.modules import foreign_firewall as module

RULE = "live rule: iptables -A INPUT -j REJECT"
SCRIPT = "/etc/rc.local:3: iptables-restore /etc/rules"


class Exit(Exception):
    """The end of a module, with its result."""


class Module:
    """The part of AnsibleModule that the module uses."""

    params: t.ClassVar[dict[str, t.Any]] = {}
    warnings: t.ClassVar[list[str]] = []
    check_mode = False
    _diff = True

    def __init__(self, _spec: object, **_options: object) -> None:
        self.warnings.clear()

    def warn(self, text: str) -> None:
        """Note a warning."""
        self.warnings.append(text)

    def exit_json(self, **result: t.Any) -> t.NoReturn:
        """End with a result."""
        raise Exit({**result, "warnings": self.warnings})

    def fail_json(self, **result: t.Any) -> t.NoReturn:
        """End with a failure."""
        raise Exit({"failed": True, **result})


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> t.Callable[..., dict[str, t.Any]]:
    """Run the module on a host with these findings."""
    disabled: list[str] = []

    def run(
        removed: t.Sequence[str] = (),
        units: t.Sequence[str] = (),
        doubts: t.Sequence[str] = (),
        scripts: t.Sequence[str] = (),
        drift: t.Sequence[str] = (),
        take_over: bool = False,
        check_mode: bool = False,
    ) -> dict[str, t.Any]:
        Module.params = {"allowed": {"4": [], "6": []}, "container_interfaces": [], "take_over": take_over}
        Module.check_mode = check_mode
        findings = foreign.Findings(list(removed), list(units), list(doubts), list(drift))
        monkeypatch.setattr(foreign, "find", lambda *_a: findings)
        monkeypatch.setattr(loaders, "find_script_lines", lambda: list(scripts))
        with pytest.raises(Exit) as stopped:
            module.main()
        return {**stopped.value.args[0], "disabled": disabled}

    monkeypatch.setattr(module, "AnsibleModule", Module)
    monkeypatch.setattr(module, "Store", lambda name: Store(name, str(tmp_path)))
    monkeypatch.setattr(snapshot, "PATH", str(tmp_path / "before.json"))
    monkeypatch.setattr(foreign, "keep_copy", lambda _findings, stamp: f"/copies/{stamp}")
    monkeypatch.setattr(programs, "call", lambda argv: disabled.append(argv[-1]))
    return run


def test_host_without_rules_of_others_is_unchanged(run: t.Callable[..., dict[str, t.Any]]) -> None:
    assert run() == {"changed": False, "found": [], "warnings": [], "disabled": []}


def test_rules_of_others_are_refused_with_the_way_to_take_them_over(run: t.Callable[..., dict[str, t.Any]]) -> None:
    result = run([RULE], units=["rules.service"])
    assert result["failed"]
    assert result["msg"].startswith("refused, nothing was changed")
    assert f"\n- {RULE}\n" in result["msg"]
    assert "firewall_take_over: true" in result["msg"]
    assert result["disabled"] == []


def test_taking_over_keeps_a_copy_before_units_are_disabled(run: t.Callable[..., dict[str, t.Any]]) -> None:
    result = run([RULE], units=["rules.service"], take_over=True)
    assert result["changed"]
    assert result["backup"].startswith("/copies/")
    assert result["backup"] in result["warnings"][0]
    assert result["disabled"] == ["rules.service"]
    assert result["diff"] == {"prepared": f"> take over {RULE}\n"}


def test_check_mode_keeps_no_copy_and_disables_nothing(run: t.Callable[..., dict[str, t.Any]]) -> None:
    result = run([RULE], units=["rules.service"], take_over=True, check_mode=True)
    assert result["changed"]
    assert "copy" not in result
    assert result["disabled"] == []


def test_later_rules_of_others_are_removed_with_a_copy_and_a_warning(run: t.Callable[..., dict[str, t.Any]]) -> None:
    result = run(drift=["iptables -A INPUT -j ACCEPT"])
    assert result["changed"]
    assert result["found"] == ["live rule: iptables -A INPUT -j ACCEPT"]
    assert "`iptables -A INPUT -j ACCEPT` was added by others" in result["warnings"][0]
    assert result["backup"] in result["warnings"][1]
    assert "backup" not in run(drift=["iptables -A INPUT -j ACCEPT"], check_mode=True)


@pytest.mark.parametrize("take_over", [False, True])
def test_boot_scripts_are_refused_with_their_lines(run: t.Callable[..., dict[str, t.Any]], take_over: bool) -> None:
    result = run([RULE], scripts=[SCRIPT], take_over=take_over)
    assert result["failed"]
    assert f"remove them by hand:\n- {SCRIPT}" in result["msg"]


def test_rule_with_an_unknown_result_is_a_warning(run: t.Callable[..., dict[str, t.Any]]) -> None:
    assert run(doubts=["`-m geoip` is unknown"])["warnings"] == ["firewall: `-m geoip` is unknown"]


@pytest.mark.parametrize(
    ("generation", "is_pending", "new", "complete"),
    [("", False, True, False), ("g", False, False, True), ("", True, False, False), ("g", True, False, False)],
)
def test_host_is_new_until_the_role_changes_it(
    tmp_path: Path, generation: str, is_pending: bool, new: bool, complete: bool
) -> None:
    store = Store("firewall", str(tmp_path))
    (tmp_path / "firewall").mkdir()
    store.write_manifest(Manifest(generation, ("/etc/ufw/ufw.conf",)))
    if is_pending:
        store.write_journal(Journal({}, {}, Manifest()))
    assert (module.is_new(store), module.is_complete(store)) == (new, complete)
