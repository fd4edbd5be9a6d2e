"""A login that the run would end is found before it, with what to write."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.module_utils import login_checks
from ansible_collections.vise.platform.plugins.module_utils.login_checks import Accepted, Login, read_keys

OURS, OTHER = read_keys("ssh-ed25519 AAAAours"), read_keys("ssh-rsa AAAAother")
ACCEPTED = Accepted({"alice": OURS, "bob": OTHER}, ["root", "admin"], {"PermitRootLogin": "prohibit-password"}, True)
LOGIN = Login("root", True, OURS, OURS, False)


def find_lines(login: dict[str, Any], accepted: dict[str, Any] | None = None) -> list[str]:
    found = login_checks.find_login_problems(LOGIN._replace(**login), ACCEPTED._replace(**(accepted or {})))
    return [problem.line() for problem in found]


@pytest.mark.parametrize(
    ("login", "accepted"),
    [
        ({}, {}),
        ({"user": "admin"}, {}),
        ({"user": "alice", "home_keys": frozenset()}, {}),
        ({"user": "debian"}, {"home_accounts": ["root", "debian"]}),
        # How the login works is not known.
        ({"home_keys": OTHER, "controller_keys": None}, {}),
        ({"home_keys": OTHER, "controller_keys": frozenset()}, {}),
        ({"home_keys": OTHER}, {"settings": {"TrustedUserCAKeys": "/etc/ssh/ca.pub"}}),
        # A password was given, and the key is there too.
        ({"uses_password": True}, {}),
    ],
)
def test_login_that_stays_possible_is_no_problem(login: dict[str, Any], accepted: dict[str, Any]) -> None:
    assert find_lines(login, accepted) == []


@pytest.mark.parametrize("user", ["debian", "ubuntu"])
def test_account_of_a_cloud_image_is_refused_with_what_to_write(user: str) -> None:
    assert find_lines({"user": user}) == [
        f"ansible_user: is `{user}`, which sshd refuses after the run: it is neither in people nor in "
        f"ssh_home_keys_for; write `ssh_home_keys_for: [root, admin, {user}]` to keep its key; {login_checks.PERSON}"
    ]


@pytest.mark.parametrize(
    ("login", "accepted", "expected"),
    [
        (
            {"user": "admin", "is_root": False},
            {},
            ["ansible_become: is not true, and the login `admin` is not root; write"],
        ),
        ({"user": "alice", "is_root": False}, {}, ["ansible_become: is not true, and the login `alice` is not root"]),
        (
            {"user": "bob"},
            {},
            ["ansible_user: is `bob`, and no key of the controller is in the keys of bob in people; add"],
        ),
        ({"user": "deploy"}, {}, ["ansible_user: is `deploy`, which may run only admin_users_deploy_commands as root"]),
        (
            {"home_keys": OTHER},
            {},
            ["ansible_user: is `root`, and no key of the controller is in ~root/.ssh/authorized_keys on the host; add"],
        ),
        (
            {"user": "admin", "home_keys": frozenset(), "controller_keys": frozenset(), "uses_password": True},
            {},
            ["ansible_password: sshd refuses passwords after the run, and no key of the controller is in ~admin/.ssh"],
        ),
        (
            {"user": "alice", "controller_keys": OTHER, "uses_password": True},
            {},
            ["ansible_password: sshd refuses passwords after the run, and no key of the controller is in the keys of"],
        ),
        (
            {},
            {"settings": {"PermitRootLogin": "no"}},
            ["ansible_user: is root, and ssh_permit_root_login is `no`; list"],
        ),
        ({}, {"settings": {"permitrootlogin": False}}, ["ansible_user: is root, and ssh_permit_root_login is `no`"]),
        ({}, {"settings": {"PermitRootLogin": "forced-commands-only"}}, ["ansible_user: is root, and ssh_permit_root"]),
        ({}, {"home_accounts": []}, ["ansible_user: is `root`, which sshd refuses after the run"]),
    ],
)
def test_login_that_would_be_refused_is_a_problem(
    login: dict[str, Any], accepted: dict[str, Any], expected: list[str]
) -> None:
    lines = find_lines(login, accepted)
    assert len(lines) == len(expected)
    assert all(line.startswith(start) for line, start in zip(lines, expected, strict=True))


def test_keys_are_compared_without_options_and_comments() -> None:
    lines = ['from="192.0.2.1",command="a b" ssh-ed25519 AAAA+/x= me@a', "sk-ssh-ed25519@openssh.com BBBB", "no key"]
    assert read_keys(lines) == {"ssh-ed25519 AAAA+/x=", "sk-ssh-ed25519@openssh.com BBBB"}
