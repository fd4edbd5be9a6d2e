# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Turn people and their public keys into accounts, and refuse what cannot be one."""

from __future__ import annotations

import base64
import binascii
import re
import typing as t

from ansible.errors import AnsibleFilterError

DOCUMENTATION = r"""
name: admin_accounts
short_description: Turn people and their public keys into accounts
version_added: 0.1.0
description:
  - Refuses a name that the system uses itself, a public key that is none or is weak, a key that two people share, and
    a sudo command that could be more than it looks like. The message names the person.
options:
  _input:
    description: The people, each with C(name), C(keys) and perhaps C(comment).
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
    description: Whether there may be no people at all.
    type: bool
    default: false
author:
  - vise.platform contributors (@vise-platform)
"""

EXAMPLES = r"""
- name: Show who gets in
  ansible.builtin.debug:
    msg: "{{ people | vise.platform.admin_accounts }}"
"""

RETURN = r"""
_value:
  description:
    - C(users) are the accounts as M(vise.platform.component#module) takes them.
    - C(keys) are the lines of C(authorized_keys) for each C(name).
    - C(commands) are the C(deploy) user's commands as sudoers writes them.
  type: dict
"""

Account = dict[str, t.Any]
DEPLOY = "deploy"
GROUP = "admins"
NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")
# Accounts of Debian itself and of the packages that a platform has; systemd's own begin with `systemd-`.
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
    """Return the accounts, or raise with the person's name."""
    if not people and not allow_none:
        raise AnsibleFilterError(
            "admin_users_people is empty, and that would lock everybody out: name at least one person, or set "
            "admin_users_allow_none where root's own key is meant to be the only way in"
        )
    accounts = [account(person) for person in people]
    # Whoever deploys runs commands and copies files: no terminal, no tunnel, no agent.
    keys = [f"restrict {key}" for key in public_keys(DEPLOY, deploy_keys or [])]
    accounts.append({"name": DEPLOY, "comment": "Deployments", "groups": [], "keys": keys})
    distinct(accounts)
    return {
        "users": [{"shell": "/bin/bash", **without_keys(entry)} for entry in accounts],
        "keys": [{"name": entry["name"], "keys": entry["keys"]} for entry in accounts],
        "commands": [command(text) for text in deploy_commands or []],
    }


def without_keys(account: Account) -> Account:
    """Return what an account is to the system."""
    return {key: value for key, value in account.items() if key != "keys"}


def account(person: Account) -> Account:
    """Return a person's account."""
    name = str(person["name"])
    if not NAME.fullmatch(name):
        raise AnsibleFilterError(f"{name!r} is no user name: small letters, digits and hyphens, a letter first")
    if name in SYSTEM_NAMES.split() or name.startswith("systemd-") or name == DEPLOY:
        raise AnsibleFilterError(f"{name} is an account of the system itself; give the person another name")
    comment = str(person.get("comment") or "")
    if set(comment) & set(":,\n"):
        raise AnsibleFilterError(f"{name}: the comment has a colon, a comma or a line break")
    keys = public_keys(name, person.get("keys") or [])
    if not keys:
        raise AnsibleFilterError(f"{name} has no public key and could not log in; take the person off the list instead")
    return {"name": name, "comment": comment, "groups": [GROUP], "keys": keys}


def distinct(accounts: list[Account]) -> None:
    """Raise when a name or a key stands for two."""
    names = [entry["name"] for entry in accounts]
    for name in names:
        if names.count(name) > 1:
            raise AnsibleFilterError(f"{name} is listed twice")
    owners: dict[str, str] = {}
    for entry in accounts:
        for key in entry["keys"]:
            first = owners.setdefault(key.removeprefix("restrict ").split()[1], entry["name"])
            if first != entry["name"]:
                raise AnsibleFilterError(f"{first} and {entry['name']} have the same public key")


def public_keys(name: str, keys: list[str]) -> list[str]:
    """Return the keys, each in one line without needless space."""
    return [public_key(f"{name}'s key {number}", key) for number, key in enumerate(keys, 1)]


def public_key(whose: str, text: str) -> str:
    """Return a public key, or raise."""
    if "PRIVATE KEY" in text:
        raise AnsibleFilterError(f"{whose} is a PRIVATE key: replace that key pair now, and put its public half here")
    words = text.split()
    if len(text.strip().splitlines()) != 1 or len(words) < 2:
        raise AnsibleFilterError(f"{whose} is not one public key of the form 'ssh-ed25519 AAAA... comment'")
    kind, body = words[:2]
    if kind not in CURVES and kind != "ssh-rsa":
        raise AnsibleFilterError(f"{whose} is of the kind {kind!r}; use one of {', '.join([*CURVES, 'ssh-rsa'])}")
    try:
        fields = wire_fields(base64.b64decode(body, validate=True))
    except (binascii.Error, ValueError) as error:
        raise AnsibleFilterError(f"{whose} is damaged: {error}") from error
    if fields[0] != kind.encode() or not whole(kind, fields):
        raise AnsibleFilterError(f"{whose} is damaged: its content is not a whole {kind} key")
    bits = int.from_bytes(fields[2], "big").bit_length() if kind == "ssh-rsa" else RSA_BITS
    if bits < RSA_BITS:
        raise AnsibleFilterError(f"{whose} is an RSA key of {bits} bits; at least {RSA_BITS}, or better ssh-ed25519")
    return " ".join(words)


def whole(kind: str, fields: list[bytes]) -> bool:
    """Tell whether a key has the fields of its kind."""
    if kind == "ssh-rsa":
        return len(fields) == 3
    point = fields[2:3] if "ecdsa" in kind else fields[1:2]
    count = 2 + ("ecdsa" in kind) + kind.startswith("sk-")
    return len(fields) == count and len(point[0]) == CURVES[kind]


def wire_fields(blob: bytes) -> list[bytes]:
    """Split SSH's wire format, a sequence of strings each behind its length in four bytes."""
    fields = []
    while blob:
        size = int.from_bytes(blob[:4], "big")
        if len(blob) < 4 + size:
            raise ValueError("it ends too early")
        fields.append(blob[4 : 4 + size])
        blob = blob[4 + size :]
    return fields or [b""]


def command(text: str) -> str:
    """Return a command as sudoers writes it."""
    if not re.fullmatch(r"/[^\s]*[^\s/](?: [^\n]+)?", text):
        raise AnsibleFilterError(f"deploy's command {text!r} has to begin with a program's whole path")
    if set(text) & set('*?[]!^$#"\n'):
        raise AnsibleFilterError(f"deploy's command {text!r} has a character that means more than itself in sudoers")
    # Without arguments, sudoers would allow any.
    return re.sub(r"([,:=\\])", r"\\\1", text) + ("" if " " in text else ' ""')


class FilterModule:
    """The collection's filter."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Return the filter by its name."""
        return {"admin_accounts": admin_accounts}
