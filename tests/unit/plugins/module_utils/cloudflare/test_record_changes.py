"""Record changes are applied despite faults of the network; against the sandbox's double."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.module_utils.cloudflare import (
    client,
    record_changes,
    record_plan,
    records,
)
from kit.cloudflare import records as double_records
from kit.cloudflare import zones as double_zones
from kit.cloudflare.errors import Refused

from tests.unit.plugins.cloudflare import TOKEN, Double, running

ZONE, MARK = "example.test", "[us]"
POLICY = record_plan.Policy(MARK, purge=True)


@pytest.fixture
def double() -> Iterator[Double]:
    with running() as one:
        yield one


class Clock(list[float]):
    """Records the delays instead of sleeping."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


DEFAULTS: dict[str, Any] = {"clock": None, "token": TOKEN, "timeout": 10}


def session(double: Double, clock: Clock | None = None, token: str = TOKEN, timeout: float = 10) -> client.Session:
    params = {"token": token, "endpoint": double.endpoint, "timeout": timeout}
    return client.Session(params, sleep=Clock() if clock is None else clock)


def addresses(count: int, last: int = 1) -> list[records.Record]:
    return [
        records.Record("A", f"n{number:03}.{ZONE}", f"192.0.2.{last}", 300, comment=MARK) for number in range(count)
    ]


def converge(connection: client.Session, zone: client.Zone, wanted: record_changes.Wanted, **options: Any) -> Any:
    """Plan and apply."""
    plan = record_changes.read_plan(connection, zone, wanted, **options)
    record_changes.apply(connection, zone, wanted, plan)
    return plan


def publish(
    double: Double, wanted: list[records.Record], zone: str = ZONE, **options: Any
) -> tuple[record_plan.Plan, int]:
    """Converge, and return the plan and the number of calls."""
    connection = session(double, *(options.pop(key, default) for key, default in DEFAULTS.items()))
    target = record_changes.Wanted(wanted, options.pop("policy", POLICY))
    return converge(connection, connection.zone(zone), target, **options), connection.calls


def values(double: Double, zone: str = ZONE) -> list[tuple[str, str, str]]:
    return [(row["type"], row["name"], row["content"]) for row in double.records(zone)]


def keys(wanted: list[records.Record]) -> list[tuple[str, str, str]]:
    return sorted((record.key for record in wanted), key=lambda key: key[1])


@pytest.mark.parametrize(("zone", "full"), [("example.test", 5), ("elsewhere.test", 3)], ids=["free plan", "pro plan"])
def test_500_records_take_few_calls(double: Double, zone: str, full: int) -> None:
    wanted = [record._replace(name=record.name.replace(ZONE, zone)) for record in addresses(500)]
    done, calls = publish(double, wanted, zone)
    assert (len(done.changes), calls, len(double.log)) == (500, full, full)
    double.log.clear()
    again, calls = publish(double, wanted, zone)
    assert (again.changes, again.unchanged, calls, len(double.log)) == ([], 500, 2, 2)
    assert double.writes() == []
    changed, calls = publish(double, [record._replace(ttl=600) for record in wanted], zone)
    assert (len(changed.changes), calls) == (500, full)


def test_zone_of_three_pages_is_read_completely(double: Double) -> None:
    wanted = addresses(25)
    publish(double, wanted)
    double.log.clear()
    done, calls = publish(double, wanted, page=10)
    assert (done.changes, done.unchanged, calls) == ([], 25, 4)


def test_foreign_records_are_left_unchanged(double: Double) -> None:
    double.add(type="TXT", name="@", content='"site-verification=1"')
    double.add(type="A", name="theirs", content="192.0.2.9")
    before = double.records()
    publish(double, addresses(2))
    publish(double, [])
    assert double.records() == before


def test_conflict_stops_the_run_before_anything_is_sent_unless_the_record_is_adopted(double: Double) -> None:
    double.add(type="CNAME", name="n001", content="other.test", comment="by hand")
    with pytest.raises(
        client.ApiError, match=r"CNAME n001.example.test other.test \(comment: by hand\) conflicts with A n001"
    ):
        publish(double, addresses(2))
    assert len(double.records()) == 1
    publish(double, addresses(2), policy=POLICY._replace(adopt=True))
    assert values(double) == keys(addresses(2))


# Calls of a run that changes 250 records of a free zone: zone, records, 200, 50.
@pytest.mark.parametrize("position", [1, 2, 3, 4])
@pytest.mark.parametrize("mode", ["429", "500", "timeout", "lost"])
def test_run_converges_after_a_fault_at_every_call(double: Double, mode: str, position: int) -> None:
    publish(double, addresses(250))
    double.log.clear()
    wanted = [*addresses(240, last=2), *(record._replace(name=f"new-{record.name}") for record in addresses(10))]
    clock = Clock()
    double.fail(f"{mode}@{position}")
    # Shorter than the time that the double keeps a client waiting, and long enough for a busy machine
    publish(double, wanted, clock=clock, timeout=0.9 if mode in ("timeout", "lost") else 10)
    assert double.log[position - 1].endswith(mode)
    # From Retry-After, or the first delay.
    assert clock == [1.0]
    assert values(double) == keys(wanted)
    double.fail("none")
    again, _calls = publish(double, wanted)
    assert (again.changes, again.unchanged) == ([], 250)


def test_obsolete_tags_are_removed(double: Double) -> None:
    zone = "elsewhere.test"
    plain = records.Record("A", f"a.{zone}", "192.0.2.1", comment=MARK)
    for tags in (("a:b", "c:d"), ("a:b",), ()):
        publish(double, [plain._replace(tags=tags)], zone)
        assert [tuple(row["tags"]) for row in double.records(zone)] == [tags]
        assert publish(double, [plain._replace(tags=tags)], zone)[0].changes == []


def test_retry_after_is_respected_up_to_a_limit() -> None:
    clock = Clock()
    backoff = client.Backoff(clock)
    backoff.wait(client.Transient("limited", 290))
    with pytest.raises(client.ApiError, match="limited; stopped after 2 attempts; run it again later"):
        backoff.wait(client.Transient("limited", 290))
    assert clock == [290]


def test_permanent_fault_is_an_error_after_the_last_attempt(double: Double) -> None:
    double.fail("500")
    clock = Clock()
    with pytest.raises(client.ApiError, match=r"Unable to process your request at this time.*stopped after 6 attempts"):
        publish(double, addresses(1), clock=clock)
    assert clock == [1, 2, 4, 8, 16]


def test_runs_at_the_same_time_have_the_result_of_one(double: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = addresses(120)
    barrier = threading.Barrier(4)
    problems: list[Exception] = []

    def one() -> None:
        connection = session(double)
        read, reads = connection.records, list[int]()

        def together(*more: Any) -> list[dict[str, Any]]:
            rows = read(*more)
            reads.append(len(rows))
            # All have read the empty zone before any of them writes.
            if len(reads) == 1:
                barrier.wait(30)
            return rows

        monkeypatch.setattr(connection, "records", together)
        try:
            converge(connection, connection.zone(ZONE), record_changes.Wanted(wanted, POLICY))
        except Exception as problem:  # noqa: BLE001 (whatever it is, the test shows it)
            problems.append(problem)

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert values(double) == keys(wanted)
    assert [line.split()[-1] for line in double.writes()].count("400") == 3


def test_change_that_another_run_made_meanwhile_is_not_an_error(
    double: Double, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = addresses(2)
    connection = session(double)
    zone = connection.zone(ZONE)
    read, reads = connection.records, list[int]()

    def late(*more: Any) -> list[dict[str, Any]]:
        rows = read(*more)
        if not reads:
            publish(double, wanted[:1])
        reads.append(len(rows))
        return rows

    monkeypatch.setattr(connection, "records", late)
    converge(connection, zone, record_changes.Wanted(wanted, POLICY))
    assert reads == [0, 1]
    assert values(double) == keys(wanted)


# The plan takes this for valid, and the double refuses it with an error that names no record.
BAD_TTL: dict[str, Any] = {"ttl": 5}


@pytest.fixture
def forbid(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that makes the double refuse names for a reason that the module does not know."""

    def forbid(*names: str, text: str = "{name} is not possible.") -> None:
        def check(body: Any, zone: str, *more: Any) -> Any:
            record = accept(body, zone, *more)
            if record["name"] in names:
                raise Refused(400, 1234, text.format(name=record["name"]))
            return record

        accept = double_records.record_of
        monkeypatch.setattr(double_zones, "record_of", check)

    return forbid


def refuse(double: Double, wanted: list[records.Record], zone: str = ZONE) -> list[str]:
    """Publish, and return the lines of the error."""
    with pytest.raises(client.ApiError) as refused:
        publish(double, wanted, zone)
    return str(refused.value).splitlines()


def make(kind: str, name: str, content: str, **more: Any) -> records.Record:
    return records.Record(kind, f"{name}.{ZONE}" if name else ZONE, content, comment=MARK, **more)


def names(double: Double) -> list[str]:
    return sorted({row["name"].removesuffix(ZONE).rstrip(".") for row in double.records()})


def test_refused_record_is_named_and_independent_ones_are_published(double: Double) -> None:
    tagged = records.Record("A", f"bad.{ZONE}", "192.0.2.7", comment=MARK, tags=("team:x",))
    lines = refuse(double, [*addresses(5), tagged])
    assert "exceeding the quota of 0" in lines[0]
    assert lines[1:] == ["- A bad.example.test 192.0.2.7"]
    assert [row["name"] for row in double.records()] == [record.name for record in addresses(5)]
    again = refuse(double, [*addresses(5), tagged])
    assert again == lines
    loop = records.Record("CNAME", f"bad.{ZONE}", "bad.example.test", comment=MARK)
    lines = refuse(double, [*addresses(5), loop])
    assert "CNAME content cannot reference itself. (9039). This record was not changed:" in lines[0]
    assert lines[1:] == ["- CNAME bad.example.test bad.example.test"]


MAIL = make("A", "mail", "192.0.2.25")
OTHER = [make("A", "www", "192.0.2.1"), make("TXT", "", "v=spf1 mx ~all"), make("TXT", "_dmarc", "v=DMARC1; p=none")]


@pytest.mark.parametrize(
    ("related", "held"),
    [
        ([make("MX", "", f"10 mail.{ZONE}")], {""}),
        ([make("CNAME", "imap", f"mail.{ZONE}"), make("CNAME", "pop", f"imap.{ZONE}")], {"imap", "pop"}),
        ([make("SRV", "_imaps._tcp", f"0 1 993 mail.{ZONE}")], {"_imaps._tcp"}),
        ([make("HTTPS", "web", f"1 mail.{ZONE} alpn=h3")], {"web"}),
        ([make("NS", "below", f"mail.{ZONE}")], {"below"}),
    ],
    ids=["MX", "chain of CNAME", "SRV", "HTTPS", "NS"],
)
def test_record_that_points_to_a_refused_one_is_not_published(
    double: Double, forbid: Callable[..., None], related: list[records.Record], held: set[str]
) -> None:
    forbid(MAIL.name)
    lines = refuse(double, [MAIL, *related, *OTHER])
    assert lines[1] == "- A mail.example.test 192.0.2.25"
    assert lines[2] == "These records depend on it and were not changed either:"
    assert lines[3:] == sorted(f"- {record}" for record in related)
    assert sorted(row["type"] for row in double.records()) == ["A", "TXT", "TXT"]
    assert set(names(double)) & held <= {""}


def test_error_that_names_no_record_lists_those_of_which_one_is_the_cause(double: Double) -> None:
    bad, related = MAIL._replace(**BAD_TTL), make("MX", "", f"10 mail.{ZONE}")
    lines = refuse(double, [bad, related, *OTHER])
    assert "Invalid TTL" in lines[0]
    assert lines[0].endswith("One of these records is the cause:")
    assert lines[1:] == [f"- {related}", f"- {bad}"]
    assert names(double) == ["", "_dmarc", "www"]


def test_target_of_a_refused_record_is_not_published_nor_removed(double: Double, forbid: Callable[..., None]) -> None:
    old = [make("CNAME", "www", f"old.{ZONE}"), make("A", "old", "192.0.2.1")]
    publish(double, old)
    forbid(f"www.{ZONE}")
    new = [make("CNAME", "www", f"new.{ZONE}"), make("A", "new", "192.0.2.2"), make("A", "x", "192.0.2.3")]
    lines = refuse(double, new)
    assert lines[1] == f"- {new[0]}"
    assert sorted(lines[3:]) == sorted([f"- {new[1]}", f"- {old[1]}"])
    assert names(double) == ["old", "www", "x"]


def test_target_behind_a_wildcard_belongs_to_the_record_that_points_to_it(double: Double) -> None:
    lines = refuse(double, [make("A", "*", "192.0.2.1", **BAD_TTL), make("MX", "", f"10 any.{ZONE}"), *OTHER])
    assert f"- MX example.test 10 any.{ZONE}" in lines
    assert "MX" not in {row["type"] for row in double.records()}


def test_record_stays_when_its_replacement_of_another_type_is_refused(double: Double) -> None:
    publish(double, [make("A", "www", "192.0.2.1")])
    refuse(double, [make("CNAME", "www", "other.test", ttl=5), *OTHER[1:]])
    assert [row["content"] for row in double.records() if row["name"] == f"www.{ZONE}"] == ["192.0.2.1"]
    assert names(double) == ["", "_dmarc", "www"]


@pytest.mark.parametrize("position", [0, 7, 63, 99])
def test_refused_record_is_found_when_the_error_names_none(
    double: Double, forbid: Callable[..., None], position: int
) -> None:
    wanted = addresses(100)
    forbid(wanted[position].name, text="No.")
    lines = refuse(double, wanted)
    assert lines == ["Cloudflare: No. (1234). This record was not changed:", f"- {wanted[position]}"]
    assert len(double.records()) == 99
    # Each refused part is halved.
    assert len(double.writes()) < 20


def test_several_refused_records_are_all_named(double: Double) -> None:
    bad = [
        make("A", "one", "192.0.2.1", ttl=5),
        make("TXT", "two", "x", ttl=6),
        make("CNAME", "three", "x.test", ttl=7),
    ]
    lines = refuse(double, [*bad, *addresses(20)])
    assert {line for line in lines if line.startswith("- ")} == {f"- {record}" for record in bad}
    assert len(double.records()) == 20


def test_records_that_depend_on_each_other_are_in_one_call(double: Double) -> None:
    # By name alone, the first call of the free plan would end between them.
    chain = [make("CNAME", "a", f"z.{ZONE}", ttl=60), make("A", "z", "192.0.2.1", **BAD_TTL)]
    refuse(double, [*addresses(250), *chain])
    assert len(double.records()) == 250


@pytest.mark.parametrize("position", [1, 4, 6, 8])
@pytest.mark.parametrize("mode", ["429", "500", "timeout", "lost"])
def test_independent_records_are_published_despite_a_fault(double: Double, mode: str, position: int) -> None:
    double.fail(f"{mode}@{position}")
    wanted = [*addresses(6), make("A", "one", "192.0.2.1", ttl=5), make("A", "two", "192.0.2.2", ttl=5)]
    with pytest.raises(client.ApiError, match="Invalid TTL"):
        publish(double, wanted, timeout=0.9 if mode in ("timeout", "lost") else 10)
    assert [row["name"] for row in double.records()] == [record.name for record in addresses(6)]


def test_texts_that_are_too_long_with_foreign_ones_are_refused_before_anything_is_sent(double: Double) -> None:
    for number in range(4):
        double.add(type="TXT", name="key", content='"' + f"{number}" * 2040 + '"')
    with pytest.raises(client.ApiError, match="the TXT records of this name have 8260 bytes together, more than 8192"):
        publish(double, [make("TXT", "key", "x" * 100), *OTHER])
    assert len(double.records()) == 4
    assert len(double.writes()) == 0


def test_zone_that_would_exceed_its_quota_is_not_changed(double: Double) -> None:
    double.zones.about[ZONE] = {"created_on": "2025-01-01T00:00:00Z"}
    publish(double, addresses(200))
    double.log.clear()
    with pytest.raises(client.ApiError, match="would have 201 records, and its quota is 200; remove records"):
        publish(double, addresses(201))
    assert double.writes() == []
    assert publish(double, addresses(200, last=2))[0].unchanged == 0
    # Cloudflare raises the quota of some zones.
    double.zones.quotas[ZONE] = 300
    publish(double, addresses(300))
    assert len(double.records()) == 300


def test_quota_of_the_account_refuses_the_whole_call(double: Double) -> None:
    double.zones.quotas[ZONE] = 3
    with pytest.raises(client.Quota, match=r"Record quota exceeded.*remove records that are not needed"):
        publish(double, addresses(5))
    assert double.records() == []


def test_record_of_another_product_stops_the_run_also_with_adopt(double: Double) -> None:
    double.manage("email_routing", type="MX", name="@", content="route1.mx.cloudflare.net", priority=1)
    wanted = [make("MX", "", f"10 mail.{ZONE}"), *OTHER]
    with pytest.raises(client.ApiError, match=r"managed by Email Routing\) conflicts with MX example.test 10 mail"):
        publish(double, wanted, policy=POLICY._replace(adopt=True))
    assert len(double.records()) == 1
    assert publish(double, OTHER)[0].unchanged == 0
    assert len(double.records()) == 4


def test_records_of_a_secondary_zone_cannot_be_changed(double: Double) -> None:
    double.zones.about[ZONE] = {"type": "secondary"}
    with pytest.raises(client.ApiError, match="change its records on its primary server"):
        publish(double, addresses(1))
    assert double.writes() == []


def test_unusual_texts_are_no_change_in_the_second_run(double: Double) -> None:
    texts = ["Größe", "a \\ b", 'say "hi"', "\\195\\182", "€" * 200, "x" * 4080, "tab\x7f"]
    wanted = [make("TXT", f"t{number}", text) for number, text in enumerate(texts)]
    publish(double, wanted)
    assert all(row["content"].isascii() for row in double.records())
    assert publish(double, wanted)[0].changes == []


@pytest.mark.parametrize(
    ("error", "names"),
    [
        ({"source": {"pointer": "/posts/1/content"}}, ["n002"]),
        ({"source": {"pointer": "/patches/0"}}, ["n000"]),
        ({"message": "n001.example.test is wrong"}, ["n001"]),
        ({"message": "Content for A record is invalid"}, ["n000", "n001", "n002"]),
        ({"message": "no"}, ["n000", "n001", "n002"]),
        # Only complete names count.
        ({"message": "example.test n00 xn001.example.test"}, ["n000", "n001", "n002"]),
        ({"message": "Target 192.0.2.1 of n001.example.test."}, ["n001"]),
    ],
)
def test_refusal_names_the_changes_that_it_may_be_about(error: dict[str, Any], names: list[str]) -> None:
    one, two, three = addresses(3)
    change = record_plan.Change
    batch = [change(records.Found("1", one), one), change(None, two), change(None, three)]
    found = record_changes.find_suspects(client.Refusal("no", [error]), batch)
    assert [change.record.name.split(".")[0] for change in found] == names


@pytest.mark.parametrize(
    ("permissions", "expected"),
    [
        (("DNS Read",), "lacks the permission Zone / DNS / Edit"),
        (("Zone Settings Write",), "lacks the permission Zone / DNS / Read"),
        ((), "zone example.test is not visible to the token"),
    ],
)
def test_missing_permission_is_named_and_nothing_is_changed(
    double: Double, permissions: tuple[str, ...], expected: str
) -> None:
    with pytest.raises(client.ApiError, match=expected) as refused:
        publish(double, addresses(3), token=double.grant(*permissions))
    assert "canary" not in str(refused.value)
    assert double.records() == []
    assert double.published == []


@pytest.mark.parametrize("token", ["short", "x" * 40])
def test_error_for_an_invalid_token_does_not_contain_the_token(double: Double, token: str) -> None:
    with pytest.raises(client.ApiError, match="does not accept the token") as refused:
        publish(double, addresses(1), token=token)
    assert token not in str(refused.value)


@pytest.mark.parametrize(
    ("status", "code", "message", "kind"),
    [
        (403, 10000, "Authentication error", client.Forbidden),
        (403, 9109, "Unauthorized to access requested resource", client.Forbidden),
        (401, 9109, "Unauthorized to access requested resource", client.Forbidden),
        (403, 9109, "Invalid access token", client.ApiError),
        (401, 10000, "Authentication error", client.ApiError),
        (400, 6003, "Invalid request headers", client.ApiError),
    ],
)
def test_missing_permission_and_invalid_token_are_different_errors(
    status: int, code: int, message: str, kind: type[client.ApiError]
) -> None:
    body = {"errors": [{"code": code, "message": message}]}
    assert type(client.explain_error(status, {}, body, "Zone / DNS / Edit")) is kind


def test_token_for_another_zone_is_refused(double: Double) -> None:
    with pytest.raises(client.ApiError, match="or add it to the zone resources of the token"):
        publish(double, addresses(1), token=double.grant("DNS Write", zones=("elsewhere.test",)))


def test_missing_answer_is_named_in_the_error() -> None:
    with running() as double:
        endpoint = double.endpoint
    connection = client.Session({"token": TOKEN, "endpoint": endpoint, "timeout": 0.3}, sleep=Clock())
    with pytest.raises(client.ApiError, match="Cloudflare gave no answer"):
        connection.zone(ZONE)
