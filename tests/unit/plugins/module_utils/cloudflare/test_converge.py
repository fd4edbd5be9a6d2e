"""A zone is brought to what is wanted, whatever goes wrong on the way; against the sandbox's double."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.module_utils.cloudflare import client, converge, plan, records
from kit.cloudflare import records as double_records

from tests.unit.plugins.cloudflare import TOKEN, Double, running

ZONE, MARK = "example.test", "[us]"
POLICY = plan.Policy(MARK, purge=True)


@pytest.fixture
def double() -> Iterator[Double]:
    with running() as one:
        yield one


class Clock(list[float]):
    """Seconds that were slept through, without sleeping."""

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


def publish(double: Double, wanted: list[records.Record], zone: str = ZONE, **options: Any) -> tuple[plan.Plan, int]:
    """Converge, and return what was planned and how many calls it took."""
    connection = session(double, *(options.pop(key, default) for key, default in DEFAULTS.items()))
    policy = options.pop("policy", POLICY)
    return converge.converge(connection, connection.zone(zone), wanted, policy, **options), connection.calls


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
    assert (again.changes, again.kept, calls, len(double.log)) == ([], 500, 2, 2)
    assert double.writes() == []
    changed, calls = publish(double, [record._replace(ttl=600) for record in wanted], zone)
    assert (len(changed.changes), calls) == (500, full)


def test_zone_of_three_pages_is_read_whole(double: Double) -> None:
    wanted = addresses(25)
    publish(double, wanted)
    double.log.clear()
    done, calls = publish(double, wanted, page=10)
    assert (done.changes, done.kept, calls) == ([], 25, 4)


def test_check_mode_sends_nothing(double: Double) -> None:
    done, _calls = publish(double, addresses(3), check_mode=True)
    assert len(done.changes) == 3
    assert double.writes() == []


def test_foreign_records_are_never_touched(double: Double) -> None:
    double.add(type="TXT", name="@", content='"site-verification=1"')
    double.add(type="A", name="theirs", content="192.0.2.9")
    before = double.records()
    publish(double, addresses(2))
    publish(double, [])
    assert double.records() == before


def test_foreign_record_in_the_way_stops_before_anything_is_sent_until_it_is_adopted(double: Double) -> None:
    double.add(type="CNAME", name="n001", content="other.test", comment="by hand")
    with pytest.raises(client.ApiError, match=r"CNAME n001.example.test other.test \(comment: by hand\) for A n001"):
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
    # Less than the double's patience where it does not answer, and enough for a machine that has much to do
    publish(double, wanted, clock=clock, timeout=0.9 if mode in ("timeout", "lost") else 10)
    assert double.log[position - 1].endswith(mode)
    # Told so by Retry-After, or ours.
    assert clock == [1.0]
    assert values(double) == keys(wanted)
    double.fail("none")
    again, _calls = publish(double, wanted)
    assert (again.changes, again.kept) == ([], 250)


def test_tags_go_when_they_are_no_longer_wanted(double: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    # As on a paid plan
    monkeypatch.setattr(double_records, "TAGS", 20)
    zone = "elsewhere.test"
    plain = records.Record("A", f"a.{zone}", "192.0.2.1", comment=MARK)
    for tags in (("a:b", "c:d"), ("a:b",), ()):
        publish(double, [plain._replace(tags=tags)], zone)
        assert [tuple(row["tags"]) for row in double.records(zone)] == [tags]
        assert publish(double, [plain._replace(tags=tags)], zone)[0].changes == []


def test_retry_after_is_honoured_and_has_an_end() -> None:
    clock = Clock()
    waits = client.Waits(clock)
    waits.wait(client.Transient("limited", 290))
    with pytest.raises(client.ApiError, match="limited; tried 2 times; run it again later"):
        waits.wait(client.Transient("limited", 290))
    assert clock == [290]


def test_service_that_stays_broken_is_an_error_in_the_end(double: Double) -> None:
    double.fail("500")
    clock = Clock()
    with pytest.raises(client.ApiError, match=r"Unable to process your request at this time.*tried 6 times"):
        publish(double, addresses(1), clock=clock)
    assert clock == [1, 2, 4, 8, 16]


def test_runs_at_once_end_as_one_does(double: Double, monkeypatch: pytest.MonkeyPatch) -> None:
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
            converge.converge(connection, connection.zone(ZONE), wanted, POLICY)
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


def test_change_that_somebody_else_made_meanwhile_is_not_an_error(
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
    converge.converge(connection, zone, wanted, POLICY)
    assert reads == [0, 1]
    assert values(double) == keys(wanted)


def test_refusal_of_the_api_names_the_record_and_nothing_of_the_call_is_done(double: Double) -> None:
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
def test_refusal_is_led_back_to_what_it_may_be_about(error: dict[str, Any], names: list[str]) -> None:
    one, two, three = addresses(3)
    batch = [plan.Change(records.Found("1", one), one), plan.Change(None, two), plan.Change(None, three)]
    lines = converge.blame(client.Refusal("no", [error]), batch).splitlines()[1:]
    assert [line.split()[2].split(".")[0] for line in lines] == names


@pytest.mark.parametrize(
    ("permissions", "said"),
    [
        (("DNS Read",), "lacks the permission Zone / DNS / Edit"),
        (("Zone Settings Write",), "lacks the permission Zone / DNS / Read"),
        ((), "has no zone example.test that this token may see"),
    ],
)
def test_missing_permission_is_named_and_nothing_is_changed(
    double: Double, permissions: tuple[str, ...], said: str
) -> None:
    with pytest.raises(client.ApiError, match=said) as refused:
        publish(double, addresses(3), token=double.grant(*permissions))
    assert "canary" not in str(refused.value)
    assert double.records() == []
    assert double.published == []


@pytest.mark.parametrize("token", ["short", "x" * 40])
def test_token_that_is_none_is_said_without_repeating_it(double: Double, token: str) -> None:
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
def test_refusal_tells_a_token_that_may_not_from_one_that_is_none(
    status: int, code: int, message: str, kind: type[client.ApiError]
) -> None:
    body = {"errors": [{"code": code, "message": message}]}
    assert type(client.refused(status, {}, body, "Zone / DNS / Edit")) is kind


def test_token_of_another_zone_does_not_see_this_one(double: Double) -> None:
    with pytest.raises(client.ApiError, match="or the zone to the token's zone resources"):
        publish(double, addresses(1), token=double.grant("DNS Write", zones=("elsewhere.test",)))


def test_service_that_does_not_answer_is_an_error_that_says_so() -> None:
    with running() as double:
        endpoint = double.endpoint
    connection = client.Session({"token": TOKEN, "endpoint": endpoint, "timeout": 0.3}, sleep=Clock())
    with pytest.raises(client.ApiError, match="Cloudflare gave no answer"):
        connection.zone(ZONE)
