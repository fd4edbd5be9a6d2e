"""The web pages' first administrator, asked on the host: administrator.py ship | check PASSWORD."""

from __future__ import annotations

import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

SHIPPED = "{SSHA256}K8eVJ6YsZbQCfuJvSUbaQRLr0HPLz5rC9IAp0PAFl0tmNDBkMDc0NDAyOTAxN2Rk"
EVERYBODYS = "moohoo"


def gets_in(password: str) -> bool:
    """Whether the form of the pages leads on."""
    form = urllib.parse.urlencode({"login_user": "admin", "pass_user": password}).encode()

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_: object) -> None:
            """Where it leads is enough."""

    try:
        urllib.request.build_opener(Stay).open("http://127.0.0.1:8080/admin", form, timeout=20)
    except urllib.error.HTTPError as error:
        return error.code == 302 and error.headers["Location"] == "/admin/dashboard"
    return False


def ship() -> None:
    """Give the administrator the password that mailcow ships, as an older backup may hold it."""
    lines = Path("/opt/mailcow-dockerized/mailcow.conf").read_text().splitlines()
    conf = dict(line.split("=", 1) for line in lines if "=" in line)
    mariadb = ["docker", "exec", "-i", "--env", "MYSQL_PWD", "mailcowdockerized-mysql-mailcow-1", "mariadb", "-uroot"]
    statement = f"UPDATE admin SET password = '{SHIPPED}' WHERE username = 'admin'"  # noqa: S608 (words are ours)
    subprocess.run(
        [*mariadb, conf["DBNAME"]], input=statement, text=True, check=True, env={"MYSQL_PWD": conf["DBROOT"]}
    )


if sys.argv[1] == "ship":
    ship()
    sys.exit(None if gets_in(EVERYBODYS) else "the administrator has not what everybody knows")
said = [name for name in (EVERYBODYS, sys.argv[2]) if gets_in(name)]
sys.exit(
    None
    if said == [sys.argv[2]]
    else f"the administrator gets in by {len(said)} passwords, not by the described one alone"
)
