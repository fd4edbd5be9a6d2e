"""Only the floor starts programs and builds clients: everything else would take settings from the environment."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tools.collection import ROOT

# What reads the environment of the process, and what to use instead.
FORBIDDEN = {
    r"subprocess\.(run|Popen|call|check_call|check_output|getoutput)": "host.programs",
    r"os\.(system|popen|exec\w+|spawn\w+|posix_spawn\w*)": "host.programs",
    r"os\.(environ|getenv)(\.\w+)?": "an option",
    r"\w+\.run_command": "host.programs",
    r"ssl\.(create_default_context|_create_default_https_context)": "host.clients.make_tls_context",
    r"urllib\.request\.\w+": "host.clients.open_url",
    r"(urls\.)?(open_url|fetch_url)": "host.clients.open_url",
    r"(requests|httpx)\.(get|post|put|patch|delete|request|Session|Client)": "the client of the service",
    r"(cloudflare\.Cloudflare|psycopg2\.connect|redis\.Redis)": "the client of the service",
}
# The floor, what systemd sets for a unit, and clients that are built in a clean environment.
EXCEPTIONS = {
    "module_utils/host/programs.py": {"os.environ", "os.execvpe", "subprocess.Popen"},
    "module_utils/host/servers.py": {"subprocess.Popen"},
    "module_utils/host/clients.py": {
        *("os.environ", "os.environ.keys", "os.environ.update", "ssl.create_default_context"),
        *("urllib.request.build_opener", "urllib.request.ProxyHandler", "urllib.request.HTTPSHandler"),
        "urllib.request.Request",
    },
    "module_utils/cloudflare/client.py": {"cloudflare.Cloudflare"},
    "module_utils/postgresql/catalog.py": {"psycopg2.connect"},
    # Over a Unix socket, with its own credential
    "module_utils/redis/client.py": {"redis.Redis"},
    # The user who called sudo, and the process of a unit, which systemd names
    "modules/preflight.py": {"os.environ.get"},
    "module_utils/host/accounts.py": {"os.environ.get"},
    "module_utils/nginx/program.py": {"os.environ.get"},
    # SERVICE_RESULT and EXIT_STATUS
    "module_utils/restic/jobs.py": {"os.environ", "os.environ.get"},
    "module_utils/pgbackrest/program.py": {"os.environ.get"},
    # Streams of any size between files and Docker, in the floor's environment
    "module_utils/mailcow_host/commands.py": {"subprocess.run"},
    # On the controller: the keys that ssh itself would offer, those of the agent included
    "plugin_utils/controller_keys.py": {"os.environ", "os.environ.get", "subprocess.run"},
    # On the controller: the user who called sudo, and the run that has started this one
    "plugin_utils/run_lease.py": {"os.environ.get", "os.environ.setdefault"},
}
# Programs that read a file of the user's home directory from the list of accounts, whatever HOME is.
DOTFILES = {"curl": r"^(-\w*q\w*|--disable)$"}


def used_names(path: Path) -> Iterator[str]:
    """Yield each dotted name that a file uses, in annotations and exceptions as well, the longest ones."""
    tree = ast.parse(path.read_text())
    inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Name) and id(node) not in inner:
            yield ast.unparse(node)


def find_uses(path: Path) -> set[str]:
    """Return the forbidden names that a file uses; a type such as subprocess.Popen[bytes] is no use."""
    text = path.read_text()
    return {
        name
        for name in used_names(path)
        if any(re.fullmatch(pattern, name) for pattern in FORBIDDEN)
        and (name != "subprocess.Popen" or re.search(r"subprocess\.Popen\(", text))
    }


def test_only_the_floor_starts_programs_and_reads_the_environment() -> None:
    plugins = ROOT / "plugins"
    found = {str(path.relative_to(plugins)): find_uses(path) for path in sorted(plugins.rglob("*.py"))}
    assert {name: uses for name, uses in found.items() if uses} == EXCEPTIONS


@pytest.mark.parametrize(
    "line",
    [
        *("subprocess.run(['a'])", "os.environ['A']", "os.getenv('A')", "module.run_command(['a'])", "open_url('u')"),
        *("run = module.run_command", "x = {**os.environ}", "ssl.create_default_context()", "urls.fetch_url(m, u)"),
        *("urllib.request.urlopen('u')", "httpx.get('u')", "psycopg2.connect()", "os.execvp('a', [])"),
    ],
)
def test_every_way_around_the_floor_is_found(line: str, tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text(f"{line}\n")
    assert find_uses(path)


def argvs(path: Path) -> Iterator[list[str]]:
    """Yield the lists of words in a file that can be command lines; a text of a shell is split into its words."""
    if path.suffix == ".py":
        lists = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.List)]
        for node in lists:
            yield [str(one.value) if isinstance(one, ast.Constant) else "" for one in node.elts]
        return
    for text in re.findall(r"curl\b[^|&;\n]*", path.read_text()):
        yield re.split(r"[\s,]+", text)


@pytest.mark.parametrize("program", sorted(DOTFILES))
def test_program_with_a_dotfile_of_its_own_does_not_read_it(program: str) -> None:
    paths = [
        *(ROOT / "plugins").rglob("*.py"),
        *(path for folder in ("roles", "playbooks") for path in (ROOT / folder).rglob("tasks/*.yml")),
        *(path for path in (ROOT / "roles").rglob("templates/*") if path.is_file()),
    ]
    commands = [(path, words) for path in paths for words in argvs(path) if words[:1] == [program] and len(words) > 1]
    # Lists of packages have the word too.
    calls = [(path, words) for path, words in commands if words[1].startswith("-")]
    assert calls
    assert [str(path) for path, words in calls if not re.match(DOTFILES[program], words[1])] == []


def test_tasks_start_no_program_that_reads_the_environment() -> None:
    """Tasks call programs of the collection, which clean their environment, or what needs no settings."""
    harmless = re.compile(r"/usr/local/sbin/vise-|systemctl$|ansible-playbook$|test$|\{\{")
    found = []
    for path in [*(ROOT / "playbooks").rglob("*.yml"), *(ROOT / "roles").rglob("tasks/*.yml")]:
        for task in list_tasks(yaml.safe_load(path.read_text())):
            given = task.get("ansible.builtin.command")
            argv = given.get("argv") if isinstance(given, dict) else str(given).split() if given else None
            if isinstance(argv, list) and not harmless.match(str(argv[0])):
                found.append(f"{path.relative_to(ROOT)}: {argv[0]}")
    assert found == []


def list_tasks(content: object) -> Iterator[dict[str, object]]:
    """Yield every mapping of a playbook: plays, blocks and tasks."""
    if isinstance(content, list):
        for one in content:
            yield from list_tasks(one)
    elif isinstance(content, dict):
        yield content
        for value in content.values():
            yield from list_tasks(value)
