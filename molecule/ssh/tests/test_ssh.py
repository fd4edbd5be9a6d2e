"""SSH accepts keys and modern algorithms only, keeps sessions open across changes, and never goes away."""

from __future__ import annotations

import itertools
import re
import subprocess
from typing import Any

import pytest
from testinfra.host import Host

from tests import machines
from tests.scenario import ADDRESS, NAME, Role

# sshd slows down an address whose logins fail: each attempt comes from another address of world.
SOURCES = itertools.cycle(f"172.30.0.{number}" for number in range(3, 10))
MANAGED = "/etc/ssh/sshd_config.d/00-vise.conf"
LIVE = "/usr/local/libexec/vise-ssh-live 22"
# The files, what the listening daemon has read, and its process.
STATE = f"sha256sum /etc/ssh/sshd_config.d/*.conf; {LIVE}; systemctl --no-pager show -P MainPID ssh"
# Exists while a change waits for a new login.
WAITING = "/var/lib/vise/components/ssh/unconfirmed.json"
PASSWORDS = "sed -i 's/^PasswordAuthentication no/PasswordAuthentication yes/; s/^AuthenticationMethods.*//'"


def attempt(world: Host, *options: str) -> tuple[int, str]:
    """Log in from world without a key; return the exit status and the client's own log."""
    command = ["ssh", "-b", next(SOURCES), "-v"]
    for option in ("BatchMode=yes", "ConnectTimeout=5", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null"):
        command += ["-o", option]
    for option in options:
        command += ["-o", option]
    done = world.run(" ".join([*command, f"root@{ADDRESS}", "true"]))
    return done.rc, done.stderr


def offered(world: Host) -> str:
    """Return the ways of authentication that the server offers."""
    _code, log = attempt(world, "PreferredAuthentications=password")
    methods = re.search(r"Authentications that can continue: (\S+)", log)
    assert methods, log
    return methods[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["PreferredAuthentications=password"], r"can continue: publickey\r?\n(.|\n)*Permission denied"),
        (["PreferredAuthentications=keyboard-interactive"], r"Permission denied \(publickey\)"),
        (["KexAlgorithms=diffie-hellman-group14-sha1"], "no matching key exchange method found"),
        (["KexAlgorithms=ecdh-sha2-nistp256"], "no matching key exchange method found"),
        (["Ciphers=aes256-ctr"], "no matching cipher found"),
        (["Ciphers=aes256-ctr", "MACs=hmac-sha2-256"], "no matching cipher found"),
        (["HostKeyAlgorithms=ecdsa-sha2-nistp256"], "no matching host key type found"),
    ],
)
def test_password_or_old_algorithm_is_refused(world: Host, options: list[str], message: str) -> None:
    code, log = attempt(world, *options)
    assert code != 0
    assert re.search(message, log), log


def test_ssh_audit_has_no_failure_and_no_warning(host: Host) -> None:
    machines.script(host, "apt-get update -qq; apt-get install -qq -y --no-install-recommends ssh-audit")
    report = host.run("ssh-audit -n --skip-rate-test 127.0.0.1").stdout
    assert "mlkem768x25519-sha256" in report
    assert not re.search(r"\[(fail|warn)\]", report), report


def test_change_is_live_and_keeps_open_sessions(role: Role, host: Host, world: Host) -> None:
    wait = 'rm -f /tmp/enough; timeout 50 sh -c "until test -e /tmp/enough; do sleep 0.2; done" && echo survived'
    with machines.session([*machines.ssh_command(ADDRESS), wait]) as session:
        role.apply(ssh_kex_algorithms=["curve25519-sha256"], ssh_settings={"MaxSessions": 7})
        _code, log = attempt(world, "KexAlgorithms=curve25519-sha256")
        assert "kex: algorithm: curve25519-sha256" in log
        host.check_output("touch /tmp/enough")
        assert session.communicate(timeout=20)[0] == "survived\n"
    role.apply()


def test_configuration_that_cannot_go_live_is_refused_and_the_old_one_stays(role: Role, host: Host) -> None:
    before = host.check_output(STATE)
    cases: list[tuple[dict[str, Any], str]] = [
        ({"ssh_settings": {"NoSuchOption": 1}}, "refused, nothing was changed.*NoSuchOption"),
        ({"ssh_kex_algorithms": ["no-such-kex"]}, "refused, nothing was changed.*no-such-kex"),
        ({"ssh_permit_root_login": "yes"}, "Unsupported|must be one of"),
        ({"ssh_host_keys": ["dsa"]}, "must be one of.*dsa|dsa"),
        ({"ssh_port": "ssh"}, "unable to convert to int"),
        ({"ssh_settings": {"PasswordAuthentication": True}}, "ssh_settings enables password authentication"),
    ]
    role.assert_refused(cases)
    assert host.check_output(STATE) == before


def test_change_that_prevents_the_next_login_is_reverted_while_a_connection_is_open(role: Role, host: Host) -> None:
    before = host.check_output(STATE)
    role.assert_refused(
        [
            (
                variables,
                f"no new login could confirm it: root@.*{reason}.*Rolled back.*which is live.*ssh_home_keys_for",
            )
            for variables, reason in (
                ({"ssh_settings": {"AllowUsers": "other"}}, "Permission denied"),
                ({"ssh_home_keys_for": ["admin"]}, "Permission denied"),
                ({"ssh_settings": {"ListenAddress": "127.0.0.1"}}, "Connection refused"),
            )
        ]
    )
    assert host.check_output(STATE) == before
    assert machines.answers_ssh(ADDRESS)


def leave_unconfirmed(role: Role, host: Host) -> None:
    """Kill a run after a change that prevents logins is live, before a new login could confirm it."""
    with role.started(ssh_settings={"AllowUsers": "other"}):
        assert machines.eventually(lambda: host.run("sshd -T | grep -q allowusers && test -e %s", WAITING).rc == 0, 30)
        assert machines.eventually(lambda: not machines.answers_ssh(ADDRESS))
    assert host.run("systemctl is-active vise-revert-ssh.timer").stdout == "active\n"


def test_host_reverts_a_change_that_a_killed_run_left_unconfirmed(role: Role, host: Host) -> None:
    before = host.check_output(STATE)
    leave_unconfirmed(role, host)
    # What the timer starts.
    host.check_output("systemctl start vise-revert-ssh.service")
    assert host.check_output(STATE) == before
    assert machines.answers_ssh(ADDRESS)
    assert not host.file(WAITING).exists
    assert host.run("ls /etc/systemd/system/*/ /etc/systemd/system | grep vise-revert").rc == 1


def test_next_run_completes_an_unconfirmed_change(role: Role, host: Host) -> None:
    leave_unconfirmed(role, host)
    role.apply()
    assert machines.answers_ssh(ADDRESS)
    assert not host.file(WAITING).exists


@pytest.mark.deep
@pytest.mark.parametrize("boot", [False, True], ids=["host stays up", "host reboots"])
def test_timer_reverts_a_change_without_any_controller(role: Role, host: Host, boot: bool) -> None:
    leave_unconfirmed(role, host)
    if boot:
        subprocess.run(["docker", "restart", "--time", "5", NAME], check=True, capture_output=True)
    assert not machines.answers_ssh(ADDRESS)
    assert machines.eventually(lambda: machines.answers_ssh(ADDRESS), 120)
    role.apply()


@pytest.mark.deep
def test_new_port_is_used_for_the_rest_of_the_run_and_the_inventory_must_follow(role: Role) -> None:
    port = {"ansible.builtin.assert": {"that": "ansible_port == 2222"}}
    fresh = [{"ansible.builtin.meta": "reset_connection"}, {"ansible.builtin.ping": {}}]
    include = {"ansible.builtin.include_role": {"name": "vise.platform.ssh"}, "vars": {"ssh_port": 2222}}
    run = role.play([{"hosts": "all", "gather_facts": False, "tasks": [include, port, *fresh]}])
    assert run.code == 0, run.tail
    assert "set ansible_port: 2222 for it in the inventory" in re.sub(r"\s+", " ", run.output)
    back = {"ansible.builtin.include_role": {"name": "vise.platform.ssh"}}
    again = role.play([{"hosts": "all", "gather_facts": False, "vars": {"ansible_port": 2222}, "tasks": [back]}])
    assert again.code == 0, again.tail
    assert machines.answers_ssh(ADDRESS)


@pytest.mark.parametrize(
    ("name", "text", "winner"),
    [
        pytest.param(
            "00-a.conf",
            "KbdInteractiveAuthentication yes",
            "kbdinteractiveauthentication yes",
            marks=pytest.mark.deep,
        ),
        ("99-z.conf", "Match all\n  AuthenticationMethods any", "authenticationmethods any"),
    ],
)
def test_other_file_that_decides_who_may_log_in_is_refused(
    role: Role, host: Host, name: str, text: str, winner: str
) -> None:
    path = f"/etc/ssh/sshd_config.d/{name}"
    host.check_output("install -m 0600 /dev/null %s; printf '%%s\\n' %s >%s", path, text, path)
    run = role.run()
    host.check_output("rm %s", path)
    assert run.code != 0
    # The output wraps long messages.
    message = re.sub(r"\s+", " ", run.output)
    assert re.search(f"a file other than .* controls the login.*{winner}", message), run.tail
    # The daemon reads the files without it.
    role.apply()


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(f"{PASSWORDS} {MANAGED}; systemctl reload ssh", id="passwords in the managed file"),
        pytest.param(f"rm {MANAGED}; systemctl reload ssh", id="the managed file is gone"),
        pytest.param(
            f"cp -p {MANAGED} /root/; {PASSWORDS} {MANAGED}; systemctl reload ssh; sleep 0.5;"
            f"cp -p /root/00-vise.conf {MANAGED}",
            id="only the daemon has other settings",
        ),
    ],
)
def test_drift_that_opens_passwords_is_corrected(role: Role, host: Host, world: Host, fault: str) -> None:
    machines.script(host, fault)
    assert machines.eventually(lambda: "password" in offered(world).split(","), 5)
    role.apply()
    assert offered(world) == "publickey"


@pytest.mark.deep
def test_port_that_another_program_has_is_refused_and_ssh_stays(role: Role, host: Host) -> None:
    host.check_output("systemd-run --unit=taken python3 -m http.server 2222")
    role.assert_refused([({"ssh_port": 2222}, "not live")])
    host.check_output("systemctl stop taken")
    assert machines.eventually(lambda: machines.answers_ssh(ADDRESS), 30)
    assert machines.eventually(lambda: host.run(LIVE).rc == 0)
