"""Listed people log in by their own keys and become root by sudo; a person who leaves loses account and sessions."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from testinfra.host import Host

from tests import machines
from tests.scenario import ADDRESS, ADDRESS6, Role

KEYS = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "keys"
OWN_KEY = ("IdentitiesOnly=yes", "IdentityAgent=none")
STATE = "cat /etc/passwd /etc/group /etc/ssh/authorized_keys.d/* /etc/sudoers.d/*"
# Ways in that an administrator could leave behind.
DRIFT = """
cat /etc/ssh/authorized_keys.d/deploy >>/etc/ssh/authorized_keys.d/ada
cp /etc/ssh/authorized_keys.d/ada /etc/ssh/authorized_keys.d/root
echo 'deploy ALL=(ALL) NOPASSWD: ALL' >>/etc/sudoers.d/10-vise-admin-users
usermod -aG sudo deploy
id -nG deploy | grep sudo
"""
ADA = {"name": "ada", "comment": "Ada Lovelace", "keys": ["{{ key_of.ada }}"]}


def login(key: str, user: str, command: str, address: str = ADDRESS, *options: str) -> tuple[int, str]:
    """Log in from outside with one key, and return the exit status and all output."""
    argv = machines.ssh_command(address, user, KEYS / key, OWN_KEY)
    done = subprocess.run([*argv, *options, command], capture_output=True, text=True, timeout=30, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("key", "user", "command", "status", "expected"),
    [
        pytest.param("ada", "ada", "id -nG", 0, "ada admins", id="a person has the own account"),
        pytest.param("ada", "ada", "sudo -n id -u", 0, "0", id="a person is root by sudo"),
        pytest.param("ci", "deploy", "id -nG", 0, "deploy", id="deploy is in no other group"),
        pytest.param("ci", "deploy", "sudo -n id -u", 0, "0", id="deploy runs a listed command as root"),
        pytest.param("ci", "deploy", "sudo -n id -g", 1, "a password is required", id="deploy runs no other command"),
    ],
)
def test_login_has_the_listed_rights(key: str, user: str, command: str, status: int, expected: str) -> None:
    code, text = login(key, user, command)
    assert (code, expected in text) == (status, True), text


# From two addresses: sshd slows down an address whose logins fail.
@pytest.mark.parametrize(
    ("key", "user", "address"),
    [
        pytest.param("bob", "ada", ADDRESS, id="another person's account"),
        pytest.param("ada", "root", ADDRESS6, id="root's account"),
    ],
)
def test_key_opens_no_other_account(key: str, user: str, address: str) -> None:
    code, text = login(key, user, "id", address)
    assert (code, "Permission denied" in text) == (255, True), text


def test_deploy_gets_no_terminal() -> None:
    code, text = login("ci", "deploy", "tty", ADDRESS, "-tt")
    assert (code, "PTY allocation request failed" in text) == (255, True), text


def test_key_that_a_person_added_is_not_accepted(host: Host) -> None:
    host.check_output(
        "install -d -o ada /home/ada/.ssh; cp /etc/ssh/authorized_keys.d/bob /home/ada/.ssh/authorized_keys"
    )
    code, text = login("bob", "ada", "id")
    assert (code, "Permission denied" in text) == (255, True), text


def test_invalid_input_is_refused_and_changes_nothing(role: Role, host: Host) -> None:
    before = host.check_output(STATE)
    commands = {"admin_users_people": [ADA]}
    cases: list[tuple[dict[str, Any], str]] = [
        ({"admin_users_people": []}, "lock out every administrator"),
        ({"admin_users_people": [{"name": "ada", "keys": ["hello"]}]}, "ada's key 1 is not one public key"),
        ({"admin_users_people": [{"name": "postgres", "keys": ["x y"]}]}, "postgres is an account of the system"),
        (
            {"admin_users_people": [{"name": "ada", "key": "x", "keys": []}]},
            "admin_users_people.key. Supported parameters",
        ),
        ({"admin_users_people": [{"name": "ada"}]}, "missing required arguments.*keys"),
        ({**commands, "admin_users_deploy_commands": ["systemctl"]}, "deploy's command"),
        ({**commands, "admin_users_deploy_commands": ["/bin/echo ^.*$"]}, "special meaning in sudoers"),
    ]
    role.assert_refused(cases)
    assert host.check_output(STATE) == before


def test_drift_is_corrected(role: Role, host: Host) -> None:
    machines.script(host, DRIFT)
    role.apply()
    assert host.check_output("id -nG deploy") == "deploy"
    assert not host.file("/etc/ssh/authorized_keys.d/root").exists
    assert host.check_output("grep -c ssh- /etc/ssh/authorized_keys.d/ada") == "1"
    assert "NOPASSWD: ALL" not in host.check_output("sudo -l -U deploy")


def test_person_who_leaves_loses_account_and_sessions_and_the_files_stay(role: Role, host: Host) -> None:
    argv = machines.ssh_command(ADDRESS, "bob", KEYS / "bob", OWN_KEY)
    with machines.session([*argv, "exec sleep 300"]) as session:
        assert machines.eventually(lambda: host.run("pgrep -u bob sleep").rc == 0)
        role.apply(admin_users_people=[ADA])
        assert session.wait(timeout=10) != 0
    assert host.run("id bob").rc == 1
    assert not host.file("/etc/ssh/authorized_keys.d/bob").exists
    assert host.file("/home/bob").is_directory
    assert host.run("pgrep -x sleep").rc == 1
    code, text = login("bob", "bob", "id", ADDRESS6)
    assert (code, "Permission denied" in text) == (255, True), text
    assert login("ada", "ada", "sudo -n id -u") == (0, "0\n")
