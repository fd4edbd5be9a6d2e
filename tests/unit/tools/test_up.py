from __future__ import annotations

from pathlib import Path

import pytest

from tools import up

LISTING = {
    "_meta": {"hostvars": {"host-1": {"ansible_host": "172.30.0.10", "domain": "vln.test"}}},
    "all": {"children": ["development", "ungrouped"]},
    "development": {"children": ["docs"], "hosts": ["host-1"]},
    "docs": {"hosts": ["host-1"]},
    "mail": {"hosts": ["host-1"]},
    "cache": {"hosts": ["host-2"]},
}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("TASK [vise.platform.nginx : Configure nginx] *****", "vise.platform.nginx : Configure nginx"),
        ("\x1b[0;32mPLAY [Edge: certificates and nginx] ****\x1b[0m", "Edge: certificates and nginx"),
        ("  downloading  ", "downloading"),
        ("", ""),
    ],
)
def test_progress_is_the_name_of_the_task_or_the_line(line: str, expected: str) -> None:
    assert up.parse_progress(line) == expected


def test_latest_line_with_text_is_the_progress(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("one\ntwo\n\n\n")
    assert up.read_last_progress(log) == "two"


def test_summary_lists_hosts_commands_and_times() -> None:
    text = up.build_summary(LISTING, [(up.STAGES[0], 10.4), (up.STAGES[1], 2.0)])
    assert "host-1 (172.30.0.10) runs docs, mail\n" in text
    assert "root@172.30.0.10" in text
    assert "curl --http3 -sI https://docs.vln.test/" in text
    assert "docs/.vitepress/dist" in text
    assert "swaks --to postmaster@vln.test --server mail.vln.test" in text
    assert "     10 s  setup" in text
    assert "     12 s  total" in text


@pytest.fixture
def stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "Makefile").write_text("good:\n\techo fine\nbad:\n\techo the reason; false\nnever:\n\ttouch $@\n")
    monkeypatch.setattr(up, "ROOT", tmp_path)
    monkeypatch.setattr(up, "LOGS", tmp_path / "logs")
    monkeypatch.setattr(up, "STAGES", [up.Stage("good", "A"), up.Stage("bad", "B"), up.Stage("never", "C")])
    return tmp_path


def test_failed_stage_shows_its_output_and_ends_the_run(stages: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert up.main() == 1
    output = capsys.readouterr().out
    assert "[1/3] A: make good" in output
    assert "the reason" in output
    assert "fine" not in output
    assert "logs/up-bad.log" in output
    assert not (stages / "never").exists()
