#!/usr/bin/python
# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: drill_report
short_description: Keep the report of a recovery drill while the drill goes on
version_added: 0.1.0
description:
  - Notes when a drill and each of its stages began and ended, in a JSON file that is whole at any moment, so that a
    drill that was cut off still tells how far it came.
  - A stage that has brought back what is older than the limit fails the drill at once, since what follows would mend
    nothing.
  - At the end it judges what was found, writes the report for people beside the JSON file and a metric for
    node_exporter, and fails when the drill has failed.
author:
  - vise.platform contributors (@vise-platform)
options:
  event:
    description:
      - V(begin) starts a report. V(stage) and V(passed) surround a stage. V(finish) ends and judges the drill.
    type: str
    choices: [begin, stage, passed, finish]
    required: true
  directory:
    description: Where reports are kept; needed for V(begin).
    type: path
  report:
    description: The JSON file that V(begin) returned; needed for every other event.
    type: path
  stage:
    description: The name of the stage; needed for V(stage).
    type: str
  found:
    description: JSON file with what the stages found on the rebuilt platform so far; for V(passed) and V(finish).
    type: path
  rpo:
    description: Seconds of work that may be lost; for V(begin).
    type: int
    default: 3600
  rto:
    description: Seconds that the rebuild may take; for V(begin).
    type: int
    default: 14400
attributes:
  check_mode:
    description: Nothing is written.
    support: full
  diff_mode:
    description: It changes its own report alone.
    support: none
  platform:
    description: Where it runs.
    support: full
    platforms: posix
"""

EXAMPLES = r"""
- name: Begin a report
  vise.platform.drill_report:
    event: begin
    directory: reports/drills
  register: drill

- name: Note that a stage begins
  vise.platform.drill_report:
    event: stage
    stage: restore the database
    report: "{{ drill.report }}"

- name: Judge the drill
  vise.platform.drill_report:
    event: finish
    report: "{{ drill.report }}"
    found: /tmp/found.json
"""

RETURN = r"""
report:
  description: The JSON file.
  returned: always
  type: str
  sample: reports/drills/2026-11-24T21-40-00Z.json
verdict:
  description: The result in one line.
  returned: for V(finish)
  type: str
  sample: "drill passed: RPO 31 s (limit 3600), RTO 240 s (limit 14400), 9 checks"
"""

import json
import os
import tempfile
import time
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vise.platform.plugins.module_utils import drill


def write(path: str, text: str) -> None:
    """Put a file in place at once."""
    with tempfile.NamedTemporaryFile("w", dir=os.path.dirname(path), delete=False, encoding="utf-8") as staged:
        staged.write(text)
        os.fchmod(staged.fileno(), 0o644)
    os.replace(staged.name, path)


def load(path: str | None) -> dict[str, t.Any]:
    """Return a JSON file's mapping; an absent file is an empty one."""
    if not path or not os.path.exists(path):
        return {}
    with open(path, encoding="utf-8") as handle:
        return t.cast("dict[str, t.Any]", json.load(handle))


def noted(event: str, known: dict[str, t.Any], params: dict[str, t.Any], at: float) -> dict[str, t.Any]:
    """Return the drill after an event."""
    if event == "begin":
        return drill.begin(at, params["rpo"], params["rto"])
    if event == "stage":
        return drill.with_stage(known, params["stage"], at)
    if event == "passed":
        return {**drill.with_stage_done(known, at), "found": load(params["found"])}
    return drill.finished(known, load(params["found"]), at)


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(
        {
            "event": {"type": "str", "choices": ["begin", "stage", "passed", "finish"], "required": True},
            "directory": {"type": "path"},
            "report": {"type": "path"},
            "stage": {"type": "str"},
            "found": {"type": "path"},
            "rpo": {"type": "int", "default": 3600},
            "rto": {"type": "int", "default": 14400},
        },
        required_if=[
            ("event", "begin", ["directory"]),
            ("event", "stage", ["report", "stage"]),
            ("event", "passed", ["report"]),
            ("event", "finish", ["report"]),
        ],
        supports_check_mode=True,
    )
    params, at = module.params, time.time()
    name = drill.clock(at).replace(":", "-")
    path = os.path.abspath(params["report"] or os.path.join(params["directory"], f"{name}.json"))
    state = noted(params["event"], load(path), params, at)
    ended = params["event"] == "finish"
    if not module.check_mode:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        write(path, json.dumps(state, indent=1, sort_keys=True) + "\n")
    if ended and not module.check_mode:
        write(path.removesuffix(".json") + ".md", drill.markdown(state))
        write(os.path.join(os.path.dirname(path), "vise_drill.prom"), drill.metrics(state))
    answer = {"changed": True, "report": path, **({"verdict": drill.verdict(state)} if ended else {})}
    if params["event"] == "passed" and drill.stale(state):
        module.fail_json(msg=f"{drill.stale(state)[0]}; the drill ends here", **answer)
    if ended and drill.problems(state):
        module.fail_json(msg=f"{answer['verdict']}; the report: {path.removesuffix('.json')}.md", **answer)
    module.exit_json(**answer)


if __name__ == "__main__":
    main()
