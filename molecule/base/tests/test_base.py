"""A host keeps the time, its logs, its language and its security upgrades, and reboots in the window only."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

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
SECURITY_ORIGIN = "origin=Debian,codename=trixie,label=Debian-Security"
# What unattended-upgrades itself would do
ORIGINS = """
import importlib.util, importlib.machinery
loader = importlib.machinery.SourceFileLoader("uu", "/usr/bin/unattended-upgrade")
uu = importlib.util.module_from_spec(importlib.util.spec_from_loader("uu", loader))
loader.exec_module(uu)
print("\\n".join(uu.get_allowed_origins()))
print(uu.apt_pkg.config.value_list("Unattended-Upgrade::Package-Whitelist"))
"""
# The host of the test may not set its clock, so that its chronyd only measures; the program reads the settings.
SILENT = """
cp /etc/vise/base.json /root/
sed -i 's/"clock_adjust": false/"clock_adjust": true/; s/"172.30.0.2"/"172.30.0.2", "127.0.0.9"/' /etc/vise/base.json
/usr/local/sbin/vise-base verify
"""
ANSWERED = """
printf '%s\\n' 'local stratum 8' 'allow' 'bindaddress 127.0.0.9' 'cmdport 0' 'pidfile /run/second' \\
  'bindcmdaddress /run/second.sock' >/run/second.conf
systemd-run --unit=second chronyd -x -n -f /run/second.conf
chronyc add server 127.0.0.9 iburst
until chronyc -N sources | grep -q '^^[*+?].*127.0.0.9 *8 .* [1-9][0-9]* '; do sleep 0.2; done
/usr/local/sbin/vise-base verify; status=$?
systemctl stop second; chronyc delete 127.0.0.9 >/dev/null; mv /root/base.json /etc/vise/base.json
exit $status
"""
# A package whose installation kills dpkg the first time, as the kernel does when the memory is used up.
KILLED_DPKG = """
cd /tmp && install -d -m 0755 slow slow/DEBIAN && rm -f /run/slow-killed
printf '%s\\n' 'Package: slow' 'Version: 1' 'Architecture: all' 'Maintainer: x' 'Description: x' >slow/DEBIAN/control
printf '#!/bin/sh\\ntest -e /run/slow-killed || { touch /run/slow-killed; kill -9 $PPID; }\\n' >slow/DEBIAN/postinst
chmod 0755 slow/DEBIAN/postinst && dpkg-deb --build slow
(! dpkg --install slow.deb)
(! apt-get --yes install hello) 2>&1 | grep 'dpkg was interrupted'
"""
# An archive of others with a new version of two packages, one of them on hold. The installation of the other one kills
# dpkg the first time.
ARCHIVE = """
install -d -m 0755 /srv/archive && cd /srv/archive && rm -f /run/probe-killed
for name in vise-probe vise-held; do
  for version in 1 2; do
    install -d -m 0755 $name/DEBIAN
    printf '%s\\n' "Package: $name" "Version: $version" 'Architecture: all' 'Maintainer: x' 'Description: x' \\
      >$name/DEBIAN/control
    printf '#!/bin/sh\\ntest %s = 1 || test -e /run/probe-killed || { touch /run/probe-killed; kill -9 $PPID; }\\n' \\
      $version >$name/DEBIAN/postinst
    chmod 0755 $name/DEBIAN/postinst
    dpkg-deb --build $name ${name}_$version.deb
  done
done
dpkg --install *_1.deb
apt-mark hold vise-held
for file in *_2.deb; do
  dpkg-deb --field $file
  printf 'Filename: ./%s\\nSize: %s\\nSHA256: %s\\n\\n' $file $(stat -c %s $file) $(sha256sum <$file | cut -c-64)
done >Packages
echo 'deb [trusted=yes] file:/srv/archive ./' >/etc/apt/sources.list.d/probe.list
"""
# A container: a PID namespace and a root file system of its own
CONTAINER = """
cp /usr/lib/x86_64-linux-gnu/libz.so.1 /usr/lib/libstale.so
unshare --pid --fork --kill-child --mount-proc python3 -c \\
  'import ctypes, time; ctypes.CDLL("/usr/lib/libstale.so"); print("in", flush=True); time.sleep(60)' >/tmp/contained &
until grep -q in /tmp/contained; do sleep 0.1; done
rm /usr/lib/libstale.so
grep -l 'libstale.so (deleted)' /proc/[0-9]*/maps
status=0; /usr/local/sbin/vise-reboot-needed || status=$?
kill $!
test $status = 1
"""
# As in the images of some providers
PROVIDER = """
echo 'APT::Periodic::Enable "0";' >/etc/apt/apt.conf.d/02-armbian-periodic
cat >/etc/apt/apt.conf.d/99-provider <<'END'
APT::Periodic::Unattended-Upgrade "0";
Unattended-Upgrade::Allowed-Origins { "${distro_id}:${distro_codename}-updates"; };
Unattended-Upgrade::Package-Whitelist { "nothing"; };
END
printf '[Journal]\\nStorage=volatile\\nSystemMaxUse=4G\\n' >/etc/systemd/journald.conf.d/50-provider.conf
systemctl mask apt-daily.service apt-daily-upgrade.service
mkdir -p /etc/systemd/system/apt-daily-upgrade.timer.d
printf '[Timer]\\nOnCalendar=\\nOnCalendar=yearly\\n' >/etc/systemd/system/apt-daily-upgrade.timer.d/50-provider.conf
systemctl daemon-reload
"""
# What is read even after the own files, and so must be refused
LATER = """
echo '#clear APT::Periodic::Enable;' >/etc/apt/apt.conf.d/zzz-later
echo 'APT::Periodic { Enable "0"; };' >>/etc/apt/apt.conf.d/zzz-later
echo 'Unattended-Upgrade::Package-Blacklist { "libc"; };' >/etc/apt/apt.conf.d/98-kept
echo 'APT::Default-Release "trixie";' >>/etc/apt/apt.conf.d/98-kept
printf '[Journal]\\nSystemMaxUse=4G\\n' >/etc/systemd/journald.conf.d/zzz-later.conf
printf 'Package: *\\nPin: release l=Debian-Security\\nPin-Priority: 1\\n' >/etc/apt/preferences.d/pinned
apt-mark hold less
echo 'LC_ALL=tr_TR.UTF-8' >>/etc/environment
"""
LATER_REMOVED = """
rm /etc/apt/apt.conf.d/{zzz-later,98-kept} /etc/systemd/journald.conf.d/zzz-later.conf /etc/apt/preferences.d/pinned
apt-mark unhold less
sed -i /tr_TR/d /etc/environment
"""
DRIFT = """
echo 'server 192.0.2.1' >>/etc/chrony/chrony.conf && systemctl restart chrony
ln -sfn /usr/share/zoneinfo/Asia/Tokyo /etc/localtime
systemctl disable --now vise-reboot.timer
rm /etc/apt/apt.conf.d/zz-vise-upgrades
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


def test_replaced_library_of_a_container_is_no_reason_to_reboot(host: Host) -> None:
    assert "/maps" in machines.script(host, CONTAINER)


def test_effects_hold_whatever_a_provider_configures(role: Role, host: Host) -> None:
    machines.script(host, PROVIDER)
    role.apply()
    periodic = host.check_output("apt-config dump APT::Periodic")
    assert 'Enable "1"' in periodic
    assert 'Unattended-Upgrade "1"' in periodic
    upgrades = machines.output(host, "python3 -c %s", ORIGINS)
    assert upgrades.split() == ["origin=Debian,codename=trixie-security,label=Debian-Security", SECURITY_ORIGIN, "[]"]
    calendar = host.check_output("systemctl show -P TimersCalendar apt-daily-upgrade.timer")
    assert "*-*-* 00:00:00 UTC" in calendar
    assert "yearly" not in calendar
    assert host.check_output("systemctl show -P LoadState apt-daily-upgrade.service apt-daily.service").split() == [
        "loaded",
        "loaded",
    ]
    host.check_output("systemctl restart systemd-journald")
    assert "max 123M" in host.check_output("journalctl -b -u systemd-journald -o cat | tail -1")


def test_effect_that_another_file_decides_is_refused_with_its_line(role: Role, host: Host) -> None:
    machines.script(host, LATER)
    (failure,) = role.failures([{}])
    machines.script(host, LATER_REMOVED)
    expected = [
        "/etc/apt/apt.conf.d/zzz-later:2 decides",
        "match 'libc' (/etc/apt/apt.conf.d/98-kept:1)",
        "/etc/systemd/journald.conf.d/zzz-later.conf:2 decides",
        "priority 1, less than 990, and does not use it: correct APT::Default-Release (/etc/apt/apt.conf.d/98-kept:2)",
        "the pins in /etc/apt/preferences.d/pinned",
        "package less is on hold",
        "/etc/environment:",
        "nothing was changed",
    ]
    assert [text for text in expected if text not in failure] == []


def test_clock_needs_a_time_server_that_answers(host: Host) -> None:
    assert "no time server has answered (172.30.0.2, 127.0.0.9)" in machines.output(host, "bash -c %s", SILENT)
    assert machines.script(host, ANSWERED).endswith("live")


def test_invalid_settings_are_refused(role: Role) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"base_reboot_day": "Sonntag"}, "Sonntag"),
        ({"base_reboot_minutes": "long"}, "unable to convert to int"),
        (
            {"base_journal_max_use": "500MB", "base_ntp_servers": [], "base_reboot_start": "26:00"},
            "'500MB' is not a size.*'26:00' is not a time of day.*both are empty",
        ),
        ({"base_timezone": "Europe/Entenhausen"}, "no time zone Europe/Entenhausen"),
        (
            {"base_timezone": "US/Pacific", "base_locale": "fr_FR.UTF-8", "base_locales": ["de_DE.utf8"]},
            "nothing was changed.*write America/Los_Angeles, or add tzdata-legacy"
            ".*did you mean de_DE.UTF-8.*no locale fr_FR.UTF-8: add it to base_locales",
        ),
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


def test_updates_are_planned_and_complete_what_a_killed_dpkg_left(role: Role, host: Host) -> None:
    machines.script(host, ARCHIVE)
    try:
        install = {"vise.platform.package_updates": {"state": "updated"}}
        results = role.results(
            [
                {"name": "Plan", "vise.platform.package_updates": {}, "register": "planned"},
                {"name": "Preview", **install, "check_mode": True, "register": "previewed"},
                {"name": "Update and be killed", **install, "ignore_errors": True, "register": "killed"},
                {"name": "Update again", **install, "register": "completed"},
                {"name": "Update once more", **install, "register": "again"},
            ]
        )
        plan = results["planned"]["plan"]
        (probe,) = [one for one in plan["updates"] if one["name"] == "vise-probe"]
        assert (probe["from"], probe["to"], probe["security"], probe["foreign"] != "") == ("1", "2", False, True)
        assert (plan["held"], plan["problems"], results["planned"]["changed"]) == (["vise-held"], [], False)
        assert [one for one in results["previewed"]["actions"] if one.startswith("vise-probe 1 -> 2 (from ")]
        assert results["killed"]["failed"]
        assert "apt failed" in results["killed"]["msg"]
        assert "complete the interrupted installation of vise-probe" in results["completed"]["actions"]
        assert (results["again"]["changed"], results["again"]["plan"]["updates"]) == (False, [])
        versions = host.check_output("dpkg-query --show --showformat '${Package} ${Version} ' vise-probe vise-held")
        assert versions.split() == ["vise-held", "1", "vise-probe", "2"]
    finally:
        machines.script(
            host, "rm -r /etc/apt/sources.list.d/probe.list /srv/archive; dpkg --purge vise-probe vise-held"
        )


@pytest.mark.deep
def test_upgrade_that_needs_a_reboot_gets_it_in_the_window(host: Host) -> None:
    started = machines.started_at(NAME)
    # A moment later, so that this command can end first.
    host.check_output("touch /run/reboot-required && systemd-run --on-active=1s systemctl start vise-reboot.service")
    assert machines.eventually(lambda: machines.started_at(NAME) != started, 60)
    assert machines.eventually(lambda: machines.answers_ssh(ADDRESS), 60)
