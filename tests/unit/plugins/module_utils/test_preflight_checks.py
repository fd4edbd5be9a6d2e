"""What preflight derives from the description, and how it reports problems."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.vise.platform.plugins.module_utils import description, preflight_checks
from ansible_collections.vise.platform.plugins.module_utils.description import Problem

SCHEMA: dict[str, Any] = {
    "required": ["domain"],
    "properties": {
        "domain": {"type": "string", "examples": ["example.org"]},
        "key": {"type": "string", "pattern": "^.+$"},
        "token": {"type": "string"},
    },
}


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ("'vault_x' is undefined", Problem("vault_x", "is missing, and topic needs it", "write it encrypted")),
        ("'domain' is undefined", Problem("domain", "is missing", "write `domain: example.org`")),
        ("'other' is undefined", Problem("topic", "'other' is undefined", "correct it")),
        ("The filter plugin 'a.b.c' failed: two\n people", Problem("topic", "two people", "correct it")),
        ("Filter plugin 'a.b.c' failed: two; use one", Problem("topic", "two", "use one")),
        ("no\n such file", Problem("topic", "no such file", "correct it")),
    ],
)
def test_variable_without_a_value_names_what_is_missing(error: str, expected: Problem) -> None:
    assert preflight_checks.describe_failure("topic", error, SCHEMA) == expected


@pytest.mark.parametrize(
    ("variable", "file"),
    [("sites.docs.gruop", "sites.yml"), ("people[0].name", "people.yml"), ("vault_x", "vault.yml"), ("domain", "")],
)
def test_problem_names_the_file_of_its_variable(variable: str, file: str) -> None:
    problem = preflight_checks.locate_problem(
        Problem(variable, "", ""), {"sites": "sites.yml", "people": "people.yml"}, "vault.yml"
    )
    assert problem.file == file


def values(**more: Any) -> dict[str, Any]:
    return {"sites": {"docs": {"domain": "docs.vln.test", "group": "docs"}}, "people": [{"name": "alice"}], **more}


TOKEN = {"cloudflare_acme_token": "abc"}
TASK_VARS: dict[str, Any] = {
    "inventory_hostname": "a",
    "groups": {"edge": ["a"], "docs": ["a"]},
    "hostvars": {"a": {"ansible_host": "192.0.2.1"}},
}


def derive(right: dict[str, Any], task_vars: dict[str, Any]) -> tuple[dict[str, list[str]], list[Problem]]:
    return preflight_checks.derive_names(right, right, task_vars)


def test_names_of_the_edge_must_lead_to_it() -> None:
    assert derive(values(), TASK_VARS) == ({"docs.vln.test": ["192.0.2.1"]}, [])


def test_group_without_hosts_is_a_problem() -> None:
    _names, (problem,) = derive(values(), {**TASK_VARS, "groups": {"edge": ["a"]}})
    assert problem.line() == "sites.docs: no host is in group docs; put one into that group of the inventory"


def test_two_primaries_are_a_problem() -> None:
    groups = {**TASK_VARS["groups"], "database": ["a", "b"]}
    _names, (problem,) = derive(values(), {**TASK_VARS, "groups": groups})
    assert problem.line() == (
        "group database: it has a, b, but only one host can be the primary; move the others to database_standby"
    )


@pytest.mark.parametrize(("token", "expected"), [("abc", []), ("", ["vault_cloudflare_token"])])
def test_dns_challenge_needs_a_token(token: str, expected: list[str]) -> None:
    _names, problems = derive(values(acme_challenge="dns-01", cloudflare_token=token), TASK_VARS)
    assert [problem.variable for problem in problems] == expected


@pytest.mark.parametrize(("challenge", "expected"), [("http-01", 1), ("dns-01", 0)])
def test_name_that_leads_to_several_hosts_needs_dns_01(challenge: str, expected: int) -> None:
    task_vars = {
        **TASK_VARS,
        "groups": {"edge": ["a", "b"], "docs": ["a", "b"]},
        "hostvars": {"a": {"ansible_host": "192.0.2.1"}, "b": {"ansible_host": "192.0.2.2"}},
    }
    _names, problems = derive(values(acme_challenge=challenge, **TOKEN), task_vars)
    assert [problem.line() for problem in problems] == expected * [
        "sites.docs.challenge: http-01 validates a name at one host only, and visitors reach this one at a, b; "
        "write `dns-01`, here or as acme_challenge"
    ]


@pytest.mark.parametrize(("allowed", "expected"), [({}, ["people"]), ({"admin_users_allow_none": True}, [])])
def test_platform_without_administrators_is_refused_unless_allowed(
    allowed: dict[str, Any], expected: list[str]
) -> None:
    _names, problems = derive(values(people=[]), {**TASK_VARS, **allowed})
    assert [problem.variable for problem in problems] == expected


def locked(lock: str, proxied: bool | None = True, domain: str = "docs.vln.test", **more: Any) -> dict[str, Any]:
    site: dict[str, Any] = {"domain": domain, "group": "docs", "nginx": {"origin_lock": lock}}
    site |= {} if proxied is None else {"proxied": proxied}
    return values(sites={"docs": site}, dns_zones=["vln.test"], **{"cloudflare_token": "abc", **more})


PULLS = "authenticated_origin_pulls"
UNLOCK = (
    "cloudflare_settings: does not let Cloudflare present the client certificate that docs needs (origin_lock); "
    f"write `{PULLS}_global: true`, or `{PULLS}: true` for a certificate that you uploaded to the zone"
)


@pytest.mark.parametrize(
    ("described", "expected"),
    [
        (locked(PULLS), [UNLOCK]),
        (locked(PULLS, cloudflare_settings={"ssl": "strict", PULLS: False}), [UNLOCK]),
        (locked(PULLS, cloudflare_settings={f"{PULLS}_global": "no"}), [UNLOCK]),
        (locked(PULLS, domain="DOCS.vln.test"), [UNLOCK]),
        (locked(PULLS, domain="vln.test"), [UNLOCK]),
        ({**locked(PULLS, domain="www.xn--mller-kva.test"), "dns_zones": ["müller.test"]}, [UNLOCK]),
        (locked(PULLS, cloudflare_settings={PULLS: True}), []),
        (locked(PULLS, cloudflare_settings={f"{PULLS}_global": "yes"}), []),
        # The settings of this zone are managed elsewhere.
        (locked(PULLS, domain="docs.othervln.test"), []),
        ({**locked(PULLS), "cloudflare_token": "", **TOKEN}, []),
        (locked("cloudflare"), []),
        (locked("none", proxied=False), []),
    ],
)
def test_site_that_needs_a_client_certificate_gets_one(described: dict[str, Any], expected: list[str]) -> None:
    _names, problems = derive(described, TASK_VARS)
    assert [problem.line() for problem in problems] == expected


@pytest.mark.parametrize("lock", ["cloudflare", PULLS])
@pytest.mark.parametrize("proxied", [False, None])
def test_origin_lock_of_a_site_that_is_not_proxied_is_refused(lock: str, proxied: bool | None) -> None:
    _names, problems = derive(locked(lock, proxied, cloudflare_settings={PULLS: True}), TASK_VARS)
    assert [problem.line() for problem in problems] == [
        "sites.docs.nginx.origin_lock: refuses all visitors, because they do not come through Cloudflare; "
        "write `proxied: true` for docs, or remove it"
    ]


def test_faulty_site_hides_no_problem_of_another() -> None:
    sites = {name: {"domain": f"{name}.vln.test", "group": group} for name, group in (("a", "edu"), ("b", "mail"))}
    sites["c"] = {"domain": "c.vln.test"}  # its group was wrong
    names, problems = derive(values(sites=sites), TASK_VARS)
    assert list(names) == ["a.vln.test", "b.vln.test", "c.vln.test"]
    assert [problem.variable for problem in problems] == ["sites.a", "sites.b"]


@pytest.mark.parametrize("faulty", [{"acme_challenge": "dns01"}, {"sites": {"docs": {"challenge": "dns01"}}}])
def test_name_with_an_invalid_challenge_is_not_resolved(faulty: dict[str, Any]) -> None:
    names, problems = preflight_checks.derive_names(values(**faulty), values(), TASK_VARS)
    assert (names, problems) == ({}, [])


def test_incomplete_database_is_left_out() -> None:
    _names, problems = derive(values(databases={"edu": {"clients": "edu"}}), TASK_VARS)
    assert problems == []


@pytest.mark.parametrize(
    ("name", "value", "raw", "expected"),
    [
        ("key", "", "{{ vault_key | default('') }}", ["vault_key: is missing, and key needs it; write it encrypted"]),
        # Optional: the schema accepts an empty one.
        ("token", "", "{{ vault_key | default('') }}", []),
        ("key", "", "{{ vault_known | default('') }}", []),
        ("key", "", "", []),
        ("key", "x", "{{ vault_key | default('x') }}", []),
    ],
)
def test_empty_default_of_a_missing_secret_names_the_secret(
    name: str, value: str, raw: str, expected: list[str]
) -> None:
    found = preflight_checks.find_missing_secrets({name: value}, {name: raw, "vault_known": ""}, SCHEMA)
    assert [problem.line() for problem in found.values()] == expected


def test_every_missing_secret_of_a_variable_is_found() -> None:
    raw = {
        "repositories": [
            {"key": "{{ vault_a }}", "secret": "{{ vault_b|trim }}", "again": "{{ vault_a }}"},
            {
                "key": "{{ vault_known }}",
                "other": "{{ vault_c | default('') }}",
                "more": "{{ 1 if vault_d is defined }}",
            },
        ],
        "vault_known": "x",
    }
    found = [problem.variable for problem in preflight_checks.find_further_secrets("repositories", raw)]
    assert found == ["vault_a", "vault_b"]


def test_placeholder_is_reported_where_it_is_written() -> None:
    raw = {
        "vault_token": "todo",
        "token": "{{ vault_token | default('') }}",
        "acme_token": "{{ token }}",
        "other": "todo",
        "stores": {"a": {"password": "{{ vault_token }}"}},
    }
    names = [*raw, "stores.a.password"]
    problems = [Problem(name, "is a placeholder", description.ENCRYPT) for name in names if name != "stores"]
    problems.append(Problem("token2", "is missing", "write it"))
    kept = preflight_checks.drop_consequences(problems, raw)
    assert [problem.variable for problem in kept] == ["vault_token", "other", "stores.a.password", "token2"]


def problem(text: str, of_host: bool = False) -> dict[str, Any]:
    return {"text": text, "of_host": of_host}


def test_report_lists_each_problem_once_with_the_hosts_that_have_it() -> None:
    results = {
        "a": {"problems": [problem("x"), problem("y")]},
        "b": {"problems": [problem("x"), problem("system", of_host=True)]},
    }
    assert preflight_checks.write_report(results) == "3 problems; nothing was changed\n- x\n- a: y\n- b: system"


def test_report_without_problems_is_empty() -> None:
    assert preflight_checks.write_report({"a": {"problems": []}}) == ""


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (
            {"unreachable": True, "msg": "Task failed: ssh: debian@192.0.2.1: Permission denied (publickey)."},
            "a: ansible_user: sshd refuses the login (ssh: debian@192.0.2.1: Permission denied (publickey).); use",
        ),
        ({"unreachable": True, "msg": "Connection timed out"}, "a: cannot be reached: Connection timed out"),
        ({"unreachable": True, "msg": "Host key verification failed."}, "a: the host key is unknown or has changed; "),
        ({"failed": True, "msg": "Task failed: Missing sudo password"}, "a: ansible_become: sudo needs a password; "),
        (
            {"failed": True, "msg": "failure", "module_stderr": "/bin/sh: 1: /usr/bin/python3: not found"},
            "a: ansible_python_interpreter: Python 3 is missing; run `apt-get install python3` on the host",
        ),
        ({"failed": True, "msg": "", "module_stdout": "no space"}, "a: preflight failed: no space"),
    ],
)
def test_host_on_which_nothing_can_run_is_a_problem_with_its_cause(result: dict[str, Any], expected: str) -> None:
    first, line = preflight_checks.write_report({"a": result}).splitlines()
    assert first == "1 problem; nothing was changed"
    assert line.startswith(f"- {expected}")


def test_derived_virtual_host_has_the_name_of_its_site() -> None:
    text = "nginx_sites: docs.internal: no; docs.aliases: no; my.docs.internal2: no"
    assert preflight_checks.name_sites(text, ["docs"]) == "docs: no; docs: no; my.docs.internal2: no"


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["vault_b"], "v.yml: a secret in plain text: vault_b; run `ansible-vault encrypt v.yml`"),
        (
            ["vault_d", "vault_c", "vault_b", "vault_a"],
            "v.yml: 4 secrets in plain text: vault_a, vault_b, vault_c, ...;",
        ),
    ],
)
def test_file_with_secrets_in_plain_text_is_one_problem(names: list[str], expected: str) -> None:
    assert preflight_checks.describe_plaintext("v.yml", names).line().startswith(expected)


def test_function_that_a_host_left_is_described_with_the_command_that_removes_it() -> None:
    text = preflight_checks.describe_left("web-1", "database", ["pgbouncer", "postgresql-17"])
    assert "web-1 has left the function database, but keeps pgbouncer, postgresql-17" in text
    assert text.endswith("retire_function.yml with `-e retire_host=web-1 -e retire_function=database`")
