# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Time zone, clock and locales of a host, by what its programs report."""

from __future__ import annotations

import difflib
import os
import re
import typing as t

from ..host import files, programs

ZONES = "/usr/share/zoneinfo"
SUPPORTED = "/usr/share/i18n/SUPPORTED"
ENVIRONMENT = "/etc/environment"
BUILT_IN = ("C", "POSIX")
# Names of processes that adjust the clock; the kernel cuts them to 15 characters.
CLOCK_PROGRAMS = {"ntpd": "ntpd", "openntpd": "openntpd", "systemd-timesyn": "systemd-timesyncd"}


def find_zone_problems(zone: str) -> list[str]:
    """Return why a time zone cannot be used."""
    if re.fullmatch(r"[A-Za-z0-9+_-]+(/[A-Za-z0-9+_-]+)*", zone) and os.path.isfile(f"{ZONES}/{zone}"):
        return []
    zones, links = parse_zones(files.read_text(f"{ZONES}/tzdata.zi"))
    if zone in links:
        return [
            f"base_timezone: {zone} is an old name, which this host does not know: write {links[zone]}, or add "
            "tzdata-legacy to base_packages"
        ]
    near = difflib.get_close_matches(zone, sorted({*zones, *links}), 1, 0.5)
    return [f"base_timezone: there is no time zone {zone}" + (f"; did you mean {near[0]}?" if near else "")]


def find_early_problems(zone: str, locale: str, generated: t.Sequence[str], packages: t.Iterable[str]) -> list[str]:
    """Return what can be known of time zone and locales before the role has installed its packages.

    Args:
        zone: the time zone.
        locale: the default locale.
        generated: lines of /etc/locale.gen.
        packages: packages that the role will install; tzdata-legacy brings the old names of time zones.
    """
    text = files.read_text(f"{ZONES}/tzdata.zi")
    _zones, links = parse_zones(text)
    comes = zone in links and any(re.match(r"tzdata-legacy\b", name) for name in packages)
    problems = [] if comes or not text else find_zone_problems(zone)
    return problems + find_locale_problems(locale, generated)


def parse_zones(text: str) -> tuple[list[str], dict[str, str]]:
    """Return the time zones in tzdata.zi, and the current name of each old one."""
    words = [line.split() for line in text.splitlines()]
    zones = [line[1] for line in words if line and line[0] == "Z"]
    return zones, {line[2]: line[1] for line in words if len(line) == 3 and line[0] == "L"}


def normalize_locale(name: str) -> str:
    """Return a locale as `locale -a` writes it: `de_DE.UTF-8` becomes `de_DE.utf8`."""
    found = re.fullmatch(r"([^.@]+)(?:\.([^@]+))?(@.+)?", name)
    if not found or not found[2]:
        return name
    return f"{found[1]}.{re.sub('[^A-Za-z0-9]', '', found[2]).lower()}{found[3] or ''}"


def find_locale_problems(default: str, generated: t.Sequence[str]) -> list[str]:
    """Return why locales cannot be generated, why the default one would be missing, and who overrides it."""
    supported = files.read_text(SUPPORTED).splitlines()
    problems = []
    for line in generated if supported else []:
        if line not in supported:
            wanted = normalize_locale(line.split()[0])
            near = [entry.split()[0] for entry in supported if normalize_locale(entry.split()[0]) == wanted]
            near += difflib.get_close_matches(line.split()[0], [entry.split()[0] for entry in supported], 1)
            problems.append(
                f"base_locales: {line.split()[0]} is not a locale of {SUPPORTED}"
                + (f"; did you mean {near[0]}?" if near else "")
            )
    if normalize_locale(default) not in {*read_locales(), *(normalize_locale(line.split()[0]) for line in generated)}:
        problems.append(f"base_locale: the host has no locale {default}: add it to base_locales too")
    return problems + find_overrides(default, files.read_text(ENVIRONMENT))


def find_live_locale_problems(default: str, generated: t.Iterable[str]) -> list[str]:
    """Return the locales that the host's programs cannot use."""
    known = read_locales()
    wanted = dict.fromkeys([default, *(line.split()[0] for line in generated)])
    return [f"the locale {name} is not generated" for name in wanted if normalize_locale(name) not in known]


def read_locales() -> set[str]:
    """Return the locales that the host's programs can use."""
    return {*programs.call(["locale", "-a"], timeout=30).split(), *BUILT_IN}


def find_overrides(default: str, environment: str) -> list[str]:
    """Return the lines of /etc/environment that give logins another locale than the default one."""
    problems = []
    for number, line in enumerate(environment.splitlines(), 1):
        found = re.match(r"\s*(?:export\s+)?(LANG|LC_ALL|LC_CTYPE|LC_MESSAGES)=[\"']?([^\"'\s]*)", line)
        if found and found[2] != default:
            problems.append(
                f"logins use the locale {found[2]}, not {default}; {ENVIRONMENT}:{number} decides: remove that line"
            )
    return problems


class Source(t.NamedTuple):
    """A time server as chronyd uses it."""

    name: str
    reached: bool


def parse_sources(text: str) -> list[Source]:
    """Return the time servers in the output of `chronyc -N -c sources`."""
    rows = [line.split(",") for line in text.splitlines()]
    return [Source(row[2], row[5] != "0") for row in rows if len(row) > 5]


def find_live_clock_problems(names: t.Collection[str], adjust: bool) -> list[str]:
    """Return why the clock does not follow the configured time servers; a container only measures it (`adjust`)."""
    problems = [
        f"{CLOCK_PROGRAMS[name]} runs next to chronyd, and both adjust the clock: stop and remove it"
        for name in sorted(set(CLOCK_PROGRAMS) & _running_programs())
    ]
    result = programs.run(["chronyc", "-N", "-c", "sources"], timeout=30)
    if result.failed:
        return [*problems, f"chronyd does not answer: {result.text}"]
    sources = parse_sources(result.out)
    problems += [
        f"chronyd uses {source.name}, which is not in base_ntp_servers or base_ntp_pools: another file configures it "
        "(`systemctl cat chrony.service`)"
        for source in sources
        if source.name not in names
    ]
    if adjust and not any(source.reached for source in sources):
        problems.append(
            f"no time server has answered ({', '.join(names)}): allow UDP port 123 to them, or write others into "
            "base_ntp_servers"
        )
    return problems


def _running_programs() -> set[str]:
    """Return the names of the processes of this PID namespace and those below it."""
    paths = (f"/proc/{entry}/comm" for entry in os.listdir("/proc") if entry.isdigit())
    return {files.read_text(path).strip() for path in paths if not _is_contained(path)}


def _is_contained(path: str) -> bool:
    try:
        return os.readlink(os.path.dirname(path) + "/ns/pid") != os.readlink("/proc/self/ns/pid")
    except OSError:
        return True
