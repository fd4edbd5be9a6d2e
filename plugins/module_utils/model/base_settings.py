# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The settings of the role base, derived from its options; what contradicts itself is refused. Pure."""

from __future__ import annotations

import re
import typing as t

from . import systemd

# As in /usr/share/i18n/SUPPORTED: `de_DE.UTF-8`, or with the character set, `sr_RS@latin UTF-8`.
LOCALE = re.compile(
    r"(?P<name>[a-z]{2,3}_[A-Z]{2}(?:\.(?P<charset>[A-Za-z0-9-]+))?(?:@[a-z]+)?)(?: (?P<given>[A-Z0-9-]+))?"
)
SERVER = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:-]*")
LEAST_JOURNAL = 16 * 1024 * 1024
# A reboot that begins in the window's last minutes would end after the window.
REBOOT_MARGIN = 15
SECURITY = [
    "origin=Debian,codename=${distro_codename}-security,label=Debian-Security",
    "origin=Debian,codename=${distro_codename},label=Debian-Security",
]
# What decides whether, when and which packages are upgraded; a provider's file may set each of them.
UPGRADES = {
    "APT::Periodic::Enable": "1",
    "APT::Periodic::Update-Package-Lists": "1",
    "APT::Periodic::Unattended-Upgrade": "1",
    "APT::Periodic::AutocleanInterval": "7",
    "Unattended-Upgrade::AutoFixInterruptedDpkg": "true",
    "Unattended-Upgrade::InstallOnShutdown": "false",
    "Unattended-Upgrade::MinimalSteps": "true",
    "Unattended-Upgrade::OnlyOnACPower": "false",
    "Unattended-Upgrade::Package-Whitelist-Strict": "false",
    "Unattended-Upgrade::Remove-Unused-Kernel-Packages": "true",
    "Unattended-Upgrade::Skip-Updates-On-Metered-Connections": "false",
    "Unattended-Upgrade::SyslogEnable": "true",
    # vise-reboot.timer reboots the host in its window; this option would reboot it on any day.
    "Unattended-Upgrade::Automatic-Reboot": "false",
}
LISTS: dict[str, list[str]] = {
    "Unattended-Upgrade::Origins-Pattern": SECURITY,
    "Unattended-Upgrade::Allowed-Origins": [],
    "Unattended-Upgrade::Package-Whitelist": [],
    "Unattended-Upgrade::Update-Days": [],
}


class SettingsError(ValueError):
    """Options cannot be used; the message names each one and what to write."""


def derive(options: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return the settings by program, for the templates of the role and for vise-base.

    Raises:
        SettingsError: options have values that a program would ignore, or no effect.
    """
    problems = [*_find_problems(options)]
    if problems:
        raise SettingsError(".\n".join(problems))
    reboot = f"{options['base_reboot_day']} *-*-* {options['base_reboot_start']}:00 UTC"
    timers = {"apt-daily-upgrade.timer": f"*-*-* {options['base_upgrade_start']}:00 UTC"}
    return {
        "timezone": options["base_timezone"],
        "locale": options["base_locale"],
        "locales": [format_locale(name) for name in options["base_locales"]],
        # Otherwise the machine of the container keeps the clock, and chronyd only measures it.
        "clock_adjust": bool(options["base_clock_adjust"]),
        "time_servers": [*options["base_ntp_servers"], *options["base_ntp_pools"]],
        "journal": {
            "Storage": "persistent",
            "Compress": "yes",
            "SystemMaxUse": options["base_journal_max_use"],
            "RuntimeMaxUse": "64M",
            "MaxRetentionSec": options["base_journal_max_age"],
        },
        "upgrades": {"values": UPGRADES, "lists": LISTS, "excluded": list(options["base_upgrade_excluded"])},
        "timers": {**timers, **({"vise-reboot.timer": reboot} if options["base_reboot_enabled"] else {})},
        "reboot_calendar": reboot,
        "reboot_spread_minutes": int(options["base_reboot_minutes"]) - REBOOT_MARGIN,
    }


def _find_problems(options: t.Mapping[str, t.Any]) -> t.Iterator[str]:
    try:
        size = systemd.parse_size(options["base_journal_max_use"])
        if size < LEAST_JOURNAL:
            yield "base_journal_max_use: the journal needs 16M or more; write for example 500M"
    except ValueError as error:
        yield f"base_journal_max_use: {error}"
    if not systemd.is_time_span(options["base_journal_max_age"]):
        yield f"base_journal_max_age: {options['base_journal_max_age']!r} is not a time span; write for example 30day"
    for name in ("base_upgrade_start", "base_reboot_start"):
        if not systemd.is_time_of_day(options[name]):
            yield f"{name}: {options[name]!r} is not a time of day; write for example 02:00, in quotes"
    if int(options["base_reboot_minutes"]) <= REBOOT_MARGIN:
        yield f"base_reboot_minutes: the window needs more than {REBOOT_MARGIN} minutes; write for example 240"
    yield from _find_server_problems([*options["base_ntp_servers"], *options["base_ntp_pools"]])
    yield from _find_entry_problems(options)


def _find_entry_problems(options: t.Mapping[str, t.Any]) -> t.Iterator[str]:
    for entry in options["base_locales"]:
        found = LOCALE.fullmatch(entry)
        if not found or not (found["charset"] or found["given"]):
            yield (
                f"base_locales: {entry!r} is not a locale with its character set; write for example en_US.UTF-8, or a "
                "line of /usr/share/i18n/SUPPORTED"
            )
    for entry in options["base_upgrade_excluded"]:
        if '"' in entry or "\n" in entry or not entry:
            yield f"base_upgrade_excluded: {entry!r} is not a pattern of package names; write for example docker.io"


def _find_server_problems(names: t.Sequence[str]) -> t.Iterator[str]:
    if not names:
        yield "base_ntp_servers, base_ntp_pools: both are empty, so the clock would drift; write a time server into one"
    for name in names:
        if not SERVER.fullmatch(name):
            yield f"base_ntp_servers, base_ntp_pools: {name!r} is neither a host name nor an address"


def format_locale(entry: str) -> str:
    """Return a locale as a line of /etc/locale.gen."""
    found = LOCALE.fullmatch(entry)
    return f"{found['name']} {found['given'] or found['charset']}" if found else entry
