"""The role under test, and where its scenario's hosts are."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from testinfra.host import Host

from tests import machines
from tests.runs import Run

WORKER = os.environ.get("VISE_WORKER", "1")
NAME = f"molecule-{WORKER}"
ADDRESS, ADDRESS6 = f"172.30.0.10{WORKER}", f"fd30::10{WORKER}"
SECOND, SECOND_ADDRESS = f"{NAME}-b", f"172.30.0.11{WORKER}"
LOCAL = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}


def _write(path: Path, content: str) -> dict[str, Any]:
    """Return a task that writes a text on the controller."""
    copy = {"content": content, "dest": str(path), "mode": "0600"}
    local = {"delegate_to": "localhost", "run_once": True, "vars": LOCAL, "diff": False, "check_mode": False}
    return {"name": f"Write {path.name}", "ansible.builtin.copy": copy, **local}


def _record(failures: str) -> dict[str, Any]:
    """Return a task that sets the list of failures."""
    return {"name": "Record", "ansible.builtin.set_fact": {"failures": "{{ " + failures + " }}"}}


@dataclass(frozen=True)
class Role:
    """The role under test, applied to the scenario's hosts with the variables of the scenario."""

    name: str
    folder: Path
    scratch: Path
    inventory: Path

    def play(self, plays: Sequence[dict[str, Any]] | Path, *arguments: str) -> Run:
        """Run a playbook, or plays as data, against the scenario's hosts."""
        if not isinstance(plays, Path):
            path = self.scratch / f"test-{self.name}.yml"
            path.write_text(yaml.safe_dump(list(plays), sort_keys=False, width=1000))
            plays = path
        done = subprocess.run(
            ["ansible-playbook", "--inventory", str(self.inventory), str(plays), "--diff", *arguments],
            cwd=machines.ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        print(done.stdout, done.stderr, sep="\n")
        return Run(done.returncode, done.stdout + done.stderr)

    def _plays(self, tasks: list[dict[str, Any]], hosts: str) -> list[dict[str, Any]]:
        files = [str(path) for path in (self.folder / "vars.yml",) if path.exists()]
        play = {"name": "Test", "hosts": hosts, "gather_facts": False, "vars_files": files, "tasks": tasks}
        # Where the scenario has them: variables with wrong values, as a login session could have them.
        return [{**play, "environment": "{{ foreign_environment | default({}) }}"}]

    def _include(self, variables: dict[str, Any]) -> dict[str, Any]:
        name = f"vise.platform.{self.name}"
        return {"name": "Apply the role", "ansible.builtin.include_role": {"name": name}, "vars": variables}

    def run(self, *arguments: str, hosts: str = "all", **variables: Any) -> Run:
        """Apply the role, whatever the result is."""
        return self.play(self._plays([self._include(variables)], hosts), *arguments)

    @contextlib.contextmanager
    def started(self, **variables: Any) -> Iterator[subprocess.Popen[str]]:
        """Apply the role while the test does other things; the run is killed at the end, with all its processes."""
        path = self.scratch / f"test-{self.name}-started.yml"
        path.write_text(yaml.safe_dump(self._plays([self._include(variables)], "all"), sort_keys=False, width=1000))
        argv = ["ansible-playbook", "--inventory", str(self.inventory), str(path)]
        with subprocess.Popen(
            argv,
            cwd=machines.ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        ) as run:
            try:
                yield run
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(run.pid, signal.SIGKILL)

    def apply(self, *arguments: str, hosts: str = "all", **variables: Any) -> Run:
        """Apply the role; it must succeed."""
        run = self.run(*arguments, hosts=hosts, **variables)
        assert run.code == 0, run.tail
        return run

    def correct(self, hosts: str = "all") -> None:
        """Apply the role in check mode and then for real, in one run; both must report a change."""
        marker = {"name": "Correct the drift", "ansible.builtin.debug": {"msg": ""}}
        preview = self._include({}) | {"name": "Preview the role"}
        preview["ansible.builtin.include_role"] = preview["ansible.builtin.include_role"] | {
            "apply": {"check_mode": True}
        }
        run = self.play(self._plays([preview, marker, self._include({})], hosts))
        assert run.code == 0, run.tail
        previewed, found, corrected = run.output.partition("TASK [Correct the drift]")
        assert found
        assert "\nchanged: [" in previewed, "check mode reported no change"
        assert "\nchanged: [" in corrected.partition("PLAY RECAP")[0], "nothing was corrected"

    def assert_login_environment_has_no_effect(self, host: Host, *commands: str) -> None:
        """Run programs of the collection, then the role, in logins whose variables have wrong values; all must succeed.

        Args:
            host: the scenario's first host.
            commands: programs as an operator runs them.
        """
        # A connection of its own: one that is open already has the earlier variables.
        alone = "--ssh-extra-args=-o ControlMaster=no -o ControlPath=none"
        with machines.foreign_logins(host, ADDRESS) as login:
            for command in commands:
                # With these, a Python that reads them does not start.
                login(f"PYTHONHOME=/nonexistent {command}")
            self.apply(alone, hosts=NAME)

    def tasks(self, *files: str, hosts: str = "all", **variables: Any) -> Run:
        """Run files of the scenario's tasks/ as one play with these variables; it must succeed."""
        includes = [
            {"name": f"Run {name}", "ansible.builtin.include_tasks": str(self.folder / "tasks" / name)}
            for name in files
        ]
        run = self.play([{**play, "vars": variables} for play in self._plays(includes, hosts)])
        assert run.code == 0, run.tail
        return run

    def runbook(self, name: str, *arguments: str) -> Run:
        """Run a playbook of playbooks/ as an operator does, whatever the result is."""
        return self.play(machines.ROOT / f"playbooks/{name}.yml", *arguments)

    def assert_refused(
        self, cases: Sequence[tuple[dict[str, Any], str]], hosts: str = "all", secret: str | None = None
    ) -> None:
        """Apply the role with invalid variables, one set after another in one run; each must fail with its message.

        Args:
            cases: variables, and a regular expression that the failure, as JSON, must contain.
            hosts: the hosts of the run.
            secret: a text that no failure may contain.
        """
        failures = self.failures([variables for variables, _message in cases], hosts)
        assert not secret or secret not in "".join(failures)
        accepted = [
            f"{variables}: {failure or 'was accepted'}"
            for (variables, message), failure in zip(cases, failures, strict=True)
            if not re.search(message, failure)
        ]
        assert not accepted, "\n".join(accepted)

    def results(self, tasks: list[dict[str, Any]], hosts: str = "all") -> dict[str, Any]:
        """Run tasks with the scenario's variables, and return what they registered, by name."""
        path = self.scratch / "results.json"
        path.unlink(missing_ok=True)
        names = [task["register"] for task in tasks if "register" in task]
        content = "{{ {" + ", ".join(f"'{name}': {name}" for name in names) + "} | to_json }}"
        run = self.play(self._plays([*tasks, _write(path, content)], hosts))
        assert run.code == 0, run.tail
        registered: dict[str, Any] = json.loads(path.read_text())
        return registered

    def failures(self, cases: Sequence[dict[str, Any]], hosts: str = "all") -> list[str]:
        """Apply the role once for each set of variables, in one run; return each failure, empty where it passed."""
        tasks = [_record("[]")]
        for variables in cases:
            passed, failed = _record("failures + ['']"), _record("failures + [ansible_failed_result | to_json]")
            tasks.append({"name": "Try", "block": [self._include(variables), passed], "rescue": [failed]})
        path = self.scratch / "failures.json"
        path.unlink(missing_ok=True)
        run = self.play(self._plays([*tasks, _write(path, "{{ failures | to_json }}")], hosts))
        assert run.code == 0, run.tail
        failures: list[str] = json.loads(path.read_text())
        return failures
