# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filter: the updates of all hosts as lines, and why they must not be installed."""

from __future__ import annotations

DOCUMENTATION = r"""
name: update_plan
short_description: Describe the updates of all hosts
version_added: 0.1.0
description:
  - Joins the results of M(vise.platform.package_updates), M(vise.platform.host_status) and the releases of mailcow.
author:
  - vise.platform contributors (@vise-platform)
positional: hosts
options:
  _input:
    description: The inventory's C(hostvars), with C(updates_of_host), C(status_of_host) and C(mailcow_of_host).
    type: dict
    required: true
  hosts:
    description: The hosts of the run.
    type: list
    elements: str
    required: true
  chosen:
    description: The hosts to update; V(all) means all, and an empty list none.
    type: list
    elements: str
    default: []
  accept_findings:
    description: Whether a host may be updated although its status needs attention.
    type: bool
    default: false
  mail_release:
    description: The release of mailcow in the description.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Report the plan
  ansible.builtin.debug:
    msg: "{{ (hostvars | vise.platform.update_plan(ansible_play_hosts)).lines }}"
"""

RETURN = r"""
_value:
  description: C(lines), C(problems), and C(updated), the hosts that are updated.
  type: dict
"""

import re
import typing as t

from ansible_collections.vise.platform.plugins.module_utils import package_updates

Data = t.Mapping[str, t.Any]
ALL = "all"


def update_plan(
    hostvars: t.Mapping[str, Data],
    hosts: t.Sequence[str],
    chosen: t.Sequence[str] = (),
    *,
    accept_findings: bool = False,
    mail_release: str = "",
) -> dict[str, t.Any]:
    """Return lines and problems."""
    plans = {host: hostvars[host]["updates_of_host"]["plan"] for host in hosts}
    updated = [host for host in hosts if host in chosen or ALL in chosen]
    problems = [
        f"{host} is not a host of this run; its hosts are {', '.join(hosts)}"
        for host in chosen
        if host not in (*hosts, ALL)
    ]
    problems += [f"{host}: {text}" for host in updated for text in plans[host]["problems"]]
    if not accept_findings:
        problems += [
            f"{host}: {one['service']}: {one['text']}; {one['remedy']}"
            for host in updated
            for one in find_attention(hostvars[host]["status_of_host"])
        ]
    lines = [line for host in hosts for line in describe_host(host, plans[host])]
    lines += [line for host in hosts if (line := describe_mailcow(host, hostvars[host], mail_release))]
    return {"lines": lines, "problems": problems, "updated": updated}


def describe_host(host: str, plan: Data) -> t.Iterator[str]:
    """Yield what an update would change on a host."""
    security = sum(one["security"] for one in plan["updates"])
    age = f"; its lists are {plan['list_hours']} hours old" if plan["list_hours"] >= 24 else ""
    yield f"{host}: {len(plan['updates']) or 'no'} updates of packages, {security or 'none'} for security{age}"
    for one in plan["updates"]:
        yield f"{host}:   {package_updates.describe(one)}"
    notes = (
        (plan["unfinished"], f"dpkg was interrupted; the update completes {', '.join(plan['unfinished'])} first"),
        (plan["lock_holder"], f"process {plan['lock_holder']} uses dpkg now; the update waits for it for 300 s"),
        (plan["held"], f"on hold, stays: {', '.join(plan['held'])}; to update it, run `apt-mark unhold` on the host"),
        (
            plan["kept"],
            f"kept back by apt, stays: {', '.join(plan['kept'])}; it needs the removal of others, or a pin prevents it",
        ),
        (plan["kernel"], "a new kernel, which needs a reboot: -e update_reboot=true"),
        (plan["reboot"], f"a reboot is required already: {', '.join(plan['reboot'])}"),
    )
    for holds, text in notes:
        if holds:
            yield f"{host}:   {text}"
    for text in plan["problems"]:
        yield f"{host}:   cannot be updated: {text}"


def describe_mailcow(host: str, variables: Data, wanted: str) -> str:
    """Return how the release of mailcow differs from the description; empty on a host without it."""
    found = (variables.get("mailcow_of_host") or {}).get("stdout") or ""
    release = match[1] if (match := re.search(r'"release": *"([^"]*)"', found)) else ""
    if not release:
        return ""
    if release == wanted:
        return f"{host}: mailcow runs {release}, as the description wants"
    return (
        f"{host}: mailcow runs {release}, and the description has {wanted}: run upgrade_mail.yml, which can roll back"
    )


def find_attention(result: Data) -> list[dict[str, t.Any]]:
    """Return what needs attention in the status of a host; a host without a status needs it as a whole."""
    if "status" not in result:
        reason = str(result.get("msg") or "the status cannot be read")
        return [{"service": "host", "text": reason, "remedy": "run status.yml on this host"}]
    return [one for one in result["status"]["findings"] if not one["note"]]


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Return the filters by name."""
        return {"update_plan": update_plan}
