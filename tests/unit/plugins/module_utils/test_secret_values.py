"""Only secrets that nobody issues are generated, each in the form that its programs accept."""

from __future__ import annotations

import re

import pytest
from ansible_collections.vise.platform.plugins.module_utils import secret_values
from ansible_collections.vise.platform.plugins.module_utils.secret_values import SecretError
from ansible_collections.vise.platform.plugins.module_utils.tls import x509
from ansible_collections.vise.platform.plugins.plugin_utils import needed_secrets, vault_completion

SCHEMA = needed_secrets.load_schema(vault_completion.ROLES)


def test_secrets_of_the_platform_are_generated_and_those_of_providers_are_not() -> None:
    missing = {
        "vault_a": ["databases"],
        "vault_b": ["mail_sogo_key"],
        "vault_c": ["cloudflare_token"],
        "vault_d": ["backup_repositories"],
        "vault_e": ["ansible_become_password"],
        # A password that a person knows is not invented, even if a database has it too.
        "vault_f": ["databases", "ansible_become_password"],
    }
    decision = secret_values.decide(missing, SCHEMA)
    assert decision.kinds == {"vault_a": "password", "vault_b": "token-16"}
    assert set(decision.issued) == {"vault_c", "vault_d", "vault_e", "vault_f"}
    assert decision.issued["vault_c"].startswith("create an API token at Cloudflare")
    assert decision.issued["vault_e"] == "write the value that ansible_become_password needs"
    assert set(secret_values.generate(decision, missing)) == {"vault_a", "vault_b"}


def test_value_of_two_programs_fits_the_stricter_one() -> None:
    decision = secret_values.decide({"vault_a": ["databases", "mail_redis_password"]}, SCHEMA)
    assert decision.kinds == {"vault_a": "token-32"}


@pytest.mark.parametrize(
    ("kind", "pattern"), [("password", r"[\w-]{32}"), ("token-16", "[0-9a-f]{16}"), ("token-40", "[0-9a-f]{40}")]
)
def test_value_has_the_form_of_its_kind(kind: str, pattern: str) -> None:
    values = {secret_values.make_value(kind) for _ in range(20)}
    assert len(values) == 20
    assert all(re.fullmatch(pattern, value) for value in values)


def test_authority_is_a_pair() -> None:
    missing = {"vault_key": ["internal_ca_key"], "vault_cert": ["internal_ca"]}
    values = secret_values.generate(secret_values.decide(missing, SCHEMA), missing)
    assert x509.find_ca_problem(values["vault_cert"], values["vault_key"]) == ""


@pytest.mark.parametrize(
    ("reader", "expected"),
    [("internal_ca", "vault_x is missing, but the value of internal_ca_key"), ("internal_ca_key", "of internal_ca is")],
)
def test_half_of_an_authority_is_refused(reader: str, expected: str) -> None:
    missing = {"vault_x": [reader]}
    with pytest.raises(SecretError, match=expected):
        secret_values.generate(secret_values.decide(missing, SCHEMA), missing)


def test_every_key_with_a_secret_can_be_generated_or_has_advice() -> None:
    secret = {name for name, key in SCHEMA["properties"].items() if "x-secret" in str(key) and "vault_" in str(key)} | {
        "internal_ca"
    }
    known = {name for name, key in SCHEMA["properties"].items() if {"x-generate", "x-issued"} & set(key)}
    assert secret <= known
