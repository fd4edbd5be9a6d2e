"""Helpers of the services: wait, replace the process, Redis, and forward a log.

What only the image has is imported where it is used, so that the rest can be tested elsewhere.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

TLS = Path("/etc/ssl/mail")
LOG_LINES = int(os.environ.get("LOG_LINES") or 9999)


def environment(*names: str) -> tuple[str, ...]:
    """Return values of mailcow.conf; each must exist."""
    return tuple(os.environ[name] for name in names)


def log(line: str) -> None:
    """Write a line to the container's log."""
    print(line, flush=True)


def wait(service: str, is_ready: Callable[[], bool]) -> None:
    """Wait for another service without a limit: its restart must not restart this one."""
    logged = False
    while not is_ready():
        if not logged:
            log(f"Waiting for {service}")
            logged = True
        time.sleep(0.2)


def run(*argv: str, text: str | None = None) -> str:
    """Run a command and return its standard output."""
    done = subprocess.run(argv, input=text, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{argv[0]}: exit {done.returncode}: {done.stderr or done.stdout}")
    return done.stdout


def become(*argv: str) -> NoReturn:
    """Replace this process by a program."""
    os.execvp(argv[0], argv)  # noqa: S606 (that is the point)


def write(path: str, content: str, mode: int = 0o644, owner: str = "root") -> None:
    """Write a file that never has wider permissions than its final ones."""
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    file.touch(mode=mode)
    file.write_text(content)
    run("chown", owner, path)


def hooks(service: str) -> None:
    """Run the hooks in data/hooks/<service>, in the order of their names."""
    for hook in sorted(Path("/hooks").glob("*")):
        if os.access(hook, os.X_OK) and hook.is_file():
            log(f"Running hook {hook} of {service}")
            subprocess.run([str(hook)], check=False)


def database_answers() -> bool:
    """Return whether mailcow's user can log in to MariaDB over the shared socket."""
    import pymysql

    try:
        connect_database().close()
    except pymysql.MySQLError:
        return False
    return True


def connect_database() -> Any:
    """Return a connection as mailcow's user, with one transaction per statement."""
    import pymysql

    user, password, name = environment("DBUSER", "DBPASS", "DBNAME")
    return pymysql.connect(
        unix_socket="/var/run/mysqld/mysqld.sock",
        user=user,
        password=password,
        database=name,
        charset="utf8mb4",
        autocommit=True,
        cursorclass=pymysql.cursors.DictCursor,
    )


def connect_redis(host: str = "redis") -> Any:
    """Return a client; it connects with its first command."""
    import redis

    return redis.Redis(host, password=os.environ.get("REDISPASS") or None, decode_responses=True, socket_timeout=30)


def forward_log(key: str, stop: str, *argv: str) -> NoReturn:
    """Run a daemon and forward its log to the container's log, to Redis for the API, and to netfilter."""
    import redis

    child = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")

    def end(*_signal: Any) -> NoReturn:
        """Stop the daemon and exit: its children can keep the pipe open, and Dovecot waits six seconds for them."""
        subprocess.run(stop.split(), check=False)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(1)
        os._exit(0)

    signal.signal(signal.SIGTERM, end)
    store = connect_redis()
    assert child.stdout is not None
    for line in child.stdout:
        text = line.rstrip()
        log(text)
        try:
            record = {"time": str(int(time.time())), "priority": "info", "program": argv[0], "message": text}
            store.lpush(key, json.dumps(record))
            store.ltrim(key, 0, LOG_LINES)
            store.publish("F2B_CHANNEL", text)
        except redis.RedisError as problem:
            print(f"Redis: {problem}", file=sys.stderr, flush=True)
    sys.exit(child.wait())
