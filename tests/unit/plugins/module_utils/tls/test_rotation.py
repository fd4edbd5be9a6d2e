"""Renewals that are not due: what they order, what they keep, and what a repeated run does."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from ansible_collections.vise.platform.plugins.module_utils.host import files
from ansible_collections.vise.platform.plugins.module_utils.tls import acme, brake, rotation, store, x509

from .certbot import Server

DIRECTORY = "https://acme.example.com/dir"
DOCS = acme.Wanted("docs", ("docs.example.com",))
MAIL = acme.Wanted("mail", ("mail.example.com",))
SETTINGS = acme.Settings(DIRECTORY, (DOCS, MAIL), reload_units=("nginx.service",))
RENEWED = ["issue docs by http-01: its renewal is requested", "deploy docs", "reload nginx.service"]


@pytest.fixture
def issued(server: Server, root: str) -> Server:
    """A host with both certificates, of which nothing was recorded."""
    acme.run(SETTINGS, server, root)
    Path(brake.path(root)).unlink()
    server.calls.clear()
    return server


def read(name: str, root: str) -> x509.Facts:
    found = x509.read_facts(store.Store(name, root).read(store.CHAIN))
    assert found
    return found


def renew(server: Server, root: str, hours: float = 0, *, new_key: bool = False) -> acme.Outcome:
    return rotation.renew(SETTINGS, ["docs"], hours, server, new_key=new_key, root=root)


def test_chosen_certificate_gets_another_serial_with_the_same_key(issued: Server, root: str) -> None:
    before, other = read("docs", root), read("mail", root)
    assert rotation.preview(SETTINGS, ["docs"], 0, root) == RENEWED
    assert renew(issued, root) == acme.Outcome(RENEWED)
    after = read("docs", root)
    assert after.serial != before.serial
    assert after.key == before.key
    assert read("mail", root) == other


def test_new_key_is_used_only_on_request(issued: Server, root: str) -> None:
    before = read("docs", root)
    assert renew(issued, root, new_key=True).failures == []
    assert read("docs", root).key != before.key


def test_second_run_does_not_order_a_young_certificate_again(issued: Server, root: str) -> None:
    assert rotation.preview(SETTINGS, ["docs"], 24, root) == []
    assert renew(issued, root, 24) == acme.Outcome()
    assert issued.calls == []


@pytest.mark.parametrize("killed", ["before the deployment", "before the reload"])
def test_run_after_a_kill_completes_without_another_order(issued: Server, root: str, killed: str) -> None:
    if killed == "before the deployment":
        issued.issue("docs", list(DOCS.domains), DIRECTORY, 90, reuses=True)
    else:
        Path(root, "docs/.live").unlink()
    assert rotation.preview(SETTINGS, ["docs"], 24, root)[-1:] == RENEWED[-1:]
    assert renew(issued, root, 24).actions[-1:] == RENEWED[-1:]
    assert "certbot" not in issued.calls


@pytest.mark.parametrize("fault", ["down", "futile", "loses_keys"])
def test_failure_keeps_the_previous_pair(issued: Server, root: str, fault: str) -> None:
    before = read("docs", root)
    setattr(issued, fault, True)
    outcome = renew(issued, root)
    assert outcome.actions == outcome.warnings == []
    assert "docs: not issued (its renewal is requested); the served certificate stays valid" in outcome.failures[0]
    assert read("docs", root) == before
    # The timer does not deploy the certificate that was refused.
    setattr(issued, fault, False)
    assert acme.run(SETTINGS, issued, root).failures == []
    assert read("docs", root).key == before.key


def test_other_key_is_the_reason_that_a_failure_names(issued: Server, root: str) -> None:
    issued.loses_keys = True
    assert "a TLSA record in the DNS may contain the previous one" in renew(issued, root).failures[0]


def test_failed_reload_is_a_failure_and_is_repeated(issued: Server, root: str) -> None:
    issued.reload = 1
    assert "nginx.service serves the old certificate" in renew(issued, root).failures[0]
    issued.reload = 0
    assert renew(issued, root, 24).actions == RENEWED[-1:]


def test_pause_of_the_timer_does_not_hold_up_a_requested_renewal(issued: Server, root: str) -> None:
    for _time in range(brake.MOST + 1):
        assert renew(issued, root).failures == []


def test_rehearsal_changes_nothing_and_skips_young_certificates(issued: Server, root: str) -> None:
    before = read("docs", root)
    assert rotation.rehearse(SETTINGS, ["docs"], 24, issued, root) == []
    assert issued.rehearsals == []
    assert rotation.rehearse(SETTINGS, ["docs"], 0, issued, root) == []
    assert issued.rehearsals == ["docs"]
    assert read("docs", root) == before


def test_failed_rehearsal_names_the_certificate_and_the_reason(issued: Server, root: str) -> None:
    issued.down = True
    (text,) = rotation.rehearse(SETTINGS, ["mail"], 0, issued, root)
    assert text == "mail: the rehearsal failed, nothing was changed: connection refused"


def test_survey_counts_what_was_issued_in_seven_days(issued: Server, root: str) -> None:
    renew(issued, root)
    key = brake.make_key(DOCS.domains, DIRECTORY)
    old = x509.now() - datetime.timedelta(days=8)
    entries = brake.read(root)
    Path(brake.path(root)).unlink()
    brake.add(root, brake.Issued(key, old.timestamp(), 0))
    for entry in entries:
        # Written without the pruning of a later entry
        files.write_json(brake.path(root), [*brake.read(root), entry])
    docs, mail = rotation.survey(SETTINGS, 24, root)
    assert (len(docs["issued"]), len(mail["issued"])) == (1, 0)
    assert (docs["young"], docs["problem"], docs["serial"]) == (True, "", f"{read('docs', root).serial:X}")


def test_survey_of_a_placeholder_names_the_problem(server: Server, root: str) -> None:
    server.down = True
    acme.run(SETTINGS, server, root)
    docs = rotation.survey(SETTINGS, 24, root)[0]
    assert (docs["young"], docs["problem"]) == (False, "only a self-signed placeholder is served")
