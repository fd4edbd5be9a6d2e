"""The only service with access to Docker: the API uses it to list containers and to run a few tasks in them."""

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
# Allowed tasks by name, with their service and command; {} is an argument that matches the pattern.
TASKS = {
    "mailq": ("postfix-mailcow", ["postqueue", "-j"]),
    "mailq-flush": ("postfix-mailcow", ["postqueue", "-f"]),
    "mailq-delete-all": ("postfix-mailcow", ["postsuper", "-d", "ALL"]),
    "maildir-remove": ("dovecot-mailcow", ["rm", "-rf", "/var/vmail/{}"]),
}
ARGUMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*(/[A-Za-z0-9][A-Za-z0-9._+-]*)?")


class Unix(http.client.HTTPConnection):
    """HTTP over the socket of Docker."""

    def __init__(self) -> None:
        super().__init__("localhost", timeout=60)

    def connect(self) -> None:
        """Connect to the socket instead of to a host."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(SOCKET)


def ask(method: str, path: str, body: Any = None) -> Any:
    """Return Docker's answer: parsed JSON, or text."""
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
    """Return the containers of this project by service."""
    me = ask("GET", f"/containers/{socket.gethostname()}/json")
    project = me["Config"]["Labels"]["com.docker.compose.project"]
    label = quote(json.dumps({"label": [f"com.docker.compose.project={project}"]}))
    found = ask("GET", f"/containers/json?all=true&filters={label}")
    details = [ask("GET", f"/containers/{each['Id']}/json") for each in found]
    return {each["Config"]["Labels"]["com.docker.compose.service"]: each for each in details}


def execute(task: str, argument: str) -> dict[str, str]:
    """Run a task and return its output."""
    if task not in TASKS or (argument and not ARGUMENT.fullmatch(argument)):
        return {"type": "danger", "msg": "unknown task"}
    service, argv = TASKS[task]
    command = [word.format(argument) for word in argv]
    identity = containers()[service]["Id"]
    order = {"Cmd": command, "AttachStdout": True, "AttachStderr": True, "Tty": True}
    run = ask("POST", f"/containers/{identity}/exec", order)["Id"]
    output = ask("POST", f"/exec/{run}/start", {"Detach": False, "Tty": True})
    status = ask("GET", f"/exec/{run}/json")["ExitCode"]
    return {"type": "success" if status == 0 else "danger", "msg": output}


class Handler(BaseHTTPRequestHandler):
    """GET /containers; POST /exec/TASK/ARGUMENT."""

    # Otherwise the body waits 40 ms for the acknowledgement of the headers.
    disable_nagle_algorithm = True

    def answer(self, content: Any) -> None:
        """Send JSON."""
        raw = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def do_GET(self) -> None:
        """Return the containers."""
        self.answer(containers())

    def do_POST(self) -> None:
        """Run a task in a container."""
        _, _, task, *argument = self.path.split("/", 3)
        self.answer(execute(task, argument[0] if argument else ""))


def main() -> None:
    """Serve; only the containers' network has access."""
    ThreadingHTTPServer(("", PORT), Handler).serve_forever()
