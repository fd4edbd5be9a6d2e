"""Certificates on a host: who can read them, whatever the umask of the caller is."""

from __future__ import annotations

import grp
import os
import stat
from pathlib import Path

import pytest
from ansible_collections.vise.platform.plugins.module_utils.tls import store

GROUP = grp.getgrgid(os.getgid()).gr_name


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077])
def test_readers_can_open_a_certificate_under_any_umask(tmp_path: Path, umask: int) -> None:
    root = tmp_path / "vise/tls"
    # The name of the group "root" means that only root reads the key; the tests may run as root.
    deployed = store.Store("internal", root=str(root), group=GROUP)
    before = os.umask(umask)
    try:
        with store.lock(str(root)):
            version = deployed.stage("key")
            deployed.switch(version, {store.CHAIN: "chain"})
            deployed.mark_live()
    finally:
        os.umask(before)
    places = [tmp_path / "vise", root, root / ".versions", root / ".versions/internal", root / "internal"]
    modes = [stat.S_IMODE(place.stat().st_mode) for place in [*places, root / "internal" / store.CHAIN]]
    assert modes == [0o755] * 5 + [0o644]
    assert stat.S_IMODE((root / "internal" / store.KEY).stat().st_mode) == (0o600 if GROUP == "root" else 0o640)
    assert deployed.key_is_protected()
    assert deployed.is_live()
