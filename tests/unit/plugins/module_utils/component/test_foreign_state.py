"""What was on a host before the platform is listed, and nothing that packages ship or that is the platform's own."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from ansible_collections.vise.platform.plugins.module_utils.component import foreign_state, host, origins
from ansible_collections.vise.platform.plugins.module_utils.component.foreign_state import Found

SHIPPED = "shipped by the package"
SS = """\
LISTEN 0 511 0.0.0.0:80 0.0.0.0:* users:(("apache2",pid=1,fd=4),("apache2",pid=2,fd=4))
LISTEN 0 511 [::]:443 [::]:* users:(("nginx",pid=3,fd=6))
LISTEN 0 20 127.0.0.1:25 0.0.0.0:* users:(("exim4",pid=4,fd=4))
"""


@pytest.fixture(autouse=True)
def _programs(monkeypatch: pytest.MonkeyPatch) -> None:
    digest = hashlib.md5(SHIPPED.encode(), usedforsecurity=False).hexdigest()
    names = ("nginx/nginx.conf", "nginx/sites-available/default", "redis/redis.conf")
    outputs = {
        "dpkg-query": "\n".join(f" /etc/{name} {digest}" for name in names),
        "ss": SS,
        "docker": "shop-db\nshop-web\n",
    }
    for module in (foreign_state, origins):
        monkeypatch.setattr(module, "run", lambda *argv: outputs[argv[0]])
    monkeypatch.setattr(origins, "UCF", "/nonexistent")


def write(root: Path, path: str, text: str = SHIPPED) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def find(root: Path, *names: str) -> dict[str, list[str]]:
    found = foreign_state.find_foreign_state(names, ["root", "alice"], str(root))
    return {name: one.lines for name, one in found.items()}


def test_new_host_with_the_files_of_its_packages_has_nothing(tmp_path: Path) -> None:
    write(tmp_path, "etc/nginx/nginx.conf")
    write(tmp_path, "etc/nginx/sites-available/default")
    (tmp_path / "etc/nginx/sites-enabled").mkdir()
    (tmp_path / "etc/nginx/sites-enabled/default").symlink_to("../sites-available/default")
    write(tmp_path, "etc/redis/redis.conf")
    write(tmp_path, "var/lib/postgresql/17/main/PG_VERSION", "17")
    write(tmp_path, "var/lib/postgresql/17/main/base/5/1")
    write(tmp_path, "etc/postgresql/17/main/pg_hba.conf")
    assert find(tmp_path, "redis", "postgresql", "pgbouncer", "pgbackrest", "admin_users", "ssh") == {}
    assert find(tmp_path, "nginx") == {"nginx": ["port 80 is used by apache2"]}


def test_component_that_was_applied_finds_its_own(tmp_path: Path) -> None:
    write(tmp_path, "etc/nginx/nginx.conf", "managed")
    write(tmp_path, "var/lib/vise/components/nginx/manifest.json")
    write(tmp_path, "var/lib/postgresql/17/main/PG_VERSION")
    write(tmp_path, "var/lib/postgresql/17/main/base/16385/1")
    write(tmp_path, "var/lib/vise/components/postgresql-17/manifest.json")
    assert find(tmp_path, "nginx", "postgresql") == {}


def test_file_of_another_component_is_not_foreign(tmp_path: Path) -> None:
    write(tmp_path, "etc/nginx/conf.d/mail.conf", "managed")
    write(tmp_path, "var/lib/vise/components/mailcow/manifest.json", '{"paths": ["/etc/nginx/conf.d/mail.conf"]}')
    assert find(tmp_path, "nginx")["nginx"] == ["port 80 is used by apache2"]


def test_files_of_an_administrator_are_listed(tmp_path: Path) -> None:
    write(tmp_path, "etc/nginx/nginx.conf", "changed")
    write(tmp_path, "etc/nginx/sites-enabled/shop", "server {}")
    (tmp_path / "etc/nginx/sites-enabled/broken").symlink_to("../gone")
    write(tmp_path, "etc/ssh/authorized_keys.d/bob", "a key")
    found = find(tmp_path, "nginx", "admin_users")
    names = [line.partition(" ")[0] for line in found["nginx"]]
    assert names == [
        "/etc/nginx/nginx.conf",
        "/etc/nginx/sites-enabled/broken",
        "/etc/nginx/sites-enabled/shop",
        "port",
    ]
    assert found["admin_users"] == ["/etc/ssh/authorized_keys.d/bob would be replaced or removed"]


def test_data_are_listed_with_the_way_to_keep_them(tmp_path: Path) -> None:
    write(tmp_path, "var/lib/postgresql/15/main/PG_VERSION")
    write(tmp_path, "var/lib/postgresql/15/main/base/16385/1")
    write(tmp_path, "etc/postgresql/15/main/pg_hba.conf")
    write(tmp_path, "var/lib/redis/dump.rdb")
    found = find(tmp_path, "postgresql", "redis")
    assert found["postgresql"][0] == "/etc/postgresql/15/main/pg_hba.conf would be replaced or removed"
    assert found["postgresql"][1].startswith("/var/lib/postgresql/15/main has data (save it with `pg_dumpall`")
    assert found["redis"][0].startswith("/var/lib/redis/dump.rdb has data (save it with `redis-cli --rdb FILE`")


def test_data_of_a_standby_are_copies_of_those_of_its_primary(tmp_path: Path) -> None:
    write(tmp_path, "var/lib/postgresql/17/main/PG_VERSION")
    write(tmp_path, "var/lib/postgresql/17/main/base/16385/1")
    write(tmp_path, "var/lib/postgresql/17/main/standby.signal", "")
    assert find(tmp_path, "postgresql") == {}


def test_containers_ports_and_logins_are_listed(tmp_path: Path) -> None:
    write(
        tmp_path,
        "etc/passwd",
        "root:x:0:0::/root:/bin/sh\nbob:x:1:1::/home/bob:/bin/sh\nalice:x:2:2::/home/alice:/bin/sh\n",
    )
    for home in ("root", "home/bob", "home/alice"):
        write(tmp_path, f"{home}/.ssh/authorized_keys", "a key")
    assert find(tmp_path, "docker", "mailcow", "ssh") == {
        "docker": [
            "container shop-db would be restarted with the new daemon.json",
            "container shop-web would be restarted with the new daemon.json",
        ],
        "mailcow": ["port 25 is used by exim4"],
        "ssh": ["account bob could not log in: sshd would not read its ~/.ssh/authorized_keys"],
    }


def test_accounts_of_others_that_would_lose_something_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    same = {"uid": 1000, "group": "ada", "home": "/home/ada", "shell": "/bin/bash", "groups": ["admins"]}
    users = [{"name": name, "groups": ["admins"], "shell": "/bin/bash", "uid": None} for name in ("ada", "bob", "new")]
    bob = {**same, "groups": ["admins", "docker", "www-data"], "shell": "/bin/zsh"}
    # The shell that useradd chooses is not a choice of others.
    monkeypatch.setattr(host, "read_users", lambda: {"ada": {**same, "shell": "/bin/sh"}, "bob": bob})
    found = foreign_state.find_foreign_state(["admin_users", "ssh"], [], str(tmp_path), users)
    expected = "account bob exists and would lose groups docker, www-data and shell /bin/zsh"
    assert found == {"admin_users": Found([expected], [])}
    write(tmp_path, "var/lib/vise/components/admin_users/manifest.json", "{}")
    assert foreign_state.find_foreign_state(["admin_users"], [], str(tmp_path), users) == {}


def test_refusal_names_the_explicit_word() -> None:
    (line,) = foreign_state.describe_foreign_state({"nginx": Found(["a", "b"], ["a"])})
    assert line == (
        "nginx: this host was in use before, and the run would change it: a, b; move it, or write "
        "`preflight_take_over: [nginx]`; then the run first copies the files to /var/lib/vise/taken-over/nginx"
    )
