"""A host with Redis' files below a temporary directory, and a stand-in for the library."""

from __future__ import annotations

import getpass
import grp
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .stand_ins import Server, install

if TYPE_CHECKING:
    from ansible_collections.vise.platform.plugins.module_utils.redis.settings import Settings

CONFIG = """tls-port 6379
tls-cert-file /tls/chain.pem
tls-key-file /tls/key.pem
tls-ca-cert-file /tls/ca.pem
aclfile {run}/users.acl
"""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    """The server that the library connects to."""
    return install(monkeypatch)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """The settings of a host whose Redis runs as the user of the test."""
    # Here, because pytest may import this file before the collection can be imported.
    from ansible_collections.vise.platform.plugins.module_utils.redis.settings import Settings

    for name in ("data", "run"):
        (tmp_path / name).mkdir()
    (tmp_path / "redis.conf").write_text(CONFIG.format(run=tmp_path / "run"))
    (tmp_path / "users.acl").write_text("# head\nuser default off\n\nuser edu on #0 ~edu:*\n")
    return Settings(
        memory="25%",
        config=str(tmp_path / "redis.conf"),
        users=str(tmp_path / "users.acl"),
        run=str(tmp_path / "run"),
        data=str(tmp_path / "data"),
        socket=str(tmp_path / "redis.sock"),
        account=getpass.getuser(),
        key_readers=grp.getgrgid(os.getegid()).gr_name,
    )
