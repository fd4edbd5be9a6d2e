"""An entry is inserted into the text of a YAML file, and every other byte stays."""

from __future__ import annotations

import pytest
from ansible_collections.vise.platform.plugins.module_utils.company_repository import insertions

CASES = {
    "block mapping with comments": (
        "a:\n  hosts:\n    x:\n      k: 1  # one\n    # end\n  b: 2\n",
        "a:\n  hosts:\n    x:\n      k: 1  # one\n    y:\n      k: 2\n    # end\n  b: 2\n",
    ),
    "empty value": ("a:\n  hosts:\n  b: 2\n", "a:\n  hosts:\n    y:\n      k: 2\n  b: 2\n"),
    "null": ("a:\n  hosts: null\n", "a:\n  hosts:\n    y:\n      k: 2\n"),
    "empty flow mapping": (
        "a:\n  hosts: {}  # none yet\n  b: 2\n",
        "a:\n  hosts:  # none yet\n    y:\n      k: 2\n  b: 2\n",
    ),
    "flow mapping": ("a:\n  hosts: {x: {}}\n  b: 2\n", "a:\n  hosts: {x: {}, y: {k: 2}}\n  b: 2\n"),
    "hosts without variables": ("a:\n  hosts:\n    x:\n", "a:\n  hosts:\n    x:\n    y:\n      k: 2\n"),
    "no line feed at the end": ("a:\n  hosts:\n    x:", "a:\n  hosts:\n    x:\n    y:\n      k: 2\n"),
    "a tag of Ansible": (
        "a:\n  hosts:\n    x: !vault |\n      abc\nz: 1\n",
        "a:\n  hosts:\n    x: !vault |\n      abc\n    y:\n      k: 2\nz: 1\n",
    ),
    "wide indentation": (
        "a:\n    hosts:\n        x: {}\n",
        "a:\n    hosts:\n        x: {}\n        y:\n          k: 2\n",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_entry_is_inserted_in_the_style_of_the_file(case: str) -> None:
    before, after = CASES[case]
    assert insertions.insert(before, ["a", "hosts"], "y:\n  k: 2\n") == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("people: []\n", "people:\n  - name: b\n"),
        ("people:\n- name: a\n# end\n", "people:\n- name: a\n- name: b\n# end\n"),
        (
            "people:\n  - name: a\n    keys:\n      - k\nz: 1\n",
            "people:\n  - name: a\n    keys:\n      - k\n  - name: b\nz: 1\n",
        ),
        ("people: [{name: a}]\n", "people: [{name: a}, {name: b}]\n"),
    ],
)
def test_entry_of_a_list_is_inserted(before: str, after: str) -> None:
    assert insertions.insert(before, ["people"], "- name: b\n") == after


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\n", "the key a.hosts is missing"),
        ("b:\n", "the key a.hosts is missing"),
        ("a:\n  hosts: '{{ others }}'\n", "unusual form"),
        ("a:\n\thosts:\n", "the YAML is not valid"),
        ("a: &x\n  hosts: {x: 1}\nb: *x\n", "unusual form"),
        ("a:\n  hosts: {x: 1,\n  }\n", "unusual form|not valid"),
    ],
)
def test_file_of_another_form_is_refused(text: str, expected: str) -> None:
    with pytest.raises(insertions.InsertionError, match=expected):
        insertions.insert(text, ["a", "hosts"], "y:\n  k: 2\n")
