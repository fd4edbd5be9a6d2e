# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Query ports and sites of a host from the controller, before and after a change that could close them.

Only what answered before is compared. Networks block ports, for example port 25, so a port that this controller never
reached proves nothing. The probes connect directly: no proxy of the environment is used.
"""

from __future__ import annotations

import concurrent.futures
import errno
import re
import socket
import ssl
import time
import typing as t

# What a target answers, from nothing to the best answer. TLS is a handshake without an answer by HTTP. For a port that
# is not a site, GREETING is the first line of its protocol, or a handshake.
SILENT, REFUSED, ACCEPTED, TLS, SERVER_ERROR, CLIENT_ERROR, ANSWERED = range(7)
GREETING = ANSWERED
TEXTS = {SILENT: "no answer", REFUSED: "connection refused", ACCEPTED: "connection accepted", TLS: "TLS without HTTP"}
TIMEOUT = 1.5  # seconds for one connection or answer
# A program that the change has restarted listens again after a moment.
ATTEMPTS, PAUSE = 4, 1  # times, seconds
THREADS = 32
STATUS = re.compile(rb"HTTP/\d\.\d (\d{3})\b")
# The limit of requests is reached, but the site works.
TOO_MANY_REQUESTS = 429
LONGEST_GREETING = 200


class Target(t.NamedTuple):
    """A TCP port of a host, or a site at this port.

    Attributes:
        kind: `port` accepts connections, `greeting` sends a line, `tls` completes a handshake, `site` answers by HTTPS,
            `locked` is a site that refuses this controller by its description, so that only its handshake counts.
        name: domain of a site.
    """

    port: int
    kind: str = "port"
    name: str = ""

    @property
    def is_site(self) -> bool:
        """Whether the target is a site."""
        return bool(self.name)

    def __str__(self) -> str:
        return f"https://{self.name} at port {self.port}" if self.is_site else f"port {self.port}"


class Answer(t.NamedTuple):
    """What a target answers: its rank, and a text for the operator."""

    rank: int
    text: str


Answers = t.Mapping[Target, Answer]


def list_targets(confirm: t.Mapping[str, t.Any]) -> list[Target]:
    """Return the targets of a component's option `confirm`, each once."""
    sites = [
        Target(site["port"], "locked" if site["locked"] else "site", site["domain"].replace("*", "any", 1))
        for site in confirm.get("sites") or ()
    ]
    return list(dict.fromkeys([*map(Target, confirm.get("open_ports") or ()), *sites]))


def probe(address: str, targets: t.Collection[Target]) -> dict[Target, Answer]:
    """Return the answer of each target, all at once."""
    if not (address and targets):
        return {}
    ports = list(dict.fromkeys(target.port for target in targets))
    with concurrent.futures.ThreadPoolExecutor(min(THREADS, len(targets))) as pool:
        # First the ports, so that the sites of a port that does not answer cost nothing.
        found = dict(zip(ports, pool.map(lambda port: _connect(address, port), ports), strict=True))
        return dict(zip(targets, pool.map(lambda one: _query(address, one, found[one.port]), targets), strict=True))


def find_lost(address: str, before: Answers) -> dict[Target, Answer]:
    """Return the targets that do not answer as well as before, after some attempts, with their present answers."""
    lost = {target: answer for target, answer in before.items() if answered(target, answer)}
    for attempt in range(ATTEMPTS):
        if not lost:
            break
        if attempt:
            time.sleep(PAUSE)
        after = probe(address, lost)
        lost = {target: after[target] for target in lost if after[target].rank < before[target].rank}
    return lost


def answered(target: Target, answer: Answer) -> bool:
    """Return whether an answer proves that this controller reaches the target."""
    if target.is_site:
        return answer.rank >= TLS
    return answer.rank >= (REFUSED if target.kind == "port" else ACCEPTED)


def describe_lost(before: Answers, lost: Answers) -> str:
    """Return what changed for this controller."""
    return "; ".join(f"{target} (before: {before[target].text}, now: {answer.text})" for target, answer in lost.items())


def report_unreached(action: t.Any, name: str, answers: Answers) -> dict[str, t.Any]:
    """Report what this controller did not reach before a change, so that the change is not proved for it.

    Args:
        action: the action plugin, which displays the text.
        name: what was changed.
        answers: what was found before the change.

    Returns:
        A part of the task's result.
    """
    unreached = [str(target) for target, answer in answers.items() if not answered(target, answer)]
    if not unreached:
        return {}
    text = f"{name}: this controller did not reach {', '.join(unreached)} before the change, so it was not compared"
    action._display.display(text)
    return {"unreached": unreached}


def to_json(answers: Answers) -> list[list[t.Any]]:
    """Return answers as plain lists."""
    return [[*target, *answer] for target, answer in answers.items()]


def from_json(data: t.Iterable[t.Sequence[t.Any]]) -> dict[Target, Answer]:
    """Return the answers that `to_json` returned."""
    return {Target(*entry[:3]): Answer(*entry[3:]) for entry in data}


def merge(first: Answers, second: Answers) -> dict[Target, Answer]:
    """Return the better answer of each target."""
    ranked = sorted([*first.items(), *second.items()], key=lambda one: one[1].rank)
    return dict(ranked)


def _connect(address: str, port: int) -> int:
    try:
        with socket.create_connection((address, port), TIMEOUT):
            return ACCEPTED
    except OSError as error:
        return REFUSED if error.errno == errno.ECONNREFUSED else SILENT


def _query(address: str, target: Target, port: int) -> Answer:
    found = Answer(port, TEXTS[port])
    if port < ACCEPTED or target.kind == "port":
        return found
    try:
        with socket.create_connection((address, target.port), TIMEOUT) as plain:
            if target.kind == "greeting":
                return _read_greeting(plain) or found
            return _query_tls(plain, target)
    except (OSError, ValueError) as error:
        return Answer(port, f"no connection by TLS: {error}" if target.kind != "greeting" else "no greeting")


def _read_greeting(plain: socket.socket) -> Answer | None:
    line = plain.recv(LONGEST_GREETING).decode("utf-8", "replace").strip()
    return Answer(GREETING, f"greeting {line.splitlines()[0]!r}") if line else None


def _query_tls(plain: socket.socket, target: Target) -> Answer:
    # The certificate is not verified: it can be of any authority, and the probe on the host compares it.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with context.wrap_socket(plain, server_hostname=target.name or None) as secure:
        if target.kind == "tls":
            return Answer(GREETING, "TLS")
        if target.kind == "locked":
            return Answer(TLS, "TLS")
        return _read_status(secure, target)


def _read_status(secure: ssl.SSLSocket, target: Target) -> Answer:
    place = target.name if target.port == 443 else f"{target.name}:{target.port}"
    request = f"GET / HTTP/1.1\r\nHost: {place}\r\nUser-Agent: vise-probe\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    answer = b""
    try:
        secure.sendall(request.encode())
        while b"\n" not in answer and (part := secure.recv(LONGEST_GREETING)):
            answer += part
    except OSError as error:
        return Answer(TLS, f"{TEXTS[TLS]}: {error}")
    match = STATUS.match(answer)
    return _rank_status(int(match[1])) if match else Answer(TLS, TEXTS[TLS])


def _rank_status(status: int) -> Answer:
    text = f"status {status}"
    if status < 400 or status == TOO_MANY_REQUESTS:
        return Answer(ANSWERED, text)
    return Answer(CLIENT_ERROR if status < 500 else SERVER_ERROR, text)
