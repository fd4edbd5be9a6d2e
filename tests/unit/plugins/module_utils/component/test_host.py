"""Reading and writing nodes, commands, probes and overlay directories on a real directory tree."""

from __future__ import annotations

import grp
import os
import pathlib
import pwd

import pytest
from ansible_collections.vise.platform.plugins.module_utils.component import host
from ansible_collections.vise.platform.plugins.module_utils.component.model import ABSENT, Node, Probe
from ansible_collections.vise.platform.plugins.module_utils.host import files, programs

ME = pwd.getpwuid(os.getuid()).pw_name
GROUP = grp.getgrgid(os.getgid()).gr_name


@pytest.mark.parametrize(
    "node",
    [
        Node("file", "text\n", ME, GROUP, "0640"),
        Node("file", b"\xff\x00".decode("utf-8", "surrogateescape"), ME, GROUP, "0600"),
        Node("file", "", ME, GROUP, "4755"),
        Node("directory", "", ME, GROUP, "0750"),
        Node("link", "/nowhere"),
        ABSENT,
    ],
)
def test_node_is_read_back_as_written(tmp_path: pathlib.Path, node: Node) -> None:
    path = str(tmp_path / "deep" / "node")
    host.write_node(path, node)
    assert host.read_node(path) == node
    assert not list(tmp_path.rglob("*vise-new*"))


def test_link_is_replaced_and_not_followed(tmp_path: pathlib.Path) -> None:
    (tmp_path / "target").write_text("kept")
    (tmp_path / "node").symlink_to("target")
    host.write_node(str(tmp_path / "node"), Node("file", "new", ME, GROUP, "0644"))
    assert (tmp_path / "target").read_text() == "kept"
    assert (tmp_path / "node").read_text() == "new"


@pytest.mark.parametrize("kind", ["file", "directory"])
def test_link_that_replaces_a_staged_node_is_not_followed(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    others = tmp_path / "others"
    others.write_text("secret")
    others.chmod(0o600)
    place = tmp_path / "own"
    place.mkdir()
    getpwnam = pwd.getpwnam

    def replace_by_link(name: str) -> pwd.struct_passwd:
        """Act as the owner of the directory, just before owner and mode are set."""
        for path in place.iterdir():
            if path.is_dir():
                path.rmdir()
            else:
                path.unlink()
            path.symlink_to(others)
        return getpwnam(name)

    monkeypatch.setattr(pwd, "getpwnam", replace_by_link)
    host.write_node(str(place / "node"), Node(kind, "new" if kind == "file" else "", ME, GROUP, "0777"))
    assert (place / "node").is_symlink()
    assert others.stat().st_mode & 0o777 == 0o600


def test_link_at_the_path_of_a_directory_is_an_error(tmp_path: pathlib.Path) -> None:
    (tmp_path / "others").mkdir(mode=0o700)
    (tmp_path / "node").symlink_to(tmp_path / "others")
    with pytest.raises(host.HostError, match=r"cannot create directory .*node, a file or link has this path"):
        host.write_node(str(tmp_path / "node"), Node("directory", "", ME, GROUP, "0777"))
    assert (tmp_path / "others").stat().st_mode & 0o777 == 0o700


def test_old_file_remains_when_the_owner_is_unknown(tmp_path: pathlib.Path) -> None:
    (tmp_path / "node").write_text("old")
    with pytest.raises(host.HostError, match="nobody-here:"):
        host.write_node(str(tmp_path / "node"), Node("file", "new", "nobody-here", GROUP, "0644"))
    assert (tmp_path / "node").read_text() == "old"


def test_directory_with_content_is_not_removed(tmp_path: pathlib.Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "data").touch()
    with pytest.raises(host.HostError, match=r"cannot remove .*full"):
        host.write_node(str(tmp_path / "full"), ABSENT)


def test_staged_file_of_a_killed_run_is_removed_and_not_matched_by_purge(tmp_path: pathlib.Path) -> None:
    staged = pathlib.Path(files.staged_path(str(tmp_path / "a.conf")))
    staged.touch()
    assert host.expand_globs([str(tmp_path / "*")]) == set()
    host.remove_staged([str(tmp_path / "a.conf")])
    assert not staged.exists()


@pytest.mark.parametrize(
    ("argv", "status", "text"),
    [
        (["sh", "-c", "echo out; echo err >&2; exit 3"], 3, "out\nerr"),
        (["no-such-program-here"], 127, "no-such-program-here: program not found"),
        (["sleep", "5"], 124, "sleep: timed out after 1 s"),
        (["sh", "-c", "echo begun; sleep 5"], 124, "begun\nsh: timed out after 1 s"),
    ],
)
def test_run_returns_exit_status_and_output(argv: list[str], status: int, text: str) -> None:
    assert host.run(argv, timeout=1) == (status, text)


def test_command_has_no_variables_of_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    assert host.run(["sh", "-c", "echo $HTTPS_PROXY $LC_ALL"]) == (0, "C.UTF-8")


def test_states_of_units_are_read_although_systemctl_warns(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = "".join(f"LoadState=loaded\nActiveState={state}\nNeedDaemonReload=no\n\n" for state in ("active", "failed"))
    monkeypatch.setattr(programs, "run", lambda *_argv, **_options: programs.Result(0, shown, "a warning\n"))
    states = host.read_unit_states(["a.service", "b.service"])
    assert {name: state.active for name, state in states.items()} == {"a.service": "active", "b.service": "failed"}


def test_systemctl_that_fails_is_an_error_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "run", lambda *_argv, **_options: programs.Result(1, "", "no bus\n"))
    with pytest.raises(host.HostError, match="systemctl show failed: no bus"):
        host.read_unit_states(["a.service"])


def test_unit_that_fails_is_explained_by_all_its_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    stored: list[str] = []

    def run(argv: list[str], **_options: object) -> programs.Result:
        if "--sync" in argv:
            stored.append("bind() to 0.0.0.0:3000 failed")
        return programs.Result(0, "\n".join(stored)) if argv[0] == "journalctl" else programs.Result(1, "Job failed.")

    monkeypatch.setattr(programs, "run", run)
    with pytest.raises(host.HostError, match=r"`systemctl reload a\.service` failed: Job failed\.\nbind\(\) to 0"):
        host.systemctl("reload", "a.service")


@pytest.mark.parametrize(
    ("argv", "expect", "passes"),
    [
        (("echo", "live 1234"), "{generation}", True),
        (("echo", "live 9999"), "{generation}", False),
        (("true",), "", True),
        (("false",), "", False),
    ],
)
def test_probe_passes_with_exit_0_and_the_expected_text(argv: tuple[str, ...], expect: str, passes: bool) -> None:
    assert (host.wait_for_probes([Probe(argv, expect, timeout=0)], "1234") == "") is passes


def test_probe_is_retried_until_it_passes(tmp_path: pathlib.Path) -> None:
    script = f"echo x >> {tmp_path}/n; test $(wc -l < {tmp_path}/n) -ge 3"
    assert host.wait_for_probes([Probe(("sh", "-c", script), timeout=10)], "") == ""
    assert (tmp_path / "n").read_text() == "x\n" * 3


@pytest.mark.parametrize(
    ("paths", "existing", "expected"),
    [
        (["/etc/nginx/a", "/etc/nginx/sites/b"], {"/etc/nginx", "/etc/nginx/sites"}, ["/etc/nginx"]),
        (["/etc/new/deep/a"], {"/etc"}, ["/etc"]),
        (["/etc/ssh/a", "/etc/sshd/b"], {"/etc/ssh", "/etc/sshd"}, ["/etc/ssh", "/etc/sshd"]),
        (["/a"], {"/"}, ["/"]),
    ],
)
def test_overlays_cover_the_smallest_set_of_existing_directories(
    paths: list[str], existing: set[str], expected: list[str]
) -> None:
    assert host.find_overlay_roots(paths, existing.__contains__) == expected


@pytest.mark.parametrize(
    ("active", "names", "lines", "expected"),
    [
        ("active", "a.service", "Alias=b.service", True),
        ("active", "a.service", "Alias=c.service\nAlias=b.service", True),
        ("active", "a.service b.service", "Alias=b.service", False),
        ("active", "a.service", "WantedBy=multi-user.target", False),
        ("inactive", "a.service", "Alias=b.service", False),
    ],
)
def test_unit_that_runs_without_its_alias_must_stop_before_it_is_enabled(
    monkeypatch: pytest.MonkeyPatch, active: str, names: str, lines: str, expected: bool
) -> None:
    texts = {"show": f"ActiveState={active}\nNames={names}\n", "cat": f"# /a.service\n[Install]\n{lines}\n"}
    monkeypatch.setattr(programs, "run", lambda argv, **_options: programs.Result(0, texts[argv[1]]))
    assert host.gets_an_alias("a.service") is expected
