"""As much of mailcow's Redis as the DKIM modules need; it records the signing key after every single command."""

from __future__ import annotations

import copy
import socketserver

DOMAIN, PASSWORD = "a.test", "canary"
Hashes = dict[str, dict[str, str]]


class Session(socketserver.StreamRequestHandler):
    """As much of Redis as hashes and a transaction need."""

    server: Server

    def handle(self) -> None:
        self.queue: list[list[str]] | None = None
        while head := self.rfile.readline():
            words = []
            for _number in range(int(head[1:])):
                size = int(self.rfile.readline()[1:])
                words.append(self.rfile.read(size + 2)[:-2].decode())
            answer = self.answer(*words)
            self.server.seen.append(self.server.signs())
            self.wfile.write(answer)

    def answer(self, command: str, *rest: str) -> bytes:
        if command == "AUTH":
            return b"+OK\r\n" if rest == (PASSWORD,) else b"-WRONGPASS invalid password\r\n"
        if command == "BGSAVE":
            return self.server.save()
        if command == "INFO":
            text = f"# Persistence\r\nrdb_bgsave_in_progress:0\r\nrdb_last_bgsave_status:{self.server.status}\r\n"
            return b"$%d\r\n%s\r\n" % (len(text), text.encode())
        if command == "MULTI":
            self.queue = []
            return b"+OK\r\n"
        if command == "EXEC" and self.queue is not None:
            replies = [self.run(*words) for words in self.queue]
            self.queue = None
            return b"*%d\r\n%s" % (len(replies), b"".join(replies))
        if self.queue is not None:
            self.queue.append([command, *rest])
            return b"+QUEUED\r\n"
        return self.run(command, *rest)

    def run(self, command: str, name: str, field: str, *value: str) -> bytes:
        table = self.server.hashes.setdefault(name, {})
        if command == "HSET":
            table[field] = value[0]
        elif command == "HDEL":
            return b":%d\r\n" % (table.pop(field, None) is not None)
        elif command == "HGET":
            text = table[field].encode() if field in table else None
            return b"$-1\r\n" if text is None else b"$%d\r\n%s\r\n" % (len(text), text)
        return b":%d\r\n" % (field in table)


class Server(socketserver.ThreadingTCPServer):
    """The Redis, and the key that rspamd could have read after each command."""

    daemon_threads = True

    def __init__(self, hashes: Hashes) -> None:
        self.hashes, self.seen = hashes, list[str]()
        # What a power cut leaves, how many copies of its own are in the way of one, and whether the last went well.
        self.disk, self.busy, self.status = copy.deepcopy(hashes), 0, "ok"
        super().__init__(("127.0.0.1", 0), Session)

    def save(self) -> bytes:
        if self.busy:
            self.busy -= 1
            return b"-ERR Background save already in progress\r\n"
        self.disk = copy.deepcopy(self.hashes)
        return b"+Background saving started\r\n"

    def signs(self) -> str:
        selector = self.hashes["DKIM_SELECTORS"].get(DOMAIN, "")
        return selector if self.hashes["DKIM_PRIV_KEYS"].get(f"{selector}.{DOMAIN}") else "nothing"
