from __future__ import annotations

import gzip
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from ansible_collections.vise.platform.plugins.action.static_release import hash_source, pack
from ansible_collections.vise.platform.plugins.module_utils import releases

PAGE = "<html>" + "text " * 200


class Killed(BaseException):
    """Simulates SIGKILL: no error handler catches it."""


class Host:
    """A site on a host that is a temporary directory."""

    def __init__(self, folder: Path) -> None:
        self.source = folder / "source"
        self.root = folder / "srv/docs"
        self.page_answer: str | None = None
        self.commands: list[Sequence[str]] = []

    def build(self, text: str, **files: str) -> dict[str, str]:
        """Build the site again with this content; return its files."""
        shutil.rmtree(self.source, ignore_errors=True)
        (self.source / "assets").mkdir(parents=True)
        (self.source / "index.html").write_text(text)
        for name, content in files.items():
            (self.source / "assets" / name).write_text(content)
        return hash_source(str(self.source))[0]

    def wanted(self, files: dict[str, str], release: str = "", keep: int = 5, url: str = "") -> releases.Wanted:
        """Return the wanted release."""
        return releases.Wanted(str(self.root), release or releases.compute_id(files), files, keep, url)

    def run(self, argv: Sequence[str]) -> tuple[int, str]:
        """Act as brotli and curl."""
        self.commands.append(argv)
        if argv[0] == "curl":
            return 0, self.page if self.page_answer is None else self.page_answer
        paths = argv[argv.index("--") + 1 :]
        if "--decompress" in argv:
            output = next(word for word in argv if word.startswith("--output=")).removeprefix("--output=")
            Path(output).write_bytes(Path(paths[0]).read_bytes().removeprefix(b"packed:"))
            return int(not Path(paths[0]).read_bytes().startswith(b"packed:")), ""
        for path in paths:
            Path(path + ".br").write_text("packed")
        return 0, ""

    def apply(self, wanted: releases.Wanted) -> None:
        """Pack the source and apply the release."""
        archive = ""
        if wanted.files:
            archive = str(self.source.parent / "site.tar.gz")
            pack(str(self.source), sorted(wanted.files), archive)
        with releases.lock(wanted.root):
            releases.apply(wanted, archive, self.run)

    def prepare(self, text: str) -> releases.Wanted:
        """Build and prepare the release, as before the virtual host exists; return it."""
        wanted = self.wanted(self.build(text), url="https://docs.test/")
        archive = str(self.source.parent / "site.tar.gz")
        pack(str(self.source), sorted(wanted.files), archive)
        with releases.lock(wanted.root):
            releases.prepare(wanted, archive, self.run)
        return wanted

    def release(self, text: str, **files: str) -> str:
        """Build and release; return the id."""
        wanted = self.wanted(self.build(text, **files))
        self.apply(wanted)
        return wanted.release

    @property
    def page(self) -> str:
        """The first page of the live release."""
        return (self.root / "current/index.html").read_text()


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_first_release_is_live_and_compressed(host: Host) -> None:
    first = host.release(PAGE)
    assert str((host.root / "current").readlink()) == f"releases/{first}"
    assert sorted(path.name for path in (host.root / "current").iterdir()) == [
        "index.html",
        "index.html.br",
        "index.html.gz",
    ]
    assert not (host.root / "previous").is_symlink()


def test_compressed_files_of_the_build_are_kept(host: Host) -> None:
    files = host.build(PAGE)
    code = "code " * 200
    for name, content in {
        "a.js": code.encode(),
        "a.js.gz": gzip.compress(code.encode(), 1),
        "a.js.br": b"packed:" + code.encode(),
    }.items():
        (host.source / "assets" / name).write_bytes(content)
    files = hash_source(str(host.source))[0]
    host.apply(host.wanted(files))
    folder = host.root / "current/assets"
    assert {f"assets/{path.name}": releases.compute_digest(str(path)) for path in folder.iterdir()} == {
        name: digest for name, digest in files.items() if name != "index.html"
    }


@pytest.mark.parametrize("suffix", [".gz", ".br"])
def test_file_that_browsers_would_get_instead_of_another_is_an_error(host: Host, suffix: str) -> None:
    host.build(PAGE)
    for name, content in {"a.json": b"{}", f"a.json{suffix}": gzip.compress(b"[]")}.items():
        (host.source / "assets" / name).write_bytes(content)
    with pytest.raises(releases.ReleaseError, match=f"assets/a.json{suffix} is not a compressed copy of assets/a.json"):
        host.apply(host.wanted(hash_source(str(host.source))[0]))
    assert not (host.root / "current").exists()


def test_names_of_any_bytes_are_released(host: Host) -> None:
    host.build(PAGE)
    names = [b"a b.js", b"-x.js", b"line\nbreak.js", b"latin-\xe4.js", b"x" * 252 + b".js", b"Case.js", b"case.js"]
    for name in names:
        with open(os.fsencode(host.source) + b"/assets/" + name, "wb") as handle:  # noqa: PTH123
            handle.write(b"code " * 200)
    (host.source / "assets/a.js.gz").mkdir()
    (host.source / "assets/a.js").write_text("code " * 200)
    (host.source / "assets/a.js.gz/x").write_text("")
    files = hash_source(str(host.source))[0]
    host.apply(host.wanted(files))
    assert {*names} <= {*os.listdir(os.fsencode(host.root) + b"/current/assets")}  # noqa: PTH208
    after = releases.inspect(host.wanted(files))
    assert not after.changed
    assert "latin-\\xe4.js" in after.build_diff()["after"]


def test_many_long_paths_are_compressed_in_several_commands(host: Host) -> None:
    host.build("x", **{f"{number:04}-{'x' * 200}.js": PAGE for number in range(400)})
    host.apply(host.wanted(hash_source(str(host.source))[0]))
    sizes = [sum(len(word) + 1 for word in argv) for argv in host.commands if argv[0] == "brotli"]
    assert len(sizes) > 1
    assert max(sizes) < releases.ARGUMENTS + 100
    assert len(list((host.root / "current/assets").glob("*.br"))) == 400


@pytest.mark.parametrize("page", [b"one\r\ntwo\r\n", b"\xe4 is not UTF-8"])
def test_first_page_is_compared_byte_by_byte(host: Host, page: bytes) -> None:
    host.build("x")
    (host.source / "index.html").write_bytes(page)
    host.page_answer = page.decode("utf-8", "surrogateescape")
    host.apply(host.wanted(hash_source(str(host.source))[0], url="http://docs/"))


def test_same_content_changes_nothing(host: Host) -> None:
    host.release(PAGE)
    assert not releases.inspect(host.wanted(host.build(PAGE))).changed


def test_next_release_makes_the_live_one_previous(host: Host) -> None:
    first, second = host.release("one"), host.release("two")
    assert (releases.read_link(str(host.root), "current"), releases.read_link(str(host.root), "previous")) == (
        second,
        first,
    )


def test_unchanged_file_keeps_its_time_and_a_changed_one_gets_a_new_time(host: Host) -> None:
    host.release("one", same="x")
    before = {p: (host.root / "current" / p).stat().st_mtime_ns for p in ("index.html", "assets/same")}
    host.release("two", same="x")
    after = {p: (host.root / "current" / p).stat().st_mtime_ns for p in ("index.html", "assets/same")}
    assert after["assets/same"] == before["assets/same"]
    assert after["index.html"] > before["index.html"]


@pytest.mark.parametrize("name", ["previous", "first"])
def test_rollback_needs_no_source(host: Host, name: str) -> None:
    first = host.release("one")
    host.release("two")
    host.apply(host.wanted({}, first if name == "first" else name))
    assert host.page == "one"


@pytest.mark.parametrize(
    ("release", "reason"),
    [("previous", "has no previous release"), ("abc", "has no complete release abc; releases on the host: ")],
)
def test_rollback_to_a_missing_release_is_an_error(host: Host, release: str, reason: str) -> None:
    host.release("one")
    with pytest.raises(releases.ReleaseError, match=reason):
        host.apply(host.wanted({}, release))
    assert host.page == "one"


def test_oldest_releases_are_removed_but_never_the_live_or_the_previous_one(host: Host) -> None:
    ids = [host.release(text) for text in ("one", "two", "three", "four")]
    host.apply(host.wanted({}, ids[0]))
    host.apply(host.wanted({}, ids[0], keep=2))
    host.apply(host.wanted(host.build("five"), keep=2))
    assert sorted(releases.list_names(str(host.root))) == sorted(
        [ids[0], host.wanted(hash_source(str(host.source))[0]).release]
    )


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: (path / "index.html").write_text("two"),
        lambda path: (path / "index.html").unlink(),
        lambda path: (path / "new.html").write_text("x"),
        lambda path: ((path / "index.html").unlink(), (path / "index.html").symlink_to("/etc/hostname")),
    ],
)
def test_damaged_release_is_detected_and_created_again(host: Host, damage: object) -> None:
    host.release("one")
    assert callable(damage)
    damage(host.root / "current")
    wanted = host.wanted(host.build("one"))
    assert releases.inspect(wanted).changed
    host.apply(wanted)
    assert host.page == "one"
    assert not releases.inspect(wanted).changed


def test_new_time_without_new_content_is_not_damage(host: Host) -> None:
    host.release("one")
    os.utime(host.root / "current/index.html", (1, 1))
    assert not releases.inspect(host.wanted(host.build("one"))).changed


def test_release_that_visitors_do_not_get_is_rolled_back(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    monkeypatch.setattr("time.monotonic", iter(range(0, 1000, 3)).__next__)
    first, second = host.release("one"), host.release("two")
    host.page_answer = "another page"
    with pytest.raises(releases.ReleaseError, match=f"another page\nRelease {second} is live again"):
        host.apply(host.wanted(host.build("three"), url="https://docs.test/"))
    assert host.page == "two"
    assert releases.read_link(str(host.root), "previous") == first
    assert not (host.root / "pending.json").exists()


def test_release_that_visitors_get_stays_live(host: Host) -> None:
    host.apply(host.wanted(host.build("one"), url="https://docs.test/"))
    assert host.commands[-1][-1] == "https://docs.test/"
    assert host.page == "one"


def test_prepared_release_is_live_and_proven_by_the_next_execution(host: Host) -> None:
    wanted = host.prepare("one")
    assert host.page == "one"
    assert [command for command in host.commands if command[0] == "curl"] == []
    assert releases.inspect(wanted).changed
    host.apply(wanted)
    assert host.commands[-1][-1] == "https://docs.test/"
    assert not releases.inspect(wanted).changed


def test_prepared_release_that_visitors_do_not_get_is_rolled_back_by_the_proof(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    monkeypatch.setattr("time.monotonic", iter(range(0, 1000, 3)).__next__)
    host.release("left behind")
    wanted = host.prepare("one")
    # As after a killed run
    host.prepare("one")
    host.page_answer = "another page"
    with pytest.raises(releases.ReleaseError, match="is live again"):
        host.apply(wanted)
    assert host.page == "left behind"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("root {root}/current;", True),
        ('root "{root}/current";', True),
        ("root {root}-two/current;", False),
        ("proxy_pass https://site_docs;", False),
    ],
)
def test_site_is_in_use_when_a_configuration_refers_to_its_directory(tmp_path: Path, line: str, expected: bool) -> None:
    root = str(tmp_path / "srv/docs")
    (tmp_path / "nginx/sites-enabled").mkdir(parents=True)
    (tmp_path / "nginx/sites-enabled/any.conf").write_text(line.format(root=root))
    assert releases.is_in_use(root, [str(tmp_path / "nginx")]) is expected


def test_received_files_that_differ_are_refused(host: Host) -> None:
    host.release("one")
    files = host.build("two")
    wanted = host.wanted({**files, "index.html": "0" * 64})
    with pytest.raises(releases.ReleaseError, match=r"the received files of release .* differ from the source"):
        host.apply(wanted)
    assert host.page == "one"


STEPS = ("os.rename", "os.symlink", "os.unlink", "os.sync", "os.utime", "shutil.rmtree")


@pytest.mark.parametrize("step", range(1, 40))
def test_next_run_finishes_a_run_that_was_killed_at_any_step(
    host: Host, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    for text in ("one", "two", "three"):
        host.release(text)
    wanted = host.wanted(host.build(PAGE, same="x"), keep=2)
    remaining = [step]

    def kill_at_step(call: object) -> object:
        def wrapped(*arguments: object, **options: object) -> object:
            remaining[0] -= 1
            if remaining[0] == 0:
                raise Killed
            assert callable(call)
            return call(*arguments, **options)

        return wrapped

    with monkeypatch.context() as patch:
        for name in STEPS:
            module, _, function = name.partition(".")
            owner = getattr(releases, module)
            patch.setattr(owner, function, kill_at_step(getattr(owner, function)))
        try:
            host.apply(wanted)
        except Killed:
            assert host.page in ("three", PAGE)
    host.apply(wanted)
    assert host.page == PAGE
    assert not releases.inspect(wanted).changed
    assert releases.read_link(str(host.root), "previous") != releases.read_link(str(host.root), "current")
    assert [path for path in (host.root / "releases").iterdir() if path.name.startswith(".")] == []
