from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.vise.platform.plugins.module_utils.host import metrics

DESCRIPTIONS = {"a_bytes": "Bytes.", "b_ratio": "A ratio."}


def test_gauges_are_grouped_by_name_and_labels_are_escaped() -> None:
    samples = [("a_bytes", {"x": 'q"\\\n'}, 1e6), ("b_ratio", {}, 0.25), ("a_bytes", {"x": "y"}, 2)]
    assert metrics.render(samples, DESCRIPTIONS) == (
        "# HELP a_bytes Bytes.\n# TYPE a_bytes gauge\n"
        'a_bytes{x="q\\"\\\\\\n"} 1000000\na_bytes{x="y"} 2\n'
        "# HELP b_ratio A ratio.\n# TYPE b_ratio gauge\nb_ratio 0.250\n"
    )


def test_gauge_without_description_is_an_error() -> None:
    with pytest.raises(KeyError, match="c"):
        metrics.render([("c", {}, 1)], DESCRIPTIONS)


def test_descriptions_are_left_out_on_request() -> None:
    assert metrics.render([("a_bytes", {}, 1)]) == "# TYPE a_bytes gauge\na_bytes 1\n"


def test_file_can_be_read_by_every_user(tmp_path: Path) -> None:
    metrics.write("vise.prom", "a 1\n", str(tmp_path))
    assert (tmp_path / "vise.prom").read_text() == "a 1\n"
    assert (tmp_path / "vise.prom").stat().st_mode & 0o777 == 0o644
