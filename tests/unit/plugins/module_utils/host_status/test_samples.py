"""The output of programs and jobs is parsed."""

from __future__ import annotations

from ansible_collections.vise.platform.plugins.module_utils.host import metrics
from ansible_collections.vise.platform.plugins.module_utils.host_status import samples

SIMULATION = """\
Reading package lists...
Inst libc6 [2.41-12] (2.41-12+deb13u1 Debian-Security:13/stable-security [amd64])
Inst nginx [1.26.3-3] (1.26.3-4 Debian:13.2/stable [amd64])
Conf libc6 (2.41-12+deb13u1 Debian-Security:13/stable-security [amd64])
"""


def test_rendered_metrics_are_read_back() -> None:
    written: list[metrics.Sample] = [("a_b", {"tool": 'x"\\\ny', "repository": "1"}, 2.5), ("c", {}, 1796031055)]
    assert samples.parse(metrics.render(written, {"a_b": "text", "c": "text"})) == written


def test_lines_that_are_no_samples_are_skipped() -> None:
    assert samples.parse("# HELP a b\n\ngarbage\na{ 1\nb nothing\nc 1\n") == [("c", {}, 1.0)]


def test_updates_are_counted_and_those_for_security() -> None:
    assert samples.count_updates(SIMULATION) == {"pending": 2, "security": 1}
    assert samples.count_updates("") == {"pending": 0, "security": 0}


def test_last_value_of_a_setting_counts() -> None:
    text = "tls-port 1\n# tls-port 2\ntls-port 6379 \ntls-port-other 3\n"
    assert samples.find_setting(text, "tls-port") == "6379"
    assert samples.find_setting(text, "port") == ""


def test_end_and_issuer_of_a_certificate_are_parsed() -> None:
    text = "notAfter=Jan  1 00:00:00 2027 GMT\n0a1b2c3d\n{}\n"
    assert samples.parse_certificate(text.format("0a1b2c3d")) == {"end": 1798761600, "self_signed": True}
    assert samples.parse_certificate(text.format("ffffffff")) == {"end": 1798761600, "self_signed": False}
    assert samples.parse_certificate("Could not read certificate") == {}
