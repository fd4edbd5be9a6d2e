#!/usr/bin/python
# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: drill_report
short_description: Record a recovery drill and write its report
version_added: 0.1.0
description:
  - Records the start and the end of a drill and of each stage in a JSON file. After an interruption, the file shows the
    completed stages.
  - If a stage has restored data that is older than the limit, the drill fails immediately, because later stages cannot
    restore newer data.
  - At the end, the module evaluates the results, writes a report in Markdown and metrics for node_exporter to the
    directory of the JSON file, and fails if the drill has failed.
extends_documentation_fragment: [vise.platform.attributes.controller]
author:
  - vise.platform contributors (@vise-platform)
options:
  event:
    description:
      - V(begin) starts a report. V(stage) starts a stage and V(passed) completes it. V(finish) ends and evaluates the
        drill.
    type: str
    choices: [begin, stage, passed, finish]
    required: true
  directory:
    description: The directory of the reports; required for V(begin).
    type: path
  report:
    description: The JSON file that V(begin) returned; required for every other event.
    type: path
  stage:
    description: The name of the stage; required for V(stage).
    type: str
  found:
    description: The JSON file with the results of the stages; for V(passed) and V(finish).
    type: path
  rpo:
    description: How many seconds of data may be lost; for V(begin).
    type: int
    default: 3600
  rto:
    description: How many seconds the rebuild may take; for V(begin).
    type: int
    default: 14400
attributes:
  check_mode:
    description: Writes nothing.
    support: full
  diff_mode:
    description: The module changes only its own report.
    support: none
"""

EXAMPLES = r"""
- name: Start a report
  vise.platform.drill_report:
    event: begin
    directory: reports/drills
  register: drill

- name: Record the start of a stage
  vise.platform.drill_report:
    event: stage
    stage: restore the database
    report: "{{ drill.report }}"

- name: Evaluate the drill
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

import os
import time
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vise.platform.plugins.module_utils import drill
from ansible_collections.vise.platform.plugins.module_utils.host import files, metrics


def load(path: str | None) -> dict[str, t.Any]:
    """Return the mapping in a JSON file; empty when the file does not exist."""
    return t.cast("dict[str, t.Any]", files.read_json(path, {})) if path else {}


def apply_event(event: str, known: dict[str, t.Any], params: dict[str, t.Any], at: float) -> dict[str, t.Any]:
    """Return the drill after an event."""
    if event == "begin":
        return drill.start(at, params["rpo"], params["rto"])
    if event == "stage":
        return drill.start_stage(known, params["stage"], at)
    if event == "passed":
        return {**drill.complete_stage(known, at), "found": load(params["found"])}
    return drill.finish(known, load(params["found"]), at)


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
    state = apply_event(params["event"], load(path), params, at)
    ended = params["event"] == "finish"
    if not module.check_mode:
        files.make_directories(os.path.dirname(path))
        files.write_json(path, state, mode=0o644)
    if ended and not module.check_mode:
        files.replace_file(path.removesuffix(".json") + ".md", drill.markdown(state), mode=0o644)
        metrics.write("vise_drill.prom", drill.metrics(state), os.path.dirname(path))
    answer = {"changed": True, "report": path, **({"verdict": drill.verdict(state)} if ended else {})}
    if params["event"] == "passed" and drill.rpo_problems(state):
        module.fail_json(msg=f"{drill.rpo_problems(state)[0]}; the drill ends here", **answer)
    if ended and drill.problems(state):
        module.fail_json(msg=f"{answer['verdict']}; report: {path.removesuffix('.json')}.md", **answer)
    module.exit_json(**answer)


if __name__ == "__main__":
    main()
