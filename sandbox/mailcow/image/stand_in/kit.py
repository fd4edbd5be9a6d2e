"""What the services share: waiting, becoming a program, Redis, and passing a log on.

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
    """Values of mailcow.conf, which all have to be there."""
    return tuple(os.environ[name] for name in names)


def say(line: str) -> None:
    """A line of the container's log."""
    print(line, flush=True)


def wait(what: str, test: Callable[[], bool]) -> None:
    """Wait for another service, as long as it takes: its restart is not this one's."""
    said = False
    while not test():
        if not said:
            say(f"Waiting for {what}")
            said = True
        time.sleep(0.2)


def run(*argv: str, text: str | None = None) -> str:
    """Run a command; its standard output."""
    done = subprocess.run(argv, input=text, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{argv[0]}: exit {done.returncode}: {done.stderr or done.stdout}")
    return done.stdout


def become(*argv: str) -> NoReturn:
    """Turn into a program."""
    os.execvp(argv[0], argv)  # noqa: S606 (that is the point)


def write(path: str, content: str, mode: int = 0o644, owner: str = "root") -> None:
    """A file that never was readable for more people than it is to be."""
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    file.touch(mode=mode)
    file.write_text(content)
    run("chown", owner, path)


def hooks(service: str) -> None:
    """What somebody put into data/hooks/<service>, in the order of names."""
    for hook in sorted(Path("/hooks").glob("*")):
        if os.access(hook, os.X_OK) and hook.is_file():
            say(f"Running hook {hook} of {service}")
            subprocess.run([str(hook)], check=False)


def database_answers() -> bool:
    """Whether MariaDB lets mailcow's user in over the socket that the containers share."""
    import pymysql

    try:
        connect_database().close()
    except pymysql.MySQLError:
        return False
    return True


def connect_database() -> Any:
    """A connection as mailcow's user, each statement a transaction of its own."""
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
    """A client; it connects when it is first asked something."""
    import redis

    return redis.Redis(host, password=os.environ.get("REDISPASS") or None, decode_responses=True, socket_timeout=30)


def pass_on(key: str, stop: str, *argv: str) -> NoReturn:
    """Run a daemon; what it logs goes to the container's log, to Redis for the API and to whoever counts failures."""
    import redis

    child = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")

    def end(*_signal: Any) -> NoReturn:
        """Its children may hold the pipe for longer than it lives, and Dovecot waits six seconds for its own."""
        subprocess.run(stop.split(), check=False)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(1)
        os._exit(0)

    signal.signal(signal.SIGTERM, end)
    store = connect_redis()
    assert child.stdout is not None
    for line in child.stdout:
        text = line.rstrip()
        say(text)
        try:
            record = {"time": str(int(time.time())), "priority": "info", "program": argv[0], "message": text}
            store.lpush(key, json.dumps(record))
            store.ltrim(key, 0, LOG_LINES)
            store.publish("F2B_CHANNEL", text)
        except redis.RedisError as problem:
            print(f"Redis: {problem}", file=sys.stderr, flush=True)
    sys.exit(child.wait())
