# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""All DNS records that the platform needs, derived from the description and the inventory. Pure."""

from __future__ import annotations

import hashlib
import ipaddress
import typing as t
from collections.abc import Iterable, Iterator, Mapping, Sequence
from urllib.parse import urlsplit

from ansible_collections.vise.platform.plugins.module_utils.topology import (
    Entry,
    Topology,
    TopologyError,
    is_address,
    names,
)

MAIL = "mail"
# Who reads mail finds the way by these; the port of each, below a mail domain.
SERVICES: Mapping[str, int] = {
    "_submission._tcp": 587,
    "_submissions._tcp": 465,
    "_imaps._tcp": 993,
    "_autodiscover._tcp": 443,
}
# Served by the mail host by HTTPS: how programs for mail set themselves up, and the policy of MTA-STS.
WEB = ("autoconfig", "autodiscover", "mta-sts")
# As CAA records call them, by the host of an ACME directory.
AUTHORITIES: Mapping[str, str] = {
    "production": "letsencrypt.org",
    "staging": "letsencrypt.org",
    "acme-v02.api.letsencrypt.org": "letsencrypt.org",
    "acme-staging-v02.api.letsencrypt.org": "letsencrypt.org",
}


class Mail(t.NamedTuple):
    """What the DNS says of mail."""

    host: str
    domains: Sequence[str]
    # Where other servers send their reports.
    reports: str
    # What they are asked to do with mail that is not ours: none, quarantine or reject.
    dmarc: str = "quarantine"
    # What they are asked to do when TLS fails: none, testing or enforce.
    mta_sts: str = "testing"
    mta_sts_max_age: int = 604800
    # Public keys, each with domain, selector and txt; those that are retired are not published.
    dkim: Sequence[Mapping[str, str]] = ()
    # Hashes of the keys that port 25 shows.
    tlsa: Sequence[str] = ()


class Certificates(t.NamedTuple):
    """Who may issue certificates, and who is told when somebody else was asked."""

    directory: str = "production"
    # In place of what follows from the directory.
    authorities: Sequence[str] = ()
    contact: str = ""

    def issuers(self) -> Sequence[str]:
        """Return the authorities as CAA names them; none where we do not know."""
        known = AUTHORITIES.get(urlsplit(self.directory).hostname or self.directory)
        return self.authorities or ([known] if known else [])


def is_below(name: str, domain: str) -> bool:
    """Return whether a name is a domain's, or the domain."""
    return name == domain or name.endswith(f".{domain}")


def addresses(name: str, found: Iterable[str], comment: str, **more: t.Any) -> Iterator[Entry]:
    """Yield the records by which a name leads to addresses."""
    for address in dict.fromkeys(found):
        if not is_address(address):
            raise TopologyError(
                f"{name}: {address} is no IP address; write `public_addresses: [...]` for that host into the inventory"
            )
        kind = "AAAA" if ":" in address else "A"
        yield {"type": kind, "name": name, "value": address, "comment": comment, **more}


def of_sites(plan: Topology) -> Iterator[Entry]:
    """Yield the records of what visitors see."""
    for name, site in plan.sites.items():
        more = {"proxied": True} if site.get("proxied") else {}
        for domain in [*names(site), *(site.get("aliases") or ())]:
            yield from addresses(domain, plan.public(site), f"site {name}", **more)


def mail_hosts(plan: Topology) -> list[str]:
    """Return the addresses of the mail host; none where the platform has no mail."""
    return [address for host in plan.members(MAIL) for address in plan.addresses(host, "public")]


def of_mail_host(plan: Topology, mail: Mail) -> Iterator[Entry]:
    """Yield the records of the mail host itself. Never proxied: mail does not come by HTTP."""
    yield from addresses(mail.host, mail_hosts(plan), "mail host")
    # For mail that says nothing but the host's name: bounces.
    yield text(mail.host, "v=spf1 a -all", "SPF of the mail host")
    for digest in mail.tlsa:
        kind = {"usage": 3, "selector": 1, "matching_type": 1}
        yield {"type": "TLSA", "name": f"_25._tcp.{mail.host}", "value": digest, "comment": "key of port 25", **kind}


def of_mail_domain(domain: str, mail: Mail) -> Iterator[Entry]:
    """Yield the records of a domain that has mail."""
    yield {"type": "MX", "name": domain, "value": mail.host, "priority": 10, "comment": "where mail goes"}
    yield text(domain, "v=spf1 mx ~all", "SPF: who may send")
    yield text(f"_dmarc.{domain}", f"v=DMARC1; p={mail.dmarc}; rua=mailto:{mail.reports}", "DMARC")
    for key in mail.dkim:
        # A key that has not been made yet has no text.
        if key["domain"] == domain and key["txt"] and key.get("state") != "retired":
            yield text(f"{key['selector']}._domainkey.{domain}", key["txt"], f"DKIM key {key['selector']}")
    yield text(f"_mta-sts.{domain}", f"v=STSv1; id={policy_id(mail)}", "MTA-STS")
    yield text(f"_smtp._tls.{domain}", f"v=TLSRPTv1; rua=mailto:{mail.reports}", "reports of TLS")
    for service, port in SERVICES.items():
        ways = {"priority": 0, "weight": 1, "port": port}
        yield {"type": "SRV", "name": f"{service}.{domain}", "value": mail.host, "comment": "mail programs", **ways}
    for name in WEB:
        yield {"type": "CNAME", "name": f"{name}.{domain}", "value": mail.host, "comment": "mail programs and servers"}
    reported = mail.reports.rpartition("@")[2]
    if not is_below(reported, domain) and not is_below(domain, reported):
        # Without it nobody sends reports about one domain to another.
        yield text(f"{domain}._report._dmarc.{reported}", "v=DMARC1", f"takes reports of {domain}")


def text(name: str, value: str, comment: str) -> Entry:
    """Return a TXT record."""
    return {"type": "TXT", "name": name, "value": value, "comment": comment}


def of_certificates(domains: Iterable[str], certificates: Certificates) -> Iterator[Entry]:
    """Yield who may issue certificates for domains."""
    issuers = certificates.issuers()
    for domain in dict.fromkeys(domains) if issuers else ():
        properties = [("issue", issuer) for issuer in issuers]
        properties += [("iodef", f"mailto:{certificates.contact}")] if certificates.contact else []
        for tag, value in properties:
            yield {"type": "CAA", "name": domain, "value": value, "flags": 0, "tag": tag, "comment": "certificates"}


def policy(mail: Mail) -> str:
    """Return the policy of MTA-STS, which is served at https://mta-sts.DOMAIN/.well-known/mta-sts.txt."""
    lines = ["version: STSv1", f"mode: {mail.mta_sts}", f"mx: {mail.host}", f"max_age: {mail.mta_sts_max_age}"]
    return "".join(f"{line}\n" for line in lines)


def policy_id(mail: Mail) -> str:
    """Return the policy's id, by which others see that it has changed."""
    return hashlib.sha256(policy(mail).encode()).hexdigest()[:20]


def reverse(plan: Topology, mail: Mail) -> list[Entry]:
    """Return the reverse names that whoever rents out the addresses must be asked to set."""
    return [
        {"address": address, "name": mail.host, "reverse": ipaddress.ip_address(address).reverse_pointer}
        for address in dict.fromkeys(mail_hosts(plan))
        if is_address(address)
    ]


def unique(records: Iterable[Entry]) -> Iterator[Entry]:
    """Yield each record once, and no alias for a name that leads to addresses already."""
    kept: dict[tuple[str, ...], Entry] = {}
    for record in records:
        kept.setdefault((record["type"], record["name"], str(record["value"]), str(record.get("tag"))), record)
    led = {record["name"] for record in kept.values() if record["type"] in ("A", "AAAA")}
    yield from (record for record in kept.values() if record["type"] != "CNAME" or record["name"] not in led)


def records(
    plan: Topology,
    domain: str,
    mail: Mail | None = None,
    certificates: Certificates | None = None,
    extra: Sequence[Entry] = (),
) -> list[Entry]:
    """Return every record."""
    has_mail = mail is not None and bool(plan.members(MAIL))
    mailed = [one for name in mail.domains for one in of_mail_domain(name, mail)] if mail and has_mail else []
    hosted = [*of_mail_host(plan, mail)] if mail and has_mail else []
    domains = [domain, *(mail.domains if mail and has_mail else ())]
    proven = [*of_certificates(domains, certificates)] if certificates else []
    # The mail host first: a site of its name is the same, and must not be proxied.
    return [*unique([*hosted, *of_sites(plan), *mailed, *proven, *extra])]


def within(every: Sequence[Entry], zone: str, zones: Sequence[str]) -> list[Entry]:
    """Return the records of one zone; a name that belongs to none is an error."""
    found = []
    for record in every:
        homes = [one for one in zones if is_below(record["name"], one)]
        if not homes:
            raise TopologyError(
                f"dns_zones: {record['name']} ({record.get('comment', 'extra')}) is in none of {', '.join(zones)}; add "
                "its zone"
            )
        if max(homes, key=len) == zone:
            found.append(record)
    return found
