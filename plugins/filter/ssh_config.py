# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filter: a configuration of OpenSSH with the hosts of an inventory."""

from __future__ import annotations

DOCUMENTATION = r"""
name: ssh_config
short_description: Write a configuration of OpenSSH from an inventory
version_added: 0.1.0
description:
  - With the configuration, C(ssh) reaches each host of the inventory as Ansible does, by the host's name.
  - The first host of each group can be reached by the name of the group, too, such as C(database).
author:
  - vise.platform contributors (@vise-platform)
positional: groups
options:
  _input:
    description:
      - The inventory's C(hostvars). Read are C(ansible_host), C(ansible_port), C(ansible_user),
        C(ansible_ssh_private_key_file), C(ansible_ssh_common_args) and C(ansible_ssh_extra_args).
    type: dict
    required: true
  groups:
    description: The inventory's C(groups).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Write a configuration of OpenSSH
  ansible.builtin.copy:
    content: "{{ hostvars | vise.platform.ssh_config(groups) }}"
    dest: ssh_config
    mode: "0600"
"""

RETURN = r"""
_value:
  description: The text of the configuration.
  type: str
"""

import shlex
import typing as t

from ansible.errors import AnsibleFilterError

HostVars = t.Mapping[str, t.Mapping[str, t.Any]]
KEYWORDS = {
    "ansible_host": "HostName",
    "ansible_port": "Port",
    "ansible_user": "User",
    "ansible_ssh_private_key_file": "IdentityFile",
}
ARGUMENTS = ("ansible_ssh_common_args", "ansible_ssh_extra_args")
# The options of ssh that have a keyword
OPTIONS = {"-J": "ProxyJump", "-i": "IdentityFile", "-p": "Port", "-l": "User"}
IGNORED = ("all", "ungrouped")


def ssh_config(hostvars: HostVars, groups: t.Mapping[str, t.Sequence[str]]) -> str:
    """Return the configuration."""
    blocks = [
        "\n".join([f"Host {' '.join([name, *find_aliases(name, groups)])}", *describe(name, hostvars[name])])
        for name in groups.get("all", ())
    ]
    return "".join(f"{block}\n" for block in ["# Written by the playbook ssh_config.yml from the inventory", *blocks])


def find_aliases(host: str, groups: t.Mapping[str, t.Sequence[str]]) -> list[str]:
    """Return the groups of which this is the first host, except those that have the name of a host."""
    names = {*IGNORED, *groups.get("all", ())}
    return [group for group, hosts in groups.items() if group not in names and list(hosts[:1]) == [host]]


def describe(host: str, variables: t.Mapping[str, t.Any]) -> t.Iterator[str]:
    """Yield the lines of a host."""
    for variable, keyword in KEYWORDS.items():
        if value := variables.get(variable):
            yield f"  {keyword} {quote(str(value))}"
    for variable in ARGUMENTS:
        try:
            words = shlex.split(str(variables.get(variable) or ""))
        except ValueError as error:
            raise AnsibleFilterError(
                f"{host}: {variable} is not a command line: {error}; correct the quotes"
            ) from error
        yield from (f"  {keyword} {value}" for keyword, value in read_options(host, words))


def read_options(host: str, words: t.Sequence[str]) -> t.Iterator[tuple[str, str]]:
    """Yield the keywords and values of options of ssh."""
    rest = list(words)
    while rest:
        word = rest.pop(0)
        option, value = word[:2], word[2:] or (rest.pop(0) if rest else "")
        keyword, _separator, setting = value.replace(" ", "=", 1).partition("=")
        if option == "-o" and keyword and setting:
            yield keyword, setting
        elif option in OPTIONS and value:
            yield OPTIONS[option], quote(value)
        else:
            raise AnsibleFilterError(
                f"{host}: `{word}` in {' or '.join(ARGUMENTS)} has no place in a configuration of OpenSSH; write it as "
                "`-o Keyword=value`"
            )


def quote(value: str) -> str:
    """Return a value as one word."""
    return f'"{value}"' if any(character.isspace() for character in value) else value


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Return the filters by name."""
        return {"ssh_config": ssh_config}
