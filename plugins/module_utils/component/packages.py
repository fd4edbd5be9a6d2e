# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Packages as apt and dpkg evaluate them: which are missing, what apt would do, what dpkg left unfinished."""

from __future__ import annotations

import difflib
import fcntl
import fnmatch
import os
import re
import time
import typing as t

from ..host import programs
from .host import HostError

DPKG = "/var/lib/dpkg"
LOCK_TIMEOUT = 300  # seconds, as long as an unattended upgrade may hold the lock
CONFIGURE_TIMEOUT = 1800
FORMAT = r"${Package}\t${Architecture}\t${Version}\t${Provides}\t${db:Status-Status}\n"
# dpkg leaves these states when it is killed; a package that awaits a trigger of another one is one of them.
UNFINISHED = ("half-installed", "unpacked", "half-configured", "triggers-awaited", "triggers-pending")
SPEC = re.compile(r"(?P<name>[a-z0-9][a-z0-9+.-]+)(?::(?P<arch>[a-z0-9-]+))?(?:(?P<sign>>=|=|/)(?P<value>\S+))?")
PROVIDED = re.compile(r"(?P<name>[^\s:(]+)\S*(?: \(= (?P<version>[^)]+)\))?")
# `Inst htop [3.4.0-1] (3.4.1-5 Debian:13.8/stable [amd64])`, `Remv exim4 [4.98.2-1]`
PLANNED = re.compile(r"(?P<verb>Inst|Remv) (?P<name>\S+)(?: \[[^]]*\])?(?: \((?P<version>\S+))?")
PROVIDERS = re.compile(r"^Package (\S+) is a virtual package provided by:\n((?: .*\n)+)", re.MULTILINE)
APT = ["apt-get", "--quiet", "--no-install-recommends"]


class Spec(t.NamedTuple):
    """A package as apt's command line names it, such as `htop`, `htop:amd64`, `htop=3.*` or `htop/trixie-backports`."""

    text: str
    name: str
    arch: str
    sign: str
    value: str


class Package(t.NamedTuple):
    """A package that dpkg knows."""

    name: str
    arch: str
    version: str
    status: str
    provides: dict[str, str]  # name to version, which is empty when the package states none


class Simulation(t.NamedTuple):
    """What apt would do."""

    installs: dict[str, str]  # name to version
    removals: list[str]
    errors: list[str]


def parse_spec(text: str) -> Spec:
    """Return the parts of a package's specification; raises HostError for a text that apt would not understand."""
    found = SPEC.fullmatch(text)
    if not found:
        raise HostError(
            f"{text!r} is not a package: write NAME, NAME:ARCHITECTURE, NAME=VERSION, NAME>=VERSION or NAME/RELEASE"
        )
    return Spec(text, *(found[part] or "" for part in ("name", "arch", "sign", "value")))


def parse_packages(text: str) -> list[Package]:
    """Return the packages in the output of `dpkg-query` with FORMAT."""
    packages = []
    for line in text.splitlines():
        name, arch, version, provides, status = line.split("\t")
        parts = [found for part in provides.split(", ") if (found := PROVIDED.match(part))]
        packages.append(Package(name, arch, version, status, {one["name"]: one["version"] or "" for one in parts}))
    return packages


def parse_simulation(text: str) -> Simulation:
    """Return what the output of `apt-get --simulate` announces."""
    lines = text.splitlines()
    planned = [found for line in lines if (found := PLANNED.match(line))]
    # apt writes the architecture of a package that is not of the host's own.
    installs = {one["name"].partition(":")[0]: one["version"] or "" for one in planned if one["verb"] == "Inst"}
    removals = [one["name"] for one in planned if one["verb"] == "Remv"]
    errors = [line[3:] for line in lines if line.startswith("E: ")]
    for name, providers in PROVIDERS.findall(text):
        # The end of this list is a hint to choose one explicitly.
        choice = [words[0] for line in providers.splitlines() if len(words := line.split()) == 2]
        errors.append(f"write one of {', '.join(choice)} instead of {name}")
    return Simulation(installs, removals, errors)


def read_packages() -> list[Package]:
    """Return all packages that dpkg knows."""
    return parse_packages(programs.call(["dpkg-query", "--show", "--showformat", FORMAT], timeout=60))


def find_missing(specs: t.Iterable[str], packages: t.Sequence[Package]) -> list[str]:
    """Return the specifications that no completely installed package satisfies.

    A name that only exists as a virtual package is satisfied by an installed package that provides it, as for apt.
    """
    installed = [package for package in packages if package.status == "installed"]
    native = next((package.arch for package in packages if package.name == "dpkg"), "")
    missing = []
    for spec in map(parse_spec, specs):
        named = [package for package in installed if package.name == spec.name]
        provided = [package for package in installed if spec.name in package.provides] if not named else []
        if spec.sign == "/":
            satisfied = bool(named) and _is_of_release(spec)
        else:
            satisfied = any(_satisfies(package.version, package.arch, spec, native) for package in named) or (
                any(_satisfies(package.provides[spec.name], package.arch, spec, native) for package in provided)
                and _is_virtual(spec)
            )
        if not satisfied:
            missing.append(spec.text)
    return missing


def find_installed(names: t.Iterable[str], packages: t.Iterable[Package]) -> list[str]:
    """Return which of the packages are installed, completely or not."""
    present = {package.name for package in packages if package.status not in ("not-installed", "config-files")}
    return [name for name in names if name in present]


def find_unfinished(packages: t.Iterable[Package]) -> list[str]:
    """Return the packages that an interrupted dpkg left unfinished; none while a dpkg is running."""
    if find_lock_holder():
        return []
    names = [package.name for package in packages if package.status in UNFINISHED]
    # Without a package in such a state, the journal of dpkg may still prevent any further run of apt.
    return names or (["the database of dpkg"] if _has_journal() else [])


def find_lock_holder() -> int:
    """Return the process that holds the lock of dpkg or of its frontend; 0 when it is free."""
    inodes = set()
    for name in ("lock-frontend", "lock"):
        try:
            inodes.add(str(os.stat(f"{DPKG}/{name}").st_ino))
        except FileNotFoundError:
            continue
    with open("/proc/locks", encoding="ascii") as handle:
        for line in handle:
            words = line.split()
            if "->" not in words and words[5].rpartition(":")[2] in inodes:
                return int(words[4])
    return 0


def complete_unfinished() -> None:
    """Let dpkg complete what it was killed in; waits for a dpkg that is running.

    Raises:
        HostError: the lock is not free in time, or a package cannot be completed.
    """
    with open(f"{DPKG}/lock-frontend", "w", encoding="ascii") as handle:
        _wait_for_lock(handle)
        argv = ["dpkg", "--force-confdef", "--force-confold", "--configure", "--pending"]
        environment = {"DEBIAN_FRONTEND": "noninteractive", "DPKG_FRONTEND_LOCKED": "1"}
        result = programs.run(argv, environment=environment, timeout=CONFIGURE_TIMEOUT)
    if result.failed:
        raise HostError(
            f"dpkg was interrupted earlier, and `dpkg --configure -a` cannot complete it (exit {result.code}); "
            f"repair the package that it names and run again: {result.text[-1500:]}"
        )


def resolve(missing: t.Sequence[str], removable: t.Iterable[str]) -> list[str]:
    """Return the specifications by which the missing packages are installed, after apt has simulated it.

    Raises:
        HostError: apt cannot install them, or would remove packages that must stay.
    """
    specs = [parse_spec(text) for text in missing]
    simulation = _simulate(specs)
    # The lists of available packages may be missing or old.
    problem = _update_lists() if simulation.errors else ""
    simulation = _simulate(specs) if simulation.errors else simulation
    if simulation.errors:
        raise HostError(_explain_errors(specs, simulation.errors, problem))
    lost = sorted({name.partition(":")[0] for name in simulation.removals} - set(removable))
    if lost:
        raise HostError(
            f"the installation of {', '.join(missing)} would remove {', '.join(lost)}; "
            f"if the host does not need it, run `apt-get remove {' '.join(lost)}` there and run again"
        )
    return [_fix_version(spec, simulation.installs) for spec in specs]


def _satisfies(version: str, arch: str, spec: Spec, native: str) -> bool:
    wanted = native if spec.arch in ("", "native") else spec.arch
    if wanted not in (arch, "any") and (arch, wanted) != ("all", native):
        return False
    if spec.sign == "=":
        return bool(version) and fnmatch.fnmatchcase(version, spec.value)
    if spec.sign == ">=":
        return bool(version) and not programs.run(["dpkg", "--compare-versions", version, "ge", spec.value]).failed
    return True


def _is_virtual(spec: Spec) -> bool:
    """Return whether apt has no package of this name to install."""
    result = programs.run(["apt-cache", "policy", spec.name], timeout=60)
    return not re.search(r"^ +Candidate: (?!\(none\))", result.out, re.MULTILINE)


def _is_of_release(spec: Spec) -> bool:
    """Return whether apt would keep the installed version of a package."""
    simulation = _simulate([spec])
    return not simulation.errors and spec.name not in simulation.installs


def _has_journal() -> bool:
    try:
        return any(name.isdigit() for name in os.listdir(f"{DPKG}/updates"))
    except FileNotFoundError:
        return False


def _wait_for_lock(handle: t.IO[str]) -> None:
    deadline = time.monotonic() + LOCK_TIMEOUT
    while True:
        try:
            # The lock of apt and unattended-upgrades, which they hold while they run dpkg.
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if time.monotonic() > deadline:
                raise HostError(
                    f"process {find_lock_holder()} has held the lock of dpkg for {LOCK_TIMEOUT} s: wait for its end"
                ) from error
            time.sleep(1)
        else:
            return


def _simulate(specs: t.Sequence[Spec]) -> Simulation:
    # apt's command line has no `>=`; the module apt of Ansible chooses the version.
    texts = [spec.name if spec.sign == ">=" else spec.text for spec in specs]
    return parse_simulation(programs.run([*APT, "--simulate", "install", *texts], timeout=120).text)


def _update_lists() -> str:
    """Download the lists of packages; return why that failed, or an empty string."""
    # An archive that cannot be read is an error: without this option it is a warning.
    argv = [*APT, "--option", "APT::Update::Error-Mode=any", "update"]
    deadline = time.monotonic() + LOCK_TIMEOUT
    while True:
        result = programs.run(argv, timeout=600)
        if not ("Could not get lock" in result.err and time.monotonic() < deadline):
            break
        time.sleep(1)
    return "; ".join(re.findall(r"^E: (.*)", result.err, re.MULTILINE)) or result.err if result.failed else ""


def _explain_errors(specs: t.Sequence[Spec], errors: t.Sequence[str], update: str) -> str:
    text = f"apt cannot install {', '.join(spec.text for spec in specs)}: {'; '.join(errors)}"
    near = [advice for spec in specs if (advice := _find_nearest(spec.name, errors))]
    if near:
        text += f"; did you mean {', '.join(near)}?"
    return f"{text}; `apt-get update` failed too: {update}" if update else text


def _find_nearest(name: str, errors: t.Iterable[str]) -> str:
    if not any(error.endswith(f" {name}") for error in errors):
        return ""
    known = programs.run(["apt-cache", "pkgnames", name[:2]], timeout=60).out.split()
    return next(iter(difflib.get_close_matches(name, known, 1)), "")


def _fix_version(spec: Spec, installs: t.Mapping[str, str]) -> str:
    """Return a specification for the module apt of Ansible, which does not know releases."""
    if spec.sign != "/":
        return spec.text
    return f"{spec.text.partition('/')[0]}={installs[spec.name]}" if spec.name in installs else spec.name
