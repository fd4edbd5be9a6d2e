"""Answers are completed, and contradictions between them or with the repository are named."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.module_utils.company_repository import plan
from ansible_collections.vise.platform.plugins.module_utils.company_repository.answers import (
    Answers,
    Bucket,
    Host,
    Person,
    Site,
)

WEB, DB = Host("web-1", ("192.0.2.10",)), Host("db-1", ("192.0.2.11",))
ALICE = Person("alice", ("ssh-ed25519 AAAA",))
DOCS = Answers(domain="example.org", hosts=(WEB,), functions={"docs": ()}, people=(ALICE,))
BUCKET = Bucket("s3.example.net", "eu", "backups")


def complete(answers: Answers, existing: Answers | None = None) -> Answers:
    whole, problems = plan.complete(answers, existing or Answers())
    assert problems == []
    return whole


def test_docs_have_an_edge_a_site_and_a_login() -> None:
    whole = complete(DOCS)
    assert whole.groups == {"edge": ("web-1",), "docs": ("web-1",)}
    assert whole.sites == (Site("docs", "docs.example.org"),)
    assert (whole.user, whole.dns) == ("root", "none")


def test_function_is_on_the_host_with_its_name() -> None:
    hosts: tuple[Host, ...] = (
        Host("edge", ("192.0.2.1",)),
        Host("docs-1", ("192.0.2.2",)),
        Host("database-standby-1", ("192.0.2.3",)),
    )
    hosts += (Host("database-1", ("192.0.2.4",)),)
    functions: dict[str, tuple[str, ...]] = {"docs": (), "database": (), "database_standby": ()}
    answers = DOCS._replace(hosts=hosts, functions=functions, applications={"shop": ("docs-1",)}, storage=())
    # A group has the name of the first host.
    whole, problems = plan.complete(answers, Answers())
    assert problems == ["init_hosts: edge is also the name of a group; choose another name, such as `edge-1`"]
    assert whole.functions == {
        "edge": ("edge",),
        "docs": ("docs-1",),
        "database": ("database-1",),
        "database_standby": ("database-standby-1",),
    }


def test_second_call_adds_and_keeps() -> None:
    first = complete(DOCS)
    added = Answers(hosts=(DB,), functions={"database": ()}, applications={"shop": ("web-1",)}, storage=(BUCKET,))
    whole = complete(added, first)
    assert whole.hosts == (WEB, DB)
    assert whole.groups == {"edge": ("web-1",), "docs": ("web-1",), "database": ("db-1",), "shop": ("web-1",)}
    assert whole.people == (ALICE,)
    assert complete(Answers(), whole) == whole


def test_only_new_host_has_the_new_function() -> None:
    whole = complete(Answers(hosts=(Host("web-2", ("192.0.2.12",)),), functions={"docs": ()}), complete(DOCS))
    assert whole.functions["docs"] == ("web-1", "web-2")
    assert whole.functions["edge"] == ("web-1",)


def test_program_has_an_edge_without_docs() -> None:
    answers = DOCS._replace(functions={}, applications={"my_shop": ()}, sites=(Site("my-shop", "shop.org", 3000),))
    assert complete(answers).groups == {"edge": ("web-1",), "my_shop": ("web-1",)}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"domain": ""}, "init_domain: is missing; write the domain of the platform"),
        ({"hosts": (), "functions": {"docs": ("a",)}}, "init_hosts: is missing; write each server with its address"),
        ({"people": ()}, "init_people: has no administrator"),
        ({"functions": {}}, "init_functions: is missing"),
        ({"functions": {"docs": ("web-2",)}}, "init_functions: docs is on the unknown host web-2; the hosts are web-1"),
        ({"hosts": (WEB, DB)}, "init_functions: docs has no host; write `docs=HOST`; the hosts are web-1, db-1"),
        (
            {"hosts": (WEB, DB), "functions": {"docs": ("web-1",)}},
            "init_hosts: db-1 has no function; write `init_functions=docs=db-1`",
        ),
        (
            {"hosts": (WEB, DB._replace(addresses=WEB.addresses)), "functions": {"docs": ("web-1", "db-1")}},
            "init_hosts: db-1 and web-1 have the same address 192.0.2.10; correct one",
        ),
        (
            {"hosts": (WEB, DB), "functions": {"docs": ("web-1",), "edge": ("web-1", "db-1")}},
            "init_functions: edge has more than one host, so that certificates need dns-01",
        ),
        (
            {"hosts": (WEB, DB), "functions": {"mail": ("web-1", "db-1")}, "storage": ()},
            "init_functions: mail has more than one host; write one",
        ),
        (
            {"functions": {"database": ()}, "applications": {"shop": ()}},
            "init_storage: database keeps data, which need backups; write two buckets",
        ),
        ({"functions": {"mail": ()}}, "init_storage: mail keeps data, which need backups"),
        ({"functions": {"cache": ()}}, "init_applications: is missing; cache serves applications"),
        (
            {"functions": {"cache": (), "database_standby": ()}, "applications": {"shop": ()}},
            "needs a host with `database`",
        ),
        (
            {"functions": {"database": (), "database_standby": ()}, "applications": {"shop": ()}, "storage": ()},
            "init_functions: web-1 cannot be the standby of itself; use another host",
        ),
        ({"applications": {"shop": ()}}, "init_applications: shop has no database, cache or site; add `database`"),
        ({"sites": (Site("shop", "shop.org", 1),)}, "init_sites: shop has a port, and there is no application shop"),
        (
            {"functions": {"cache": ()}, "applications": {"shop": ()}, "sites": (Site("blog", "blog.org"),)},
            "init_sites: blog consists of files, and no host has the function docs; write `init_functions=docs`",
        ),
        (
            {"sites": (Site("a", "a.org"), Site("b", "a.org"))},
            "init_sites: b and a have the same domain a.org; change one",
        ),
    ],
)
def test_contradiction_is_named(changes: dict[str, Any], expected: str) -> None:
    _whole, problems = plan.complete(DOCS._replace(**changes), Answers())
    assert [problem for problem in problems if expected in problem], problems


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"domain": "example.net"},
            "init_domain: the repository has another value; edit inventory/group_vars/all/domain.yml",
        ),
        ({"user": "debian"}, "init_user: the repository has another account; edit ansible_user in inventory/hosts.yml"),
        ({"dns": "cloudflare"}, "init_dns: the repository has another value; edit inventory/group_vars/all/dns.yml"),
        ({"hosts": (WEB._replace(port=2222),)}, "init_hosts: web-1 exists with other values; edit inventory/hosts.yml"),
        (
            {"sites": (Site("docs", "x.org"),)},
            "init_sites: docs exists with other values; edit inventory/group_vars/all/s",
        ),
        (
            {"people": (Person("alice", ()),)},
            "init_people: alice exists with other values; edit inventory/group_vars/all/p",
        ),
    ],
)
def test_second_call_changes_nothing_that_exists(changes: dict[str, Any], expected: str) -> None:
    _whole, problems = plan.complete(Answers()._replace(**changes), complete(DOCS))
    assert len(problems) == 1
    assert expected in problems[0]
