#!/usr/bin/python
# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight
short_description: Find what cannot work before anything is touched
version_added: 0.1.0
description:
  - On the controller, compares the description (the variables of C(group_vars) and C(host_vars)) with its schema.
    Unknown names, wrong types, secrets that are missing or placeholders, and groups without hosts are problems.
  - On the host, looks at the system, its memory and disks, and resolves names by the host's own resolver.
  - Fails with all problems at once, and says of each where it is and what to write. It changes nothing.
author:
  - vise.platform contributors (@vise-platform)
options:
  schema:
    description:
      - The variables of the description by name, each as in an argument specification with C(type), C(elements),
        C(options), C(choices) and C(required), also C(pattern) and C(example), and C(groups) for what is asked for
        only where one of these groups has a host, or, with C(groups_of), one that an entry of that variable names as
        its C(group).
    type: dict
    default: {}
  models:
    description:
      - What roles make of the description, by the variable that a refusal is told of. Each has C(model), the name of a
        variable whose value is an expression that fails where they would refuse, and C(variables), without whose
        faults it is evaluated.
    type: dict
    default: {}
  roles:
    description: Folder on the controller with the roles whose variables may stand beside the description.
    type: path
    default: ""
  own_variables:
    description: Further names that may.
    type: list
    elements: str
    default: []
  system:
    description: The system that the host must have, C(ID) and C(VERSION_ID) of C(/etc/os-release).
    type: str
    default: debian 13
  memory_mb:
    description: Memory that the host must have, in MiB.
    type: int
    default: 0
  disk_mb:
    description: Free space that must be at these paths, in MiB.
    type: dict
    default: {}
  names:
    description: Names, each with the public addresses to which alone it must lead; derived from the description.
    type: dict
    default: {}
attributes:
  check_mode:
    description: It only reads.
    support: full
  diff_mode:
    description: It changes nothing.
    support: none
  platform:
    description: Hosts on which it runs.
    support: full
    platforms: posix
"""

EXAMPLES = r"""
- name: Refuse what cannot work
  vise.platform.preflight:
    schema:
      domain: {type: str, required: true, example: example.org}
    roles: "{{ role_path | dirname }}"
    memory_mb: 1800
    disk_mb: {/: 3000}
"""

RETURN = r"""
problems:
  description: What is wrong, one line each.
  returned: always
  type: list
  elements: str
  sample: ["sites.docs.gruop (group_vars/all/sites.yml): nothing reads it; did you mean group?"]
"""

import os
import typing as t

from ansible.module_utils.basic import AnsibleModule

MIB = 1024 * 1024
# As AnsibleModule.run_command: exit code, output, errors.
Run = t.Callable[[list[str]], tuple[int, str, str]]


class Found(t.NamedTuple):
    """What the host is and has; a name that does not resolve has no addresses."""

    system: str
    memory_mb: int
    disk_mb: dict[str, int]
    names: dict[str, list[str]]


def system(text: str) -> str:
    """Return ID and VERSION_ID of /etc/os-release."""
    pairs = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    return " ".join(pairs.get(key, "").strip("\"'") for key in ("ID", "VERSION_ID")).strip()


def memory_mb(text: str) -> int:
    """Return MemTotal of /proc/meminfo in MiB."""
    return next((int(line.split()[1]) // 1024 for line in text.splitlines() if line.startswith("MemTotal:")), 0)


def free_mb(path: str) -> int:
    """Return what root may still write at a path, or at what is there of it."""
    while not os.path.exists(path):
        path = os.path.dirname(path)
    space = os.statvfs(path)
    return space.f_bfree * space.f_frsize // MIB


def resolved(run: Run, name: str) -> list[str]:
    """Return the addresses of a name in the DNS; an address is its own.

    Not of /etc/hosts, where providers write a server's own name beside 127.0.1.1.
    """
    _code, out, _err = run(["getent", "--service=dns", "--no-addrconfig", "ahosts", name])
    return sorted({line.split()[0] for line in out.splitlines()})


def read(path: str) -> str:
    """Return a file's text; empty where there is none."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError:
        return ""


def problems(found: Found, params: dict[str, t.Any]) -> list[str]:
    """Return what is wrong with the host, and what to do about each."""
    lines = []
    if found.system != params["system"]:
        lines.append(f"system: {found.system or 'unknown'}, not {params['system']}; install that system")
    if found.memory_mb < params["memory_mb"]:
        lines.append(
            f"preflight_memory_mb: {found.memory_mb} MiB of memory, {params['memory_mb']} are needed; "
            "take a larger server, or write less if you know that it suffices"
        )
    lines += [
        f"preflight_disk_mb: {found.disk_mb[path]} MiB are free at {path}, {least} are needed; make room, "
        "or write less if you know that it suffices"
        for path, least in params["disk_mb"].items()
        if found.disk_mb[path] < least
    ]
    return lines + [
        line for name, led in found.names.items() for line in name_problems(name, led, params["names"][name])
    ]


def name_problems(name: str, led: list[str], addresses: list[str]) -> list[str]:
    """Return what keeps a certificate authority from reaching a host by a name."""
    wanted = ", ".join(addresses)
    if not led:
        return [f"{name} does not resolve on this host; make DNS records for {wanted}, or use dns-01 (acme_challenge)"]
    stray = [address for address in led if address not in addresses]
    if stray:
        return [
            f"{name} leads to {', '.join(stray)} as this host resolves it, and not to {wanted}; "
            "mend the DNS record, name the address in public_addresses of the host in the inventory, "
            "or use dns-01 (acme_challenge)"
        ]
    return []


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(
        {
            # These three are the controller's part; the action plugin takes them away.
            "schema": {"type": "dict", "default": {}},
            "models": {"type": "dict", "default": {}},
            "roles": {"type": "path", "default": ""},
            "own_variables": {"type": "list", "elements": "str", "default": []},
            "system": {"type": "str", "default": "debian 13"},
            "memory_mb": {"type": "int", "default": 0},
            "disk_mb": {"type": "dict", "default": {}},
            "names": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    params = module.params
    found = Found(
        system=system(read("/etc/os-release")),
        memory_mb=memory_mb(read("/proc/meminfo")),
        disk_mb={path: free_mb(path) for path in params["disk_mb"]},
        names={name: resolved(module.run_command, name) for name in params["names"]},
    )
    params["names"] = {
        name: sorted({address for entry in entries for address in resolved(module.run_command, entry)})
        for name, entries in params["names"].items()
    }
    module.exit_json(changed=False, problems=problems(found, params))


if __name__ == "__main__":
    main()
