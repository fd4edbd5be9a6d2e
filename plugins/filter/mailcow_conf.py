# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filter: the variables of mailcow.conf in the spelling that mailcow reads."""

from __future__ import annotations

DOCUMENTATION = r"""
name: mailcow_conf
short_description: Return variables of mailcow.conf in the spelling that mailcow reads
version_added: 0.1.0
description:
  - mailcow reads most booleans as C(y) or C(n), some as C(true) or C(false), C(1) or C(0), or C(allow) or C(disallow).
    The filter accepts each spelling of a boolean, such as C(yes), C(true) and C(on), and converts it.
  - A name or value that cannot be written to C(mailcow.conf) is an error. So is another value of a boolean variable.
  - A shell and Docker Compose read C(mailcow.conf). A value with spaces or special characters needs quotes there.
author:
  - vise.platform contributors (@vise-platform)
options:
  _input:
    description: The variables by name.
    type: dict
    required: true
  quoted:
    description: Whether to put values that need it into quotes, as lines of C(mailcow.conf) have them.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Show the variable SKIP_SOGO=y
  ansible.builtin.debug:
    msg: "{{ {'SKIP_SOGO': true} | vise.platform.mailcow_conf }}"
"""

RETURN = r"""
_value:
  description: The values as texts, by name.
  type: dict
"""

import ipaddress
import re
import typing as t

from ansible.errors import AnsibleFilterError

YES_NO = (
    "ACME_DNS_CHALLENGE",
    "ALLOW_ADMIN_EMAIL_LOGIN",
    "AUTODISCOVER_SAN",
    "DEMO_MODE",
    "DEV_MODE",
    "DISABLE_NETFILTER_ISOLATION_RULE",
    "ENABLE_SSL_SNI",
    "HTTP_REDIRECT",
    "LE_STAGING",
    "MASTER",
    "NGINX_USE_PROXY_PROTOCOL",
    "ONLY_MAILCOW_HOSTNAME",
    "SKIP_CLAMD",
    "SKIP_FTS",
    "SKIP_HTTP_VERIFICATION",
    "SKIP_IP_CHECK",
    "SKIP_LETS_ENCRYPT",
    "SKIP_OLEFY",
    "SKIP_RSPAMD",
    "SKIP_SOGO",
    "SKIP_UNBOUND_HEALTHCHECK",
    "USE_WATCHDOG",
    "WATCHDOG_EXTERNAL_CHECKS",
    "WATCHDOG_MYSQL_REPLICATION_CHECKS",
    "WATCHDOG_NOTIFY_BAN",
    "WATCHDOG_NOTIFY_START",
    "WATCHDOG_VERBOSE",
    "WEBAUTHN_ONLY_TRUSTED_VENDORS",
)
# The spelling of true and false, by variable.
SPELLINGS: dict[str, tuple[str, str]] = {
    **dict.fromkeys(YES_NO, ("y", "n")),
    "ENABLE_IPV6": ("true", "false"),
    "CHECK_UNBOUND": ("1", "0"),
    "IP_BY_DOCKER_API": ("1", "0"),
    "ACL_ANYONE": ("allow", "disallow"),
}
# Variables with the address from which mail is sent; n is the default of mailcow.
ADDRESSES = {"SNAT_TO_SOURCE": ipaddress.IPv4Address, "SNAT6_TO_SOURCE": ipaddress.IPv6Address}
TRUE = ("y", "yes", "true", "on", "1", "allow")
FALSE = ("n", "no", "false", "off", "0", "disallow")
NAME = re.compile(r"[A-Z][A-Z0-9_]*")
# A shell and Compose read these characters as they are.
PLAIN = re.compile(r"[A-Za-z0-9_@%+:,./*-]*")


def to_text(name: str, value: t.Any) -> str:
    """Return the value of a variable as mailcow reads it."""
    text = "" if value is None else str(value)
    if not NAME.fullmatch(name):
        raise AnsibleFilterError(f"mailcow_settings: {name!r} is not the name of a variable: use A-Z, digits and _")
    if any(ord(character) < 32 for character in text):
        raise AnsibleFilterError(f"mailcow_settings: {name} must not contain a line break or another control character")
    if name in ADDRESSES:
        return to_address(name, text.strip())
    if name not in SPELLINGS:
        return ("y" if value else "n") if isinstance(value, bool) else text
    spelling = text.strip().lower()
    if spelling not in TRUE + FALSE:
        raise AnsibleFilterError(f"mailcow_settings: {name}: {text!r} is not a boolean: set it to yes or no")
    return SPELLINGS[name][0 if spelling in TRUE else 1]


def to_address(name: str, text: str) -> str:
    """Return an address, or how mailcow reads that there is none; it reads any other text as an address."""
    if text.lower() in ("", *FALSE):
        return "n"
    try:
        return str(ADDRESSES[name](text))
    except ValueError as error:
        kind = ADDRESSES[name].__name__.replace("Address", " address")
        raise AnsibleFilterError(
            f"mailcow_settings: {name}: {text!r} is not an {kind}: set it to one, or to no"
        ) from error


def quote(name: str, text: str) -> str:
    """Return a value in quotes if it needs some, such that a shell and Compose read the same."""
    if PLAIN.fullmatch(text):
        return text
    if "'" not in text:
        return f"'{text}'"
    if not re.search(r'["$`\\!]', text):
        return f'"{text}"'
    raise AnsibleFilterError(
        f"mailcow_settings: {name} contains ' together with one of \" $ ` \\ !: remove one of them"
    )


def mailcow_conf(variables: t.Mapping[str, t.Any], quoted: bool = False) -> dict[str, str]:
    """Return the values as texts."""
    texts = {name: to_text(name, value) for name, value in variables.items()}
    # Also without quotes, so that a value that has none is an error wherever the variables are used first.
    lines = {name: quote(name, text) for name, text in texts.items()}
    return lines if quoted else texts


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Return the filters by name."""
        return {"mailcow_conf": mailcow_conf}
