"""DMARC (RFC 7489): what a domain wants done with mail that says to be from it, and whether a message is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

# All texts of a name's TXT records; none when there is no such name.
Lookup = Callable[[str], list[str]]


@dataclass(frozen=True)
class Signature:
    """What became of one DKIM signature."""

    result: str
    domain: str
    selector: str


@dataclass(frozen=True)
class Message:
    """What is known of a message when its policy is asked for."""

    header_from: str
    spf: str
    envelope: str
    signatures: list[Signature] = field(default_factory=list)


@dataclass(frozen=True)
class Verdict:
    """`pass`, `fail`, `none` or `permerror`, and what the policy says about it."""

    result: str
    policy: str = "none"


def organization(domain: str) -> str:
    """The domain that its owner registered; two labels, which is right for every name that the sandbox has."""
    return ".".join(domain.lower().rstrip(".").split(".")[-2:])


def tags(record: str) -> dict[str, str]:
    """A record's tags by their names."""
    pairs = (part.partition("=") for part in record.split(";"))
    return {name.strip().lower(): value.strip() for name, _, value in pairs if name.strip()}


def record(domain: str, lookup: Lookup) -> tuple[dict[str, str], str]:
    """The policy for a domain, and the domain that published it; empty where none did."""
    for owner in dict.fromkeys((domain, organization(domain))):
        found = [text for text in lookup(f"_dmarc.{owner}") if text.startswith("v=DMARC1")]
        if len(found) == 1:
            return tags(found[0]), owner
    return {}, ""


def aligned(one: str, other: str, mode: str) -> bool:
    """Whether two domains are the same, strictly or by their organization."""
    one, other = one.lower(), other.lower()
    return one == other if mode == "s" else organization(one) == organization(other)


def judge(message: Message, lookup: Lookup) -> Verdict:
    """Whether a message is from whom its header says, by what that domain published."""
    found, owner = record(message.header_from, lookup)
    if not found:
        return Verdict("none")
    policy = found.get("p", "")
    if message.header_from.lower() != owner.lower():
        policy = found.get("sp", policy)
    if policy not in ("none", "quarantine", "reject"):
        return Verdict("permerror")
    by_spf = message.spf == "pass" and aligned(message.envelope, message.header_from, found.get("aspf", "r"))
    by_dkim = any(
        each.result == "pass" and aligned(each.domain, message.header_from, found.get("adkim", "r"))
        for each in message.signatures
    )
    return Verdict("pass" if by_spf or by_dkim else "fail", policy)


def results(host: str, message: Message, verdict: Verdict, reverse: str) -> str:
    """The header Authentication-Results (RFC 8601)."""
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
