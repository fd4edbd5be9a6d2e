# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Check which configuration sshd has for each account, whoever wrote it, and whether the running sshd has loaded it."""

from __future__ import annotations

import glob
import os
import re
import shlex
import sys
import typing as t

from ..host import files, programs
from ..host.accounts import explain_shell, read_aging, today
from . import accounts, config, policy
from .policy import Account, Effective, Finding

USAGE = """usage: vise-ssh check      compare the files with the wanted configuration, for each account
       vise-ssh activate   take the port from ssh.socket, or give it back
       vise-ssh live       compare the files as `check` does, and print what the listening sshd has loaded"""
OWN = "/etc/ssh/sshd_config.d/00-vise.conf"
SETTINGS = "/etc/vise/ssh.json"
OPTIONS = "/etc/default/ssh"
SERVICE, SOCKET = "ssh.service", "ssh.socket"
# An account that does not exist: what sshd does for everyone else.
UNKNOWN = Account("vise-unknown")
CLIENT = "host=localhost,addr=192.0.2.1,laddr=192.0.2.2"
INCLUDE = "Include /etc/ssh/sshd_config.d/*.conf"
MOST = 10  # findings that a message contains


class SshError(Exception):
    """The configuration is refused, or it is not live; the message is for the operator."""


def read_settings() -> dict[str, t.Any]:
    """Return the settings of the role."""
    return t.cast("dict[str, t.Any]", files.read_json(SETTINGS))


def read_arguments() -> tuple[list[str], list[config.Setting]]:
    """Return the arguments with which systemd starts sshd, and what they set.

    Raises:
        SshError: they name another configuration file.
    """
    found = re.search(r"argv\[\]=(.*?) ;", programs.call(["systemctl", "show", "-P", "ExecStart", SERVICE]))
    text = found[1] if found else ""
    line, options = _read_option("SSHD_OPTS")
    argv = shlex.split(re.sub(r"\$\{?SSHD_OPTS\}?", lambda _match: options, text))[1:]
    path, settings = config.parse_arguments(argv, OPTIONS, line)
    if path not in ("", config.MAIN):
        raise SshError(
            f"{SERVICE} starts sshd with `-f {path}`, so it does not read {config.MAIN}: "
            f"remove -f from SSHD_OPTS in {OPTIONS} and from the drop-ins of {SERVICE}"
        )
    arguments = [part for one in settings for part in ("-o", f"{one.keyword}={one.value}")]
    return arguments, settings


def _read_option(name: str) -> tuple[int, str]:
    line, value = 0, ""
    for number, text in enumerate(files.read_text(OPTIONS).splitlines(), 1):
        found = re.match(rf"\s*{name}=(.*)", text)
        if found:
            line, value = number, " ".join(config.split_words(found[1]))
    return line, value


def evaluate(account: Account, port: int, *arguments: str) -> Effective:
    """Return the configuration that sshd has for an account."""
    connection = f"user={account.name},{CLIENT},lport={port}"
    return config.parse_effective(programs.call(["sshd", "-T", *arguments, "-C", connection]))


def find_findings(settings: t.Mapping[str, t.Any]) -> list[Finding]:
    """Return everything that other files set and that is refused."""
    arguments, lines = read_arguments()
    lines += config.parse(config.MAIN, files.read_text)
    if OWN not in {line.file for line in lines}:
        raise SshError(f"{config.MAIN} does not include {OWN}: write `{INCLUDE}` as its first line")
    everyone = accounts.read_accounts(settings["home_keys_for"])
    shells = [one for one in everyone if one.required or accounts.has_login_shell(one.name)]
    blocks = [line for line in lines if line.blocks and line.file != OWN]
    members = [one for one in everyone if any(line.applies(one.name, one.groups) for line in blocks)]
    found: dict[object, Finding] = {}
    for group in policy.group_accounts([UNKNOWN, *dict.fromkeys([*shells, *members])], lines):
        for finding in _compare_group(group, settings["port"], arguments, lines):
            found.setdefault(finding.setting or (finding.keyword, finding.reason), finding)
    wanted = evaluate(UNKNOWN, settings["port"], "-f", OWN)
    if wanted["passwordauthentication"] != ("no",) or wanted["kbdinteractiveauthentication"] != ("no",):
        raise SshError("ssh_settings enables password authentication: remove this setting")
    for line in blocks:
        refused = policy.check_block(line, wanted, everyone)
        if refused:
            found.setdefault(line, refused)
    return [one for one in found.values() if not _is_accepted(one, settings["accepted"])]


def _compare_group(
    group: t.Sequence[Account], port: int, arguments: t.Sequence[str], lines: t.Sequence[config.Setting]
) -> t.Iterator[Finding]:
    effective = evaluate(group[0], port, *arguments)
    yield from policy.compare(group[0], effective, evaluate(group[0], port, "-f", OWN), lines, {OWN})
    for account in group:
        excluded = policy.explain_exclusion(account, effective, lines, {OWN})
        if excluded:
            yield excluded
        reason = _explain_account(account, effective) if account.required else ""
        if reason:
            yield Finding("account", reason)


def _explain_account(account: Account, effective: Effective) -> str:
    """Return why a required account cannot log in although sshd admits it, or an empty string."""
    reason = explain_shell(account.name)
    if reason:
        return f"{account.name} must be able to log in, but {reason}: run `usermod --shell /bin/bash {account.name}`"
    aging = read_aging().get(account.name)
    reason = aging.explain(today()) if aging and aging.locked else ""
    if reason:
        command = f"chage --maxdays -1 --inactive -1 --expiredate -1 --lastday -1 {account.name}"
        return f"{account.name} must be able to log in without a password, but {reason}: run `{command}`"
    patterns = [part for value in effective.get("authorizedkeysfile", ()) for part in value.split()]
    reason = accounts.explain_unusable_keys(account.name, patterns, effective.get("strictmodes") == ("yes",))
    return f"{account.name} must be able to log in, but sshd cannot use its keys: {reason}" if reason else ""


def _is_accepted(finding: Finding, accepted: t.Mapping[str, t.Sequence[str]]) -> bool:
    if finding.setting is None:
        return False
    keywords = [config.ALIASES.get(one.lower(), one.lower()) for one in accepted.get(finding.setting.file, ())]
    return finding.keyword in keywords


def refuse_findings(settings: t.Mapping[str, t.Any]) -> None:
    """Raise SshError when another file weakens logins, or closes an account that must be able to log in."""
    findings = find_findings(settings)
    if not findings:
        return
    shown = [f"- {finding}" for finding in findings[:MOST]]
    shown += [f"- and {len(findings) - MOST} more"] if len(findings) > MOST else []
    lines = any(finding.setting for finding in findings)
    advice = ["Remove these lines, or list their file and keyword in ssh_accepted_settings."] if lines else []
    raise SshError("\n".join([f"the configuration in force is not that of {OWN}:", *shown, *advice]))


def find_live_file() -> str:
    """Return the PID file of the listening sshd; its name contains the generation that sshd has loaded."""
    main = programs.call(["systemctl", "show", "-P", "MainPID", SERVICE]).strip()
    if main == "0":
        raise SshError(f"{SERVICE} is not running")
    live = [path for path in glob.glob("/run/sshd-*.pid") if files.read_text(path).strip() == main]
    if not live:
        raise SshError("sshd is running without the managed configuration")
    # The change time of the inode, which cannot be set to an earlier time.
    loaded = max(os.stat(path).st_ctime_ns for path in live)
    for path in [config.MAIN, OPTIONS, *sorted(glob.glob("/etc/ssh/sshd_config.d/*"))]:
        if os.path.exists(path) and os.stat(path).st_ctime_ns > loaded:
            raise SshError(f"changed after sshd loaded it: {path}")
    return max(live, key=lambda path: os.stat(path).st_ctime_ns)


def check_port(port: int) -> None:
    """Raise SshError when another program than sshd listens on the port, or none."""
    main = programs.call(["systemctl", "show", "-P", "MainPID", SERVICE]).strip()
    sockets = programs.call(["ss", "-Hltnp", f"sport = :{port}"]).splitlines()
    if not sockets:
        raise SshError(f"no program listens on port {port}")
    # If another program has bound the port over IPv4, sshd starts with IPv6 only.
    others = [line for line in sockets if f"pid={main}," not in line]
    if others:
        raise SshError(f"another program listens on port {port}: {others[0].split()[-1]}")
    if _is_active(SOCKET):
        raise SshError(f"{SOCKET} is active: sshd takes its port from there and ignores ssh_port")


def check() -> int:
    """Compare the files with the wanted configuration."""
    refuse_findings(read_settings())
    return 0


def live() -> int:
    """Compare the files as well, and print what the listening sshd has loaded."""
    settings = read_settings()
    path = find_live_file()
    check_port(settings["port"])
    refuse_findings(settings)
    print(path)
    return 0


def activate() -> int:
    """Let sshd listen by itself where ssh.socket is masked; let ssh.socket listen again where it no longer is.

    ssh.socket ignores the port of sshd_config. A reload of sshd does not take over the port; a restart keeps sessions.
    """
    masked = os.path.realpath(f"/etc/systemd/system/{SOCKET}") == "/dev/null"
    if masked and _is_active(SOCKET):
        programs.call(["systemctl", "stop", SOCKET])
        programs.call(["systemctl", "restart", SERVICE])
    elif not masked and not _is_active(SOCKET) and _is_enabled(SOCKET):
        programs.call(["systemctl", "stop", SERVICE])
        programs.call(["systemctl", "start", SOCKET])
        programs.call(["systemctl", "start", SERVICE])
    return 0


def _is_active(unit: str) -> bool:
    return programs.run(["systemctl", "is-active", "--quiet", unit]).code == 0


def _is_enabled(unit: str) -> bool:
    return programs.run(["systemctl", "is-enabled", "--quiet", unit]).code == 0


def main(arguments: t.Sequence[str]) -> int:
    """Run one of the commands."""
    command = {"check": check, "activate": activate, "live": live}.get(" ".join(arguments))
    if command is None:
        print(USAGE, file=sys.stderr)
        return 2
    try:
        return command()
    except (SshError, config.ConfigError, programs.ProgramError) as error:
        print(f"vise-ssh: {error}", file=sys.stderr)
        return 1
