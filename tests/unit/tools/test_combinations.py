"""Combinations of options: each pair of values that is possible occurs, and nothing else."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from tests import combinations

FACTORS: dict[tuple[str, ...], list[Any]] = {
    ("a",): [1, 2, 3],
    ("b",): [None, True],
    ("c",): ["x", "y"],
    ("d",): [0, 1, 2],
}
OPTIONS: dict[str, Any] = {
    "port": {"type": "int", "default": 22},
    "mode": {"type": "str", "choices": ["on", "off"]},
    "tls": {
        "type": "dict",
        "options": {"key": {"type": "path", "required": True}, "strict": {"type": "bool"}},
    },
    "sites": {
        "type": "list",
        "options": {"name": {"type": "str", "required": True}, "root": {"type": "path"}, "proxy": {"type": "str"}},
    },
}
VALUES = {"port": [80], "tls.key": ["/k"], "sites.name": ["a", "b"], "sites.root": ["/srv"], "sites.proxy": ["p"]}
ENTRIES = {"sites": [{"only": {"name": ["a"]}, "without": ["proxy"]}, {"only": {"name": ["b"]}, "without": ["root"]}]}


def pairs(rows: list[dict[Any, Any]]) -> set[frozenset[Any]]:
    return {frozenset(pair) for row in rows for pair in itertools.combinations(row.items(), 2)}


def test_each_pair_occurs_in_few_combinations() -> None:
    rows = list(combinations.pairwise(FACTORS, lambda *_pair: True))
    assert pairs(rows) == {
        frozenset(((a, i), (b, j)))
        for a, b in itertools.combinations(FACTORS, 2)
        for i, j in itertools.product(FACTORS[a], FACTORS[b])
    }
    assert len(rows) < 15


def test_impossible_pair_does_not_occur_also_not_by_a_third_option() -> None:
    # a=1 needs b, and b excludes c=x: a=1 and c=x cannot occur together.
    def possible(a: Any, i: Any, b: Any, j: Any) -> bool:
        row = {a: i, b: j}
        return not (
            (row.get(("a",)) == 1 and row.get(("b",), True) is None) or (row.get(("b",)) and row.get(("c",)) == "x")
        )

    found = pairs(list(combinations.pairwise(FACTORS, possible)))
    assert frozenset(((("a",), 1), (("c",), "x"))) not in found
    assert frozenset(((("a",), 2), (("c",), "x"))) in found


def test_combinations_are_the_same_in_each_run() -> None:
    first, second = (list(combinations.pairwise(FACTORS, lambda *_pair: True)) for _ in range(2))
    assert first == second


def test_values_follow_from_the_specification_and_the_plan() -> None:
    found = dict(combinations.list_factors(OPTIONS, VALUES, ["sites"]))
    assert found[("port",)] == [None, 80]
    assert found[("mode",)] == [None, "on", "off"]
    assert found[("tls", "key")] == [None, "/k"]
    assert found[("tls", "strict")] == [None, True, False]
    assert found[("sites", "name")] == ["a", "b"]


def test_option_without_a_value_is_an_error() -> None:
    with pytest.raises(ValueError, match="new has no values"):
        dict(combinations.list_factors({"new": {"type": "str"}}, {}))


def test_entries_of_a_list_have_options_of_their_own() -> None:
    found = combinations.split_entries(dict(combinations.list_factors(OPTIONS, VALUES, ["sites"])), ENTRIES)
    assert {path for path in found if path[0] == "sites"} == {
        *(("sites", "0", "name"), ("sites", "0", "root")),
        *(("sites", "1", "name"), ("sites", "1", "proxy")),
    }


def test_required_option_of_a_mapping_is_given_with_the_mapping() -> None:
    absent, given = (("tls", "key"), None), (("tls", "strict"), True)
    assert combinations.is_incomplete(OPTIONS, absent, given)
    assert not combinations.is_incomplete(OPTIONS, absent, (("port",), 80))


@pytest.mark.parametrize(
    ("first", "second", "expected"), [("0", "0", True), ("0", "1", False)], ids=["one entry", "two entries"]
)
def test_pair_is_excluded_in_one_entry_only(first: str, second: str, expected: bool) -> None:
    rule = {"sites.root": ["/srv"], "sites.proxy": [None]}
    pair = (("sites", first, "root"), "/srv"), (("sites", second, "proxy"), None)
    assert combinations.is_excluded(rule, *pair) is expected


def test_variables_have_the_shape_of_the_options() -> None:
    combination = {
        ("port",): None,
        ("tls", "key"): "/k",
        ("tls", "strict"): None,
        ("sites", "0", "name"): "a",
        ("sites", "1", "name"): "b",
        ("sites", "1", "proxy"): "p",
    }
    assert combinations.build_variables(combination, OPTIONS) == {
        "tls": {"key": "/k"},
        "sites": [{"name": "a"}, {"name": "b", "proxy": "p"}],
    }
