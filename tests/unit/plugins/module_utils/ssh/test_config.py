"""The files of sshd_config as sshd reads them: order, Include, Match, quotes, comments, old names, arguments."""

from __future__ import annotations

import pytest
from ansible_collections.vise.platform.plugins.module_utils.ssh import config
from ansible_collections.vise.platform.plugins.module_utils.ssh.config import Setting


def parse(**files: str) -> list[Setting]:
    """Parse `main`; the names of other files stand for themselves in Include."""
    return config.parse(
        "main", lambda path: files[path.rpartition("/")[2]], lambda pattern: [pattern.rpartition("/")[2]]
    )


def texts(settings: list[Setting]) -> list[str]:
    return [str(one) for one in settings]


def test_each_line_is_found_with_its_file_and_its_match_block() -> None:
    main = (
        "# Port 1\n\n  Port 22\nInclude a\nMatch User ada,bob Address 10.0.0.0/8\n"
        "\tX11Forwarding=no # why\nMatch all\nPort 2"
    )
    assert texts(parse(main=main, a='Banner "/etc/a b"\nMatch Group=sftp\nForceCommand internal-sftp')) == [
        "main:3: `Port 22`",
        "a:1: `Banner /etc/a b`",
        "a:3: `ForceCommand internal-sftp`, in `Match group sftp`",
        "main:6: `X11Forwarding no`, in `Match user ada,bob, address 10.0.0.0/8`",
        "main:8: `Port 2`, in `Match all`",
    ]


def test_block_of_an_included_file_ends_with_it_and_a_block_around_an_include_stays() -> None:
    settings = parse(main="Include a\nPort 1\nMatch User eve\nInclude b\nPort 2", a="Match all\nPort 3", b="Port 4")
    assert texts(settings) == [
        "a:2: `Port 3`, in `Match all`",
        "main:2: `Port 1`",
        "b:1: `Port 4`, in `Match user eve`",
        "main:5: `Port 2`, in `Match user eve`",
    ]


def test_endless_include_is_refused() -> None:
    with pytest.raises(config.ConfigError, match="main: files include each other without end"):
        parse(main="Include main")


def test_old_names_are_those_that_sshd_prints() -> None:
    assert [one.keyword for one in parse(main="ChallengeResponseAuthentication yes\nPubkeyAcceptedKeyTypes x")] == [
        "kbdinteractiveauthentication",
        "pubkeyacceptedalgorithms",
    ]


@pytest.mark.parametrize(
    ("values", "patterns", "expected"),
    [
        (["ada"], "ada", True),
        (["ada"], "bob,a*", True),
        (["ada"], "a?", False),
        (["ada"], "*,!ada", False),
        (["ada"], "!bob", False),
        (["staff", "sftp"], "sftp", True),
        (["staff", "sftp"], "*,!sftp", False),
        (["a[b]"], "a[b]", True),
        ([], "*", False),
    ],
)
def test_pattern_lists_match_as_in_sshd(values: list[str], patterns: str, expected: bool) -> None:
    assert config.match_list(values, patterns) == expected


@pytest.mark.parametrize(
    ("argv", "path", "expected"),
    [
        ([], "", []),
        (["-D", "-4"], "", []),
        (["-o", "PasswordAuthentication=yes"], "", ["opts:3: `PasswordAuthentication yes`"]),
        (["-oPort 2222", "-p", "2223"], "", ["opts:3: `Port 2222`", "opts:3: `port 2223`"]),
        (["-f", "/etc/other", "-D"], "/etc/other", []),
    ],
)
def test_arguments_of_sshd_count_as_settings(argv: list[str], path: str, expected: list[str]) -> None:
    found, settings = config.parse_arguments(argv, "opts", 3)
    assert (found, texts(settings)) == (path, expected)


def test_effective_configuration_has_all_values_of_a_keyword() -> None:
    assert config.parse_effective("port 22\nhostkey /a\nhostkey /b\nauthorizedkeysfile none\n") == {
        "port": ("22",),
        "hostkey": ("/a", "/b"),
        "authorizedkeysfile": ("none",),
    }
