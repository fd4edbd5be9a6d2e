"""Tracked files: what the role writes beside them, what others write into them, and an upgrade with their changes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from ansible_collections.vise.platform.plugins.module_utils.mailcow_host import (
    changes,
    checkout,
    repository,
    settings,
    stack,
)

from tests.contract.trees import RELEASE, ROLE, Tree

# Files that mailcow's web interface writes.
WRITTEN = (
    "data/conf/rspamd/custom/global_rcpt_blacklist.map",
    "data/conf/rspamd/custom/global_smtp_from_whitelist.map",
    "data/conf/dovecot/global_sieve_before",
    "data/conf/dovecot/global_sieve_after",
)
# Files that administrators change, with a place at which releases change nothing.
EDITED = ("data/conf/sogo/sogo.conf", "data/conf/unbound/unbound.conf")
ADDED = ("data/conf/postfix/extra.cf", "data/hooks/postfix/own.sh", "data/web/inc/vars.local.inc.php")


@pytest.fixture
def host(tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> settings.Settings:
    """Return a host on which the release before that of the role is checked out."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    config = settings.Settings(tmp_path, f"file://{tree.repository}", RELEASE, "", "", 8080, 1)
    before = tree.releases[tree.releases.index(RELEASE) - 1]
    checkout.switch(config, repository.fetch(config, before))
    return config


def test_files_of_the_role_are_not_tracked(tree: Tree) -> None:
    of_program = [stack.PLACEHOLDER, stack.DHPARAMS.format("ssl"), "data/assets/ssl/cert.pem"]
    assert set(tree.files) & {*changes.OWN, *of_program} == set()
    assert not [name for name in tree.files if name.startswith("data/assets/ssl/") and not name.endswith(".gitkeep")]


def test_files_of_the_role_are_ignored(tree: Tree) -> None:
    assert {name for name in changes.OWN if name in tree.read(".gitignore").splitlines()} == set(changes.OWN)


def test_compose_reads_the_configuration_of_the_role(tree: Tree) -> None:
    assert tree.read(".env") == "mailcow.conf"


@pytest.mark.parametrize("name", [*WRITTEN, *EDITED, *changes.GENERATED_AFTER, *changes.GENERATED_LINES])
def test_file_that_others_write_is_tracked(tree: Tree, name: str) -> None:
    assert name in tree.files


@pytest.mark.parametrize("name", ADDED)
def test_file_that_administrators_add_is_not_tracked(tree: Tree, name: str) -> None:
    assert name not in tree.files


def test_part_that_a_container_writes_is_found(tree: Tree) -> None:
    for name, pattern in changes.GENERATED_AFTER.items():
        text = tree.read(name).encode()
        # The container removes all lines after the mark, so that the release has none
        assert changes.cut_after(text, pattern) == text
        assert pattern.search(text)
    for name, pattern in changes.GENERATED_LINES.items():
        assert len([line for line in tree.read(name).encode().splitlines() if pattern.match(line)]) == 2


def test_installation_has_no_changes(host: settings.Settings) -> None:
    assert changes.find_changes(host) == []


def test_upgrade_keeps_each_change(host: settings.Settings) -> None:
    for name in WRITTEN:
        (host.directory / name).write_text("# of the web interface\n")
    for name in EDITED:
        with (host.directory / name).open("a") as file:
            file.write("\n# of the administrator\n")
    for name in ADDED:
        (host.directory / name).write_text("of the administrator\n")
    with (host.directory / "data/conf/postfix/main.cf").open("a") as file:
        file.write("\n# User Overrides\nmyhostname = mail.example.org\n")
    checkout.switch(host, repository.fetch(host, RELEASE))
    assert repository.release(host) == RELEASE
    assert {change.path for change in changes.find_changes(host)} == {*WRITTEN, *EDITED}
    assert [(host.directory / name).read_text() for name in ADDED] == ["of the administrator\n"] * len(ADDED)
    assert all((host.directory / name).read_text().endswith("# of the administrator\n") for name in EDITED)


def test_ports_that_mailcow_uses_itself_are_refused_by_the_role(tree: Tree) -> None:
    (reserved,) = (
        value
        for name, value in yaml.safe_load((ROLE / "vars/main.yml").read_text()).items()
        if name == "__mailcow_reserved_ports"
    )
    assert reserved == sorted({int(port) for port in re.findall(r"listen (?:127\.0\.0\.1:)?(\d+)", tree.nginx)})
