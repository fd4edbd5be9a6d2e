"""The program vise-firewall; the programs that it runs are stand-ins that note their calls."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.vise.platform.plugins.module_utils.firewall import program, snapshot
from ansible_collections.vise.platform.plugins.module_utils.host import programs

CHAINS = ":INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n"
SSH = "-A ufw-user-input -p tcp -m tcp --dport 22 -j ACCEPT\n"
WANTED = f"{CHAINS}:ufw-user-input - [0:0]\n-A INPUT -j ufw-user-input\n{SSH}"
OPEN = WANTED.replace("INPUT DROP", "INPUT ACCEPT")
EMPTY = ":INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n"
INCOMPATIBLE = "# Table `filter' is incompatible, use 'nft' tool.\n"
POLICY = "*filter\n:INPUT DROP [0:0]\nCOMMIT\n"
REJECT = "-A INPUT -j REJECT --reject-with icmp-host-prohibited\n"
CLOSED = WANTED.replace("-A INPUT", f"{REJECT}-A INPUT", 1)
REDIRECT = (
    "*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -p tcp -m tcp --dport 8022 -j REDIRECT --to-ports 22\nCOMMIT\n"
)
ADDRESSES = """[
 {"ifname": "lo", "flags": ["LOOPBACK"], "addr_info": [{"local": "127.0.0.1", "prefixlen": 8, "scope": "host"}]},
 {"ifname": "eth0", "flags": ["UP"], "addr_info": [{"local": "192.0.2.9", "prefixlen": 24, "scope": "global"}]}
]"""
SYSCTL = ["sysctl", "-e", "-q", "-p", "/etc/ufw/sysctl.conf"]


class Kernel:
    """Live tables by IP version, and what was written to them."""

    def __init__(self) -> None:
        self.live = {4: WANTED, 6: WANTED}
        self.wanted = {4: WANTED, 6: WANTED}
        self.failing = ""
        self.others = ""
        self.daemon = 3
        self.written: dict[str, str] = {}
        self.calls: list[list[str]] = []

    def run(self, argv: list[str], stdin: str = "") -> programs.Result:
        """Stand in for programs.run."""
        self.calls.append(argv)
        if argv[0] == self.failing:
            return programs.Result(2, "", "no such table\n")
        if argv[0] == "unshare":
            return programs.Result(0, f"# 4\n{self.wanted[4]}# 6\n{self.wanted[6]}", "Skip starting\n")
        if argv[0].endswith("-restore"):
            self.written[argv[0]] = stdin
        if argv[0] == "ip":
            return programs.Result(0, ADDRESSES)
        if argv[:2] == ["systemctl", "is-active"]:
            return programs.Result(self.daemon, "")
        if argv == ["iptables-save"]:
            return programs.Result(0, self.others)
        family = {"iptables-save": 4, "ip6tables-save": 6}.get(argv[0])
        return programs.Result(0, self.live[family] if family else "")


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Kernel:
    """A host on which the wanted rules are live."""
    found = Kernel()
    monkeypatch.setattr(programs, "run", found.run)
    monkeypatch.setattr(snapshot, "PATH", str(tmp_path / "before.json"))
    monkeypatch.setattr(program, "SETTINGS", str(tmp_path / "ufw.conf"))
    (tmp_path / "ufw.conf").write_text("# comment\nENABLED=yes\n")
    return found


@pytest.mark.parametrize("command", ["plan", "verify"])
def test_live_rules_are_reported(kernel: Kernel, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main([command]) == 0
    assert capsys.readouterr().out == "live\n"
    assert not kernel.written


@pytest.mark.parametrize(("command", "code"), [("plan", 0), ("verify", 1)])
def test_differences_are_reported_by_ip_version(
    kernel: Kernel, command: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    kernel.live[6] = OPEN
    assert program.main([command]) == code
    assert capsys.readouterr().out == "IPv6, not live:\n:INPUT DROP [0:0]\n"
    assert not kernel.written


def test_apply_writes_only_the_differences_as_one_transaction(kernel: Kernel) -> None:
    kernel.live[4] = OPEN
    assert program.main(["apply"]) == 0
    assert kernel.written == {"iptables-restore": POLICY}
    assert ["iptables-restore", "--noflush"] in kernel.calls
    assert kernel.calls[-1] == SYSCTL


def test_apply_without_differences_sets_only_the_kernel_settings(kernel: Kernel) -> None:
    assert program.main(["apply"]) == 0
    assert not kernel.written
    assert kernel.calls[-1] == SYSCTL


def test_setting_that_the_kernel_rejects_is_only_printed(kernel: Kernel, capsys: pytest.CaptureFixture[str]) -> None:
    kernel.failing = "sysctl"
    assert program.main(["apply"]) == 0
    assert capsys.readouterr().err == "no such table\n"


def test_kernel_without_ipv6_needs_no_ipv6_rules(kernel: Kernel) -> None:
    kernel.live[6] = kernel.wanted[6] = ""
    assert program.main(["verify"]) == 0


@pytest.mark.parametrize("command", ["plan", "apply", "verify"])
def test_table_that_cannot_be_read_is_an_error_and_nothing_is_written(
    kernel: Kernel, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    kernel.live = {4: OPEN, 6: INCOMPATIBLE}
    assert program.main([command]) == 1
    assert "list them with `nft list table ip6 filter`" in capsys.readouterr().err
    assert not kernel.written


@pytest.mark.parametrize("failing", ["unshare", "iptables-save", "iptables-restore"])
def test_failed_program_is_named_with_its_output(
    kernel: Kernel, failing: str, capsys: pytest.CaptureFixture[str]
) -> None:
    kernel.live[4] = OPEN
    kernel.failing = failing
    assert program.main(["apply"]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"vise-firewall: `{failing} ")
    assert error.endswith("failed (exit 2): no such table\n")


@pytest.mark.parametrize("arguments", [[], ["status"], ["plan", "more"], ["verify", "--take-over"]])
def test_usage_is_shown_for_other_arguments(
    kernel: Kernel, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert program.main(arguments) == 2
    assert "usage: vise-firewall plan [--take-over]" in capsys.readouterr().err
    assert not kernel.calls


@pytest.mark.parametrize("command", ["plan", "apply"])
def test_foreign_rule_that_closes_an_open_port_is_refused(
    kernel: Kernel, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    kernel.live[4] = CLOSED
    assert program.main([command]) == 1
    error = capsys.readouterr().err
    assert "iptables: table filter, chain INPUT: `-A INPUT -j REJECT --reject-with icmp-host-prohibited` drops" in error
    assert "tcp/22 over IPv4" in error
    assert "firewall_take_over: true" in error
    assert not kernel.written


def test_foreign_rule_that_decides_is_not_live(kernel: Kernel, capsys: pytest.CaptureFixture[str]) -> None:
    kernel.live[4] = CLOSED
    assert program.main(["verify"]) == 1
    printed = capsys.readouterr().out
    assert printed.startswith("decides: iptables: table filter, chain INPUT: `-A INPUT -j REJECT")
    assert "live" not in printed.split()


def test_take_over_removes_the_rule_in_the_transaction_that_opens_the_port(kernel: Kernel) -> None:
    kernel.live[4] = EMPTY + REJECT
    assert program.main(["apply", "--take-over"]) == 0
    lines = kernel.written["iptables-restore"].splitlines()
    assert {"-A INPUT -j ufw-user-input", REJECT.strip().replace("-A", "-D", 1)} < set(lines)
    assert "ip6tables-restore" not in kernel.written


def test_take_over_removes_rules_of_other_tables_after_the_own_rules(kernel: Kernel) -> None:
    kernel.live[4], kernel.others = OPEN, REDIRECT
    assert program.main(["plan"]) == 1
    assert program.main(["apply", "--take-over"]) == 0
    commands = [" ".join(argv) for argv in kernel.calls]
    removal = "iptables -t nat -D PREROUTING -p tcp -m tcp --dport 8022 -j REDIRECT --to-ports 22"
    assert commands.index(removal) > commands.index("iptables-restore --noflush")


def test_take_over_ends_firewalld_after_the_own_rules_are_live(kernel: Kernel) -> None:
    kernel.live[4], kernel.daemon = OPEN, 0
    assert program.main(["apply", "--take-over"]) == 0
    end = kernel.calls.index(["systemctl", "stop", "firewalld.service"])
    assert ["iptables-restore", "--noflush"] in kernel.calls[:end]
    assert ["iptables-restore", "--noflush"] in kernel.calls[end:]


def test_rule_with_an_unknown_match_is_reported_and_the_rules_are_live(
    kernel: Kernel, capsys: pytest.CaptureFixture[str]
) -> None:
    kernel.live[4] = WANTED.replace("-A INPUT", "-A INPUT -m geoip --source-country XX -j DROP\n-A INPUT", 1)
    assert program.main(["verify"]) == 0
    assert capsys.readouterr().out == (
        "unknown: iptables: table filter, chain INPUT: `-A INPUT -m geoip --source-country XX -j DROP`"
        " has a match or target whose result is unknown\nlive\n"
    )


def test_rollback_of_the_first_change_makes_the_earlier_rules_live(kernel: Kernel, tmp_path: Path) -> None:
    kernel.live[4] = EMPTY
    kernel.others = f"*filter\n{EMPTY}-A INPUT -p tcp -m tcp --dport 99 -j ACCEPT\nCOMMIT\n"
    assert program.main(["apply"]) == 0
    assert (tmp_path / "before.json").stat().st_mode & 0o777 == 0o600
    (tmp_path / "ufw.conf").write_text("ENABLED=no\n")
    assert program.main(["apply"]) == 0
    assert kernel.written["iptables-restore"] == kernel.others
    assert ["iptables-restore"] in kernel.calls
    assert kernel.written["ip6tables-restore"].startswith(kernel.live[6])
    assert program.main(["apply"]) == 1


def test_rollback_restores_a_removed_table_and_starts_firewalld(kernel: Kernel, tmp_path: Path) -> None:
    snapshot.save(["nft delete table inet fw", "iptables -t nat -D PREROUTING -j X"], ["firewalld.service"])
    assert ["nft", "list", "table", "inet", "fw"] in kernel.calls
    (tmp_path / "ufw.conf").write_text("ENABLED=no\n")
    assert program.main(["apply"]) == 0
    assert kernel.calls[-1] == ["systemctl", "start", "firewalld.service"]


def test_rollback_restores_the_tables_of_the_other_backend(kernel: Kernel, tmp_path: Path) -> None:
    snapshot.save(["iptables-legacy -t filter -D INPUT -j DROP"], [])
    (tmp_path / "ufw.conf").write_text("ENABLED=no\n")
    assert program.main(["apply"]) == 0
    assert [argv[0] for argv in kernel.calls if "legacy" in argv[0]] == [
        "iptables-legacy-save",
        "iptables-legacy-restore",
    ]


def test_rules_before_a_change_are_kept_although_chains_of_ufw_were_live(kernel: Kernel, tmp_path: Path) -> None:
    # A ufw that was disabled leaves its chains.
    kernel.live[4] = OPEN
    kernel.others = "*filter\nCOMMIT\n"
    assert program.main(["apply"]) == 0
    assert json.loads((tmp_path / "before.json").read_text())["iptables"] == kernel.others


@pytest.mark.usefixtures("kernel")
def test_run_without_a_difference_keeps_no_rules(tmp_path: Path) -> None:
    assert program.main(["apply"]) == 0
    assert not (tmp_path / "before.json").exists()


def test_rules_before_a_killed_change_stay_kept_until_a_change_is_complete(kernel: Kernel, tmp_path: Path) -> None:
    kernel.live[4], kernel.others = EMPTY, "*filter\nCOMMIT\n"
    assert program.main(["apply"]) == 0
    kernel.others = "other"
    assert program.main(["apply"]) == 0
    assert json.loads((tmp_path / "before.json").read_text())["iptables"] == "*filter\nCOMMIT\n"
    snapshot.forget()
    assert not (tmp_path / "before.json").exists()


def test_disabled_ufw_is_not_live(kernel: Kernel, capsys: pytest.CaptureFixture[str]) -> None:
    kernel.wanted = {4: "", 6: ""}
    assert program.main(["verify"]) == 1
    assert "ufw is disabled" in capsys.readouterr().err
