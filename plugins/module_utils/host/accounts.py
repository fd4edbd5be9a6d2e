# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Accounts of a host: what prevents their login, and how one is closed so that no other one gets its number or home."""

from __future__ import annotations

import dataclasses
import glob
import os
import pwd
import re
import time
import typing as t

from . import files, programs

SHADOW = "/etc/shadow"
SAVED = "/var/lib/vise/accounts"  # crontabs of closed accounts
CRONTABS, AT_JOBS, LINGER = "/var/spool/cron/crontabs", "/var/spool/cron/atjobs", "/var/lib/systemd/linger"
NO_LOGIN = ("/usr/sbin/nologin", "/sbin/nologin", "/bin/false", "/usr/bin/false")
# An account that expired on the first day of the epoch; day 0 would mean something else to some programs.
EXPIRED = 1
DAY = 86400
# Files in which an account can be named, and a pattern for a line with its name.
MENTIONS = {
    "/etc/cron.d/*": r"^\s*[^#\s]\S*(?:\s+\S+){{0,4}}\s+{name}\s",
    "/etc/crontab": r"^\s*[^#\s]\S*(?:\s+\S+){{0,4}}\s+{name}\s",
    "/etc/sudoers.d/*": r"^\s*{name}\s",
    "/etc/sudoers": r"^\s*{name}\s",
    "/etc/systemd/system/*.service": r"^User={name}\s*$",
}
FIND_TIMEOUT, MOST_FILES = 30, 20  # seconds, paths


@dataclasses.dataclass(frozen=True)
class Aging:
    """The fields of /etc/shadow that limit an account; None is an empty field."""

    password: str
    changed: int | None = None  # days since the epoch; 0 demands a new password at the next login
    maximum: int | None = None  # days after which the password must be changed
    inactive: int | None = None  # days after that, after which the account is closed
    expires: int | None = None  # day since the epoch on which the account expires

    @property
    def closed(self) -> bool:
        """Whether `close` has closed the account."""
        return self.expires == EXPIRED and self.locked

    @property
    def locked(self) -> bool:
        """Whether no password opens the account, so that nobody can set a new one either."""
        return self.password[:1] in ("!", "*")

    def explain(self, today: int) -> str:
        """Return why PAM refuses a login without a password or demands a new one, now or later; '' if it never does."""
        if self.expires is not None and self.expires >= 0:
            return f"the account {'has expired' if self.expires <= today else 'will expire'}"
        if self.changed == 0:
            return "it must set a new password at the next login"
        # From this number on, the time is never reached.
        if self.maximum is not None and 0 <= self.maximum < 99999:
            overdue = self.changed is not None and self.changed + self.maximum < today
            return f"its password {'has expired' if overdue else f'expires after {self.maximum} days'}"
        return ""


def read_aging(text: str | None = None) -> dict[str, Aging]:
    """Return the limits of all accounts by name, from /etc/shadow or from its text."""
    found = {}
    for line in (files.read_text(SHADOW) if text is None else text).splitlines():
        fields = [*line.split(":"), *[""] * 9]
        days = [int(field) if field.lstrip("-").isdigit() else None for field in fields[2:8]]
        found[fields[0]] = Aging(fields[1], days[0], days[2], days[4], days[5])
    return found


def today() -> int:
    """Return the day since the epoch."""
    return int(time.time() // DAY)


def explain_shell(name: str) -> str:
    """Return why the shell of an account prevents a login, or an empty string."""
    shell = pwd.getpwnam(name).pw_shell or "/bin/sh"
    if shell in NO_LOGIN:
        return f"its shell is {shell}"
    return "" if os.access(shell, os.X_OK) else f"its shell {shell} does not exist or is not executable"


def read_closed(names: t.Iterable[str]) -> list[str]:
    """Return which of the accounts are closed."""
    wanted = sorted(names)
    aging = read_aging() if wanted else {}
    return [name for name in wanted if name in aging and aging[name].closed]


def is_own(name: str) -> bool:
    """Return whether this process belongs to a login of the account, also when it has become root since."""
    uid = pwd.getpwnam(name).pw_uid
    return str(uid) in (files.read_text("/proc/self/loginuid").strip(), os.environ.get("SUDO_UID", ""))


def close(name: str) -> list[str]:
    """Close an account: lock it, end everything that runs for it, and return what is left of it, for the operator.

    The account stays, expired and without groups, so that its number and its home are never given to another one.

    Raises:
        ProgramError: the account cannot be locked, or its processes do not end.
    """
    uid = str(pwd.getpwnam(name).pw_uid)
    programs.call(["usermod", "--lock", "--expiredate", str(EXPIRED), "--groups", "", name])
    files.remove_file(f"{LINGER}/{name}")
    crontab = _save_crontab(name)
    for path in glob.glob(f"{AT_JOBS}/*"):
        if str(os.stat(path).st_uid) == uid:
            os.unlink(path)
    programs.run(["loginctl", "terminate-user", name])
    programs.run(["systemctl", "stop", f"user@{uid}.service", f"user-{uid}.slice"])
    _kill_processes(name, uid)
    return [*crontab, *_find_mentions(name), *_find_files(name, uid)]


def reopen(name: str) -> None:
    """Let a closed account expire no more; its password stays locked."""
    programs.call(["usermod", "--expiredate", "", name])


def _save_crontab(name: str) -> list[str]:
    path, copy = f"{CRONTABS}/{name}", f"{SAVED}/{name}.crontab"
    if not os.path.isfile(path):
        return []
    os.makedirs(SAVED, mode=0o700, exist_ok=True)
    with open(path, "rb") as handle:
        files.replace_file(copy, handle.read(), mode=0o600)
    files.remove_file(path)
    return [f"{name}: the crontab was removed; a copy is {copy}"]


def _kill_processes(name: str, uid: str) -> None:
    # Not the processes of containers, where the same number is another account.
    here = ["--ns", str(os.getpid()), "--nslist", "pid", "-U", uid]
    for _attempt in range(20):
        if programs.run(["pkill", "-KILL", *here]).code == 1:
            return
        time.sleep(0.2)
    left = programs.run(["pgrep", "-a", *here]).out
    raise programs.ProgramError(f"processes of {name} do not end: {' '.join(left.split())[:200]}")


def _find_mentions(name: str) -> t.Iterator[str]:
    for pattern, line in MENTIONS.items():
        expression = re.compile(line.format(name=re.escape(name)), re.MULTILINE)
        for path in sorted(glob.glob(pattern)):
            if expression.search(files.read_text(path)):
                yield f"{name}: {path} still names the account; remove the line or the file"


def _find_files(name: str, uid: str) -> list[str]:
    home = pwd.getpwnam(name).pw_dir
    skipped = [part for path in ("/proc", "/sys", "/run", home) for part in ("-path", path, "-prune", "-o")]
    argv = ["find", "/", "-xdev", *skipped, "-uid", uid, "-print"]
    found = programs.run(argv, timeout=FIND_TIMEOUT).out.splitlines()
    if not found:
        return []
    more = f" and {len(found) - MOST_FILES} more" if len(found) > MOST_FILES else ""
    return [f"{name}: files outside of {home} still belong to the account: {' '.join(found[:MOST_FILES])}{more}"]
