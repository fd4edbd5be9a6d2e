#!/usr/bin/python
# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight
short_description: Validate the description and the host before anything changes
version_added: 0.1.0
description:
  - On the controller, validates the description (the variables of C(group_vars), C(host_vars) and the inventory's own
    files) against its JSON Schema. Unknown names, invalid values, secrets that are missing or placeholders, and groups
    without hosts are problems.
  - On the host, reads system, memory and free space, and resolves names by the host's own resolver.
  - With O(survey), compares all components of the host with the records of their last successful runs. A component
    whose record equals the description, and that was found right, needs no execution of its own in this run.
  - Returns all problems at once. Each one names the variable, the file and what to write. It changes nothing. The
    filter P(vise.platform.preflight_report#filter) writes the problems of all hosts as one text.
extends_documentation_fragment: [vise.platform.attributes.controller, vise.platform.attributes.reads]
author:
  - vise.platform contributors (@vise-platform)
requirements:
  - jsonschema >= 4 (Python, on the controller)
options:
  schema:
    description:
      - The JSON Schema of the description, a file on the controller. In addition to JSON Schema it has C(x-groups) and
        C(x-groups-of) for keys that only hosts of some groups read, C(x-readers) and C(x-host-of) for the hosts that
        need the secrets in them, C(x-needs) for keys that are read only with another key, C(x-secret) for values that
        are never shown, C(x-host) for the name of a host, and C(x-group) for that of a group.
    type: path
  models:
    description:
      - What roles derive from the description, by the variable that is reported when they would refuse it. Each has
        C(model), the name of a variable whose value is an expression that fails where they would refuse, and
        C(variables); it is evaluated if these have no fault.
    type: dict
    default: {}
  roles:
    description: Folder on the controller with the roles whose variables are known in addition to the description.
    type: path
    default: ""
  own_variables:
    description: Further known variables.
    type: list
    elements: str
    default: []
  own_groups:
    description: Further known groups of the inventory.
    type: list
    elements: str
    default: []
  plaintext_secrets:
    description: Whether secrets in plain text are no problem.
    type: bool
    default: false
  system:
    description: The system that the host must have, C(ID) and C(VERSION_ID) of C(/etc/os-release).
    type: str
    default: debian 13
  memory_mb:
    description: Memory that the host must have, in MiB.
    type: int
    default: 0
  disk_mb:
    description: Free space that these paths must have, in MiB.
    type: dict
    default: {}
  names:
    description: Names, each with the only public addresses to which it may lead; derived from the description.
    type: dict
    default: {}
  survey:
    description:
      - Whether to survey the components of the host. The action plugin replaces it by the digest of its own code.
      - It surveys only if the callback P(vise.platform.survey#callback) is enabled and no option of the command line,
        such as C(--tags), leaves out tasks.
    type: raw
    default: false
  run:
    description: The identity of this run. The action plugin sets it. In check mode it is empty.
    type: str
    default: ""
  components:
    description:
      - The components that the run applies to the host. What was there before the first run of one is a problem, such
        as sites of nginx, data of PostgreSQL and Redis, and programs at its ports. The action derives them.
    type: list
    elements: str
    default: []
  home_accounts:
    description: Accounts whose keys in their home directory stay valid.
    type: list
    elements: str
    default: []
  users:
    description: Accounts as the component C(admin_users) wants them. The action derives them.
    type: list
    elements: dict
    default: []
  base:
    description:
      - The options of the role base that the host itself can judge, C(base_timezone), C(base_locale), C(base_locales)
        and C(base_packages). The action derives them.
    type: dict
    default: {}
  take_over:
    description:
      - Components that may replace what was there before. They first copy the files to C(/var/lib/vise/taken-over).
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Validate the description and the host
  vise.platform.preflight:
    schema: "{{ role_path }}/files/description.schema.json"
    roles: "{{ role_path | dirname }}"
    memory_mb: 1800
    disk_mb: {/: 3000}
  register: preflight
  ignore_unreachable: true
"""

RETURN = r"""
problems:
  description: The problems of the description and of the host.
  returned: always
  type: list
  elements: dict
  contains:
    text:
      description: The problem in one line.
      type: str
      sample: "sites.docs.gruop (group_vars/all/sites.yml): unknown key; did you mean `group`?"
    of_host:
      description: Whether the problem is one of this host, and not of the description.
      type: bool
surveyed:
  description:
    - Generation and differences of each component that was surveyed.
    - The action plugin removes this key, so the result of a task does not contain it.
  returned: always
  type: dict
  sample: {nginx: {generation: 3f2a9c81d0b7, differences: []}}
held_by:
  description:
    - The lease of another run that changes the host now. The action plugin makes a problem of it and removes the key.
  returned: always
  type: dict
  sample: {}
left:
  description:
    - The components that no function of the host needs any more, by the function that they belonged to. Each function
      is a warning, too, if the description has no problem.
  returned: always
  type: dict
  sample: {cache: [redis]}
"""

import os
import pwd
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vise.platform.plugins.module_utils.base import clock
from ansible_collections.vise.platform.plugins.module_utils.component import foreign_state, retirement, survey
from ansible_collections.vise.platform.plugins.module_utils.host import leases, programs
from ansible_collections.vise.platform.plugins.module_utils.model import base_settings

MIB = 1024 * 1024


class HostFacts(t.NamedTuple):
    """The state of the host; a name that does not resolve has no addresses."""

    system: str
    memory_mb: int
    disk_mb: dict[str, int]
    names: dict[str, list[str]]


def parse_system(text: str) -> str:
    """Return ID and VERSION_ID of /etc/os-release."""
    pairs = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    return " ".join(pairs.get(key, "").strip("\"'") for key in ("ID", "VERSION_ID")).strip()


def parse_memory_mb(text: str) -> int:
    """Return MemTotal of /proc/meminfo in MiB."""
    return next((int(line.split()[1]) // 1024 for line in text.splitlines() if line.startswith("MemTotal:")), 0)


def measure_free_mb(path: str) -> int:
    """Return the free space for root at a path, or at its nearest parent that exists."""
    while not os.path.exists(path):
        path = os.path.dirname(path)
    space = os.statvfs(path)
    return space.f_bfree * space.f_frsize // MIB


def resolve_name(name: str) -> list[str]:
    """Return the addresses of a name in the DNS; an address resolves to itself.

    /etc/hosts is not read: providers write a server's own name there, with 127.0.1.1.
    """
    result = programs.run(["getent", "--service=dns", "--no-addrconfig", "ahosts", name])
    return sorted({line.split()[0] for line in result.out.splitlines()})


def read_file(path: str) -> str:
    """Return a file's text; empty if there is no file."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def find_problems(facts: HostFacts, params: dict[str, t.Any]) -> list[str]:
    """Return the problems of the host, each with its remedy."""
    lines = []
    if facts.system != params["system"]:
        lines.append(f"system: {facts.system or 'unknown'}, not {params['system']}; install that system")
    if facts.memory_mb < params["memory_mb"]:
        lines.append(
            f"preflight_memory_mb: {facts.memory_mb} MiB of memory, {params['memory_mb']} are needed; "
            "use a larger server, or set a lower limit if this is enough"
        )
    lines += [
        f"preflight_disk_mb: {facts.disk_mb[path]} MiB are free at {path}, {least} are needed; free some, "
        "or set a lower limit if this is enough"
        for path, least in params["disk_mb"].items()
        if facts.disk_mb[path] < least
    ]
    return lines + [
        line
        for name, addresses in facts.names.items()
        for line in find_name_problems(name, addresses, params["names"][name])
    ]


def find_base_problems(options: dict[str, t.Any]) -> list[str]:
    """Return why the role base would refuse time zone or locales; nothing without its options."""
    if not options:
        return []
    locales = [base_settings.format_locale(name) for name in options["base_locales"]]
    try:
        return clock.find_early_problems(
            options["base_timezone"], options["base_locale"], locales, options["base_packages"]
        )
    except programs.ProgramError as error:
        return [f"base_locale: the locales of this host cannot be read: {error}"]


def find_name_problems(name: str, addresses: list[str], expected: list[str]) -> list[str]:
    """Return why a certificate authority cannot reach the host by a name."""
    if not expected:
        return [
            f"{name}: the addresses in the inventory do not resolve on this host; write the IP addresses of the hosts "
            "that visitors reach as ansible_host or public_addresses"
        ]
    if not addresses:
        wanted = ", ".join(expected)
        return [
            f"{name} does not resolve on this host; create DNS records for {wanted}, or use dns-01 (acme_challenge)"
        ]
    return [
        f"{name} has the {record} record {', '.join(others)}, and {known}; correct or remove this record, add the "
        "address to public_addresses of the host in the inventory if it belongs to it, or use dns-01 (acme_challenge)"
        for record, others, known in find_wrong_records(addresses, expected)
    ]


def find_wrong_records(addresses: list[str], expected: list[str]) -> t.Iterator[tuple[str, list[str], str]]:
    """Yield the type of each record with addresses of other hosts, these addresses, and what the inventory has."""
    for record, sign in (("A", "."), ("AAAA", ":")):
        others = [address for address in addresses if sign in address and address not in expected]
        known = [address for address in expected if sign in address]
        if others:
            version = "IPv6" if record == "AAAA" else "IPv4"
            yield (
                record,
                others,
                f"the inventory has {', '.join(known)}" if known else f"the inventory has no {version} address for it",
            )


def read_login() -> dict[str, t.Any]:
    """Return the account by which Ansible logged in, its keys, and whether it has become root."""
    user = os.environ.get("SUDO_USER") or os.environ.get("DOAS_USER") or read_session_user()
    try:
        home = pwd.getpwnam(user).pw_dir
    except KeyError:
        home = "/nonexistent"
    lines = read_file(os.path.join(home, ".ssh/authorized_keys")).splitlines()
    return {"user": user, "is_root": os.geteuid() == 0, "keys": [line for line in lines if not line.startswith("#")]}


def read_session_user() -> str:
    """Return the account of the login session, which `su` does not change, or that of this process."""
    session = read_file("/proc/self/loginuid").strip()
    # Without pam_loginuid, a session has the highest number.
    number = int(session) if session.isdigit() and int(session) != 2**32 - 1 else os.geteuid()
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(
        {
            # The action plugin handles these on the controller and removes them.
            "schema": {"type": "path"},
            "models": {"type": "dict", "default": {}},
            "roles": {"type": "path", "default": ""},
            "own_variables": {"type": "list", "elements": "str", "default": []},
            "own_groups": {"type": "list", "elements": "str", "default": []},
            "plaintext_secrets": {"type": "bool", "default": False, "no_log": False},
            "system": {"type": "str", "default": "debian 13"},
            "memory_mb": {"type": "int", "default": 0},
            "disk_mb": {"type": "dict", "default": {}},
            "names": {"type": "dict", "default": {}},
            "survey": {"type": "raw", "default": False},
            "run": {"type": "str", "default": ""},
            "components": {"type": "list", "elements": "str", "default": []},
            "home_accounts": {"type": "list", "elements": "str", "default": []},
            "users": {"type": "list", "elements": "dict", "default": []},
            "base": {"type": "dict", "default": {}},
            "take_over": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    params = module.params
    facts = HostFacts(
        system=parse_system(read_file("/etc/os-release")),
        memory_mb=parse_memory_mb(read_file("/proc/meminfo")),
        disk_mb={path: measure_free_mb(path) for path in params["disk_mb"]},
        names={name: resolve_name(name) for name in params["names"]},
    )
    params["names"] = {
        name: sorted({address for entry in entries for address in resolve_name(entry)})
        for name, entries in params["names"].items()
    }
    lines = [*find_problems(facts, params), *find_base_problems(params["base"])]
    problems = [{"text": line, "of_host": True} for line in lines]
    found = foreign_state.find_foreign_state(params["components"], params["home_accounts"], users=params["users"])
    refused = {name: one for name, one in found.items() if name not in params["take_over"]}
    problems += [{"text": line, "of_host": True} for line in foreign_state.describe_foreign_state(refused)]
    # The action plugin replaces V(true) by the digest of its code.
    surveyed = survey.survey(params["survey"]) if isinstance(params["survey"], str) else {}
    result = {"problems": problems, "login": read_login(), "surveyed": surveyed}
    result["held_by"] = leases.find_other(params["run"]) if params["run"] else {}
    result["left"] = retirement.find_left(params["components"])
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
