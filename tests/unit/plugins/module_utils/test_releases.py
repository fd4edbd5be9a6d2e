from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from ansible_collections.vise.platform.plugins.action.static_release import described, pack
from ansible_collections.vise.platform.plugins.module_utils import releases

PAGE = "<html>" + "text " * 200


class Killed(BaseException):
    """Stands for SIGKILL: nothing that handles errors may see it."""


class Host:
    """A site on a host that is a temporary directory."""

    def __init__(self, folder: Path) -> None:
        self.source = folder / "source"
        self.root = folder / "srv/docs"
        self.answer: str | None = None
        self.ran: list[Sequence[str]] = []

    def build(self, text: str, **files: str) -> dict[str, str]:
        """Build the site anew."""
        shutil.rmtree(self.source, ignore_errors=True)
        (self.source / "assets").mkdir(parents=True)
        (self.source / "index.html").write_text(text)
        for name, content in files.items():
            (self.source / "assets" / name).write_text(content)
        return described(str(self.source))

    def wanted(self, files: dict[str, str], release: str = "", keep: int = 5, url: str = "") -> releases.Wanted:
        """Describe what should be live."""
        return releases.Wanted(str(self.root), release or releases.identity(files), files, keep, url)

    def run(self, argv: Sequence[str]) -> tuple[int, str]:
        """Play brotli and curl."""
        self.ran.append(argv)
        if argv[0] == "curl":
            return 0, (self.root / "current/index.html").read_text() if self.answer is None else self.answer
        for path in argv[argv.index("--") + 1 :]:
            Path(path + ".br").write_text("packed")
        return 0, ""

    def apply(self, wanted: releases.Wanted) -> None:
        """Release."""
        archive = ""
        if wanted.files:
            archive = str(self.source.parent / "site.tar.gz")
            pack(str(self.source), sorted(wanted.files), archive)
        with releases.locked(wanted.root):
            releases.apply(wanted, archive, self.run)

    def release(self, text: str, **files: str) -> str:
        """Build and release; return the id."""
        wanted = self.wanted(self.build(text, **files))
        self.apply(wanted)
        return wanted.release

    @property
    def page(self) -> str:
        """The first page as visitors get it."""
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


def test_same_content_changes_nothing(host: Host) -> None:
    host.release(PAGE)
    assert not releases.inspect(host.wanted(host.build(PAGE))).changed


def test_next_release_leaves_the_one_before_as_previous(host: Host) -> None:
    first, second = host.release("one"), host.release("two")
    assert (releases.link(str(host.root), "current"), releases.link(str(host.root), "previous")) == (second, first)


def test_file_that_stays_keeps_its_time_and_the_other_gets_a_new_one(host: Host) -> None:
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
    [("previous", "has no previous release"), ("abc", "has no whole release abc; there are ")],
)
def test_rollback_to_what_is_not_there_is_an_error(host: Host, release: str, reason: str) -> None:
    host.release("one")
    with pytest.raises(releases.ReleaseError, match=reason):
        host.apply(host.wanted({}, release))
    assert host.page == "one"


def test_oldest_releases_are_removed_but_never_the_live_or_the_previous_one(host: Host) -> None:
    ids = [host.release(text) for text in ("one", "two", "three", "four")]
    host.apply(host.wanted({}, ids[0]))
    host.apply(host.wanted({}, ids[0], keep=2))
    host.apply(host.wanted(host.build("five"), keep=2))
    assert sorted(releases.names(str(host.root))) == sorted([ids[0], host.wanted(described(str(host.source))).release])


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: (path / "index.html").write_text("two"),
        lambda path: (path / "index.html").unlink(),
        lambda path: (path / "new.html").write_text("x"),
        lambda path: ((path / "index.html").unlink(), (path / "index.html").symlink_to("/etc/hostname")),
    ],
)
def test_damage_is_seen_and_made_good_beside_it(host: Host, damage: object) -> None:
    host.release("one")
    assert callable(damage)
    damage(host.root / "current")
    wanted = host.wanted(host.build("one"))
    assert releases.inspect(wanted).changed
    host.apply(wanted)
    assert host.page == "one"
    assert not releases.inspect(wanted).changed


def test_new_time_alone_is_no_damage(host: Host) -> None:
    host.release("one")
    os.utime(host.root / "current/index.html", (1, 1))
    assert not releases.inspect(host.wanted(host.build("one"))).changed


def test_release_that_visitors_do_not_get_is_taken_back(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    monkeypatch.setattr("time.monotonic", iter(range(0, 1000, 3)).__next__)
    first, second = host.release("one"), host.release("two")
    host.answer = "something else"
    with pytest.raises(releases.ReleaseError, match=f"something else\nThe release {second} is live again"):
        host.apply(host.wanted(host.build("three"), url="https://docs.test/"))
    assert host.page == "two"
    assert releases.link(str(host.root), "previous") == first
    assert not (host.root / "pending.json").exists()


def test_release_that_visitors_get_is_kept(host: Host) -> None:
    host.apply(host.wanted(host.build("one"), url="https://docs.test/"))
    assert host.ran[-1][-1] == "https://docs.test/"
    assert host.page == "one"


def test_files_that_changed_on_the_way_are_refused(host: Host) -> None:
    host.release("one")
    files = host.build("two")
    wanted = host.wanted({**files, "index.html": "0" * 64})
    with pytest.raises(releases.ReleaseError, match="did not arrive as they were sent"):
        host.apply(wanted)
    assert host.page == "one"


STEPS = ("os.rename", "os.symlink", "os.unlink", "os.sync", "os.utime", "shutil.rmtree")


@pytest.mark.parametrize("step", range(1, 40))
def test_run_killed_anywhere_is_finished_by_the_next(host: Host, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    for text in ("one", "two", "three"):
        host.release(text)
    wanted = host.wanted(host.build(PAGE, same="x"), keep=2)
    left = [step]

    def dying(call: object) -> object:
        def wrapped(*arguments: object, **options: object) -> object:
            left[0] -= 1
            if left[0] == 0:
                raise Killed
            assert callable(call)
            return call(*arguments, **options)

        return wrapped

    with monkeypatch.context() as patch:
        for name in STEPS:
            module, _, function = name.partition(".")
            owner = getattr(releases, module)
            patch.setattr(owner, function, dying(getattr(owner, function)))
        try:
            host.apply(wanted)
        except Killed:
            assert host.page in ("three", PAGE)
    host.apply(wanted)
    assert host.page == PAGE
    assert not releases.inspect(wanted).changed
    assert releases.link(str(host.root), "previous") != releases.link(str(host.root), "current")
    left_over = [path for path in (host.root / "releases").iterdir() if path.name.startswith(".")]
    assert left_over == []
