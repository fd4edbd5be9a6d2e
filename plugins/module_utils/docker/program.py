# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Prove that the Docker daemon uses the settings of daemon.json and obeys root only, whoever configures it."""

from __future__ import annotations

import grp
import json
import os
import pwd
import re
import stat
import sys
import typing as t

from ..host import files, programs

SETTINGS = "/etc/docker/daemon.json"
SOCKET = "/run/docker.sock"
GROUP = "docker"
UNITS = ("docker.service", "docker.socket")
LABEL = "vise.generation="
# Not of the environment or of root's own context, which may name another daemon.
DOCKER = ["docker", "--host", f"unix://{SOCKET}"]
# Options of Debian's unit, and how much the daemon writes to its own log
EXPECTED = re.compile(r"(-H|--host)=?fd://|--containerd=\S+|-D|--debug|--log-level=\S+|-l=?\w+")
USAGE = """usage: vise-docker check    print what overrides daemon.json; the exit code is then 1
       vise-docker apply    remove the members of the group docker, and close the daemon's socket to other users
       vise-docker verify   print how the daemon differs (the exit code is then 1), or "live" and its generation"""


def split_options(words: t.Sequence[str]) -> list[str]:
    """Return the options of a command line, each with its value in one text."""
    options: list[str] = []
    for word in words:
        if options and not word.startswith("-"):
            options[-1] += f"={word}"
        else:
            options.append(word)
    return options


def find_foreign_options(words: t.Sequence[str], units: str) -> list[str]:
    """Return a problem for each option of the daemon's command line that daemon.json does not contain.

    Args:
        words: the command line of the daemon, without the program.
        units: the output of `systemctl cat`, and the file of environment variables that the unit reads.
    """
    problems = []
    for option in split_options(words):
        if EXPECTED.fullmatch(option):
            continue
        name = re.sub(r"^--?", "", option).partition("=")[0]
        place = find_place(option, units)
        if option.startswith(("-H", "--host")):
            why = "whoever reaches it has root's rights on this host"
            problems.append(
                f"dockerd accepts commands at {option.partition('=')[2]}: {why}; remove the option from {place}"
            )
        else:
            problems.append(
                f"dockerd runs with {option}, which the role does not know; remove it from {place}, and write "
                f"`{name}` into docker_settings if it is needed"
            )
    return problems


def find_place(option: str, texts: str) -> str:
    """Return file and line of an option in the output of `systemctl cat`."""
    name, _equals, value = option.partition("=")
    wanted = re.compile(rf"(?<![\w-]){re.escape(name)}\b.*{re.escape(value)}")
    path, number, place = "", 0, "the command line of docker.service"
    for line in texts.splitlines():
        header = re.fullmatch(r"# (/\S+)", line)
        path, number = (header[1], 0) if header else (path, number + 1)
        if path and wanted.search(line) and not line.startswith("#"):
            place = f"{path}:{number}"
    return place


def find_socket_problems(show: str, units: str) -> list[str]:
    """Return why users other than root may control the daemon by its socket after the next boot."""
    values = dict(line.split("=", 1) for line in show.splitlines() if "=" in line)
    wanted = {"SocketMode": "0660", "SocketUser": "root", "SocketGroup": GROUP}
    return [
        f"docker.socket has {name}={values.get(name, '')}, not {value}; remove it from {find_place(name, units)}"
        for name, value in wanted.items()
        if values.get(name, "") != value
    ]


def find_differences(info: t.Mapping[str, t.Any], settings: t.Mapping[str, t.Any]) -> list[str]:
    """Return which settings the running daemon does not use: it reads some of them only when it starts."""
    live = {
        "log-driver": info.get("LoggingDriver"),
        "live-restore": info.get("LiveRestoreEnabled"),
        "data-root": info.get("DockerRootDir"),
        "no-new-privileges": any("no-new-privileges" in one for one in info.get("SecurityOptions") or []),
    }
    return [
        f"the daemon runs with {name} {json.dumps(value)}, not {json.dumps(settings[name])}"
        for name, value in live.items()
        if name in settings and settings[name] != value
    ]


def find_generation(info: t.Mapping[str, t.Any]) -> str:
    """Return the generation of the file that the daemon has read; empty without one."""
    labels = [label for label in info.get("Labels") or [] if label.startswith(LABEL)]
    return labels[-1].removeprefix(LABEL) if labels else ""


def find_members() -> list[str]:
    """Return the users in the group, whose members have root's rights; also those that have it as primary group."""
    group = grp.getgrnam(GROUP)
    return sorted({*group.gr_mem, *(user.pw_name for user in pwd.getpwall() if user.pw_gid == group.gr_gid)})


def find_access_problems() -> list[str]:
    """Return which users other than root control the daemon now."""
    problems = [f"{name} is a member of the group {GROUP} and has root's rights" for name in find_members()]
    if os.path.exists(SOCKET) and stat.S_IMODE(os.stat(SOCKET).st_mode) & 0o007:
        problems.append(f"every user can open {SOCKET} and has root's rights")
    return problems


def find_overrides() -> list[str]:
    """Return what other files add to daemon.json."""
    units = programs.call(["systemctl", "cat", "--no-pager", *UNITS], timeout=30)
    for path in re.findall(r"^EnvironmentFile=-?(\S+)$", units, re.MULTILINE):
        units += f"\n# {path}\n{files.read_text(path)}"
    properties = "SocketMode,SocketUser,SocketGroup"
    show = programs.call(["systemctl", "show", "--property", properties, "docker.socket"], timeout=30)
    pid = programs.call(["systemctl", "show", "--property=MainPID", "--value", "docker.service"], timeout=30).strip()
    words = files.read_text(f"/proc/{pid}/cmdline").split("\0")[1:-1]
    return [*find_foreign_options(words, units), *find_socket_problems(show, units)]


def check() -> int:
    """Print what overrides daemon.json."""
    problems = find_overrides()
    print("\n".join(problems))
    return int(bool(problems))


def apply() -> int:
    """Take the rights of root from the members of the group and from other users."""
    members = grp.getgrnam(GROUP).gr_mem
    if members:
        programs.call(["gpasswd", "--members", "", GROUP], timeout=30)
    if os.path.exists(SOCKET):
        os.chmod(SOCKET, 0o660)
    return 0


def verify() -> int:
    """Print how the running daemon differs, or its generation."""
    text = programs.call([*DOCKER, "info", "--format", "{{json .}}"], timeout=60)
    info = json.loads(text)
    problems = [
        *find_overrides(),
        *find_access_problems(),
        *find_differences(info, files.read_json(SETTINGS, {})),
    ]
    print("\n".join(problems) if problems else f"live {find_generation(info)}")
    return int(bool(problems))


def main(arguments: t.Sequence[str]) -> int:
    """Run one of the commands."""
    command = {"check": check, "apply": apply, "verify": verify}.get(" ".join(arguments))
    if command is None:
        print(USAGE, file=sys.stderr)
        return 2
    try:
        return command()
    except (KeyError, programs.ProgramError) as error:
        print(f"vise-docker: {error}", file=sys.stderr)
        return 1
