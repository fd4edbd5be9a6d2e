"""What is written is what is read back, and a file appears whole or not at all."""

from __future__ import annotations

import grp
import os
import pathlib
import pwd

import pytest
from ansible_collections.vise.platform.plugins.module_utils.component import host
from ansible_collections.vise.platform.plugins.module_utils.component.model import ABSENT, Node, Probe

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
def test_a_node_is_read_back_as_it_was_written(tmp_path: pathlib.Path, node: Node) -> None:
    path = str(tmp_path / "deep" / "node")
    host.write_node(path, node)
    assert host.read_node(path) == node
    assert not list(tmp_path.rglob("*vise-new*"))


def test_a_link_is_replaced_and_not_followed(tmp_path: pathlib.Path) -> None:
    (tmp_path / "target").write_text("kept")
    (tmp_path / "node").symlink_to("target")
    host.write_node(str(tmp_path / "node"), Node("file", "new", ME, GROUP, "0644"))
    assert (tmp_path / "target").read_text() == "kept"
    assert (tmp_path / "node").read_text() == "new"


@pytest.mark.parametrize("kind", ["file", "directory"])
def test_link_that_is_put_in_the_place_of_what_is_being_made_leads_nowhere(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    others = tmp_path / "others"
    others.write_text("secret")
    others.chmod(0o600)
    place = tmp_path / "own"
    place.mkdir()
    known = pwd.getpwnam

    def meanwhile(name: str) -> pwd.struct_passwd:
        """Whoever owns the directory takes the moment before owner and mode are set."""
        for path in place.iterdir():
            if path.is_dir():
                path.rmdir()
            else:
                path.unlink()
            path.symlink_to(others)
        return known(name)

    monkeypatch.setattr(pwd, "getpwnam", meanwhile)
    host.write_node(str(place / "node"), Node(kind, "new" if kind == "file" else "", ME, GROUP, "0777"))
    assert (place / "node").is_symlink()
    assert others.stat().st_mode & 0o777 == 0o600


def test_link_is_in_the_way_of_a_directory(tmp_path: pathlib.Path) -> None:
    (tmp_path / "others").mkdir(mode=0o700)
    (tmp_path / "node").symlink_to(tmp_path / "others")
    with pytest.raises(host.HostError, match="node is in the way of a directory"):
        host.write_node(str(tmp_path / "node"), Node("directory", "", ME, GROUP, "0777"))
    assert (tmp_path / "others").stat().st_mode & 0o777 == 0o700


def test_an_unknown_owner_leaves_the_old_file(tmp_path: pathlib.Path) -> None:
    (tmp_path / "node").write_text("old")
    with pytest.raises(host.HostError, match="nobody-here:"):
        host.write_node(str(tmp_path / "node"), Node("file", "new", "nobody-here", GROUP, "0644"))
    assert (tmp_path / "node").read_text() == "old"


def test_a_full_directory_is_not_removed(tmp_path: pathlib.Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "data").touch()
    with pytest.raises(host.HostError, match="cannot be removed"):
        host.write_node(str(tmp_path / "full"), ABSENT)


def test_what_a_killed_run_staged_is_removed_and_never_purged(tmp_path: pathlib.Path) -> None:
    staged = tmp_path / host.STAGED.format("a.conf")
    staged.touch()
    assert host.find([str(tmp_path / "*")]) == set()
    host.remove_staged([str(tmp_path / "a.conf")])
    assert not staged.exists()


@pytest.mark.parametrize(
    ("argv", "status", "text"),
    [
        (["sh", "-c", "echo out; echo err >&2; exit 3"], 3, "out\nerr"),
        (["no-such-program-here"], 127, "no-such-program-here: no such program"),
        (["sleep", "5"], 124, "sleep: no answer in 1 s"),
    ],
)
def test_a_command_gives_its_status_and_words(argv: list[str], status: int, text: str) -> None:
    assert host.run(argv, timeout=1) == (status, text)


@pytest.mark.parametrize(
    ("argv", "expect", "content"),
    [
        (("echo", "live 1234"), "{generation}", True),
        (("echo", "live 9999"), "{generation}", False),
        (("true",), "", True),
        (("false",), "", False),
    ],
)
def test_a_probe_is_content_with_exit_0_and_the_expected_text(
    argv: tuple[str, ...], expect: str, content: bool
) -> None:
    assert (host.await_probes([Probe(argv, expect, timeout=0)], "1234") == "") is content


def test_a_probe_is_asked_again_until_it_is_content(tmp_path: pathlib.Path) -> None:
    script = f"echo x >> {tmp_path}/n; test $(wc -l < {tmp_path}/n) -ge 3"
    assert host.await_probes([Probe(("sh", "-c", script), timeout=10)], "") == ""
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
def test_the_private_view_covers_the_fewest_existing_directories(
    paths: list[str], existing: set[str], expected: list[str]
) -> None:
    assert host.overlay_roots(paths, existing.__contains__) == expected
