"""The module reports each step, what stopped it and what still runs."""

from __future__ import annotations

import contextlib
import typing as t

import pytest
from ansible_collections.vise.platform.plugins.module_utils.component import retirement
from ansible_collections.vise.platform.plugins.module_utils.host import programs
from ansible_collections.vise.platform.plugins.modules import function_retirement as module

Run = t.Callable[..., dict[str, t.Any]]


class Exit(Exception):
    """The end of a module, with its result."""


class Store:
    """The part of a component's store that the module uses."""

    def __init__(self, name: str) -> None:
        self.name = name

    def lock(self) -> contextlib.AbstractContextManager[None]:
        """Hold no lock."""
        return contextlib.nullcontext()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the module on a host with the components postgresql-17 and redis."""
    planned: list[tuple[str, ...]] = []

    def fail() -> None:
        raise programs.ProgramError("`apt-get` failed (exit 100): no space")

    def run(
        function: str,
        needed: list[str],
        *,
        check_mode: bool = False,
        fails: bool = False,
        running: t.Sequence[str] = (),
    ) -> dict[str, t.Any]:
        class Module:
            """The part of AnsibleModule that the module uses."""

            def __init__(self, _spec: object, **_options: object) -> None:
                self.params = {"function": function, "needed": needed}
                self.check_mode, self._diff = check_mode, True

            def exit_json(self, **result: t.Any) -> t.NoReturn:
                raise Exit(result)

            def fail_json(self, **result: t.Any) -> t.NoReturn:
                raise Exit({"failed": True, **result})

        done: list[str] = []
        steps = [
            retirement.Step("stop it", lambda: done.append("stop it")),
            retirement.Step("remove it", fail if fails else lambda: done.append("remove it")),
        ]

        def plan(components: t.Sequence[str], _place: str) -> list[retirement.Step]:
            planned.append(tuple(components))
            return steps if components else []

        monkeypatch.setattr(module, "AnsibleModule", Module)
        monkeypatch.setattr(retirement, "plan", plan)
        monkeypatch.setattr(retirement, "find_running", lambda _units: list(running))
        with pytest.raises(Exit) as stopped:
            module.main()
        return {**stopped.value.args[0], "done": done, "planned": planned}

    monkeypatch.setattr(module, "Store", Store)
    monkeypatch.setattr(retirement, "list_components", lambda: ["base", "postgresql-17", "redis"])
    monkeypatch.setattr(retirement, "list_units", lambda store: [f"{store.name}.service"])
    monkeypatch.setattr(retirement, "list_kept", lambda _components, function: [f"/kept/{function}"])
    return run


def test_all_components_of_the_function_end(run: Run) -> None:
    result = run("database", ["redis"])
    assert result["planned"] == [("postgresql-17",)]
    assert result["changed"] and result["done"] == result["actions"] == ["stop it", "remove it"]
    assert result["kept"] == ["/kept/database"]


def test_check_mode_shows_the_steps_and_does_none(run: Run) -> None:
    result = run("cache", [], check_mode=True, running=["redis.service"])
    assert result["changed"] and result["done"] == []
    assert result["diff"]["prepared"] == "> stop it\n> remove it\n"


def test_function_that_the_host_still_has_is_refused(run: Run) -> None:
    result = run("cache", ["redis"])
    assert result["failed"] and result["planned"] == []
    assert "this host still has the function cache; first remove it from the group" in result["msg"]


def test_function_without_components_on_the_host_is_no_change(run: Run) -> None:
    result = run("mail", ["docker"])
    assert not result["changed"] and result["planned"] == [()]


def test_step_that_fails_is_reported_with_the_steps_before_it(run: Run) -> None:
    result = run("cache", [], fails=True)
    assert result["failed"] and result["actions"] == ["stop it"]
    assert "no space. Done before: stop it. Correct the cause and start the runbook again" in result["msg"]


def test_unit_that_runs_afterwards_is_a_failure(run: Run) -> None:
    result = run("cache", [], running=["redis.service"])
    assert result["failed"] and result["msg"].startswith("redis.service still runs")
