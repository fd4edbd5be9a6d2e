"""The unit of a cluster."""

from __future__ import annotations

from tools import collection, templates

ROLE = collection.ROOT / "roles/postgresql"
CASES = templates.load_cases(ROLE, collection.ROOT)


def test_only_a_server_with_peers_queries_them_repeatedly() -> None:
    drop_ins = [
        dict(templates.render_templates(ROLE, CASES[case]))["postgresql.service.conf.j2"]
        for case in ("described", "defaults")
    ]
    assert ["yield" in text for text in drop_ins] == [True, False]
    assert all("ExecStartPre=+/usr/local/sbin/vise-postgresql-17 guard\n" in text for text in drop_ins)
