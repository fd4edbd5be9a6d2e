"""The limits of each plan."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.module_utils.cloudflare import plans
from ansible_collections.vise.platform.plugins.module_utils.cloudflare.records import Record

A: dict[str, Any] = {"type": "A", "name": "a.test", "content": "192.0.2.1"}


@pytest.mark.parametrize(
    ("name", "plan"),
    [
        ("free", "Free"),
        ("lite", "Lite"),
        ("pro", "Pro"),
        ("pro_plus", "Pro Plus"),
        ("business", "Business"),
        ("enterprise", "Enterprise"),
        ("partners_business", "Business"),
    ],
)
def test_plan_is_known_by_its_name_in_the_api(name: str, plan: str) -> None:
    limits = plans.find_limits(name)
    assert limits is not None
    assert limits.plan == plan


def test_unknown_plan_has_no_limits() -> None:
    assert plans.find_limits("platinum") is None
    assert plans.record_problems(Record(**A, comment="c" * 600, ttl=2, tags=("a:b",) * 30), None) == []


@pytest.mark.parametrize(
    ("plan", "fields", "problem"),
    [
        ("free", {"comment": "c" * 100}, ""),
        ("free", {"comment": "c" * 101}, "comment and mark have 101 characters; the Free plan allows 100"),
        ("pro", {"comment": "c" * 500}, ""),
        ("lite", {"comment": "c" * 500}, ""),
        ("free", {"tags": ("team:mail",)}, "the record has 1 tags; the Free plan allows 0"),
        ("business", {"tags": ("team:mail",)}, ""),
        ("pro", {"tags": tuple(f"t:{n}" for n in range(21))}, "the record has 21 tags; the Pro plan allows 20"),
        ("business", {"ttl": 30}, "ttl 30; the Business plan allows 60 or more"),
        ("free", {"ttl": 60}, ""),
        ("free", {"ttl": 1}, ""),
        ("enterprise", {"ttl": 30}, ""),
    ],
)
def test_record_is_held_to_the_limits_of_the_plan(plan: str, fields: dict[str, Any], problem: str) -> None:
    found = plans.record_problems(Record(**A, **fields), plans.find_limits(plan))
    assert found == ([f"A a.test 192.0.2.1: {problem}"] if problem else [])
