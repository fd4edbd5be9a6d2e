# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Derive all DNS records of the platform from the description and the inventory. Pure."""

from __future__ import annotations

import hashlib
import ipaddress
import typing as t
from collections.abc import Iterable, Iterator, Mapping, Sequence
from urllib.parse import urlsplit

from .topology import (
    Entry,
    Topology,
    TopologyError,
    aliases,
    is_address,
    names,
)

MAIL = "mail"
# SRV records of a mail domain by which mail clients find the server, each with its port.
SERVICES: Mapping[str, int] = {
    "_submission._tcp": 587,
    "_submissions._tcp": 465,
    "_imaps._tcp": 993,
    "_autodiscover._tcp": 443,
}
# Names that the mail host serves by HTTPS: configuration of mail clients, and the MTA-STS policy.
WEB_NAMES = ("autoconfig", "autodiscover", "mta-sts")
# Names of authorities in CAA records, by the host of an ACME directory.
AUTHORITIES: Mapping[str, str] = {
    "production": "letsencrypt.org",
    "staging": "letsencrypt.org",
    "acme-v02.api.letsencrypt.org": "letsencrypt.org",
    "acme-staging-v02.api.letsencrypt.org": "letsencrypt.org",
}


class Mail(t.NamedTuple):
    """The mail settings that are published in the DNS."""

    host: str
    domains: Sequence[str]
    # Address to which other servers send reports.
    reports: str
    # DMARC policy for mail that fails verification: none, quarantine or reject.
    dmarc: str = "quarantine"
    # MTA-STS policy when TLS fails: none, testing or enforce.
    mta_sts: str = "testing"
    mta_sts_max_age: int = 604800
    # Public keys, each with domain, selector and txt; retired ones are not published.
    dkim: Sequence[Mapping[str, str]] = ()
    # Hashes of the public keys of port 25.
    tlsa: Sequence[str] = ()


class Certificates(t.NamedTuple):
    """The authorities that may issue certificates, and the address to which they report refused requests."""

    directory: str = "production"
    # If not empty, they replace the authority of the directory.
    authorities: Sequence[str] = ()
    contact: str = ""

    def issuers(self) -> Sequence[str]:
        """Return the names of the authorities in CAA records; none for an unknown directory."""
        known = AUTHORITIES.get(urlsplit(self.directory).hostname or self.directory)
        return self.authorities or ([known] if known else [])


def is_below(name: str, domain: str) -> bool:
    """Return whether a name is the domain or below it."""
    return name == domain or name.endswith(f".{domain}")


def addresses(name: str, found: Iterable[str], comment: str, **more: t.Any) -> Iterator[Entry]:
    """Yield the A and AAAA records of a name."""
    for address in dict.fromkeys(found):
        if not is_address(address):
            raise TopologyError(
                f"{name}: {address} is not an IP address; set `public_addresses: [...]` for that host in the inventory"
            )
        kind = "AAAA" if ":" in address else "A"
        yield {"type": kind, "name": name, "value": address, "comment": comment, **more}


def site_records(plan: Topology) -> Iterator[Entry]:
    """Yield the records of all sites and their aliases."""
    for name, site in plan.sites.items():
        more = {"proxied": True} if site.get("proxied") else {}
        for domain in [*names(site), *aliases(site)]:
            yield from addresses(domain, plan.public(site), f"site {name}", **more)


def mail_addresses(plan: Topology) -> list[str]:
    """Return the public addresses of the mail host; none when the group mail has no host."""
    return [address for host in plan.members(MAIL) for address in plan.addresses(host, "public")]


def mail_host_records(plan: Topology, mail: Mail) -> Iterator[Entry]:
    """Yield the records of the mail host. They are not proxied, because Cloudflare proxies only HTTP."""
    yield from addresses(mail.host, mail_addresses(plan), "mail host")
    # A bounce has no sender address, so receivers check SPF for the name of the host.
    yield text(mail.host, "v=spf1 a -all", "SPF of the mail host")
    for digest in mail.tlsa:
        kind = {"usage": 3, "selector": 1, "matching_type": 1}
        yield {"type": "TLSA", "name": f"_25._tcp.{mail.host}", "value": digest, "comment": "key of port 25", **kind}


def mail_domain_records(domain: str, mail: Mail) -> Iterator[Entry]:
    """Yield the records of a mail domain."""
    yield {"type": "MX", "name": domain, "value": mail.host, "priority": 10, "comment": "incoming mail"}
    yield text(domain, "v=spf1 mx ~all", "SPF: permitted senders")
    yield text(f"_dmarc.{domain}", f"v=DMARC1; p={mail.dmarc}; rua=mailto:{mail.reports}", "DMARC")
    for key in mail.dkim:
        # In check mode the TXT value of a planned key is empty.
        if key["domain"] == domain and key["txt"] and key.get("state") != "retired":
            yield text(f"{key['selector']}._domainkey.{domain}", key["txt"], f"DKIM key {key['selector']}")
    yield text(f"_mta-sts.{domain}", f"v=STSv1; id={policy_id(mail)}", "MTA-STS")
    yield text(f"_smtp._tls.{domain}", f"v=TLSRPTv1; rua=mailto:{mail.reports}", "reports of TLS failures")
    for service, port in SERVICES.items():
        target = {"priority": 0, "weight": 1, "port": port}
        yield {"type": "SRV", "name": f"{service}.{domain}", "value": mail.host, "comment": "mail clients", **target}
    for name in WEB_NAMES:
        yield {"type": "CNAME", "name": f"{name}.{domain}", "value": mail.host, "comment": "mail clients, MTA-STS"}
    reported = mail.reports.rpartition("@")[2]
    if not is_below(reported, domain) and not is_below(domain, reported):
        # Without this record, other servers do not send reports to an address in another domain.
        yield text(f"{domain}._report._dmarc.{reported}", "v=DMARC1", f"accepts DMARC reports of {domain}")


def text(name: str, value: str, comment: str) -> Entry:
    """Return a TXT record."""
    return {"type": "TXT", "name": name, "value": value, "comment": comment}


def certificate_records(domains: Iterable[str], certificates: Certificates) -> Iterator[Entry]:
    """Yield the CAA records of domains."""
    issuers = certificates.issuers()
    for domain in dict.fromkeys(domains) if issuers else ():
        properties = [("issue", issuer) for issuer in issuers]
        properties += [("iodef", f"mailto:{certificates.contact}")] if certificates.contact else []
        for tag, value in properties:
            yield {"type": "CAA", "name": domain, "value": value, "flags": 0, "tag": tag, "comment": "issuers"}


def policy(mail: Mail) -> str:
    """Return the MTA-STS policy, which is served at https://mta-sts.DOMAIN/.well-known/mta-sts.txt."""
    lines = ["version: STSv1", f"mode: {mail.mta_sts}", f"mx: {mail.host}", f"max_age: {mail.mta_sts_max_age}"]
    return "".join(f"{line}\n" for line in lines)


def policy_id(mail: Mail) -> str:
    """Return the id of the policy, which changes with its text."""
    return hashlib.sha256(policy(mail).encode()).hexdigest()[:20]


def reverse_names(plan: Topology, mail: Mail) -> list[Entry]:
    """Return the reverse names that the provider of the addresses must set."""
    return [
        {"address": address, "name": mail.host, "reverse": ipaddress.ip_address(address).reverse_pointer}
        for address in dict.fromkeys(mail_addresses(plan))
        if is_address(address)
    ]


def unique(records: Iterable[Entry]) -> Iterator[Entry]:
    """Yield each record once; omit the CNAME of a name that has A or AAAA records."""
    kept: dict[tuple[str, ...], Entry] = {}
    for record in records:
        kept.setdefault((record["type"], record["name"], str(record["value"]), str(record.get("tag"))), record)
    addressed = {record["name"] for record in kept.values() if record["type"] in ("A", "AAAA")}
    yield from (record for record in kept.values() if record["type"] != "CNAME" or record["name"] not in addressed)


def records(
    plan: Topology,
    domain: str,
    mail: Mail | None = None,
    certificates: Certificates | None = None,
    extra: Sequence[Entry] = (),
) -> list[Entry]:
    """Return every record."""
    has_mail = mail is not None and bool(plan.members(MAIL))
    domain_records = (
        [one for name in mail.domains for one in mail_domain_records(name, mail)] if mail and has_mail else []
    )
    host_records = [*mail_host_records(plan, mail)] if mail and has_mail else []
    domains = [domain, *(mail.domains if mail and has_mail else ())]
    issuers = [*certificate_records(domains, certificates)] if certificates else []
    # The mail host is first: if a site has the same name, the record that is not proxied is kept.
    return [*unique([*host_records, *site_records(plan), *domain_records, *issuers, *extra])]


def group_by_zone(every: Sequence[Entry], zones: Sequence[str]) -> list[Entry]:
    """Return each zone with its records; a name outside of all zones is an error."""
    groups: dict[str, list[Entry]] = {zone: [] for zone in zones}
    for record in every:
        matching = [zone for zone in zones if is_below(record["name"], zone)]
        if not matching:
            raise TopologyError(
                f"dns_zones: {record['name']} ({record.get('comment', 'extra')}) is in none of the zones "
                f"{', '.join(zones)}; add its zone"
            )
        groups[max(matching, key=len)].append(record)
    return [{"zone": zone, "records": records} for zone, records in groups.items()]
