"""Maintenance sessions: no setting of a server, database or user ends them."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible_collections.vise.platform.plugins.module_utils.postgresql import session

from tools.collection import ROOT


@pytest.mark.parametrize(("version", "known"), [("", False), ("15", False), ("16", False), ("17", True), ("18", True)])
def test_session_has_no_limit_that_its_server_knows(version: str, known: bool) -> None:
    options = session.build_options(version).removeprefix("-c ").split(" -c ")
    limits = {"statement_timeout", "lock_timeout", "idle_session_timeout", "idle_in_transaction_session_timeout"}
    assert {f"{name}=0" for name in limits} <= set(options)
    assert ("transaction_timeout=0" in options) is known


def test_session_waits_for_no_standby_and_trusts_no_owner() -> None:
    assert "-c synchronous_commit=local -c search_path=pg_catalog,pg_temp" in session.build_options("17")


def test_session_of_the_marker_has_the_same_settings() -> None:
    role = ROOT / "roles/backup_verify"
    variables = yaml.safe_load((role / "vars/main.yml").read_text())
    assert variables["__backup_verify_session"] == session.build_options("")
    assert session.REMOVE_NEWER_LIMITS in (role / "templates/backup-marker.sql.j2").read_text()


def test_further_settings_are_added() -> None:
    assert session.build_environment("17", "jit=off")["PGOPTIONS"].endswith(" -c jit=off")


def test_version_is_read_from_the_data_directory(tmp_path: Path) -> None:
    assert session.read_version(str(tmp_path)) == ""
    (tmp_path / "PG_VERSION").write_text("17\n")
    assert session.read_version(str(tmp_path)) == "17"
