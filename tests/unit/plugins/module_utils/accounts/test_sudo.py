"""The rules of all files of sudoers decide what an account may run; the last one that matches counts."""

from __future__ import annotations

import pytest
from ansible_collections.vise.platform.plugins.module_utils.accounts import sudo

HEAD = """Matching Defaults entries for ada on web-1:
    env_reset, use_pty

User ada may run the following commands on web-1:
"""


def rule(source: str, *commands: str, options: str = "!authenticate", users: str = "ALL") -> str:
    lines = [f"\nSudoers entry: {source}", f"    RunAsUsers: {users}", "    RunAsGroups: ALL"]
    lines += [f"    Options: {options}"] if options else []
    return "\n".join([*lines, "    Commands:", *(f"\t{command}" for command in commands), ""])


OURS = rule("/etc/sudoers.d/10-vise-admin-users", "ALL")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (OURS, ""),
        (rule("/etc/sudoers", "ALL", options="") + OURS, ""),
        (OURS + rule("/etc/sudoers.d/90-cloud", "ALL"), ""),
        (OURS + rule("/etc/sudoers.d/90-site", "ALL", options=""), "/etc/sudoers.d/90-site limits it by `ALL`"),
        (OURS + rule("/etc/sudoers.d/z", "!/usr/bin/su"), "/etc/sudoers.d/z limits it by `!/usr/bin/su`"),
        (OURS + rule("/etc/sudoers.d/z", "/usr/bin/apt", options=""), "/etc/sudoers.d/z limits it by `/usr/bin/apt`"),
        ("", "no rule allows every command without a password"),
    ],
)
def test_administrator_runs_everything_without_a_password(text: str, reason: str) -> None:
    assert sudo.explain_administrator(sudo.parse(HEAD + text)) == reason


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (rule("/a", '/usr/bin/id ""', users="root"), ""),
        (rule("/a", '/usr/bin/id ""', "ALL"), '/a allows it `/usr/bin/id ""` as ALL'),
        (rule("/a", '/usr/bin/id ""', users="root") + rule("/b", "/bin/sh", users="root"), "/b allows it `/bin/sh`"),
        (rule("/a", '/usr/bin/id ""', users="root", options=""), 'sudo does not allow it `/usr/bin/id ""`'),
        ("User deploy is not allowed to run sudo on web-1.\n", 'sudo does not allow it `/usr/bin/id ""`'),
    ],
)
def test_deployment_runs_the_listed_commands_and_no_other(text: str, reason: str) -> None:
    found = sudo.explain_deployment(sudo.parse(text), ['/usr/bin/id ""'])
    assert (found.startswith(reason), bool(found)) == (True, bool(reason))


def test_escaped_characters_are_those_of_the_command() -> None:
    entries = sudo.parse(rule("/a", r"/usr/bin/env A\=b\:c", users="root"))
    assert sudo.explain_deployment(entries, [r"/usr/bin/env A\=b\:c"]) == ""
