"""The files that the role writes for PgBouncer."""

from __future__ import annotations

from ansible_collections.vise.platform.plugins.module_utils.pgbouncer.state import read_section

from tools import collection, templates

ROLE = collection.ROOT / "roles/pgbouncer"
CASES = templates.load_cases(ROLE, collection.ROOT)


def rendered(case: str) -> dict[str, str]:
    return dict(templates.render_templates(ROLE, CASES[case]))


def test_databases_have_the_common_server_or_their_own() -> None:
    assert read_section(rendered("every_setting")["pgbouncer.ini.j2"], "databases") == {
        "postgres": "host='db-1.internal' port=5432",
        "edu": "host='db-1.internal' port=5432",
        "edu_ro": "host='db-2.internal' port=5433 dbname='edu' pool_mode='session' pool_size=2 max_db_connections=4",
    }


def test_only_users_with_settings_are_listed() -> None:
    users = read_section(rendered("every_setting")["pgbouncer.ini.j2"], "users")
    assert users == {"jobs": "pool_mode=session max_user_connections=2"}


def test_settings_override_the_role_and_stay_in_its_section() -> None:
    settings = read_section(rendered("every_setting")["pgbouncer.ini.j2"], "pgbouncer")
    expected = {
        "query_wait_timeout": "15",
        "tcp_keepalive": "1",
        "auth_type": "hba",
        "listen_addr": "localhost",
        "logfile": "",
    }
    assert {key: settings[key] for key in expected} == expected


def test_clients_can_reach_only_their_databases() -> None:
    lines = [line for line in rendered("every_setting")["hba.conf.j2"].splitlines() if not line.startswith("#")]
    assert lines == [
        "local pgbouncer postgres peer map=console",
        "host all postgres all reject",
        'hostssl "edu","edu_ro" all 10.0.0.0/8 scram-sha-256',
        "local all all reject",
        "host all all all reject",
    ]


def test_clients_cannot_connect_without_databases() -> None:
    assert "hostssl" not in rendered("defaults")["hba.conf.j2"]


def test_quotes_in_the_password_are_doubled() -> None:
    assert rendered("defaults")["userlist.txt.j2"].splitlines().count('"pgbouncer" "a ""password"" of sixteen"') == 1


def test_limit_of_files_grows_with_the_clients() -> None:
    assert "LimitNOFILE=65536\n" in rendered("defaults")["pgbouncer.service.j2"]
    assert "LimitNOFILE=201024\n" in rendered("many_clients")["pgbouncer.service.j2"]
