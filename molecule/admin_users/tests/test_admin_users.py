"""Listed people log in by their own keys and become root by sudo; a person who leaves loses account and sessions."""

from __future__ import annotations

import os
import re
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


def login_as_aged_account(host: Host, name: str, key: str) -> tuple[int, str]:
    """Log in 61 days after the password was set, which nobody knows."""
    host.check_output("chage --lastday $(( $(date +%%s) / 86400 - 61 )) %s", name)
    return login(key, name, "id -un")


def test_login_never_demands_a_password_whatever_login_defs_demands(role: Role, host: Host) -> None:
    host.check_output("sed -i.old 's/^PASS_MAX_DAYS.*/PASS_MAX_DAYS 60/' /etc/login.defs")
    # An account of before, and a new one.
    host.check_output("chage --maxdays 60 --inactive 5 ada")
    host.check_output("userdel --remove bob")
    code, text = login_as_aged_account(host, "ada", "ada")
    assert (code, "expired" in text) != (0, False), text
    role.apply()
    host.check_output("mv /etc/login.defs.old /etc/login.defs")
    assert login_as_aged_account(host, "ada", "ada") == (0, "ada\n")
    assert login_as_aged_account(host, "bob", "bob") == (0, "bob\n")
    host.check_output("chage --lastday 0 bob; usermod --expiredate 2020-01-01 ada")
    role.apply()
    assert login("bob", "bob", "id -un") == (0, "bob\n")
    assert login("ada", "ada", "id -un", ADDRESS6) == (0, "ada\n")


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("%admins ALL=(ALL) PASSWD: ALL", "ada cannot use sudo as an administrator: /etc/sudoers.d/90-site limits it"),
        ("deploy ALL=(root) NOPASSWD: /usr/bin/tee", "deploy: /etc/sudoers.d/90-site allows it `/usr/bin/tee` as root"),
        ("Defaults requiretty", "ada cannot use sudo.*requiretty"),
    ],
)
def test_rule_of_another_file_that_changes_what_sudo_allows_is_refused(
    role: Role, host: Host, rule: str, message: str
) -> None:
    host.check_output("printf '%%s\\n' %s >/etc/sudoers.d/90-site", rule)
    (failure,) = role.failures([{}])
    host.check_output("rm /etc/sudoers.d/90-site")
    assert re.search(f"refused, nothing was changed.*{message}", failure), failure


REMAINS = """
loginctl enable-linger bob
mkdir -p /var/spool/cron/crontabs
echo '* * * * * true' >/var/spool/cron/crontabs/bob
install -o bob /dev/null /srv/of-bob
"""


def test_person_who_leaves_loses_all_access_and_no_other_account_gets_number_or_home(role: Role, host: Host) -> None:
    machines.script(host, REMAINS)
    uid = host.check_output("id -u bob")
    argv = machines.ssh_command(ADDRESS, "bob", KEYS / "bob", OWN_KEY)
    with machines.session([*argv, "setsid --fork sleep 301; exec sleep 300"]) as session:
        assert machines.eventually(lambda: host.run("pgrep -u bob sleep").rc == 0)
        left = re.sub(r"\s+", " ", role.apply(admin_users_people=[ADA]).output)
        assert session.wait(timeout=10) != 0
    assert "files outside of /home/bob still belong to the account: /srv/of-bob" in left
    assert "bob: the crontab was removed; a copy is /var/lib/vise/accounts/bob.crontab" in left
    assert host.run("pgrep -u bob").rc == 1
    assert host.check_output("id -nG bob") == "bob"
    assert not host.file("/etc/ssh/authorized_keys.d/bob").exists
    assert not host.file("/var/spool/cron/crontabs/bob").exists
    assert not host.file("/var/lib/systemd/linger/bob").exists
    assert host.file("/home/bob").is_directory
    # Also with a key that sshd accepts.
    host.check_output("install -m 0644 /etc/ssh/authorized_keys.d/ada /etc/ssh/authorized_keys.d/bob")
    code, text = login("ada", "bob", "id", ADDRESS6)
    host.check_output("rm /etc/ssh/authorized_keys.d/bob")
    assert (code, "expired" in text or "Connection closed" in text) != (0, False), text
    assert login("ada", "ada", "sudo -n id -u") == (0, "0\n")

    again = role.apply(admin_users_people=[ADA])
    assert "changed=0" in again.output
    carol = {"name": "carol", "keys": ["{{ key_of.bob }}"]}
    role.apply(admin_users_people=[ADA, carol])
    assert host.check_output("id -u carol") != uid
    assert host.check_output("stat -c %U /home/carol /srv/of-bob") == "carol\nbob"
    role.apply()
    assert host.check_output("id -u bob") == uid
    assert login("bob", "bob", "id -nG; sudo -n id -u") == (0, "bob admins\n0\n")
    assert not host.file("/var/spool/cron/crontabs/bob").exists


def test_account_of_the_run_itself_is_not_removed(role: Role, host: Host) -> None:
    options = {"ansible_user": "bob", "ansible_become": True, "ansible_ssh_private_key_file": str(KEYS / "bob")}
    (failure,) = role.failures([{"admin_users_people": [ADA], **options}])
    assert "this run is logged in as bob; set ansible_user to another account" in failure
    assert login("bob", "bob", "id -un", ADDRESS6) == (0, "bob\n")
    assert host.check_output("id -nG bob") == "bob admins"
