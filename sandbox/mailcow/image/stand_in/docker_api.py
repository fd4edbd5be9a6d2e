"""The one service that may speak to Docker: the API learns from it what runs, and has it do a few things inside."""

from __future__ import annotations

import http.client
import json
import re
import socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote

SOCKET = "/var/run/docker.sock"
PORT = 8080
# What may be run in which service, by name; {} is an argument that the pattern has let through.
TASKS = {
    "mailq": ("postfix-mailcow", ["postqueue", "-j"]),
    "mailq-flush": ("postfix-mailcow", ["postqueue", "-f"]),
    "mailq-delete-all": ("postfix-mailcow", ["postsuper", "-d", "ALL"]),
    "maildir-remove": ("dovecot-mailcow", ["rm", "-rf", "/var/vmail/{}"]),
}
ARGUMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*(/[A-Za-z0-9][A-Za-z0-9._+-]*)?")


class Unix(http.client.HTTPConnection):
    """HTTP over Docker's socket."""

    def __init__(self) -> None:
        super().__init__("localhost", timeout=60)

    def connect(self) -> None:
        """Connect to the socket instead of to a host."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(SOCKET)


def ask(method: str, path: str, body: Any = None) -> Any:
    """Docker's answer: JSON where it is some, else text."""
    connection = Unix()
    try:
        raw = None if body is None else json.dumps(body)
        connection.request(method, path, raw, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace")
    finally:
        connection.close()
    return json.loads(text) if text and answer.headers.get_content_type() == "application/json" else text


def containers() -> dict[str, Any]:
    """The containers of this project by their services' names."""
    me = ask("GET", f"/containers/{socket.gethostname()}/json")
    project = me["Config"]["Labels"]["com.docker.compose.project"]
    label = quote(json.dumps({"label": [f"com.docker.compose.project={project}"]}))
    found = ask("GET", f"/containers/json?all=true&filters={label}")
    details = [ask("GET", f"/containers/{each['Id']}/json") for each in found]
    return {each["Config"]["Labels"]["com.docker.compose.service"]: each for each in details}


def execute(task: str, argument: str) -> dict[str, str]:
    """Run one of the tasks; what it printed."""
    if task not in TASKS or (argument and not ARGUMENT.fullmatch(argument)):
        return {"type": "danger", "msg": "unknown task"}
    service, argv = TASKS[task]
    command = [word.format(argument) for word in argv]
    identity = containers()[service]["Id"]
    order = {"Cmd": command, "AttachStdout": True, "AttachStderr": True, "Tty": True}
    run = ask("POST", f"/containers/{identity}/exec", order)["Id"]
    said = ask("POST", f"/exec/{run}/start", {"Detach": False, "Tty": True})
    status = ask("GET", f"/exec/{run}/json")["ExitCode"]
    return {"type": "success" if status == 0 else "danger", "msg": said}


class Handler(BaseHTTPRequestHandler):
    """GET /containers; POST /exec/TASK/ARGUMENT."""

    def answer(self, content: Any) -> None:
        """Send JSON."""
        raw = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def do_GET(self) -> None:
        """What runs."""
        self.answer(containers())

    def do_POST(self) -> None:
        """Something done inside of a container."""
        _, _, task, *argument = self.path.split("/", 3)
        self.answer(execute(task, argument[0] if argument else ""))


def main() -> None:
    """Serve; the network of the containers is the only one that reaches it."""
    ThreadingHTTPServer(("", PORT), Handler).serve_forever()
