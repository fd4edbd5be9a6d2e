"""The filter joins the results of hosts; the rules are tested with the code that it calls."""

from __future__ import annotations

from typing import Any

from ansible_collections.vise.platform.plugins.filter.authority_problems import FilterModule, authority_problems
from ansible_collections.vise.platform.plugins.module_utils.tls import internal, x509

OLD, NEW = (x509.make_ca(name)[0] for name in ("old", "new"))
AUTHORITIES = {"current": OLD, "next": NEW}


def result(*trusts: str, leaf: str = OLD, issuer: str = OLD) -> dict[str, Any]:
    services = [{"service": "redis", "place": "port 6379", "issuer": internal.fingerprint(issuer), "problem": ""}]
    found = {"trusts": [internal.fingerprint(pem) for pem in trusts], "leaf": internal.fingerprint(leaf)}
    return {"found": {**found, "is_live": True, "services": services}}


def test_stage_waits_until_all_hosts_trust_both_authorities() -> None:
    hosts = {"a": result(OLD, NEW), "b": result(OLD)}
    (problem,) = authority_problems(hosts, ["a", "b"], "found", AUTHORITIES, "issue")
    assert problem.startswith("b does not trust the next authority yet")
    assert authority_problems(hosts, ["a"], "found", AUTHORITIES, "issue") == []


def test_after_a_stage_all_services_have_the_current_authority_and_each_host_trusts_it() -> None:
    hosts = {"a": result(OLD, NEW, leaf=NEW, issuer=NEW), "b": result(OLD), "c": result(NEW, leaf=NEW, issuer=OLD)}
    assert authority_problems(hosts, ["a"], "found", {"current": NEW}) == []
    problems = authority_problems(hosts, ["a", "b", "c"], "found", {"current": NEW})
    assert [problem.split(":")[0].split()[0] for problem in problems] == ["b", "b", "c", "b", "c"]


def test_filter_is_known() -> None:
    assert list(FilterModule().filters()) == ["authority_problems"]
