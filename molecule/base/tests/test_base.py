"""A host keeps the time, its logs, its language and its security upgrades, and reboots in the window only."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from testinfra.host import Host

from tests import machines
from tests.scenario import ADDRESS, NAME, Role

# A program keeps a library open that is no longer there, as after an upgrade.
REPLACED_LIBRARY = """
cp /usr/lib/x86_64-linux-gnu/libz.so.1 /usr/lib/libstale.so
python3 -c 'import ctypes, time; ctypes.CDLL("/usr/lib/libstale.so"); time.sleep(60)' &
sleep 1; rm /usr/lib/libstale.so
status=0; /usr/local/sbin/vise-reboot-needed || status=$?
kill $!; exit $status
"""
# A package whose installation kills dpkg the first time, as the kernel does when the memory is used up.
KILLED_DPKG = """
cd /tmp && mkdir -p slow/DEBIAN
printf '%s\\n' 'Package: slow' 'Version: 1' 'Architecture: all' 'Maintainer: x' 'Description: x' >slow/DEBIAN/control
printf '#!/bin/sh\\ntest -e /run/slow-killed || { touch /run/slow-killed; kill -9 $PPID; }\\n' >slow/DEBIAN/postinst
chmod 0755 slow/DEBIAN/postinst && dpkg-deb --build slow
(! dpkg --install slow.deb)
(! apt-get --yes install hello) 2>&1 | grep 'dpkg was interrupted'
"""
DRIFT = """
echo 'server 192.0.2.1' >>/etc/chrony/chrony.conf && systemctl restart chrony
ln -sfn /usr/share/zoneinfo/Asia/Tokyo /etc/localtime
systemctl disable --now vise-reboot.timer
rm /etc/apt/apt.conf.d/52vise-upgrades
test "$(date +%Z)" = JST && chronyc -N sources | grep 192.0.2.1
"""


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        pytest.param("chronyc -N sources | grep -c '^^'", "1", id="one time server"),
        pytest.param("chronyc -N sources", "172.30.0.2", id="the configured time server"),
        pytest.param(
            "tr '\\0' ' ' </proc/$(pidof chronyd | cut -d' ' -f1)/cmdline", " -x", id="the machine's clock is left"
        ),
        pytest.param("systemctl is-active systemd-timesyncd", "inactive", id="no second time client"),
        pytest.param("date +%Z", "UTC", id="time zone"),
        pytest.param("journalctl -b -u systemd-journald -o cat | tail -1", "max 123M", id="journald's own limit"),
        pytest.param("LC_ALL=de_DE.UTF-8 locale decimal_point", ",", id="the wanted locale"),
        pytest.param("su - nobody -s /bin/sh -c 'echo \"$LANG\"'", "C.UTF-8", id="a login's locale"),
        pytest.param(
            "unattended-upgrade --dry-run --debug",
            "origin=Debian,codename=trixie-security,label=Debian-Security",
            id="security upgrades",
        ),
        pytest.param("apt-config dump APT::Periodic", 'Unattended-Upgrade "1"', id="daily upgrades"),
        pytest.param("apt-config dump Unattended-Upgrade::Automatic-Reboot", '"false"', id="no reboot by apt"),
    ],
)
def test_setting_is_in_effect(host: Host, command: str, expected: str) -> None:
    assert expected in machines.output(host, command)


def test_next_reboot_is_in_the_window(host: Host) -> None:
    # systemd's own next moment is the only one that it will use.
    moment = machines.script(host, 'date -u -d "$(systemctl show -P NextElapseUSecRealtime vise-reboot.timer)" +%s')
    next_reboot = datetime.fromtimestamp(int(moment), UTC)
    assert next_reboot.strftime("%a") == "Sun"
    assert "0200" <= next_reboot.strftime("%H%M") <= "0546"


def test_window_without_a_reason_reboots_nothing(host: Host) -> None:
    host.run("systemctl start vise-reboot.service")
    assert host.check_output("systemctl show -P Result vise-reboot.service") == "exec-condition"
    assert host.run("/usr/local/sbin/vise-reboot-needed").rc == 1


def test_replaced_library_is_a_reason_to_reboot(host: Host) -> None:
    assert "python3 runs with a library" in machines.script(host, REPLACED_LIBRARY)


def test_invalid_settings_are_refused(role: Role) -> None:
    cases = [
        ({"base_reboot_day": "Sonntag"}, "Sonntag"),
        ({"base_reboot_minutes": "long"}, "unable to convert to int"),
        ({"base_reboot_start": "26:00"}, "calendar"),
        ({"base_timezone": "Europe/Entenhausen"}, "zoneinfo"),
        ({"base_packages": ["curll", "less=9999*"]}, "nothing was changed.*curll.*less.* did you mean curl"),
        ({"base_packages": ["systemd-timesyncd"]}, "nothing was changed.*would remove chrony"),
    ]
    role.assert_refused(cases)


def test_drift_is_corrected(role: Role, host: Host) -> None:
    machines.script(host, DRIFT)
    role.apply()
    assert host.check_output("date +%Z") == "UTC"
    assert host.check_output("systemctl is-active vise-reboot.timer") == "active"
    assert host.check_output("systemctl is-enabled vise-reboot.timer") == "enabled"
    assert "Debian-Security" in host.check_output("apt-config dump")
    assert "192.0.2.1" not in host.check_output("chronyc -N sources")


def test_installation_that_dpkg_was_killed_in_is_completed_and_reported(role: Role, host: Host) -> None:
    machines.script(host, KILLED_DPKG)
    run = role.apply()
    assert "complete the interrupted installation of slow" in run.output
    assert host.check_output("dpkg-query -W -f '${db:Status-Status}' slow") == "installed"
    assert host.run("apt-get --simulate --yes install hello").rc == 0


@pytest.mark.deep
def test_upgrade_that_needs_a_reboot_gets_it_in_the_window(host: Host) -> None:
    started = machines.started_at(NAME)
    # A moment later, so that this command can end first.
    host.check_output("touch /run/reboot-required && systemd-run --on-active=1s systemctl start vise-reboot.service")
    assert machines.eventually(lambda: machines.started_at(NAME) != started, 60)
    assert machines.eventually(lambda: machines.answers_ssh(ADDRESS), 60)
