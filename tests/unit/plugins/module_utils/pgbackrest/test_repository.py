from __future__ import annotations

import pytest
from ansible_collections.vise.platform.plugins.module_utils.pgbackrest import repository

from .samples import backup, info


def test_sets_belong_to_their_repository() -> None:
    first, second = repository.parse_info(info(backup(2, "20260101-000000F", 5)), "main")
    assert (first.backups, [b.label for b in second.backups]) == ((), ["20260101-000000F"])
    assert second.archives == (repository.Archive(2, "17-1", 7, "000000010000000000000002"),)
    assert second.backups[0].system == 7


def test_unknown_stanza_is_an_error() -> None:
    with pytest.raises(ValueError, match="no stanza other"):
        repository.parse_info(info(), "other")


@pytest.mark.parametrize(
    ("code", "reachable", "stanza"), [(0, True, True), (1, True, False), (2, True, True), (99, False, False)]
)
def test_status_code_gives_reachability_and_stanza(code: int, reachable: bool, stanza: bool) -> None:
    repo = repository.parse_info(info(codes=(code,)), "main")[0]
    assert (repo.reachable, repo.has_stanza) == (reachable, stanza)


def test_error_with_unescaped_line_breaks_is_parsed() -> None:
    text = info(codes=(99,), message="LINE").replace(
        "LINE", "[CryptoError] unable to load info file\nHINT: is it encrypted?"
    )
    repo = repository.parse_info(text, "main")[0]
    assert not repo.reachable
    assert repo.message.startswith("its content cannot be read with this `cipher_pass`")


REFUSED = """[ProtocolError] HTTP failed with 403:
*** Request Headers ***:
authorization: <redacted>
*** Response Content ***:
<Error><Code>InvalidAccessKeyId</Code><Message>The key does not exist.</Message></Error>"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            REFUSED,
            "[ProtocolError] HTTP failed with 403: InvalidAccessKeyId: The key does not exist.",
        ),
        ("2026-01-01 10:00:00.123 P00  ERROR: [058]: no match\n   more", "ERROR: [058]: no match"),
        ("WARN: odd\nERROR: [041]: gone", "ERROR: [041]: gone"),
        (
            "[FileMissingError] unable to load info file '/repo/backup/main/backup.info'",
            "[FileMissingError] unable to load info file '/repo/backup/main/backup.info'",
        ),
        ("", ""),
    ],
)
def test_error_is_one_line(text: str, expected: str) -> None:
    assert repository.extract_error(text) == expected


@pytest.mark.parametrize("kind", ["[FormatError]", "[CryptoError]", "ERROR: [031]: P00 [FormatError]"])
def test_wrong_passphrase_is_named_without_the_undeciphered_bytes(kind: str) -> None:
    text = f"{kind} unable to load info file '/repo/backup/main/backup.info' or '/repo/backup/main/backup.info.copy':"
    found = repository.extract_error(f"{text}\nFormatError: key/value found outside of section at line 1: z\x07\u02d8")
    assert "use the one with which the repository was created" in found
    assert found.isprintable()


def test_segments_cross_a_log_file() -> None:
    names = repository.list_segments("0000000200000001000000FE", "000000020000000200000001")
    assert names == [
        "0000000200000001000000FE",
        "0000000200000001000000FF",
        "000000020000000200000000",
        "000000020000000200000001",
    ]


def test_lsn_and_segment_start_agree() -> None:
    assert repository.parse_lsn("1/FE000000") == repository.segment_start("0000000200000001000000FE")
