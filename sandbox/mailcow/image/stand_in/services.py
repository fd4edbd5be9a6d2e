"""The services: each writes the configuration of its program from mailcow.conf, and runs it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from stand_in import docker_api, kit, lookups, netfilter

NETWORK4 = os.environ.get("IPV4_NETWORK", "172.22.1")


def mysql() -> NoReturn:
    """MariaDB; names and passwords of mailcow.conf apply only at the first start, as in the real image."""
    root, database, user, password = kit.environment(
        "MYSQL_ROOT_PASSWORD", "MYSQL_DATABASE", "MYSQL_USER", "MYSQL_PASSWORD"
    )
    data = Path("/var/lib/mysql")
    kit.run("chown", "mysql:mysql", str(data), "/var/run/mysqld")
    if not (data / "mysql").exists():
        kit.run("mariadb-install-db", "--user=mysql", "--skip-test-db", "--auth-root-authentication-method=normal")
        accounts = [("root", "localhost", root), ("root", "%", root), (user, "%", password)]
        statements = [
            "FLUSH PRIVILEGES",
            f"CREATE DATABASE `{database}` CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci",
            *(f"CREATE OR REPLACE USER '{name}'@'{host}' IDENTIFIED BY '{word}'" for name, host, word in accounts),
            "GRANT ALL ON *.* TO 'root'@'localhost' WITH GRANT OPTION",
            "GRANT ALL ON *.* TO 'root'@'%' WITH GRANT OPTION",
            f"GRANT ALL ON `{database}`.* TO '{user}'@'%'",
        ]
        kit.run("mariadbd", "--user=mysql", "--bootstrap", text=";\n".join([*statements, ""]))
    kit.become("mariadbd", "--user=mysql")


def redis() -> NoReturn:
    """Redis: settings of the API, DKIM keys, bans."""
    lines = ["bind * -::*", "protected-mode no", "dir /data", "maxmemory-policy noeviction"]
    kit.write("/run/redis.conf", "\n".join([*lines, f"requirepass {os.environ['REDISPASS']}", ""]), 0o600, "redis")
    kit.run("chown", "-R", "redis:redis", "/data")
    kit.become("setpriv", "--reuid=redis", "--regid=redis", "--clear-groups", "redis-server", "/run/redis.conf")


def postfix() -> NoReturn:
    """Postfix: the repository's main.cf and master.cf, lookups in MariaDB, and the administrator's additions."""
    kit.wait("MariaDB", kit.database_answers)
    kit.wait("a certificate", (kit.TLS / "key.pem").exists)
    kit.hooks("postfix")
    conf = Path("/opt/postfix/conf")
    user, password, database = kit.environment("DBUSER", "DBPASS", "DBNAME")
    head = f"user = {user}\npassword = {password}\nhosts = unix:/var/run/mysqld/mysqld.sock\ndbname = {database}\n"
    for name, query in lookups.POSTFIX.items():
        kit.write(str(conf / "sql" / f"mysql_{name}.cf"), f"{head}query = {query}\n", 0o640, "root:postfix")
    kit.write("/etc/postfix/main.cf", override(conf, os.environ["MAILCOW_HOSTNAME"]))
    kit.write("/etc/postfix/master.cf", (conf / "master.cf").read_text())
    kit.write("/etc/aliases", "null: /dev/null\nham: /dev/null\nspam: /dev/null\nwatchdog: /dev/null\n")
    kit.run("newaliases")
    kit.forward_log("POSTFIX_MAILLOG", "postfix stop", "postfix", "start-fg")


def override(conf: Path, host: str) -> str:
    """Write the overrides into the tracked main.cf, as the real container does at each start; return the file."""
    main, extra = conf / "main.cf", conf / "extra.cf"
    lines = extra.read_text().splitlines() if extra.exists() else []
    kept = [line for line in lines if "myhostname" not in line or "$myhostname" in line]
    extra.write_text("\n".join([f"myhostname = {host}", *kept, ""]))
    text = main.read_text()
    end = text.index("\n", text.index("Overrides")) + 1
    main.write_text(f"{text[:end]}\n# User Overrides\n{extra.read_text()}")
    return main.read_text()


def dovecot() -> NoReturn:
    """Dovecot: the repository's dovecot.conf, accounts in MariaDB, and the administrator's additions."""
    kit.wait("MariaDB", kit.database_answers)
    kit.wait("a certificate", (kit.TLS / "key.pem").exists)
    kit.hooks("dovecot")
    kit.write("/etc/dovecot/sql/accounts.conf", lookups.dovecot(*kit.environment("DBUSER", "DBPASS", "DBNAME")), 0o600)
    for folder in ("/var/vmail", "/var/vmail_index", "/var/vmail/sieve"):
        Path(folder).mkdir(exist_ok=True)
        kit.run("chown", "vmail:vmail", folder)
    kit.forward_log("DOVECOT_MAILLOG", "doveadm stop", "dovecot", "-F")


def rspamd() -> NoReturn:
    """Rspamd: the repository's local.d, with the keys in Redis."""
    kit.hooks("rspamd")
    password = os.environ["REDISPASS"]
    kit.write(
        "/etc/rspamd/local.d/redis.conf", f'servers = "redis:6379";\npassword = "{password}";\n', 0o640, "root:_rspamd"
    )
    kit.run("chown", "-R", "_rspamd:_rspamd", "/var/lib/rspamd")
    # The web interface, user 82, writes these maps
    kit.run("chown", "-R", "82:82", "/etc/rspamd/custom")
    kit.become("rspamd", "-f", "-u", "_rspamd", "-g", "_rspamd")


def php_fpm() -> None:
    """The stand-in of the API, behind nginx."""
    from stand_in.api import server

    kit.wait("MariaDB", kit.database_answers)
    kit.wait("Redis", lambda: _answers(kit.connect_redis().ping))
    kit.hooks("phpfpm")
    server.serve()


def _answers(ask: Callable[[], object]) -> bool:
    import redis as client

    try:
        return bool(ask())
    except client.RedisError:
        return False


NGINX = """
user www-data;
worker_processes 1;
pid /run/nginx.pid;
error_log /dev/stderr;
events {{ worker_connections 256; }}
http {{
  access_log /dev/stdout;
  server_tokens off;
  client_max_body_size 64m;
  resolver 127.0.0.11 valid=5s;
  # Private networks can set the address of the client.
  set_real_ip_from 10.0.0.0/8;
  set_real_ip_from 172.16.0.0/12;
  set_real_ip_from 192.168.0.0/16;
  set_real_ip_from fc00::/7;
  {proxies}
  real_ip_header X-Forwarded-For;
  real_ip_recursive on;
  # The real one serves maps, exports and logins of other containers at these ports.
  server {{
    listen 8081;
    listen 9081;
    listen 9082;
    listen 127.0.0.1:65510;
    return 404;
  }}
  server {{
    listen {http};
    {listen6}
    {redirect}
    include /etc/nginx/api.conf;
  }}
  server {{
    listen {https} ssl;
    {listen6_tls}
    ssl_certificate /etc/ssl/mail/cert.pem;
    ssl_certificate_key /etc/ssl/mail/key.pem;
    include /etc/nginx/api.conf;
  }}
}}
"""
API = """
location / {
  # A variable, so that nginx resolves the name again when the other container has a new address.
  set $api phpfpm;
  proxy_pass http://$api:9000;
  proxy_set_header X-Real-IP $remote_addr;
  proxy_set_header Host $http_host;
}
"""


def nginx() -> NoReturn:
    """The front of the API: ports, TLS, and the client's address."""
    kit.wait("a certificate", (kit.TLS / "key.pem").exists)
    http, https = (os.environ.get(name) or default for name, default in (("HTTP_PORT", "80"), ("HTTPS_PORT", "443")))
    proxies = [proxy.strip() for proxy in os.environ.get("TRUSTED_PROXIES", "").split(",") if proxy.strip()]
    six = os.environ.get("ENABLE_IPV6", "true") == "true"
    redirects = os.environ.get("HTTP_REDIRECT", "n").lower() in ("y", "yes")
    settings = {
        "http": http,
        "https": https,
        "proxies": " ".join(f"set_real_ip_from {proxy};" for proxy in proxies),
        "listen6": f"listen [::]:{http};" if six else "",
        "listen6_tls": f"listen [::]:{https} ssl;" if six else "",
        "redirect": "if ($http_x_forwarded_proto != https) { return 301 https://$host$request_uri; }"
        if redirects
        else "",
    }
    kit.write("/etc/nginx/nginx.conf", NGINX.format(**settings))
    kit.write("/etc/nginx/api.conf", API)
    kit.become("nginx", "-g", "daemon off;")


def acme() -> NoReturn:
    """Create a self-signed certificate if there is none, as the real image does."""
    if not Path("/var/lib/acme/key.pem").exists():
        host = os.environ["MAILCOW_HOSTNAME"]
        key = kit.run("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
        argv = ("openssl", "req", "-x509", "-key", "/dev/stdin", "-subj", f"/CN={host}", "-days", "365")
        kit.write("/var/lib/acme/cert.pem", kit.run(*argv, text=key))
        kit.write("/var/lib/acme/key.pem", key, 0o600)
    idle()


def idle() -> NoReturn:
    """A service of the real mailcow that the sandbox does not use: it runs and does nothing."""
    kit.log("Nothing to do in the sandbox")
    while True:
        signal.pause()


def watchdog() -> None:
    """Log the services that do not answer; restart none."""
    ports = {"postfix": 25, "dovecot": 143, "redis": 6379, "nginx": int(os.environ.get("HTTPS_PORT") or 443)}
    while True:
        kit.log(" ".join(f"{name}={'up' if netfilter.answers(name, port) else 'DOWN'}" for name, port in ports.items()))
        time.sleep(30)


SERVICES: dict[str, Callable[[], None]] = {
    "mysql": mysql,
    "redis": redis,
    "postfix": postfix,
    "dovecot": dovecot,
    "rspamd": rspamd,
    "php-fpm": php_fpm,
    "nginx": nginx,
    "netfilter": netfilter.main,
    "docker-api": docker_api.main,
    "watchdog": watchdog,
    "acme": acme,
    "idle": idle,
}
