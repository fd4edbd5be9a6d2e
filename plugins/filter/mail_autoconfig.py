# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filter: the settings of mail programs, with the ports that are open."""

from __future__ import annotations

DOCUMENTATION = r"""
name: mail_autoconfig
short_description: Return the settings that mail programs read at autoconfig.DOMAIN
version_added: 0.1.0
description:
  - Mail programs such as Thunderbird read this file at C(https://autoconfig.DOMAIN/mail/config-v1.1.xml). It contains
    the ports that are open. mailcow's own file also contains IMAP with STARTTLS and POP3, which are closed.
author:
  - vise.platform contributors (@vise-platform)
options:
  _input:
    description: The option O(vise.platform.dns_records#filter:mail).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show the settings
  ansible.builtin.debug:
    msg: "{{ dns_mail | vise.platform.mail_autoconfig }}"
"""

RETURN = r"""
_value:
  description: The file's content, XML.
  type: str
"""

import typing as t
from xml.sax.saxutils import escape

from ansible.errors import AnsibleFilterError

# Type, port and encryption of each server, the preferred one first; the firewall opens these ports.
SERVERS = (
    ("incoming", "imap", 993, "SSL"),
    ("outgoing", "smtp", 465, "SSL"),
    ("outgoing", "smtp", 587, "STARTTLS"),
)


def mail_autoconfig(mail: t.Mapping[str, t.Any]) -> str:
    """Return the settings."""
    try:
        host, domains = escape(mail["host"]), [escape(name) for name in mail["domains"]]
    except (KeyError, TypeError) as error:
        raise AnsibleFilterError(f"mail_autoconfig: host and domains are required: {error}") from error
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', '<clientConfig version="1.1">', f'<emailProvider id="{host}">']
    lines += [f"<domain>{name}</domain>" for name in domains]
    lines += [f"<displayName>{host}</displayName>", f"<displayShortName>{host}</displayShortName>"]
    for direction, kind, port, encryption in SERVERS:
        lines += [f'<{direction}Server type="{kind}">', f"<hostname>{host}</hostname>", f"<port>{port}</port>"]
        lines += [f"<socketType>{encryption}</socketType>", "<username>%EMAILADDRESS%</username>"]
        lines += ["<authentication>password-cleartext</authentication>", f"</{direction}Server>"]
    lines += ["</emailProvider>", f'<webMail><loginPage url="https://{host}/SOGo/"/></webMail>', "</clientConfig>"]
    return "\n".join([*lines, ""])


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Return the filters by name."""
        return {"mail_autoconfig": mail_autoconfig}
