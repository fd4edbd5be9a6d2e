# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Validate administrators and their public keys, and convert them into accounts."""

from __future__ import annotations

import base64
import binascii
import re
import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.vise.platform.plugins.module_utils.model import names

DOCUMENTATION = r"""
name: admin_accounts
short_description: Validate administrators and their public keys, and convert them into accounts
version_added: 0.1.0
description:
  - Refuses the name of a system account, an invalid or weak public key, a key that two people share, and a sudo
    command with characters that have a special meaning in sudoers. The message names the person or the command.
options:
  _input:
    description: The people, each with C(name), C(keys) and optionally C(comment).
    type: list
    elements: dict
    required: true
  deploy_keys:
    description: Public keys of the C(deploy) user.
    type: list
    elements: str
    default: []
  deploy_commands:
    description: Commands that the C(deploy) user may run as root.
    type: list
    elements: str
    default: []
  allow_none:
    description: Whether the list of people may be empty.
    type: bool
    default: false
author:
  - vise.platform contributors (@vise-platform)
"""

EXAMPLES = r"""
- name: Show the accounts of the administrators
  ansible.builtin.debug:
    msg: "{{ people | vise.platform.admin_accounts }}"
"""

RETURN = r"""
_value:
  description:
    - C(users) are the accounts in the format of M(vise.platform.component#module).
    - C(keys) are the lines of C(authorized_keys) for each C(name).
    - C(commands) are the commands of the C(deploy) user in the format of sudoers.
    - C(accounts) are the names and the commands that C(vise-accounts) checks.
  type: dict
"""

Account = dict[str, t.Any]
DEPLOY = "deploy"
GROUP = "admins"
# Accounts of Debian and of the platform's packages; those of systemd begin with `systemd-`.
SYSTEM_NAMES = """
root daemon bin sys sync games man lp mail news uucp proxy www-data backup list irc gnats nobody messagebus sshd
polkitd uuidd tcpdump tss ntp ntpsec postfix postgres redis valkey docker dockremap nginx syslog mysql dovecot
dovenull vmail opendkim bind unbound prometheus alertmanager grafana loki crowdsec debian-tor git ftp landscape
fwupd-refresh dnsmasq haproxy memcache etcd clamav debian-exim sudo admins users staff adm
"""
CURVES = {
    "ssh-ed25519": 32,
    "sk-ssh-ed25519@openssh.com": 32,
    "ecdsa-sha2-nistp256": 65,
    "sk-ecdsa-sha2-nistp256@openssh.com": 65,
}
RSA_BITS = 3072


def admin_accounts(
    people: list[Account],
    deploy_keys: list[str] | None = None,
    deploy_commands: list[str] | None = None,
    allow_none: bool = False,
) -> dict[str, t.Any]:
    """Return the accounts, keys and commands; raises AnsibleFilterError with the person's name."""
    if not people and not allow_none:
        raise AnsibleFilterError(
            "admin_users_people is empty, which would lock out every administrator: list at least one person, or set "
            "admin_users_allow_none if only root's own key should give access"
        )
    accounts = [build_account(person) for person in people]
    # Deployments only run commands and copy files: no terminal, no tunnel, no agent forwarding.
    keys = [f"restrict {key}" for key in normalize_keys(DEPLOY, deploy_keys or [])]
    accounts.append({"name": DEPLOY, "comment": "Deployments", "groups": [], "keys": keys})
    reject_duplicates(accounts)
    commands = [escape_command(text) for text in deploy_commands or []]
    return {
        "users": [{"shell": "/bin/bash", **remove_keys(account)} for account in accounts],
        "keys": [{"name": account["name"], "keys": account["keys"]} for account in accounts],
        "commands": commands,
        "accounts": {
            "people": [account["name"] for account in accounts if account["name"] != DEPLOY],
            "deploy": DEPLOY,
            "commands": commands,
        },
    }


def remove_keys(account: Account) -> Account:
    """Return an account without its public keys."""
    return {key: value for key, value in account.items() if key != "keys"}


def build_account(person: Account) -> Account:
    """Return a person's account."""
    name = person["name"]
    if problem := names.find_problem("person", name):
        raise AnsibleFilterError(f"admin_users_people: {problem.line()}")
    if name in SYSTEM_NAMES.split() or name.startswith("systemd-") or name == DEPLOY:
        raise AnsibleFilterError(f"{name} is an account of the system: use another name for the person")
    comment = str(person.get("comment") or "")
    if set(comment) & set(":,\n"):
        raise AnsibleFilterError(f"{name}: the comment must not contain a colon, a comma or a line break")
    keys = normalize_keys(name, person.get("keys") or [])
    if not keys:
        raise AnsibleFilterError(f"{name} has no public key and could not log in: add a key or remove the person")
    return {"name": name, "comment": comment, "groups": [GROUP], "keys": keys}


def reject_duplicates(accounts: list[Account]) -> None:
    """Raise AnsibleFilterError when two accounts have the same name or share a public key."""
    found = [entry["name"] for entry in accounts]
    for name in found:
        if found.count(name) > 1:
            raise AnsibleFilterError(f"{name} is listed twice")
    owners: dict[str, str] = {}
    for entry in accounts:
        for key in entry["keys"]:
            first = owners.setdefault(key.removeprefix("restrict ").split()[1], entry["name"])
            if first != entry["name"]:
                raise AnsibleFilterError(f"{first} and {entry['name']} have the same public key")


def normalize_keys(name: str, keys: list[str]) -> list[str]:
    """Return the keys, each as one line without superfluous spaces."""
    return [normalize_key(f"{name}'s key {number}", key) for number, key in enumerate(keys, 1)]


def normalize_key(whose: str, text: str) -> str:
    """Return a valid public key as one line; raises AnsibleFilterError for an invalid or weak key."""
    if "PRIVATE KEY" in text:
        raise AnsibleFilterError(
            f"{whose} is a PRIVATE key, which is now disclosed: create a new key pair and put its public key here"
        )
    words = text.split()
    if len(text.strip().splitlines()) != 1 or len(words) < 2:
        raise AnsibleFilterError(f"{whose} is not one public key of the form 'ssh-ed25519 AAAA... comment'")
    kind, body = words[:2]
    if kind not in CURVES and kind != "ssh-rsa":
        raise AnsibleFilterError(f"{whose} has the type {kind!r}: use one of {', '.join([*CURVES, 'ssh-rsa'])}")
    try:
        fields = split_wire_format(base64.b64decode(body, validate=True))
    except (binascii.Error, ValueError) as error:
        raise AnsibleFilterError(f"{whose} is damaged: {error}") from error
    if fields[0] != kind.encode() or not is_complete(kind, fields):
        raise AnsibleFilterError(f"{whose} is damaged: its content is not a complete {kind} key")
    bits = int.from_bytes(fields[2], "big").bit_length() if kind == "ssh-rsa" else RSA_BITS
    if bits < RSA_BITS:
        raise AnsibleFilterError(
            f"{whose} is an RSA key of {bits} bits: use ssh-ed25519, or RSA with at least {RSA_BITS} bits"
        )
    return " ".join(words)


def is_complete(kind: str, fields: list[bytes]) -> bool:
    """Return whether a key has all fields of its type."""
    if kind == "ssh-rsa":
        return len(fields) == 3
    point = fields[2:3] if "ecdsa" in kind else fields[1:2]
    count = 2 + ("ecdsa" in kind) + kind.startswith("sk-")
    return len(fields) == count and len(point[0]) == CURVES[kind]


def split_wire_format(blob: bytes) -> list[bytes]:
    """Split SSH's wire format: a sequence of strings, each preceded by its length in four bytes."""
    fields = []
    while blob:
        size = int.from_bytes(blob[:4], "big")
        if len(blob) < 4 + size:
            raise ValueError("its end is missing")
        fields.append(blob[4 : 4 + size])
        blob = blob[4 + size :]
    return fields or [b""]


def escape_command(text: str) -> str:
    """Return a command in the format of sudoers."""
    if not re.fullmatch(r"/[^\s]*[^\s/](?: [^\n]+)?", text):
        raise AnsibleFilterError(f"deploy's command {text!r} must begin with the absolute path of a program")
    if set(text) & set('*?[]!^$#"\n'):
        raise AnsibleFilterError(f"deploy's command {text!r} contains a character with a special meaning in sudoers")
    # sudoers allows any arguments for a command without arguments; "" allows none.
    return re.sub(r"([,:=\\])", r"\\\1", text) + ("" if " " in text else ' ""')


class FilterModule:
    """Registers the filter of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Return the filter by its name."""
        return {"admin_accounts": admin_accounts}
