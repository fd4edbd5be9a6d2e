from __future__ import annotations

from pathlib import Path

from lab import services

from tools import world_services

ROOT = Path(__file__).resolve().parents[3]
SOURCE = '"""Something outside.\n\nnames: a.vln.test b.example\naddress: 7\nports: 443\nfaults: slow 500\n"""\n'


def test_row_has_names_addresses_and_faults() -> None:
    assert world_services.row(services.read("thing", SOURCE)) == (
        "`thing`",
        "Something outside.",
        "`a.vln.test` `b.example`",
        "172.30.0.7, fd30::7",
        "`outage` `slow` `500`",
    )


def test_service_without_ports_has_no_outage() -> None:
    assert world_services.row(services.read("thing", '"""Something."""\n'))[-1] == ""


def test_manual_lists_every_service_of_world() -> None:
    page = ROOT / "docs/sandbox.md"
    text = page.read_text(encoding="utf-8")
    assert text == world_services.documents(ROOT)[page], "docs/sandbox.md is out of date; run `make docs-tables`"
    assert all(f"| `{path.stem}` |" in text for path in ROOT.glob("sandbox/world/services/*.py"))
