# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Connect from the controller to ports of a host, before and after a change that could close them.

Only a port that answered before is compared. Networks block ports, for example port 25, so a port that this controller
never reached proves nothing.
"""

from __future__ import annotations

import concurrent.futures
import errno
import socket
import time
import typing as t

# A program accepts, only the kernel answers (nothing listens), or nothing answers.
ACCEPTED, REFUSED, SILENT = 2, 1, 0
TIMEOUT = 1.5  # seconds for one connection
# A program that the change has restarted listens again after a moment.
ATTEMPTS, PAUSE = 4, 1  # times, seconds
MOST_PORTS = 64

Answers = t.Mapping[int, int]


def probe(address: str, ports: t.Sequence[int]) -> dict[int, int]:
    """Return the answer of each port, all at once."""
    chosen = list(dict.fromkeys(ports))[:MOST_PORTS]
    if not (address and chosen):
        return {}
    with concurrent.futures.ThreadPoolExecutor(len(chosen)) as pool:
        return dict(zip(chosen, pool.map(lambda port: _connect(address, port), chosen), strict=True))


def _connect(address: str, port: int) -> int:
    try:
        with socket.create_connection((address, port), TIMEOUT):
            return ACCEPTED
    except OSError as error:
        return REFUSED if error.errno == errno.ECONNREFUSED else SILENT


def find_lost(address: str, before: Answers) -> list[int]:
    """Return the ports that answered before and do not answer as before, after some attempts."""
    lost = [port for port, answer in before.items() if answer != SILENT]
    for attempt in range(ATTEMPTS):
        if not lost:
            break
        if attempt:
            time.sleep(PAUSE)
        after = probe(address, lost)
        lost = [port for port in lost if after[port] < before[port]]
    return lost
