"""The plan of a zone's DNS records."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.module_utils.cloudflare import record_parts, record_plan
from ansible_collections.vise.platform.plugins.module_utils.cloudflare.records import Found, Record

MARK = "[us]"


def record(kind: str, content: str, name: str = "www.test", **more: Any) -> Record:
    return Record(kind, name, content, **{"comment": MARK, **more})


def found(*existing: Record) -> list[Found]:
    return [Found(str(number), one) for number, one in enumerate(existing)]


def foreign(kind: str, content: str, name: str = "www.test") -> Record:
    return record(kind, content, name, comment="by hand")


A1, A2 = record("A", "192.0.2.1"), record("A", "192.0.2.2")
SPF = record("TXT", "v=spf1 mx ~all")
OTHER_SPF = record("TXT", "v=spf1 a -all")
KEEP = record_plan.Policy(MARK)
PURGE, ADOPT = KEEP._replace(purge=True), KEEP._replace(adopt=True)


@pytest.mark.parametrize(
    ("existing", "wanted", "policy", "signs"),
    [
        ([], [A1, SPF], PURGE, "++"),
        ([A1, SPF], [A1, SPF], PURGE, ""),
        ([A1], [A1._replace(ttl=300)], PURGE, "~"),
        ([A1], [A2], PURGE, "~"),
        ([A1], [A2], KEEP, "~"),
        ([A1, A2], [A2], KEEP, "-"),
        ([A1], [], PURGE, "-"),
        ([A1], [], KEEP, ""),
        ([A1], [], PURGE._replace(purge_except=[r"^www\."]), ""),
        ([A1], [], PURGE._replace(purge_except=[r"^mail\."]), "-"),
        ([A1], [A2], PURGE._replace(purge_except=[r"^www\."]), "~"),
        ([record("TXT", "one")], [record("TXT", "two")], KEEP, "+"),
        ([record("TXT", "one")], [record("TXT", "two")], PURGE, "~"),
        ([OTHER_SPF], [SPF], KEEP, "~"),
        ([record("CNAME", "a.test")], [A1], KEEP, "+-"),
        ([A1], [record("CNAME", "a.test")], KEEP, "-+"),
        ([foreign("A", "192.0.2.9", "other.test")], [A1], PURGE, "+"),
        ([foreign("TXT", "site-verification=1")], [SPF], PURGE, "+"),
        ([foreign("TXT", "v=spf1 a")], [SPF], ADOPT, "~"),
        ([foreign("A", "192.0.2.1")], [A1], ADOPT, "~"),
        ([foreign("CNAME", "a.test")], [A1], ADOPT, "+-"),
        ([foreign("A", "192.0.2.8", "x.test")], [A1], ADOPT, "+"),
    ],
)
def test_plan_has_the_fewest_changes(
    existing: list[Record], wanted: list[Record], policy: record_plan.Policy, signs: str
) -> None:
    done = record_plan.plan_records(found(*existing), wanted, policy)
    assert "".join(change.sign() for change in done.changes) == signs
    assert done.conflicts == []


@pytest.mark.parametrize(
    ("other", "wanted"),
    [
        (foreign("A", "192.0.2.1"), A1),
        (foreign("A", "192.0.2.9"), A1),
        (foreign("CNAME", "a.test"), A1),
        (foreign("AAAA", "2001:db8::1"), record("CNAME", "a.test")),
        (foreign("CNAME", "b.test"), record("CNAME", "a.test")),
        (foreign("MX", "5 other.test"), record("MX", "10 mail.test")),
        (foreign("TXT", "v=spf1 -all"), SPF),
        (foreign("TXT", "v=DKIM1; p=x"), record("TXT", "v=DKIM1; p=y")),
        (foreign("SRV", "0 1 587 a.test"), record("SRV", "0 1 587 b.test")),
        (foreign("NS", "ns.test"), A1),
        (foreign("NS", "ns.test"), SPF),
        (foreign("TXT", "site-verification=1"), record("NS", "ns.test")),
        (foreign("MX", "5 other.test"), record("NS", "ns.test")),
        (foreign("LOC", "51 N"), record("NS", "ns.test")),
    ],
)
def test_conflict_names_the_foreign_and_the_wanted_record(other: Record, wanted: Record) -> None:
    done = record_plan.plan_records(found(other), [wanted], PURGE)
    assert done.conflicts == [(other, wanted)]
    text = record_plan.describe_conflicts(done)
    assert f"- {other} (comment: by hand) conflicts with {wanted}" in text
    assert "adopt=true" in text


@pytest.mark.parametrize(
    ("other", "wanted"),
    [
        (foreign("TXT", "site-verification=1"), SPF),
        (foreign("AAAA", "2001:db8::1"), A1),
        (foreign("CAA", '0 issue "other.test"'), record("CAA", '0 issue "ca.test"')),
        (foreign("TLSA", "3 1 1 aa"), record("TLSA", "3 1 1 bb")),
        (foreign("CNAME", "a.test"), SPF),
        (foreign("DS", "2371 13 2 ab"), record("NS", "ns.test")),
        (foreign("NS", "ns.test", "other.test"), A1),
    ],
)
def test_foreign_record_without_a_conflict_is_left_unchanged(other: Record, wanted: Record) -> None:
    done = record_plan.plan_records(found(other), [wanted], PURGE)
    assert [change.sign() for change in done.changes] == ["+"]
    assert done.conflicts == []


def test_name_servers_of_the_zone_itself_do_not_conflict_with_its_records() -> None:
    done = record_plan.plan_records(found(foreign("NS", "ns.test")), [A1, SPF], PURGE, "www.test")
    assert ([change.sign() for change in done.changes], done.conflicts) == (["+", "+"], [])


def test_adopted_name_has_only_its_name_servers() -> None:
    others = [foreign("A", "192.0.2.9"), foreign("TXT", "x"), foreign("MX", "5 a.test"), foreign("DS", "1 13 2 ab")]
    wanted = [record("NS", "ns1.test"), record("NS", "ns2.test")]
    done = record_plan.plan_records(found(*others), wanted, ADOPT, "test")
    assert sorted(one.type for one in done.final) == ["DS", "NS", "NS"]
    back = record_plan.plan_records(found(foreign("NS", "ns1.test")), [A1, SPF], ADOPT, "test")
    assert sorted(one.type for one in back.final) == ["A", "TXT"]


def managed(*existing: Record) -> list[Found]:
    return [Found(str(number), one, "Email Routing") for number, one in enumerate(existing)]


MX1, MX2 = foreign("MX", "1 route1.test"), foreign("MX", "2 route2.test")


@pytest.mark.parametrize("policy", [PURGE, ADOPT])
def test_record_that_another_product_manages_is_never_changed(policy: record_plan.Policy) -> None:
    wanted = record("MX", "10 mail.test")
    done = record_plan.plan_records(managed(MX1), [wanted], policy)
    assert done.locked == [(managed(MX1)[0], wanted)]
    text = record_plan.describe_conflicts(done)
    assert f"- {MX1} (managed by Email Routing) conflicts with {wanted}" in text
    assert "disable it for the name" in text
    assert "adopt" not in text
    # Without a wanted record, it stays, also with the mark.
    marked = managed(MX1._replace(comment=MARK))
    assert (
        record_plan.plan_records(marked, [], policy).changes,
        record_plan.plan_records(marked, [], policy).locked,
    ) == (
        [],
        [],
    )


def test_records_that_another_product_manages_as_wanted_are_no_change() -> None:
    wanted = [MX1._replace(comment=MARK, ttl=300), MX2._replace(comment=MARK)]
    done = record_plan.plan_records(managed(MX1, MX2), wanted, PURGE)
    assert (done.changes, done.locked, done.unchanged) == ([], [], 2)
    proxied = record("AAAA", "100::", proxied=True)
    done = record_plan.plan_records(managed(proxied), [proxied._replace(proxied=False)], PURGE)
    assert [one.manager for one, _wanted in done.locked] == ["Email Routing"]


@pytest.mark.parametrize("comment", ["", "[usual] mail", "about [us]", "[us]x"])
def test_record_belongs_to_the_owner_only_with_the_exact_mark(comment: str) -> None:
    assert not PURGE.owns(Found("1", A1._replace(comment=comment)))


@pytest.mark.parametrize(("names", "limit", "sizes"), [(450, 200, [200, 200, 50]), (450, 3500, [450]), (0, 200, [])])
def test_changes_are_sent_in_the_fewest_calls_that_the_limit_allows(names: int, limit: int, sizes: list[int]) -> None:
    wanted = [record("A", "192.0.2.1", f"n{number}.test") for number in range(names)]
    done = record_plan.plan_records([], wanted, PURGE)
    assert [len(batch) for batch in record_parts.make_batches(done.changes, limit)] == sizes


def test_changes_of_one_name_are_sent_in_one_call() -> None:
    wanted = [record(kind, "x", f"n{number}.test") for number in range(5) for kind in ("A", "AAAA")]
    done = record_plan.plan_records([], wanted, PURGE)
    calls = [{change.record.name for change in batch} for batch in record_parts.make_batches(done.changes, 3)]
    assert [len(names) for names in calls] == [1] * 5
    assert len(set.union(*calls)) == 5


def test_request_has_each_change_in_the_list_that_the_api_expects() -> None:
    existing = found(A1, record("TXT", "old", "gone.test"))
    done = record_plan.plan_records(existing, [A2, record("MX", "10 mail.test", "test")], PURGE)
    request = record_plan.request_body(done.changes)
    assert request["deletes"] == [{"id": "1"}]
    assert [(entry["id"], entry["content"]) for entry in request["patches"]] == [("0", "192.0.2.2")]
    assert [(entry["content"], entry["priority"]) for entry in request["posts"]] == [("mail.test", 10)]


@pytest.mark.parametrize(
    ("before", "after", "sent"),
    [((), (), None), (("a:b",), (), []), (("a:b",), ("c:d",), ["c:d"]), ((), ("c:d",), ["c:d"])],
)
def test_obsolete_tags_are_removed_by_an_empty_list(
    before: tuple[str, ...], after: tuple[str, ...], sent: list[str] | None
) -> None:
    existing = found(record("A", "192.0.2.1", tags=before))
    done = record_plan.plan_records(existing, [record("A", "192.0.2.1", ttl=60, tags=after)], PURGE)
    assert record_plan.request_body(done.changes)["patches"][0].get("tags") == sent


def test_each_change_is_described_in_one_line() -> None:
    existing = found(A1, record("TXT", "old", "gone.test"), SPF)
    long = record("TXT", "v=DKIM1; " + "p" * 400, "key.test")
    wanted = [A2, long, SPF._replace(ttl=300), record("A", "192.0.2.3", "app.test", proxied=True)]
    plan = record_plan.plan_records(existing, wanted, PURGE)
    assert record_plan.count_changes(plan) == {"add": 2, "change": 2, "remove": 1, "keep": 0}
    assert record_plan.describe_plan(plan) == [
        "+ A     app.test   192.0.2.3  proxied",
        "- TXT   gone.test  old",
        f"+ TXT   key.test   v=DKIM1; {'p' * 48}...",
        "~ A     www.test   192.0.2.1 -> 192.0.2.2",
        "~ TXT   www.test   v=spf1 mx ~all  ttl 1 -> 300",
    ]


def test_diff_has_only_the_records_that_change() -> None:
    text = record_plan.diff(record_plan.plan_records(found(A1, SPF), [A2, SPF], PURGE), "test")
    assert text["before"] == "www.test A 192.0.2.1 ttl=1 ; [us]\n"
    assert text["after"] == "www.test A 192.0.2.2 ttl=1 ; [us]\n"
