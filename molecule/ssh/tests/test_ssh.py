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
LIVE = "/usr/local/sbin/vise-ssh live"
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
    # While sshd reloads, its port is closed for a moment.
    return methods[1] if methods else ""


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
        ({"ssh_settings": {"AllowUsers": "other"}}, "refused, nothing was changed.*root must be able to log in"),
    ]
    role.assert_refused(cases)
    assert host.check_output(STATE) == before


FIRST_ACCOUNT = """
useradd -m -s /bin/bash ubuntu
echo 'ubuntu ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/90-cloud-init-users
cp -r /root/.ssh /home/ubuntu/
chown -R ubuntu: /home/ubuntu/.ssh
"""


def test_change_that_prevents_the_next_login_is_reverted_while_a_connection_is_open(role: Role, host: Host) -> None:
    machines.script(host, FIRST_ACCOUNT)
    role.apply(ssh_home_keys_for=["root", "ubuntu"])
    before = host.check_output(STATE)
    first: dict[str, Any] = {"ansible_user": "ubuntu", "ansible_become": True}
    role.assert_refused(
        [
            (variables, f"no new login could confirm it: .*{reason}.*Rolled back.*which is live.*ssh_home_keys_for")
            for variables, reason in (
                (first, "ubuntu@.*Permission denied"),
                ({**first, "ssh_home_keys_for": ["ubuntu"], "ssh_settings": {"ListenAddress": "127.0.0.1"}}, "refused"),
            )
        ]
    )
    assert host.check_output(STATE) == before
    assert machines.answers_ssh(ADDRESS)
    run = role.apply(**first, ssh_home_keys_for=["root", "ubuntu"])
    assert "changed=0" in run.output
    role.apply()
    host.check_output("userdel -r ubuntu; rm /etc/sudoers.d/90-cloud-init-users")


def leave_unconfirmed(role: Role, host: Host) -> None:
    """Kill a run after a change that prevents logins is live, before a new login could confirm it."""
    with role.started(ssh_home_keys_for=["admin"]):
        assert machines.eventually(lambda: host.run("! grep -q root, %s && test -e %s", MANAGED, WAITING).rc == 0, 30)
        assert machines.eventually(lambda: not machines.answers_ssh(ADDRESS))
    # The module runs to its end on the host.
    host.check_output("flock --timeout 60 /var/lib/vise/components/ssh/lock true")
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


@pytest.mark.deep
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


def test_line_of_another_file_is_refused_before_sshd_loads_it(role: Role, host: Host) -> None:
    before = host.check_output(STATE)
    host.check_output("groupadd sftponly; useradd -M -G sftponly -s /usr/sbin/nologin carrier")
    sftp = "Match Group sftponly\n  ChrootDirectory /srv\n  ForceCommand internal-sftp\n  AllowTcpForwarding no\n"
    write = "printf %%s %s | install -m 0600 /dev/stdin /etc/ssh/sshd_config.d/%s"
    cases = [
        ("50-provider.conf", "AllowUsers admin\n", r"50-provider.conf:1: `AllowUsers admin`.*root must be able"),
        ("70-sftp.conf", f"{sftp}  PasswordAuthentication yes\n", r"70-sftp.conf:5: `PasswordAuthentication yes`"),
        ("00-a.conf", "KbdInteractiveAuthentication yes\n", r"00-a.conf:1: .*kbdinteractiveauthentication is `yes`"),
        ("99-z.conf", "Match all\n  AuthenticationMethods any\n", r"99-z.conf:2: `AuthenticationMethods any`"),
        ("10-net.conf", "Match Address 10.0.0.0/8\n DenyUsers *\n", r"10-net.conf:2: `DenyUsers \*`.*client"),
        ("90-ca.conf", "TrustedUserCAKeys /etc/ssh/ca.pub\n", r"90-ca.conf:1: `TrustedUserCAKeys"),
        ("60-port.conf", "Port 2222\n", r"60-port.conf:1: `Port 2222`"),
    ]
    for name, text, _message in cases:
        host.check_output(write, text, name)
    # Without a difference in the role's files, and with one.
    for variables in ({}, {"ssh_max_auth_tries": 2}):
        (failure,) = role.failures([variables])
        assert "refused, nothing was changed" in failure
        assert not [message for _name, _text, message in cases if not re.search(message, failure)], failure
    names = " ".join(name for name, _text, _message in cases)
    host.check_output(f"cd /etc/ssh/sshd_config.d && rm {names}")
    # Stricter for others, without effect because the role's value comes first, and accepted.
    host.check_output(write, sftp, "70-sftp.conf")
    host.check_output(write, "PasswordAuthentication yes\n", "50-cloud-init.conf")
    host.check_output(write, "Match Address 10.0.0.0/8\n  X11Forwarding yes\n", "60-office.conf")
    role.apply(ssh_accepted_settings={"/etc/ssh/sshd_config.d/60-office.conf": ["X11Forwarding"]})
    host.check_output("cd /etc/ssh/sshd_config.d && rm 70-sftp.conf 50-cloud-init.conf 60-office.conf")
    host.check_output("userdel carrier && groupdel sftponly")
    role.apply()
    assert host.check_output(STATE).split()[0] == before.split()[0]


@pytest.mark.parametrize(
    ("fault", "repair", "message"),
    [
        pytest.param(
            "sed -i.old s/^Include/#Include/ /etc/ssh/sshd_config",
            "mv /etc/ssh/sshd_config.old /etc/ssh/sshd_config",
            "write `Include /etc/ssh/sshd_config.d/.*.conf` as its first line",
            id="sshd_config without Include",
        ),
        pytest.param(
            "sed -i.old 's/^SSHD_OPTS=.*/SSHD_OPTS=\"-o PasswordAuthentication=yes\"/' /etc/default/ssh",
            "mv /etc/default/ssh.old /etc/default/ssh",
            r"/etc/default/ssh:\d+: `PasswordAuthentication yes`",
            id="arguments of sshd",
            marks=pytest.mark.deep,
        ),
        pytest.param(
            "chmod 0777 /root/.ssh",
            "chmod 0700 /root/.ssh",
            "root must be able to log in, but .* another user can write to /root/.ssh",
            id="keys that others can change",
            marks=pytest.mark.deep,
        ),
    ],
)
def test_files_that_sshd_would_not_use_as_the_role_wants_are_refused(
    role: Role, host: Host, fault: str, repair: str, message: str
) -> None:
    host.check_output(fault)
    (failure,) = role.failures([{"ssh_max_auth_tries": 2}])
    host.check_output(repair)
    assert re.search(f"refused, nothing was changed.*{message}", failure), failure
    role.apply()


@pytest.mark.deep
def test_port_of_a_socket_is_taken_over_or_given_back(role: Role, host: Host) -> None:
    machines.script(
        host,
        "rm /etc/systemd/system/ssh.socket; systemctl daemon-reload; systemctl disable -q ssh.service;"
        "systemctl enable -q ssh.socket; systemctl stop ssh.service; systemctl start ssh.socket ssh.service",
    )
    role.assert_refused([({"ssh_port": 2222, "ssh_home_keys_for": ["admin"]}, "Permission denied.*Rolled back")])
    assert host.check_output("systemctl is-enabled ssh.socket; systemctl is-active ssh.socket") == "enabled\nactive"
    assert machines.answers_ssh(ADDRESS)
    role.apply()
    assert host.run("systemctl is-active ssh.socket").stdout == "inactive\n"
    assert host.check_output("systemctl is-enabled ssh.service") == "enabled"
    assert machines.answers_ssh(ADDRESS)


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


def test_disabled_unit_is_enabled_and_its_process_stays_known_to_systemd(role: Role, host: Host) -> None:
    host.check_output("systemctl disable -q ssh.service; systemctl daemon-reload")
    role.apply()
    assert host.check_output("systemctl is-enabled ssh; systemctl is-active ssh") == "enabled\nactive"
    assert host.check_output("pgrep -xc sshd") == "1"


@pytest.mark.deep
def test_port_that_another_program_has_is_refused_and_ssh_stays(role: Role, host: Host) -> None:
    host.check_output("systemd-run --unit=taken python3 -m http.server 2222")
    role.assert_refused([({"ssh_port": 2222}, "not live")])
    host.check_output("systemctl stop taken")
    assert machines.eventually(lambda: machines.answers_ssh(ADDRESS), 30)
    assert machines.eventually(lambda: host.run(LIVE).rc == 0)
