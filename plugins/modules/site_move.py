#!/usr/bin/python
# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: site_move
short_description: Query and record the part of a host in the move of a site
version_added: 0.1.0
description:
  - Returns the virtual hosts of the host, whether it serves the files or the program of the site, and the requests of
    visitors.
  - Records on a former edge host how long resolvers may keep its address, and removes the files of a site that moved.
extends_documentation_fragment: [vise.platform.attributes]
author:
  - vise.platform contributors (@vise-platform)
options:
  name:
    description: The site.
    type: str
    required: true
  names:
    description: Its names and aliases.
    type: list
    elements: str
    default: []
  window:
    description: Seconds of which requests are counted.
    type: int
    default: 60
  state:
    description:
      - V(queried) changes nothing.
      - V(recorded) records the longest lifetime of the DNS records with the former address.
      - V(switched) records that all name servers return the new address, from which on the lifetime counts.
      - V(current) ends the record, because the host is a place of the site by the description.
      - V(ended) ends the record, and removes the files of the site with O(files).
    type: str
    choices: [queried, recorded, switched, current, ended]
    default: queried
  lifetime:
    description: Lifetime of the DNS records in seconds.
    type: int
    default: 0
  files:
    description: With O(state=ended), whether to remove the releases of the site.
    type: bool
    default: false
attributes:
  check_mode:
    description: Changes nothing.
    support: full
  diff_mode:
    description: Shows the record.
    support: full
"""

EXAMPLES = r"""
- name: Query the requests of the last ten minutes
  vise.platform.site_move:
    name: docs
    names: [docs.example.org]
    window: 600
"""

RETURN = r"""
virtual_hosts:
  description: The names of the virtual hosts.
  returned: always
  type: list
  elements: str
  sample: [docs, docs.internal]
files:
  description: Whether a virtual host serves the files or the program of the site.
  returned: always
  type: bool
  sample: true
requests:
  description: The number of requests of visitors by client, without those of the platform itself.
  returned: always
  type: dict
  sample: {203.0.113.7: 3}
remaining:
  description: Seconds until no resolver has the former address any more; -1 when the DNS is not switched yet.
  returned: always
  type: int
  sample: 240
"""

import datetime
import os
import time
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vise.platform.plugins.module_utils.host import leases
from ansible_collections.vise.platform.plugins.module_utils.nginx import site_traces

STATES = ("queried", "recorded", "switched", "current", "ended")
ARGUMENT_SPEC: dict[str, t.Any] = {
    "name": {"type": "str", "required": True},
    "names": {"type": "list", "elements": "str", "default": []},
    "window": {"type": "int", "default": 60},
    "state": {"type": "str", "choices": list(STATES), "default": "queried"},
    "lifetime": {"type": "int", "default": 0},
    "files": {"type": "bool", "default": False},
}


def wanted_record(params: t.Mapping[str, t.Any], record: site_traces.Record, now: int) -> site_traces.Record:
    """Return the record that the host must have."""
    if params["state"] == "queried":
        return record
    if params["state"] in ("current", "ended"):
        return {}
    return site_traces.update_record(record, params["lifetime"], params["state"] == "switched", now)


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    leases.keep_alive(module.check_mode)
    params, name = module.params, module.params["name"]
    now = int(time.time())
    record = site_traces.read_record(name)
    wanted = wanted_record(params, record, now)
    removes = params["state"] == "ended" and params["files"] and os.path.isdir(os.path.join(site_traces.SITES, name))
    changed = wanted != record or removes
    if changed and not module.check_mode:
        site_traces.write_record(name, wanted)
        if removes:
            site_traces.remove_files(name)
    since = datetime.datetime.fromtimestamp(now - params["window"], datetime.UTC)
    result: dict[str, t.Any] = {
        "changed": changed,
        "virtual_hosts": site_traces.list_virtual_hosts(),
        "files": site_traces.has_files(name),
        "requests": site_traces.count_requests(params["names"], since),
        "remaining": max(0, wanted["until"] - now) if "until" in wanted else -1,
    }
    if module._diff and changed:
        result["diff"] = {"before": f"{record}\n", "after": f"{wanted}\n"}
    module.exit_json(**result)


if __name__ == "__main__":
    main()
