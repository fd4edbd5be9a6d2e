# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Check, reload and verify the nginx of this host by its effects: the sites that it serves and their certificates."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import signal
import sys
import time
import typing as t

from ..host import certificates, files, programs

SETTINGS = "/etc/vise/nginx.json"
PID_FILE = "/run/nginx.pid"
ERROR_LOG = "/var/log/nginx/error.log"
# Files of the role, and of the packages.
OWN = re.compile(r"/etc/nginx/(nginx\.conf|mime\.types|sites-enabled/.*|cloudflare/.*)|/usr/share/nginx/.*")
PART = re.compile(r"^# configuration file (.+):$", re.MULTILINE)
LISTEN = re.compile(r"^\s*listen\s+(?:\S*:)?([0-9]+)\b")
CONFLICT = re.compile(r'conflicting server name "(.+?)"')
TYPES_FILE, TYPES = "mime.types", re.compile(r"\btypes\s*\{[^}]*\}")
PATIENCE = 30  # seconds until a worker of a reload answers
USAGE = """usage: vise-nginx check    check that nginx accepts the files, and that no other file decides on the sites
       vise-nginx plan     as check, for files whose certificates a run creates first; for check mode
       vise-nginx reload   reload nginx; fails unless nginx has loaded the files
       vise-nginx verify   check that the sites are served with the certificates on disk; print the generation"""


class NginxError(Exception):
    """nginx does not have the wanted effect; the message is for the operator."""


@dataclasses.dataclass(frozen=True)
class Site:
    """A site as a client finds it."""

    name: str
    domain: str
    address: str  # empty: all addresses
    port: int
    certificate: str


@dataclasses.dataclass(frozen=True)
class Settings:
    """What the role has written for this program."""

    socket: str  # nginx reports its generation and its workers here
    sites: tuple[Site, ...] = ()

    @classmethod
    def load(cls, path: str = SETTINGS) -> Settings:
        """Read the settings; raises NginxError when the role has not written them."""
        data = files.read_json(path)
        if data is None:
            raise NginxError(f"{path} does not exist: run the role nginx on this host")
        return cls(data["socket"], tuple(Site(**site) for site in data["sites"]))

    @property
    def ports(self) -> set[int]:
        """The ports of the sites and of the redirect to HTTPS."""
        return {80, 443, *(site.port for site in self.sites)}


def split_dump(text: str) -> dict[str, list[str]]:
    """Return the lines of each file in the output of `nginx -T`."""
    parts = PART.split(text)[1:]
    return {path: body.strip("\n").splitlines() for path, body in zip(parts[::2], parts[1::2], strict=True)}


def find_foreign(dump: t.Mapping[str, list[str]], ports: t.Collection[int]) -> list[str]:
    """Return each line of a file that is not of the role and listens on one of its ports."""
    return [
        f"{path}:{number}: `{line.strip()}` takes visitors of the sites; remove the line, or the file"
        for path, lines in dump.items()
        if not OWN.fullmatch(os.path.realpath(path))
        for number, line in enumerate(lines, 1)
        if (found := LISTEN.match(line)) and int(found[1]) in ports
    ]


def find_added(dump: t.Mapping[str, list[str]]) -> list[str]:
    """Return each directive that the package's file of types has got besides types; it would hold for all sites."""
    problems = []
    for path, lines in dump.items():
        if os.path.basename(path) == TYPES_FILE:
            rest = TYPES.sub("", "\n".join(line.partition("#")[0] for line in lines)).strip()
            if rest:
                problems.append(f"{path}: `{rest.splitlines()[0].strip()}` changes all sites; remove the line")
    return problems


def find_conflicts(dump: t.Mapping[str, list[str]], messages: str) -> list[str]:
    """Return each name that nginx ignores in one of two servers, with the places; nginx itself only warns."""
    return [
        f"{name} is the name of several servers, and nginx uses only the first: {', '.join(find_names(dump, name))}"
        for name in dict.fromkeys(CONFLICT.findall(messages))
    ]


def find_names(dump: t.Mapping[str, list[str]], name: str) -> list[str]:
    """Return the places of a server name."""
    wanted = re.compile(rf"^\s*server_name\s.*(?<=\s){re.escape(name)}[\s;]")
    return [f"{path}:{n}" for path, lines in dump.items() for n, line in enumerate(lines, 1) if wanted.match(line)]


def check(settings: Settings) -> None:
    """Raise when nginx rejects the files, or when another file decides on the sites."""
    result = programs.run(["nginx", "-T"])
    if result.failed:
        raise NginxError(result.err.strip() or result.out[-1000:])
    dump = split_dump(result.out)
    problems = [*find_foreign(dump, settings.ports), *find_added(dump), *find_conflicts(dump, result.err)]
    if problems:
        raise NginxError("\n".join(problems))


def plan(settings: Settings) -> None:
    """Raise as check does, but not for a certificate that does not exist before the first real run."""
    try:
        check(settings)
    except NginxError as error:
        missing = [site.certificate for site in settings.sites if not os.path.exists(site.certificate)]
        if not any(f'cannot load certificate "{path}"' in str(error) for path in missing):
            raise


def query(settings: Settings, path: str) -> str:
    """Return what nginx reports at a path of its socket; empty when it does not answer."""
    result = programs.run(["curl", "-qfsS", "-m", "5", "--unix-socket", settings.socket, f"http://nginx{path}"])
    return "" if result.failed else result.out.strip()


def find_stale(settings: Settings) -> list[str]:
    """Return each site that is not served with the certificate on disk, which is that of the site."""
    problems = []
    for site in settings.sites:
        place = f"{site.domain} at port {site.port}"
        try:
            served = certificates.read_served(
                site.address or "127.0.0.1", site.port, name=site.domain.replace("*", "any", 1)
            )
            if served != certificates.read_first(site.certificate):
                problems.append(f"{place}: the certificate that visitors get is not {site.certificate}")
        except (OSError, ValueError) as error:
            problems.append(f"{place}: no connection by TLS: {error}")
    return problems


def verify(settings: Settings) -> None:
    """Print the live generation; raise when a site is not served as the files describe it."""
    check(settings)
    generation = query(settings, "/generation")
    if not generation:
        raise NginxError(f"nginx does not report its generation on {settings.socket}; {read_emergency(0)}")
    problems = find_stale(settings)
    if problems:
        raise NginxError("\n".join(problems))
    print(generation)


def read_emergency(begin: int) -> str:
    """Return the last two errors that keep nginx from its work, from a position of its log on."""
    with contextlib.suppress(OSError), open(ERROR_LOG, "rb") as log:
        log.seek(begin)
        lines = [line.decode("utf-8", "replace").strip() for line in log if b"[emerg]" in line]
        return "; ".join(lines[-2:]) or f"see {ERROR_LOG}"
    return f"see {ERROR_LOG}"


def read_main_pid() -> int:
    """Return the process id of the master; raises NginxError when nginx does not run."""
    text = os.environ.get("MAINPID") or files.read_text(PID_FILE)
    if not text.strip().isdigit():
        raise NginxError("nginx does not run")
    return int(text)


def list_children(pid: int) -> set[str]:
    """Return the process ids of the children of a process."""
    return set(files.read_text(f"/proc/{pid}/task/{pid}/children").split())


def reload(settings: Settings) -> None:
    """Reload nginx, and wait until a worker answers that has loaded the present files.

    A reload that fails, for example at a port in use, ends with success for who sends the signal.
    """
    check(settings)
    main = read_main_pid()
    before, position = list_children(main), os.path.getsize(ERROR_LOG) if os.path.exists(ERROR_LOG) else 0
    os.kill(main, signal.SIGHUP)
    end = time.monotonic() + PATIENCE
    while not (worker := query(settings, "/worker")).isdigit() or worker in before:
        if time.monotonic() > end:
            raise NginxError(f"nginx did not load the files in {PATIENCE} s; {read_emergency(position)}")
        time.sleep(0.05)


def main(arguments: t.Sequence[str]) -> int:
    """Run one of the commands."""
    command = {"check": check, "plan": plan, "reload": reload, "verify": verify}.get(" ".join(arguments))
    if command is None:
        print(USAGE, file=sys.stderr)
        return 2
    try:
        command(Settings.load())
    except (OSError, ValueError, KeyError, TypeError, NginxError, programs.ProgramError) as error:
        print(f"vise-nginx: {error}", file=sys.stderr)
        return 1
    return 0
