"""mailcow's pages: what they load and query, against the Content-Security-Policy of their site."""

from __future__ import annotations

import re

import pytest
import yaml

from tests.contract.trees import Tree
from tools import collection

SITES = yaml.safe_load((collection.ROOT / "group_vars/all/sites.yml").read_text())["sites"]
POLICY = {
    words[0]: set(words[1:]) for words in (part.split() for part in SITES["mail"]["nginx"]["csp"].split(";")) if words
}
# mailcow's own scripts and templates; the libraries next to them contain addresses in comments
PAGES = re.compile(r"data/web/(templates/.*\.twig|js/site/.*\.js|js/build/\d+-mailcow\.js)")
# Addresses in a script that are not those of links, parts that a page loads, and forms
QUERY = re.compile(r"""(?<!href=)["'`](https?://[^/"'`]+)""")
LOAD = re.compile(
    r"""<(script|link rel="stylesheet"|iframe|object|embed)\b[^>]*\b(?:src|href|data)="(?:https?:)?(//[^/"]+)"""
)
FORM = re.compile(r"""<form\b[^>]*\baction="(https?://[^/"]+)""")


def read_pages(tree: Tree) -> dict[str, str]:
    """Return mailcow's pages; the stand-in has none."""
    return {name: tree.read(name) for name in tree.files if PAGES.fullmatch(name)}


def test_pages_query_only_servers_that_the_policy_permits(tree: Tree) -> None:
    scripts = [text for name, text in read_pages(tree).items() if name.endswith(".js")]
    assert {address for text in scripts for address in QUERY.findall(text)} <= POLICY["connect-src"]


def test_pages_load_nothing_from_other_servers(tree: Tree) -> None:
    assert {name: LOAD.findall(text) for name, text in read_pages(tree).items() if LOAD.search(text)} == {}


def test_forms_are_sent_to_servers_that_the_policy_permits(tree: Tree) -> None:
    addresses = {address for text in read_pages(tree).values() for address in FORM.findall(text)}
    assert not addresses or "https:" in POLICY["form-action"]


@pytest.mark.parametrize(
    ("pattern", "word"),
    [(r"<script(?![^>]*\bsrc=)[^>]*>|\bonclick=", "'unsafe-inline'"), (r"\beval\(|new Function\(", "'unsafe-eval'")],
)
def test_policy_permits_scripts_as_the_pages_have_them(tree: Tree, pattern: str, word: str) -> None:
    uses = [name for name, text in read_pages(tree).items() if re.search(pattern, text)]
    assert not uses or word in POLICY["script-src"]


def test_patterns_find_what_pages_of_mailcow_do() -> None:
    assert QUERY.findall("$.ajax({url: 'https://api.github.com/repos/x'})") == ["https://api.github.com"]
    assert QUERY.findall('fetch("/api/v1/get/status"); var link = \'<a href="https://example.org/">\';') == []
    assert LOAD.findall('<script src="//cdn.example.org/a.js">') == [("script", "//cdn.example.org")]
    assert LOAD.findall('<script src="/js/a.js">') == []
    assert FORM.findall('<form method="post" action="https://example.org/x">') == ["https://example.org"]
