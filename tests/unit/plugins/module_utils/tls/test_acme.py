"""Decisions about a certificate as tables, and complete runs with a fake certbot."""

from __future__ import annotations

import dataclasses
import datetime
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.vise.platform.plugins.module_utils.tls import acme, lineage, store, x509

from .certbot import Server

NOW = datetime.datetime(2030, 1, 31, tzinfo=datetime.UTC)
DIRECTORY = "https://acme.example.com/dir"
DOCS = acme.Wanted("docs", ("docs.example.com", "www.example.com"))
SETTINGS = acme.Settings(DIRECTORY, (DOCS,), reload_units=("nginx.service",))


def make_facts(
    days_left: float, lifetime: float = 90, names: tuple[str, ...] = DOCS.domains, placeholder: bool = False
) -> x509.Facts:
    end = NOW + datetime.timedelta(days=days_left)
    return x509.Facts(frozenset(names), end - datetime.timedelta(days=lifetime), end, placeholder)


@pytest.mark.parametrize(
    ("lineage", "directory", "expected"),
    [
        (None, "", "no certificate exists"),
        (make_facts(60), DIRECTORY, ""),
        (make_facts(31), DIRECTORY, ""),
        (make_facts(29), DIRECTORY, "it expires 2030-03-01 00:00 UTC"),
        (make_facts(-1), DIRECTORY, "it expires 2030-01-30 00:00 UTC"),
        (make_facts(3, lifetime=6), DIRECTORY, ""),
        (make_facts(1.9, lifetime=6), DIRECTORY, "it expires 2030-02-01 21:36 UTC"),
        (make_facts(60, names=("docs.example.com",)), DIRECTORY, "the domains differ"),
        (make_facts(60, names=(*DOCS.domains, "old.example.com")), DIRECTORY, "the domains differ"),
        (make_facts(60), "https://staging.example.com/dir", "it was issued by https://staging.example.com/dir"),
    ],
)
def test_reason_to_issue_is_named(lineage: x509.Facts | None, directory: str, expected: str) -> None:
    assert acme.explain_issue(DOCS, SETTINGS, acme.Current(lineage, directory), NOW) == expected


@pytest.mark.parametrize(
    ("served", "good", "text"),
    [
        (None, False, "no certificate is served"),
        (make_facts(60, placeholder=True), False, "only a self-signed placeholder is served"),
        (make_facts(-1), False, "the served certificate expired 2030-01-30 00:00 UTC"),
        (make_facts(5, names=("docs.example.com",)), False, "the served certificate does not cover www.example.com"),
        (make_facts(5), True, "the served certificate stays valid until 2030-02-05 00:00 UTC"),
        (
            make_facts(5, names=(*DOCS.domains, "x.org")),
            True,
            "the served certificate stays valid until 2030-02-05 00:00 UTC",
        ),
    ],
)
def test_served_certificate_is_described_while_acme_is_down(served: x509.Facts | None, good: bool, text: str) -> None:
    assert (acme.is_usable(served, DOCS, NOW), acme.describe_served(served, DOCS, NOW)) == (good, text)


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        (acme.Wanted("docs", ("docs.example.com",)), None),
        (acme.Wanted("docs", ("*.example.com",), "dns-01"), None),
        (acme.Wanted("docs", ("*.example.com",)), "wildcard"),
        (acme.Wanted("internal", ("docs.example.com",)), "is reserved"),
        (acme.Wanted("../docs", ("docs.example.com",)), "may contain only"),
        (acme.Wanted("", ("docs.example.com",)), "(no name)"),
        (acme.Wanted("docs", ()), "domains is empty"),
        (acme.Wanted("docs", ("Docs.example.com",)), "lower case"),
        (acme.Wanted("docs", ("-x.example.com",)), "is not a valid domain"),
        (acme.Wanted("docs", ("a.example.com",), "tls-01"), "must be http-01 or dns-01"),
    ],
)
def test_problems_of_a_certificate_are_named(wanted: acme.Wanted, text: str | None) -> None:
    problems = acme.find_problems(acme.Settings(DIRECTORY, (wanted,)))
    assert problems == [] if text is None else text in "\n".join(problems)


def test_duplicate_name_directory_without_tls_and_renewal_after_expiry_are_refused() -> None:
    problems = acme.find_problems(acme.Settings("http://acme.example.com", (DOCS, DOCS), renew_days=0))
    subjects = [re.split("[:,]", text)[0] for text in problems]
    assert subjects == ["ACME directory 'http", "renew_days is 0", "docs"]


def test_settings_are_read_from_the_file_of_the_timer() -> None:
    entry = {"name": "docs", "domains": list(DOCS.domains)}
    data = {"directory": DIRECTORY, "wanted": [entry], "reload_units": ["nginx.service"]}
    assert acme.Settings.from_dict(data) == SETTINGS


@pytest.mark.parametrize(
    ("challenge", "free", "expected"),
    [
        ("http-01", True, ["--standalone"]),
        ("http-01", False, ["--webroot", "--webroot-path", acme.WEBROOT]),
        ("dns-01", False, ["--dns-cloudflare-credentials", acme.CREDENTIALS]),
    ],
)
def test_certbot_uses_the_plugin_that_challenge_and_port_80_need(
    challenge: str, free: bool, expected: list[str]
) -> None:
    argv = acme.certbot_command(acme.Wanted("docs", DOCS.domains, challenge), SETTINGS, free)
    assert " ".join(expected) in " ".join(argv)
    assert "--domains docs.example.com,www.example.com" in " ".join(argv)
    # A TLSA record in the DNS contains the key.
    assert "--reuse-key" in argv
    # A hook of others could stop the web server.
    assert "--no-directory-hooks" in argv


def test_token_is_not_in_the_error_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    credentials = tmp_path / "cloudflare.ini"
    credentials.write_text("# Managed\ndns_cloudflare_api_token = very-secret\n")
    monkeypatch.setattr(acme, "CREDENTIALS", str(credentials))
    output = "Saving debug log to /var/log/x\nError: token very-secret is wrong\nAsk for help or search"
    assert acme.explain_failure(1, output) == "Error: token ******** is wrong"
    assert acme.explain_failure(124, "") == "certbot timed out after 300 seconds"


def served(root: str) -> x509.Facts:
    deployed = store.Store("docs", root)
    assert x509.key_matches(deployed.read("fullchain.pem"), deployed.read("privkey.pem"))
    found = x509.read_facts(deployed.read("fullchain.pem"))
    assert found
    return found


FIRST = [
    "create a placeholder for docs",
    "issue docs by http-01: no certificate exists",
    "deploy docs",
    "reload nginx.service",
]


def test_first_run_issues_and_second_does_nothing(server: Server, root: str) -> None:
    assert acme.preview(SETTINGS, root).actions == FIRST
    assert not Path(root).exists()
    assert acme.run(SETTINGS, server, root) == acme.Outcome(FIRST)
    assert not served(root).self_signed
    server.calls.clear()
    assert acme.run(SETTINGS, server, root) == acme.preview(SETTINGS, root) == acme.Outcome()
    assert server.calls == []


def test_later_certificate_has_a_placeholder_until_a_run_issues_it(server: Server, root: str) -> None:
    later = dataclasses.replace(SETTINGS, later=("docs",))
    assert acme.preview(later, root).actions == [FIRST[0], FIRST[-1]]
    assert acme.run(later, server, root).failures == []
    assert served(root).self_signed
    assert [argv for argv in server.calls if "certonly" in argv] == []
    assert acme.run(later, server, root).actions == []
    acme.run(SETTINGS, server, root)
    assert not served(root).self_signed
    # The timer reads the settings without it.
    assert acme.Settings.from_dict({"directory": DIRECTORY, "wanted": [], "reload_units": []}).later == ()


def test_placeholder_is_deployed_and_run_fails_while_acme_is_down(server: Server, root: str) -> None:
    server.down = True
    outcome = acme.run(SETTINGS, server, root)
    assert served(root).self_signed
    assert "only a self-signed placeholder is served: connection refused" in outcome.failures[0]
    assert acme.run(SETTINGS, server, root).actions == []


def test_valid_certificate_stays_with_a_warning_while_acme_is_down(server: Server, root: str) -> None:
    server.issue("docs", list(DOCS.domains), DIRECTORY, 90)
    acme.run(SETTINGS, server, root)
    before = served(root)
    server.down = True
    outcome = acme.run(acme.Settings("https://other.example.com", (DOCS,)), server, root)
    assert (outcome.actions, outcome.failures, len(outcome.warnings)) == ([], [], 1)
    assert served(root) == before


def test_due_certificate_is_renewed_and_reloaded(server: Server, root: str) -> None:
    acme.run(SETTINGS, server, root)
    server.issue("docs", list(DOCS.domains), DIRECTORY, 0)
    actions = acme.run(SETTINGS, server, root).actions
    assert [action.split()[0] for action in actions] == ["issue", "deploy", "reload"]


def test_lineage_that_a_killed_run_did_not_deploy_is_deployed_without_issuing(server: Server, root: str) -> None:
    acme.run(SETTINGS, server, root)
    server.issue("docs", list(DOCS.domains), DIRECTORY, 90)
    server.calls.clear()
    assert acme.run(SETTINGS, server, root).actions == ["deploy docs", "reload nginx.service"]
    assert "certbot" not in server.calls


@pytest.mark.parametrize("damage", ["key", "mode", "link"])
def test_drift_of_the_served_pair_is_repaired(server: Server, root: str, damage: str) -> None:
    acme.run(SETTINGS, server, root)
    before, key = served(root), Path(root, "docs/privkey.pem")
    if damage == "key":
        key.write_text("x")
    elif damage == "mode":
        key.chmod(0o644)
    else:
        Path(root, "docs").unlink()
    assert acme.run(SETTINGS, server, root).actions == ["deploy docs", "reload nginx.service"]
    assert served(root) == before
    assert key.stat().st_mode & 0o777 == 0o600


def test_failed_reload_is_reported_and_retried(server: Server, root: str) -> None:
    server.reload = 1
    assert "nginx.service serves the old certificate" in acme.run(SETTINGS, server, root).failures[0]
    server.reload = 0
    assert acme.run(SETTINGS, server, root).actions == ["reload nginx.service"]


def test_unit_that_does_not_exist_yet_is_not_a_failure(server: Server, root: str) -> None:
    server.reload = store.NOT_LOADED
    assert acme.run(SETTINGS, server, root) == acme.Outcome(FIRST[:-1])


def test_dns_challenge_without_a_token_names_the_variable(
    server: Server, root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acme, "CREDENTIALS", root + "/absent")
    settings = acme.Settings(DIRECTORY, (acme.Wanted("docs", ("*.example.com",), "dns-01"),))
    assert "certificates_cloudflare_token" in acme.run(settings, server, root).failures[0]


def test_incomplete_versions_are_removed(server: Server, root: str) -> None:
    acme.run(SETTINGS, server, root)
    versions = Path(root, ".versions/docs")
    store.Store("docs", root).stage("half made")
    acme.deploy(store.Store("docs", root), acme.read_lineage("docs"))
    assert len(list(versions.iterdir())) == 2
    shutil.rmtree(versions)
    assert acme.run(SETTINGS, server, root).actions[0] == "deploy docs"


def test_preview_works_on_a_host_without_cryptography(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(x509, "HAS_CRYPTOGRAPHY", False)
    assert acme.preview(SETTINGS, root).actions == FIRST


@pytest.fixture
def etc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(acme, "CONFIGURATION_DIRECTORIES", (str(tmp_path / "etc"), str(tmp_path / "none")))
    (tmp_path / "etc/nginx").mkdir(parents=True)
    return tmp_path / "etc/nginx/site.conf"


NOTHING = acme.Settings(DIRECTORY)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("ssl_certificate {root}/docs/fullchain.pem;", []),
        ("directory={root}/docs", []),
        ("ssl_certificate {root}/docs-2/fullchain.pem;", ["docs"]),
        ("ssl_certificate {root}/docs.old/fullchain.pem;", ["docs"]),
        ("", ["docs"]),
    ],
)
def test_certificate_is_unused_when_no_configuration_refers_to_it(
    server: Server, root: str, etc: Path, text: str, left: list[str]
) -> None:
    acme.run(SETTINGS, server, root)
    store.Store("internal", root).stage("key")
    etc.write_text(text.format(root=root))
    assert acme.find_unused(NOTHING, root) == left
    assert acme.find_unused(SETTINGS, root) == []


@pytest.mark.usefixtures("etc")
def test_unused_certificate_is_removed_with_its_lineage(server: Server, root: str) -> None:
    acme.run(SETTINGS, server, root)
    outcome = acme.Outcome()
    acme.remove_unused(NOTHING, server, outcome, root)
    assert outcome == acme.Outcome(["remove docs"])
    assert sorted(path.name for path in Path(root).iterdir()) == [".issued.json", ".lock", ".versions"]
    assert store.list_names(root) == []
    assert acme.read_lineage("docs") == {}


@pytest.mark.usefixtures("etc")
def test_next_run_finishes_a_killed_or_failed_removal(server: Server, root: str) -> None:
    acme.run(SETTINGS, server, root)
    server.down = True
    outcome = acme.Outcome()
    acme.remove_unused(NOTHING, server, outcome, root)
    assert outcome == acme.Outcome(failures=["docs: unused, but not removed: connection refused"])
    assert served(root)
    server.remove("docs")
    (Path(root) / "docs").unlink()
    acme.remove_unused(NOTHING, server, outcome, root)
    assert store.list_names(root) == []


def replace(path: Path, text: str | None = None, target: str = "") -> None:
    content = path.read_text() if text is None else text
    path.unlink()
    if target:
        path.symlink_to(target)
    else:
        path.write_text(content)


def without_key(path: Path) -> None:
    replace(path, "".join(line for line in path.open() if not line.startswith("privkey")))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "empty renewal file": lambda root: (root / "renewal/docs.conf").write_text(""),
    "renewal file of zeros": lambda root: (root / "renewal/docs.conf").write_bytes(bytes(4096)),
    "renewal file without a key": lambda root: without_key(root / "renewal/docs.conf"),
    "no renewal file": lambda root: (root / "renewal/docs.conf").unlink(),
    "no archive": lambda root: shutil.rmtree(root / "archive/docs"),
    "no live directory": lambda root: shutil.rmtree(root / "live/docs"),
    "file instead of a link": lambda root: replace(root / "live/docs/cert.pem"),
    "link to itself": lambda root: replace(root / "live/docs/privkey.pem", "", "privkey.pem"),
    "empty key": lambda root: (root / "archive/docs/privkey1.pem").write_text(""),
    "key of another certificate": lambda root: (root / "archive/docs/privkey1.pem").write_text(x509.make_key()),
}


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        ("empty renewal file", "renewal/docs.conf is empty"),
        ("renewal file of zeros", "renewal/docs.conf is incomplete: it has no cert"),
        ("renewal file without a key", "renewal/docs.conf is incomplete: it has no privkey"),
        ("no renewal file", "renewal/docs.conf does not exist, but other files of docs do"),
        ("no archive", "live/docs/cert.pem is a link to .*archive/docs/cert1.pem, which does not exist"),
        ("no live directory", "live/docs/cert.pem does not exist"),
        ("file instead of a link", "live/docs/cert.pem is not a link"),
        ("link to itself", "live/docs/privkey.pem is a link to privkey.pem, which does not exist"),
        ("empty key", "live/docs/privkey.pem does not match .*fullchain.pem, or one is damaged"),
        ("key of another certificate", "live/docs/privkey.pem does not match .*fullchain.pem, or one is damaged"),
    ],
)
def test_damaged_lineage_is_moved_away_and_issued_once(server: Server, root: str, damage: str, problem: str) -> None:
    acme.run(SETTINGS, server, root)
    key = store.Store("docs", root).read("privkey.pem")
    DAMAGES[damage](server.root)
    expected = acme.preview(SETTINGS, root).actions
    assert re.fullmatch(f"issue docs by http-01: .*{problem}", expected[1])
    server.down = True
    first = acme.run(SETTINGS, server, root)
    assert re.search(f"docs: not issued .*{problem}.* stays valid until .*connection refused", first.warnings[0])
    # The key is still in the lineage, so that certbot reuses it.
    assert lineage.Lineage(str(server.root), "docs").find_problem() == ""
    assert acme.read_lineage("docs")["privkey.pem"] == key
    server.down = False
    assert [action.split()[0] for action in acme.run(SETTINGS, server, root).actions] == ["issue", "deploy", "reload"]
    assert acme.run(SETTINGS, server, root) == acme.Outcome()
    assert len(list((server.root / "damaged").iterdir())) == 1


def test_damaged_lineage_without_a_served_certificate_is_issued_as_a_new_one(server: Server, root: str) -> None:
    (server.root / "renewal").mkdir()
    (server.root / "renewal/docs.conf").write_text("")
    assert [action.split()[0] for action in acme.run(SETTINGS, server, root).actions] == [
        *("create", "move", "issue", "deploy", "reload")
    ]


def test_success_of_certbot_without_the_wanted_certificate_is_a_failure(server: Server, root: str) -> None:
    server.futile = True
    server.issue("docs-0001", list(DOCS.domains), DIRECTORY, 90)
    outcome = acme.run(SETTINGS, server, root)
    assert outcome.actions == [FIRST[0], "reload nginx.service"]
    assert re.search(
        "placeholder is served: certbot reported success, but no certificate exists, and it has docs-0001, which",
        outcome.failures[0],
    )


def test_success_without_the_wanted_certificate_does_not_burn_the_limits_of_the_authority(
    server: Server, root: str
) -> None:
    server.futile = True
    acme.run(SETTINGS, server, root)
    server.calls.clear()
    for _run in range(5):
        outcome = acme.run(SETTINGS, server, root)
        assert re.search("docs: not issued .*1 issued since .* the next attempt is after", outcome.failures[0])
    assert "certbot" not in server.calls
    assert acme.preview(SETTINGS, root).actions == []
    assert "docs: not issued: 1 issued since" in acme.preview(SETTINGS, root).notes[0]
    # Another set of domains is another certificate.
    server.futile = False
    smaller = acme.Settings(DIRECTORY, (acme.Wanted("docs", DOCS.domains[:1]),))
    assert acme.run(smaller, server, root).failures == []
    assert server.calls == ["certbot"]


def test_certificate_that_is_lost_after_each_run_is_issued_three_times_a_week(server: Server, root: str) -> None:
    for _run in range(6):
        outcome = acme.run(SETTINGS, server, root)
        DAMAGES["empty renewal file"](server.root)
    assert server.calls.count("certbot") == 3
    # What is served stays, with a warning.
    assert (outcome.failures, len(outcome.warnings)) == ([], 1)
    assert not served(root).self_signed


def test_failure_of_the_authority_is_no_issued_certificate(server: Server, root: str) -> None:
    server.down = True
    for _run in range(5):
        acme.run(SETTINGS, server, root)
    assert server.calls.count("certbot") == 5


def test_settings_file_of_certbot_is_covered(server: Server) -> None:
    assert acme.build_certbot_call(["delete"]) == ["certbot", "delete"]
    shared = server.root / "cli.ini"
    shared.write_text("dry-run = true\n")
    call = acme.build_certbot_call(["delete"])
    assert call[:3] == ["unshare", "--mount", "sh"]
    assert call[-3:] == [str(shared), "certbot", "delete"]


def test_files_of_others_without_effect_are_reported(server: Server, root: str) -> None:
    acme.run(SETTINGS, server, root)
    server.issue("shop", ["shop.example.com"], DIRECTORY, 60)
    hooks = server.root / "renewal-hooks/deploy"
    hooks.mkdir(parents=True)
    for name, mode in (("reload.sh", 0o755), ("notes.txt", 0o644), ("old.sh~", 0o755)):
        (hooks / name).write_text("#!/bin/sh\n")
        (hooks / name).chmod(mode)
    outcome = acme.run(SETTINGS, server, root)
    assert outcome == acme.Outcome(notes=outcome.notes)
    assert [note.partition(" ")[0] for note in outcome.notes] == [
        f"{server.root}/renewal/shop.conf:",
        f"{hooks}/reload.sh",
    ]
    assert acme.preview(SETTINGS, root).notes == outcome.notes


@pytest.mark.usefixtures("etc")
def test_damaged_lineage_of_an_unused_certificate_is_moved_away(server: Server, root: str) -> None:
    acme.run(SETTINGS, server, root)
    DAMAGES["empty renewal file"](server.root)
    outcome = acme.Outcome()
    acme.remove_unused(NOTHING, server, outcome, root)
    assert outcome == acme.Outcome(["remove docs"])
    assert not lineage.Lineage(str(server.root), "docs").exists()


@pytest.mark.parametrize(
    "text",
    [
        "urn:ietf:params:acme:error:accountDoesNotExist :: The client specified an account that does not exist",
        'urn:ietf:params:acme:error:unauthorized :: Account is not valid, has status "deactivated"',
    ],
)
def test_invalid_account_is_named_with_its_directory(text: str) -> None:
    assert "/etc/letsencrypt/accounts away and run again" in acme.explain_failure(1, text)
