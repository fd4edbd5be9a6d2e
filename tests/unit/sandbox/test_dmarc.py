"""The exchanger's evaluation of a message by the DMARC policy of its domain."""

from __future__ import annotations

import pytest
from kit.dmarc import Message, Signature, Verdict, evaluate, format_results, parse_tags

ZONES = {
    "_dmarc.strict.test": ["v=DMARC1; p=reject; adkim=s; aspf=s"],
    "_dmarc.loose.test": ["other text", "v=DMARC1; p=quarantine; sp=reject"],
    "_dmarc.twice.test": ["v=DMARC1; p=none", "v=DMARC1; p=reject"],
    "_dmarc.wrong.test": ["v=DMARC1; p=perhaps"],
}


def lookup(name: str) -> list[str]:
    return ZONES.get(name, [])


def message(header_from: str, spf: str = "fail", envelope: str = "x.test", *signatures: Signature) -> Message:
    return Message(header_from, spf, envelope, list(signatures))


def make_signature(domain: str, result: str = "pass") -> Signature:
    return Signature(result, domain, "one")


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (message("strict.test", "pass", "strict.test"), Verdict("pass", "reject")),
        (message("strict.test", "pass", "mail.strict.test"), Verdict("fail", "reject")),
        (message("strict.test", "fail", "strict.test", make_signature("strict.test")), Verdict("pass", "reject")),
        (message("strict.test", "fail", "strict.test", make_signature("mail.strict.test")), Verdict("fail", "reject")),
        (
            message("strict.test", "fail", "strict.test", make_signature("strict.test", "fail")),
            Verdict("fail", "reject"),
        ),
        (message("loose.test", "pass", "other.test", make_signature("other.test")), Verdict("fail", "quarantine")),
        (message("loose.test", "pass", "bounce.loose.test"), Verdict("pass", "quarantine")),
        (
            message("loose.test", "fail", "x.test", make_signature("x.test"), make_signature("loose.test")),
            Verdict("pass", "quarantine"),
        ),
        (message("sub.loose.test"), Verdict("fail", "reject")),
        (message("none.test", "pass", "none.test"), Verdict("none")),
        (message("twice.test"), Verdict("none")),
        (message("wrong.test"), Verdict("permerror")),
    ],
)
def test_message_is_evaluated_by_the_policy_of_its_from_domain(given: Message, wanted: Verdict) -> None:
    assert evaluate(given, lookup) == wanted


def test_spaces_around_tags_are_ignored() -> None:
    assert parse_tags(" v=DMARC1;p = none ;; rua=mailto:a@b.test") == {
        "v": "DMARC1",
        "p": "none",
        "rua": "mailto:a@b.test",
    }


def test_results_list_each_method_and_a_missing_signature() -> None:
    given = message("loose.test", "softfail", "x.test")
    text = " ".join(format_results("mx.test", given, evaluate(given, lookup), "pass (mail.test)").split())
    assert text == (
        "mx.test; iprev=pass (mail.test); spf=softfail smtp.mailfrom=x.test; dkim=none;"
        " dmarc=fail (p=quarantine) header.from=loose.test"
    )
