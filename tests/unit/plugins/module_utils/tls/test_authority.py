"""The stages of a replacement: which secrets they rename, what they refuse, and what hosts must trust before."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.module_utils.tls import authority
from ansible_collections.vise.platform.plugins.module_utils.tls.authority import Host

ONE = dict(zip(authority.CURRENT, ("one", "one-key"), strict=True))
TWO = dict(zip(authority.NEXT, ("two", "two-key"), strict=True))


def do(values: dict[str, str], *stages: str) -> dict[str, str]:
    """Return the secrets after these stages."""
    for stage in stages:
        step = authority.plan_step(stage, authority.detect(values))
        assert step.refusal == ""
        values = {**values, **TWO} if step.generates else authority.apply_renames(values, step.renames)
    return values


def read(values: dict[str, str]) -> dict[str, str]:
    """Return the authorities by what they are."""
    return authority.label(values)


@pytest.mark.parametrize(
    ("stages", "authorities"),
    [
        ([], {"current": "one"}),
        (["trust"], {"current": "one", "next": "two"}),
        (["trust", "issue"], {"current": "two", "previous": "one"}),
        (["trust", "issue", "retire"], {"current": "two"}),
        (["trust", "issue", "back"], {"current": "one", "next": "two"}),
        (["trust", "issue", "back", "abandon"], {"current": "one"}),
        (["trust", "issue", "back", "issue", "retire"], {"current": "two"}),
        (["trust", "abandon"], {"current": "one"}),
    ],
)
def test_stages_lead_to_an_authority_that_signs_and_others_that_are_trusted(
    stages: list[str], authorities: dict[str, str]
) -> None:
    after = do(ONE, *stages)
    assert read(after) == authorities
    # Each key stays with its certificate.
    assert {value for value in after.values() if value.endswith("-key")} == {
        f"{one}-key" for one in authorities.values()
    }
    # A stage that is started again after a kill changes nothing.
    assert do(after, *stages[-1:]) == after


def test_signing_authority_changes_only_to_one_that_was_trusted_before() -> None:
    """Whatever the order of the stages is, no step both adds trust and uses it, or removes what signs."""
    for stages in itertools.product(authority.STAGES, repeat=4):
        values = ONE
        for stage in stages:
            step = authority.plan_step(stage, authority.detect(values))
            if step.refusal:
                continue
            after = do(values, stage)
            trusted = {value for name, value in values.items() if not name.endswith("key")}
            assert read(after)["current"] in trusted
            values = after


@pytest.mark.parametrize(
    ("stages", "refused", "text"),
    [
        ([], "issue", "first: -e rotate_authority=trust"),
        ([], "back", "none to return to"),
        (["trust"], "retire", "next: -e rotate_authority=issue"),
        (["trust", "issue"], "trust", "next: -e rotate_authority=retire"),
        (["trust", "issue"], "abandon", "first: -e rotate_authority=back"),
    ],
)
def test_stage_in_the_wrong_order_is_refused_with_the_right_one(stages: list[str], refused: str, text: str) -> None:
    assert text in authority.plan_step(refused, authority.detect(do(ONE, *stages))).refusal


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ([], "vault_internal_ca is missing: run make_secrets.yml"),
        (authority.CURRENT[:1], "vault_internal_ca_key is missing, but vault_internal_ca is present"),
        ((*authority.CURRENT, authority.NEXT[1]), "vault_internal_ca_next is missing, but vault_internal_ca_next_key"),
        ((*authority.CURRENT, *authority.NEXT, *authority.PREVIOUS), "at most one other"),
    ],
)
def test_unknown_state_of_the_vault_is_refused(names: tuple[str, ...], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        authority.detect(names)


def host(trusts: str, leaf: str = "1", *, live: bool = True, **services: Any) -> Host:
    listed = [{"service": name, "place": "port 1", "issuer": one, "problem": ""} for name, one in services.items()]
    return Host(list(trusts), leaf, live, listed)


TRUSTED, ISSUED = {"current": "1", "next": "2"}, {"current": "2", "previous": "1"}


@pytest.mark.parametrize(
    ("stage", "authorities", "hosts", "text"),
    [
        ("trust", {"current": "1"}, {"a": host("1")}, ""),
        ("issue", TRUSTED, {"a": host("12"), "b": host("12")}, ""),
        (
            "issue",
            TRUSTED,
            {"a": host("12"), "b": host("1")},
            "b does not trust the next authority yet; first run -e rot",
        ),
        # The file is right, but the services have not loaded it.
        ("issue", TRUSTED, {"a": host("12", live=False)}, "a does not trust"),
        ("retire", ISSUED, {"a": host("12", "2", redis="2")}, ""),
        (
            "retire",
            ISSUED,
            {"a": host("12", "1")},
            "a: its certificate is not issued by the current authority; first run",
        ),
        (
            "retire",
            ISSUED,
            {"a": host("12", "2", redis="1")},
            "a: redis (port 1) presents a certificate of another auth",
        ),
        (
            "retire",
            ISSUED,
            {"a": host("12", "2", redis="")},
            "a: redis (port 1) presents a certificate of another auth",
        ),
        ("back", ISSUED, {"a": host("12", "2")}, ""),
        ("back", ISSUED, {"a": host("2", "2")}, "a does not trust the previous authority yet"),
        ("abandon", TRUSTED, {"a": host("12", "2")}, "first run -e rotate_authority=back"),
        ("abandon", TRUSTED, {"a": host("12", "1", redis="1")}, ""),
    ],
)
def test_stage_begins_only_when_no_connection_can_break(
    stage: str, authorities: dict[str, str], hosts: dict[str, Host], text: str
) -> None:
    problems = " ".join(authority.find_problems(stage, hosts, authorities))
    assert (text in problems) if text else problems == ""


def test_service_that_a_client_cannot_verify_is_a_problem() -> None:
    broken = Host(["2"], "2", True, [{"service": "redis", "place": "port 1", "issuer": "2", "problem": "expired"}])
    assert authority.find_strangers({"a": broken}, {"2"}) == ["a: redis (port 1): expired"]


def test_each_host_must_trust_each_authority_that_any_host_presents() -> None:
    hosts = {"a": host("12", "1"), "b": host("2", "2", redis="2"), "c": host("1", "1")}
    assert authority.find_untrusting(hosts) == [
        "b does not trust an authority whose certificate a, c presents",
        "c does not trust an authority whose certificate b presents",
    ]
    assert authority.find_untrusting({"a": host("12", "1"), "b": host("12", "2")}) == []
