"""Sizes and time spans as systemd reads them."""

from __future__ import annotations

import pytest
from ansible_collections.vise.platform.plugins.module_utils.model import systemd


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("500M", 500 * 1024**2),
        ("1.5G", 1536 * 1024**2),
        ("1G 512M", 1536 * 1024**2),
        ("1G512M", 1536 * 1024**2),
        (" 2 G ", 2 * 1024**3),
        ("1073741824", 1024**3),
        ("1073741824B", 1024**3),
        ("1T", 1024**4),
    ],
)
def test_size_is_read_as_by_systemd(text: str, size: int) -> None:
    assert systemd.parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["500MB", "500MiB", "500m", "M", "", " ", "1M 1G", "1G 1G", "1,5G", "5x", "-5M", "1e9"]
)
def test_text_that_systemd_ignores_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        systemd.parse_size(text)


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ("30day", True),
        ("1month", True),
        ("2 weeks 3d", True),
        ("1y", True),
        ("90", True),
        ("", False),
        ("month", False),
        ("30 dayz", False),
        ("-1d", False),
    ],
)
def test_time_span_is_read_as_by_systemd(text: str, valid: bool) -> None:
    assert systemd.is_time_span(text) is valid
