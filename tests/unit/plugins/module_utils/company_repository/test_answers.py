"""Answers are read, and each one that cannot be used is named with what to write instead."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.module_utils.company_repository import answers
from ansible_collections.vise.platform.plugins.module_utils.company_repository.answers import (
    Answers,
    Bucket,
    Host,
    Site,
)

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHUZ0M0gjkBaqSVdVF9XW2hLHZHGZxgXoPIPr7oz4xv2"
FILES = {"~/a.pub": f"# mine\n{KEY} a\n", "id": "-----BEGIN OPENSSH PRIVATE KEY-----\n", "empty.pub": ""}


def read_file(name: str) -> str:
    if name not in FILES:
        raise FileNotFoundError(2, "No such file or directory", name)
    return FILES[name]


def read(**values: Any) -> tuple[Answers, list[str]]:
    return answers.read_answers({f"init_{name}": value for name, value in values.items()}, read_file, Answers())


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("web-1=192.0.2.10", Host("web-1", ("192.0.2.10",))),
        ("web-1=192.0.2.10:2222", Host("web-1", ("192.0.2.10",), 2222)),
        ("web-1=2001:db8::10", Host("web-1", ("2001:db8::10",))),
        ("web-1=2001:db8::10:2222", Host("web-1", ("2001:db8::10:2222",))),
        ("web-1=[2001:DB8::10]", Host("web-1", ("2001:db8::10",))),
        ("web-1=[2001:db8::10]:2222", Host("web-1", ("2001:db8::10",), 2222)),
        ("web-1=192.0.2.10,2001:db8::10,", Host("web-1", ("192.0.2.10", "2001:db8::10"))),
        ("01=192.0.2.10", Host("01", ("192.0.2.10",))),
        ("web.example.org=192.0.2.10", Host("web.example.org", ("192.0.2.10",))),
    ],
)
def test_host_is_read(word: str, expected: Host) -> None:
    assert answers.read_host(word) == expected


def test_entries_are_words_or_a_list() -> None:
    words = "web-1=192.0.2.10, db-1=192.0.2.11"
    assert read(hosts=words) == read(hosts=["web-1=192.0.2.10", "db-1=192.0.2.11"])
    assert [host.name for host in read(hosts=words)[0].hosts] == ["web-1", "db-1"]


def test_functions_have_hosts_or_none() -> None:
    found, problems = read(functions="docs=web-1,web-2 all", applications="my-shop=app-1 forum")
    assert problems == []
    assert found.functions == {"docs": ("web-1", "web-2"), "mail": (), "database": (), "cache": ()}
    assert found.applications == {"my_shop": ("app-1",), "forum": ()}


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("blog", Site("blog", "blog.example.org")),
        ("my_blog", Site("my_blog", "my-blog.example.org")),
        ("shop:3000", Site("shop", "shop.example.org", 3000)),
        ("shop=Shop.example.net.", Site("shop", "shop.example.net")),
        ("shop=shop.example.net:3000", Site("shop", "shop.example.net", 3000)),
    ],
)
def test_site_is_read(word: str, expected: Site) -> None:
    assert answers.read_site(word, "example.org") == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (f"alice={KEY} alice@laptop", {"alice": [f"{KEY} alice@laptop"]}),
        ("alice=~/a.pub", {"alice": [f"{KEY} a"]}),
        (f"alice=~/a.pub, bob={KEY}", {"alice": [f"{KEY} a"], "bob": [KEY]}),
        ("a=ssh-rsa AAAA== x b=ssh-rsa AAA= y", {"a": ["ssh-rsa AAAA== x"], "b": ["ssh-rsa AAA= y"]}),
        ([f"alice={KEY}", "alice=~/a.pub"], {"alice": [KEY, f"{KEY} a"]}),
    ],
)
def test_people_are_read_with_their_keys(value: Any, expected: dict[str, list[str]]) -> None:
    found, problems = read(people=value)
    assert problems == []
    assert {person.name: list(person.keys) for person in found.people} == expected


def test_storage_is_a_list_of_buckets_or_none() -> None:
    bucket = Bucket("s3.example.net", "eu", "backups")
    assert read(storage="https://s3.example.net/eu/backups")[0].storage == (bucket,)
    assert read(storage="none")[0].storage == ()
    assert read(storage="")[0].storage is None


def test_international_domain_has_its_form_in_the_dns() -> None:
    assert read(domain="Bücher.example.")[0].domain == "xn--bcher-kva.example"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"hosts": "web_1=192.0.2.10"}, "init_hosts: `web_1` is not a valid name of a host; use lower-case letters"),
        ({"hosts": "web-1"}, "init_hosts: web-1 has no address; write `web-1=192.0.2.10`"),
        ({"hosts": "web-1=web.example.org"}, "init_hosts: web-1: `web.example.org` is not an IP address; write one"),
        ({"hosts": "web-1=192.0.2.10:99999"}, "init_hosts: web-1: `192.0.2.10:99999` has no valid port"),
        ({"functions": "databse"}, "init_functions: `databse` is not a function; did you mean `database`?"),
        ({"functions": "shop"}, "init_functions: `shop` is not a function; write some of edge, docs, mail, database"),
        ({"functions": "monitoring"}, "init_functions: monitoring is not part of the platform yet"),
        ({"applications": "mail"}, "init_applications: `mail` is not a valid name of an application"),
        ({"applications": "9lives"}, "init_applications: `9lives` is not a valid name of an application"),
        ({"applications": "databases"}, "resembles the function database; write `init_functions=database`"),
        ({"sites": "shop:http"}, "init_sites: `shop:http` has no valid port; write `shop=example.org:3000`"),
        ({"sites": "mail"}, "init_sites: the function mail brings the site `mail`; choose another name"),
        ({"people": "alice"}, "init_people: alice has no key; write `alice=~/.ssh/id_ed25519.pub`"),
        ({"people": "alice=x.pub"}, "init_people: alice: x.pub cannot be read (No such file or directory); name a"),
        ({"people": "alice=id"}, "init_people: alice: id contains no public key; name the file that ends with .pub"),
        ({"people": "alice=empty.pub"}, "init_people: alice: empty.pub contains no public key"),
        ({"dns": "aws"}, "init_dns: `aws` is not valid; write one of cloudflare, none"),
        ({"storage": "s3.example.net"}, "init_storage: `s3.example.net` has not the form ENDPOINT/REGION/BUCKET"),
        ({"user": "Root!"}, "init_user: `Root!` is not a valid account"),
        ({"domain": "exa☃mple.org"}, "init_domain: "),
    ],
)
def test_answer_that_cannot_be_used_is_named(values: dict[str, Any], expected: str) -> None:
    _answers, problems = read(**values)
    assert len(problems) == 1
    assert expected in problems[0]


def test_private_key_is_not_shown() -> None:
    assert "BEGIN" not in read(people="alice=id")[1][0]


def test_all_problems_are_reported_at_once() -> None:
    _answers, problems = read(hosts="a=1 b=2", functions="x", people="alice", dns="aws")
    assert [problem.partition(":")[0] for problem in problems] == [
        "init_hosts",
        "init_hosts",
        "init_functions",
        "init_people",
        "init_dns",
    ]
