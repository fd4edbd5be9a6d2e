"""Units and scripts that load other rules at boot are found; those that only add rules are not."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from ansible_collections.vise.platform.plugins.module_utils.firewall import loaders
from ansible_collections.vise.platform.plugins.module_utils.host import programs

SHOWN = """\
Id=cron.service
ExecStart={ path=/usr/sbin/cron ; argv[]=/usr/sbin/cron -f ; ignore_errors=no ; start_time=[n/a] }

Id=rules.service
ExecStart={ path=/sbin/iptables-restore ; argv[]=/sbin/iptables-restore /etc/rules ; ignore_errors=no }

Id=nftables.service
ExecStart={ path=/usr/sbin/nft ; argv[]=/usr/sbin/nft -f /etc/nftables.conf ; ignore_errors=no }
"""


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("/usr/sbin/iptables-restore /etc/iptables.rules", True),
        ("/bin/sh -c 'ip6tables-restore < /etc/rules'", True),
        ("/usr/sbin/iptables-legacy-restore /etc/rules", True),
        ("/usr/sbin/iptables-restore --noflush /etc/rules", False),
        ("/usr/sbin/iptables-restore -n /etc/rules", False),
        ("/usr/sbin/nft -f /etc/firewall.nft", True),
        ("/usr/sbin/nft -o --file /etc/firewall.nft", True),
        ("/usr/sbin/nft flush ruleset", True),
        ("/usr/sbin/nft add table inet mine", False),
        ("/sbin/iptables -t nat -F", True),
        ("/sbin/iptables -A INPUT -p tcp -j DROP", False),
        ("/usr/sbin/wg-quick up wg0", False),
    ],
)
def test_command_that_replaces_rules_is_recognized(command: str, expected: bool) -> None:
    assert loaders.loads_rules(command) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("#!/bin/bash\niptables -F\niptables -A INPUT -j DROP\n", True),
        ("#!/bin/sh\n# iptables -F\niptables -A INPUT -j DROP\n", False),
        ("#!/usr/bin/python3\nprint('iptables -F')\n", False),
    ],
)
def test_script_of_a_unit_is_read(tmp_path: Path, text: str, expected: bool) -> None:
    (tmp_path / "firewall").write_text(text)
    assert loaders.loads_rules(f"{tmp_path}/firewall start") is expected


@pytest.mark.parametrize(
    ("is_new", "config", "expected"),
    [
        (True, "flush ruleset\n", ["rules.service: enabled, runs `/sbin/iptables-restore /etc/rules`"]),
        (
            True,
            "flush ruleset\ntable inet mine {}\n",
            [
                "rules.service: enabled, runs `/sbin/iptables-restore /etc/rules`",
                "nftables.service: enabled, loads rules at boot; the role masks it",
            ],
        ),
        (False, "table inet mine {}\n", ["rules.service: enabled, runs `/sbin/iptables-restore /etc/rules`"]),
    ],
)
def test_enabled_units_are_listed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, is_new: bool, config: str, expected: list[str]
) -> None:
    path = tmp_path / "nftables.conf"
    path.write_text(config)
    monkeypatch.setattr(loaders, "NFTABLES", str(path))
    digest = hashlib.md5(b"flush ruleset\n", usedforsecurity=False).hexdigest()
    outputs = {
        "list-unit-files": "cron.service x\nrules.service x\nnftables.service x\ngetty@.service x\n",
        "show": SHOWN,
        "-W": f" {path} {digest}\n",
    }
    monkeypatch.setattr(programs, "run", lambda argv: programs.Result(0, outputs[argv[1]]))
    assert loaders.find(is_new) == (["rules.service"], expected)


def test_lines_of_boot_scripts_are_listed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "interfaces").write_text(
        "auto eth0\n# pre-up iptables-restore < /etc/a\n  pre-up iptables-restore < /etc/b\n"
    )
    monkeypatch.setattr(loaders, "SCRIPTS", ())
    monkeypatch.setattr(loaders, "SCRIPT_GLOBS", (f"{tmp_path}/*",))
    assert loaders.find_script_lines() == [f"{tmp_path}/interfaces:3: pre-up iptables-restore < /etc/b"]
