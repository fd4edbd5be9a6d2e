"""The exchanger's judgement of a message, by what its domain published."""

from __future__ import annotations

import pytest
from kit.dmarc import Message, Signature, Verdict, judge, results, tags

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


def signed(domain: str, result: str = "pass") -> Signature:
    return Signature(result, domain, "one")


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (message("strict.test", "pass", "strict.test"), Verdict("pass", "reject")),
        (message("strict.test", "pass", "mail.strict.test"), Verdict("fail", "reject")),
        (message("strict.test", "fail", "strict.test", signed("strict.test")), Verdict("pass", "reject")),
        (message("strict.test", "fail", "strict.test", signed("mail.strict.test")), Verdict("fail", "reject")),
        (message("strict.test", "fail", "strict.test", signed("strict.test", "fail")), Verdict("fail", "reject")),
        (message("loose.test", "pass", "other.test", signed("other.test")), Verdict("fail", "quarantine")),
        (message("loose.test", "pass", "bounce.loose.test"), Verdict("pass", "quarantine")),
        (
            message("loose.test", "fail", "x.test", signed("x.test"), signed("loose.test")),
            Verdict("pass", "quarantine"),
        ),
        (message("sub.loose.test"), Verdict("fail", "reject")),
        (message("none.test", "pass", "none.test"), Verdict("none")),
        (message("twice.test"), Verdict("none")),
        (message("wrong.test"), Verdict("permerror")),
    ],
)
def test_message_is_judged_by_the_policy_of_who_it_says_to_be_from(given: Message, wanted: Verdict) -> None:
    assert judge(given, lookup) == wanted


def test_tags_are_read_whatever_their_spaces() -> None:
    assert tags(" v=DMARC1;p = none ;; rua=mailto:a@b.test") == {"v": "DMARC1", "p": "none", "rua": "mailto:a@b.test"}


def test_results_say_each_method_and_that_there_was_no_signature() -> None:
    given = message("loose.test", "softfail", "x.test")
    text = " ".join(results("mx.test", given, judge(given, lookup), "pass (mail.test)").split())
    assert text == (
        "mx.test; iprev=pass (mail.test); spf=softfail smtp.mailfrom=x.test; dkim=none;"
        " dmarc=fail (p=quarantine) header.from=loose.test"
    )
