"""All kinds of objects in one plan: references, contradictions, order."""

from __future__ import annotations

import itertools
import typing as t

import pytest
from ansible_collections.vise.platform.plugins.module_utils.mailcow import objects
from ansible_collections.vise.platform.plugins.module_utils.mailcow.client import MailcowError

from tests.unit.plugins.mailcow import Mailcow, reads

ORG = {"domain_name": "example.org"}
ALICE = {"username": "alice@example.org"}
LISTS = ["relay_hosts", "transports", "domains", "mailboxes", "aliases", "domain_admins", "app_passwords", "limits"]
WORD = {"password": "s3cret-word"}


def test_lists_that_are_not_given_are_not_read(mailcow: Mailcow) -> None:
    assert not mailcow.apply([])["changed"]


@pytest.mark.parametrize("option", LISTS)
def test_empty_list_is_not_read(mailcow: Mailcow, option: str) -> None:
    wanted: dict[str, t.Any] = {option: []}
    assert not mailcow.apply([], **wanted)["changed"]


@pytest.mark.parametrize(
    ("purge", "option", "rows"),
    [
        ({"purge_mailboxes": ["example.org"]}, "mailboxes", {"mailbox": [ALICE]}),
        ({"purge_aliases": ["example.org"]}, "aliases", {"alias": [{"id": 1, "address": "a@example.org"}]}),
        (
            {"purge_domain_admins": True},
            "domain_admins",
            {"domain_admin": [{"username": "alice"}]},
        ),
    ],
)
def test_purge_without_its_list_is_refused(
    mailcow: Mailcow, purge: dict[str, t.Any], option: str, rows: dict[str, t.Any]
) -> None:
    assert f"is given without {option}" in mailcow.apply(reads(**rows), **purge)["msg"]


def test_all_problems_are_reported_together(mailcow: Mailcow) -> None:
    calls = reads(domain=[ORG], mailbox={}, rl_domain={})
    answer = mailcow.apply(
        calls,
        domains=[{"name": "example.org", "default_quota": 2, "max_quota": 1}],
        mailboxes=[{"address": "bob@example.org"}],
        limits=[{"name": "example.org"}],
    )
    for message in (
        "is larger than max_quota",
        "needs a password",
        "messages must be 1 or more",
        "Nothing was changed",
    ):
        assert message in answer["msg"]


GONE = [{"name": "example.org", "state": "absent"}]
NO_ALICE = [{"address": "alice@example.org", "state": "absent"}]


@pytest.mark.parametrize(
    ("wanted", "rows", "message"),
    [
        (
            {"domains": GONE, "mailboxes": [{"address": "bob@example.org", **WORD}]},
            {"domain": [ORG], "mailbox": {}},
            "mailbox bob@example.org needs domain example.org",
        ),
        (
            {"domains": GONE, "aliases": [{"address": "a@example.org", "goto": ["b@example.net"]}]},
            {"domain": [ORG], "mailbox": {}, "alias": {}},
            "alias a@example.org needs domain example.org",
        ),
        (
            {"domains": GONE, "domain_admins": [{"username": "alice", "domains": ["example.org"], **WORD}]},
            {"domain": [ORG], "mailbox": {}, "domain_admin": {}},
            "domain-admin alice needs domain example.org",
        ),
        (
            {"domains": GONE, "limits": [{"name": "example.org", "messages": 1}]},
            {"domain": [ORG], "mailbox": {}, "rl_domain": {}},
            "rl-domain example.org needs domain example.org",
        ),
        (
            {"mailboxes": NO_ALICE, "limits": [{"name": "alice@example.org", "messages": 1}]},
            {"domain": [ORG], "mailbox": [ALICE], "rl_mbox": {}},
            "rl-mbox alice@example.org needs mailbox alice@example.org",
        ),
        (
            {"mailboxes": NO_ALICE, "app_passwords": [{"mailbox": "alice@example.org", "name": "app", **WORD}]},
            {"domain": [ORG], "mailbox": [ALICE], "app_passwd": {"alice@example.org": []}},
            "app-passwd alice@example.org app needs mailbox alice@example.org",
        ),
        (
            {
                "mailboxes": [],
                "purge_mailboxes": ["example.org"],
                "app_passwords": [{"mailbox": "alice@example.org", "name": "app", **WORD}],
            },
            {"mailbox": [ALICE], "app_passwd": {"alice@example.org": []}},
            "app-passwd alice@example.org app needs mailbox alice@example.org",
        ),
        (
            {
                "relay_hosts": [{"host": "smtp", "state": "absent"}],
                "domains": [{"name": "example.org", "relay_host": "smtp"}],
            },
            {"relayhost": [{"id": 1, "hostname": "smtp"}], "domain": [ORG]},
            "domain example.org needs relay host smtp",
        ),
    ],
)
@pytest.mark.parametrize("check", [False, True])
def test_object_that_needs_a_removed_one_is_refused(
    mailcow: Mailcow, wanted: dict[str, t.Any], rows: dict[str, t.Any], message: str, check: bool
) -> None:
    answer = mailcow.apply(reads(**rows), check, **wanted)
    assert f"{message}, which this task removes" in answer["msg"]


def test_absent_object_of_a_removed_owner_is_unchanged(mailcow: Mailcow) -> None:
    answer = mailcow.apply(
        reads(domain={}, mailbox={}, rl_domain={}, rl_mbox={}),
        domains=GONE,
        mailboxes=NO_ALICE,
        app_passwords=[{"mailbox": "alice@example.org", "name": "app", "state": "absent"}],
        limits=[{"name": name, "state": "absent"} for name in ("example.org", "alice@example.org")],
    )
    assert not answer["changed"]


def entry(option: str, **options: t.Any) -> dict[str, t.Any]:
    """Return an entry with each option, as AnsibleModule gives it."""
    defaults = dict.fromkeys(objects.LISTS[option]) | {"state": "present"}
    return defaults | ({"per": "hour"} if option == "limits" else {}) | options


def plan(rows: dict[str, t.Any], **wanted: list[dict[str, t.Any]]) -> list[str]:
    """Return the steps of a plan as texts."""
    lists = {option: [entry(option, **each) for each in wanted[option]] for option in wanted}
    params = dict.fromkeys(LISTS) | dict.fromkeys(objects.PURGES) | {"update_password": "on_create"} | lists
    empty: dict[str, t.Any] = {kind.path: [] for kind in objects.KINDS} | {"alias-domain": []}
    return [step.text for step in objects.plan(params, empty | rows)]


def test_plan_adds_each_object_after_those_that_it_needs() -> None:
    steps = plan(
        {},
        limits=[{"name": "example.org", "messages": 1}, {"name": "bob@example.org", "messages": 1}],
        app_passwords=[{"mailbox": "bob@example.org", "name": "app", **WORD}],
        domain_admins=[{"username": "bob", "domains": ["example.org"], **WORD}],
        aliases=[{"address": "a@example.org", "goto": ["bob@example.org"]}],
        mailboxes=[{"address": "bob@example.org", **WORD}],
        domains=[{"name": "example.org", "relay_host": "smtp"}],
        transports=[{"destination": "example.com", "host": "mx"}],
        relay_hosts=[{"host": "smtp"}],
    )
    assert steps == [
        "add relayhost smtp",
        "add transport example.com",
        "add domain example.org",
        "add mailbox bob@example.org",
        "add alias a@example.org",
        "add domain-admin bob",
        "add app-passwd bob@example.org app",
        "edit rl-domain example.org: messages, per",
        "edit rl-mbox bob@example.org: messages, per",
    ]


FULL: dict[str, t.Any] = {
    "relayhost": [{"id": 1, "hostname": "smtp"}],
    "transport": [{"id": 1, "destination": "example.com", "nexthop": "mx"}],
    "domain": [{**ORG, "relayhost": "1"}],
    "mailbox": [ALICE],
    "alias": [{"id": 1, "address": "a@example.org", "goto": "alice@example.org,b@example.net"}],
    "domain-admin": [{"username": "bob", "selected_domains": ["example.org"]}],
    "app-passwd": [{"id": 1, "mailbox": "alice@example.org", "name": "app"}],
    "rl-domain": [{"domain": "example.org", "value": 1, "frame": "h"}],
    "rl-mbox": [{"mailbox": "alice@example.org", "value": 1, "frame": "h"}],
}


def test_plan_deletes_each_object_before_those_that_it_needs() -> None:
    steps = plan(
        FULL,
        relay_hosts=[{"host": "smtp", "state": "absent"}],
        transports=[{"destination": "example.com", "state": "absent"}],
        domains=[{"name": "example.org", "state": "absent"}],
        mailboxes=[{"address": "alice@example.org", "state": "absent"}],
        aliases=[{"address": "a@example.org", "state": "absent"}],
        domain_admins=[{"username": "bob", "state": "absent"}],
        app_passwords=[{"mailbox": "alice@example.org", "name": "app", "state": "absent"}],
        limits=[{"name": "example.org", "state": "absent"}, {"name": "alice@example.org", "state": "absent"}],
    )
    assert steps == [
        "edit rl-domain example.org: messages, per",
        "edit rl-mbox alice@example.org: messages, per",
        "delete app-passwd alice@example.org app",
        "delete domain-admin bob",
        "delete alias a@example.org",
        "delete mailbox alice@example.org",
        "delete transport example.com",
        "delete domain example.org",
        "delete relayhost smtp",
    ]


def test_plan_changes_references_before_it_deletes_the_old_object() -> None:
    steps = plan(
        FULL,
        relay_hosts=[{"host": "smtp", "state": "absent"}, {"host": "other"}],
        domains=[{"name": "example.org", "relay_host": "other"}, {"name": "example.net", "relay_host": "other"}],
        mailboxes=[{"address": "alice@example.org", "state": "absent"}, {"address": "b@example.net", **WORD}],
        aliases=[{"address": "a@example.org", "goto": ["b@example.net"]}],
        domain_admins=[{"username": "bob", "domains": ["example.net"]}],
    )
    assert steps == [
        "edit alias a@example.org: goto",
        "delete mailbox alice@example.org",
        "add relayhost other",
        "edit domain example.org: relay_host",
        "add domain example.net",
        "edit domain-admin bob: domains",
        "add mailbox b@example.net",
        "delete relayhost smtp",
    ]


@pytest.mark.parametrize("before", ["mailbox", "alias"])
def test_plan_frees_an_address_before_it_is_used_again(before: str) -> None:
    old = [{"id": 9, "address": "x@example.org", "goto": "b@example.net"}] if before == "alias" else []
    rows = {"domain": [ORG], "alias": old, "mailbox": [] if old else [{"username": "x@example.org"}]}
    box = {"address": "x@example.org", "state": "present" if old else "absent", **WORD}
    alias = {"address": "x@example.org", "state": "absent" if old else "present", "goto": ["b@example.net"]}
    after = {"mailbox": "alias", "alias": "mailbox"}[before]
    assert plan(rows, mailboxes=[box], aliases=[alias]) == [
        f"delete {before} x@example.org",
        f"add {after} x@example.org",
    ]


def test_order_has_each_change_of_each_kind() -> None:
    limits = ("rl-domain", "rl-mbox")
    paths = [kind.path for kind in objects.KINDS if kind.path not in limits]
    changes = [*itertools.product(("add", "edit", "delete"), paths), *itertools.product(("remove", "edit"), limits)]
    assert sorted(objects.ORDER) == sorted(changes)


def test_problem_is_found_without_mailcow() -> None:
    with pytest.raises(MailcowError, match="needs a password"):
        plan({"domain": [ORG]}, mailboxes=[{"address": "bob@example.org"}])
