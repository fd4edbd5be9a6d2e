"""Write ids to a table from several processes, and note each one once the server has acknowledged its commit.

Usage: writers.py CONNINFO LOG COUNT [PAUSE]      PAUSE: seconds between two rows of a process
"""

from __future__ import annotations

import multiprocessing
import signal
import sys
import time
from pathlib import Path

import psycopg2


def write(conninfo: str, log: str, writer: int, pause: float) -> None:
    """Write until somebody ends it; a lost connection is made again."""
    number = 0
    with Path(log).open("a", encoding="ascii", buffering=1) as acknowledged:
        while True:
            try:
                connection = psycopg2.connect(conninfo)
                while True:
                    number += 1
                    with connection, connection.cursor() as cursor:
                        cursor.execute("INSERT INTO written VALUES (%s, %s)", (writer, number))
                    acknowledged.write(f"{writer} {number}\n")
                    time.sleep(pause)
            except psycopg2.Error:
                time.sleep(0.05)


if __name__ == "__main__":
    address, log, count, *pause = sys.argv[1:]
    wait = float(pause[0]) if pause else 0.0
    workers = [multiprocessing.Process(target=write, args=(address, f"{log}.{n}", n, wait)) for n in range(int(count))]
    for worker in workers:
        worker.start()
    signal.sigwait([signal.SIGTERM])
    for worker in workers:
        worker.terminate()
