"""Record changes are applied despite faults of the network; against the sandbox's double."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.module_utils.cloudflare import (
    client,
    record_changes,
    record_plan,
    records,
)
from kit.cloudflare import records as double_records

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


def test_obsolete_tags_are_removed(double: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    # As on a paid plan
    monkeypatch.setattr(double_records, "TAGS", 20)
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


def test_refused_call_changes_nothing_and_its_error_names_the_record(double: Double) -> None:
    tagged = records.Record("A", f"bad.{ZONE}", "192.0.2.7", comment=MARK, tags=("team:x",))
    with pytest.raises(client.ApiError, match="exceeding the quota of 0"):
        publish(double, [tagged])
    unknown = records.Record("CNAME", f"bad.{ZONE}", "bad.example.test", comment=MARK)
    with pytest.raises(client.ApiError) as refused:
        publish(double, [*addresses(5), unknown])
    assert "CNAME content cannot reference itself. (9039)" in str(refused.value)
    assert str(refused.value).splitlines()[1:] == ["- CNAME bad.example.test bad.example.test"]
    assert double.records() == []


@pytest.mark.parametrize(
    ("error", "names"),
    [
        ({"source": {"pointer": "/posts/1/content"}}, ["n002"]),
        ({"source": {"pointer": "/patches/0"}}, ["n000"]),
        ({"message": "n001.example.test is wrong"}, ["n001"]),
        ({"message": "Content for A record is invalid"}, ["n000", "n001", "n002"]),
        ({"message": "no"}, ["n000", "n001", "n002"]),
    ],
)
def test_refusal_names_the_changes_that_it_may_be_about(error: dict[str, Any], names: list[str]) -> None:
    one, two, three = addresses(3)
    change = record_plan.Change
    batch = [change(records.Found("1", one), one), change(None, two), change(None, three)]
    lines = record_changes.describe_refusal(client.Refusal("no", [error]), batch).splitlines()[1:]
    assert [line.split()[2].split(".")[0] for line in lines] == names


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
