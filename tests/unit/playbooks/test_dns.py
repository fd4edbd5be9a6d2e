"""The stage dns, against the sandbox's double in this process: how many processes and calls it needs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.plugins.cloudflare import TOKEN, Double, running
from tools import collection

DOMAIN = "example.test"
TOTALS = re.compile(r"\d+ to add, \d+ to change, \d+ to remove, \d+ as wanted")
RULES = {"http_request_firewall_custom": [{"expression": "true", "action": "block"}]}


@pytest.fixture
def double() -> Iterator[Double]:
    with running() as one:
        yield one


class Platform:
    """A platform of one host, whose DNS is published by a playbook on this machine."""

    def __init__(self, double: Double, folder: Path) -> None:
        self.double, self.folder = double, folder
        local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        groups: dict[str, Any] = {name: {"hosts": {"one": {}}} for name in ("docs", "edge")}
        host = {**local, "public_addresses": ["192.0.2.1"]}
        inventory = {"all": {"hosts": {"one": host}, "children": groups}}
        (folder / "hosts.json").write_text(json.dumps(inventory))

    def run(self, *arguments: str, check: bool = True, **more: Any) -> subprocess.CompletedProcess[str]:
        """Run the stage, by default in check mode."""
        variables = {
            "cloudflare_token": TOKEN,
            "cloudflare_endpoint": self.double.endpoint,
            "domain": DOMAIN,
            "sites": {"docs": {"domain": f"docs.{DOMAIN}", "group": "docs"}},
            "dns_zones": [DOMAIN],
            **more,
        }
        (self.folder / "variables.json").write_text(json.dumps(variables))
        mode = ["--check"] if check else []
        command = ["ansible-playbook", *mode, "-i", "hosts.json", "-e", "@variables.json", *arguments]
        self.double.log.clear()
        return subprocess.run(
            [*command, str(collection.ROOT / "playbooks/dns.yml")],
            cwd=self.folder,
            env={**os.environ, "ANSIBLE_CONFIG": str(collection.ROOT / "ansible.cfg")},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def processes(self) -> int:
        """Return the number of processes that imported the SDK: each looks the zone up once."""
        return len([line for line in self.double.log if re.search(r" GET /zones ", line)])

    def accept(self, settings: dict[str, str]) -> None:
        """Bring the double to the wanted state."""
        records: list[dict[str, Any]] = [
            {"type": "A", "name": f"docs.{DOMAIN}", "content": "192.0.2.1", "comment": f"[vise {DOMAIN}] site docs"}
        ]
        caa = {"flags": 0, "tag": "issue", "value": "letsencrypt.org"}
        iodef = {"flags": 0, "tag": "iodef", "value": f"mailto:hostmaster@{DOMAIN}"}
        records += [
            {"type": "CAA", "name": DOMAIN, "data": data, "comment": f"[vise {DOMAIN}] issuers"}
            for data in (caa, iodef)
        ]
        self.double.zones.batch(DOMAIN, {"posts": records})
        for name, value in settings.items():
            self.double.zones.change_setting(DOMAIN, name, value)


@pytest.fixture
def platform(double: Double, tmp_path: Path) -> Platform:
    return Platform(double, tmp_path)


def test_run_without_a_change_needs_one_process_per_zone(platform: Platform) -> None:
    platform.accept({"ssl": "strict", "min_tls_version": "1.2", "http3": "on", "always_use_https": "on"})
    done = platform.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert TOTALS.findall(done.stdout) == ["0 to add, 0 to change, 0 to remove, 7 as wanted"]
    assert (platform.processes(), platform.double.writes()) == (1, [])
    # The zone, four settings, all records.
    assert len(platform.double.log) == 6


def test_plan_of_the_stage_has_records_settings_and_rules(platform: Platform) -> None:
    done = platform.run("--diff", cloudflare_rules=RULES)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"+ A     docs.{DOMAIN}  192.0.2.1" in done.stdout
    assert "~ setting ssl: full -> strict" in done.stdout
    assert "~ rules of http_request_firewall_custom: 0 -> 1" in done.stdout
    assert f"+docs.{DOMAIN} A 192.0.2.1 ttl=1 ; [vise {DOMAIN}] site docs" in done.stdout
    assert platform.double.records() == []


def test_stage_with_rules_beyond_the_plan_publishes_nothing(platform: Platform) -> None:
    rules = {"http_request_firewall_custom": RULES["http_request_firewall_custom"] * 6}
    done = platform.run(check=False, cloudflare_rules=rules)
    assert done.returncode != 0
    assert "6 rules; the Free plan allows 5" in re.sub(r"\s+", " ", done.stdout)
    assert platform.double.records() == []
    assert platform.double.zones.state[DOMAIN]["settings"]["ssl"] == "full"
