# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Certificates from an ACME server through certbot: the one path for the module and for the renewal timer."""

from __future__ import annotations

import dataclasses
import datetime
import errno
import os
import re
import socket
import typing as t

from . import store, x509

LINEAGES = "/etc/letsencrypt"
WEBROOT = "/var/lib/acme-webroot"
CREDENTIALS = "/etc/vise/acme/cloudflare.ini"
CHALLENGES = ("http-01", "dns-01")
# The internal CA's certificate lies beside those from ACME.
RESERVED = ("internal",)
# Where configurations lie, and those that a change may still be taken back to.
PLACES = ("/etc", "/var/lib/vise")
# certbot waits for the server by itself; this ends what never ends.
PATIENCE = 300
NOISE = re.compile(r"^(Saving debug log|Ask for help|Hint: |Some challenges|Requesting a|Renewing an|Plugins sel|- -)")


@dataclasses.dataclass(frozen=True)
class Wanted:
    """A certificate that a host needs."""

    name: str
    domains: tuple[str, ...]
    challenge: str = "http-01"


@dataclasses.dataclass(frozen=True)
class Settings:
    """All certificates of a host, and where they come from."""

    directory: str
    wanted: tuple[Wanted, ...] = ()
    email: str = ""
    renew_days: int = 30
    dns_propagation_seconds: int = 10
    reload_units: tuple[str, ...] = ()

    @classmethod
    def from_dict(cls, data: dict[str, t.Any]) -> Settings:
        """Read what the module gets and what the settings file holds."""
        wanted = tuple(Wanted(**{**entry, "domains": tuple(entry["domains"])}) for entry in data["wanted"])
        return cls(**{**data, "wanted": wanted, "reload_units": tuple(data["reload_units"])})


@dataclasses.dataclass(frozen=True)
class Found:
    """What a host has for one name: certbot's lineage, and what is served."""

    lineage: x509.Facts | None = None
    lineage_directory: str = ""
    served: x509.Facts | None = None
    same: bool = False
    live: bool = False


@dataclasses.dataclass
class Outcome:
    """What a run did, what it could not do but can wait, and what is broken."""

    actions: list[str] = dataclasses.field(default_factory=list)
    warnings: list[str] = dataclasses.field(default_factory=list)
    failures: list[str] = dataclasses.field(default_factory=list)


def problems(settings: Settings) -> list[str]:
    """Say what cannot work, before anything is touched."""
    found = []
    if not settings.directory.startswith("https://"):
        found.append(f"ACME directory {settings.directory!r}: write production, staging or an address with https://")
    if settings.renew_days < 1:
        found.append(f"renew_days is {settings.renew_days}: a certificate is renewed at least a day before its end")
    names = [wanted.name for wanted in settings.wanted]
    found += [f"{name}: wanted more than once" for name in sorted({name for name in names if names.count(name) > 1})]
    for wanted in settings.wanted:
        found += [f"{wanted.name or '(no name)'}: {text}" for text in _problems(wanted)]
    return found


def _problems(wanted: Wanted) -> t.Iterator[str]:
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", wanted.name) or wanted.name in RESERVED:
        yield "a name is made of a-z, 0-9, dots, hyphens and underscores, and is not 'internal'"
    if wanted.challenge not in CHALLENGES:
        yield f"challenge {wanted.challenge!r} is neither http-01 nor dns-01"
    if not wanted.domains:
        yield "has no domains"
    for domain in wanted.domains:
        if not re.fullmatch(r"(\*\.)?([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z0-9-]+", domain):
            yield f"{domain!r} is not a domain in lower case"
        elif domain.startswith("*.") and wanted.challenge == "http-01":
            yield f"{domain} is a wildcard, which only challenge dns-01 can prove"


def reason(wanted: Wanted, settings: Settings, found: Found, at: datetime.datetime) -> str:
    """Say why a certificate has to be issued; nothing when it has not."""
    lineage = found.lineage
    if lineage is None:
        return "there is none"
    if lineage.names != {x509.normal(domain) for domain in wanted.domains}:
        return "the domains differ"
    if found.lineage_directory != settings.directory:
        return f"it came from {found.lineage_directory}"
    if x509.due(lineage, settings.renew_days, at):
        return f"it ends {lineage.end:%Y-%m-%d %H:%M} UTC"
    return ""


def plan(wanted: Wanted, settings: Settings, found: Found, at: datetime.datetime) -> list[str]:
    """Say what a run would do for one certificate, if all goes well."""
    actions = [] if found.served or found.lineage else [f"place a placeholder for {wanted.name}"]
    why = reason(wanted, settings, found, at)
    if why:
        actions.append(f"issue {wanted.name} by {wanted.challenge}: {why}")
    if why or not found.same:
        actions.append(f"deploy {wanted.name}")
    return actions


def good(found: x509.Facts | None, wanted: Wanted, at: datetime.datetime) -> bool:
    """Whether what is served is a real certificate, for the domains, and in time."""
    return bool(found and not found.self_signed and found.end > at and x509.covers(found, wanted.domains))


def standing(found: x509.Facts | None, wanted: Wanted, at: datetime.datetime) -> str:
    """Say what is served while a new certificate cannot be had."""
    if found is None:
        return "nothing is served"
    if found.self_signed:
        return "only a self-signed placeholder is served"
    if found.end <= at:
        return f"the certificate that is served ended {found.end:%Y-%m-%d %H:%M} UTC"
    missing = sorted({x509.normal(domain) for domain in wanted.domains} - found.names)
    if missing:
        return f"the certificate that is served lacks {', '.join(missing)}"
    return f"the certificate that is served stays valid until {found.end:%Y-%m-%d %H:%M} UTC"


def lineage(name: str) -> dict[str, str]:
    """Return certbot's chain and key; nothing when they do not belong together."""
    live = os.path.join(LINEAGES, "live", name)
    files = {file: store.read(os.path.join(live, file)) for file in (store.CHAIN, store.KEY)}
    return files if x509.pair_fits(*files.values()) else {}


def lineage_directory(name: str) -> str:
    """Return the ACME directory that a lineage came from."""
    text = store.read(os.path.join(LINEAGES, "renewal", f"{name}.conf"))
    match = re.search(r"^server\s*=\s*(\S+)", text, re.MULTILINE)
    return match.group(1) if match else ""


def inspect(wanted: Wanted, kept: store.Store) -> Found:
    """Look at what a host has for one name."""
    if not x509.HAS_CRYPTOGRAPHY:
        return Found()
    held = lineage(wanted.name)
    served = {file: kept.read(file) for file in (store.CHAIN, store.KEY)}
    whole = x509.pair_fits(*served.values())
    return Found(
        lineage=x509.facts(held[store.CHAIN]) if held else None,
        lineage_directory=lineage_directory(wanted.name),
        served=x509.facts(served[store.CHAIN]) if whole else None,
        same=held == served and kept.guarded(),
        live=kept.live(),
    )


def port_80_is_free() -> bool:
    """Whether nobody listens, so that certbot must answer the challenge itself."""
    for family, address in ((socket.AF_INET, ""), (socket.AF_INET6, "")):
        try:
            with socket.socket(family, socket.SOCK_STREAM) as trial:
                trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                trial.bind((address, 80))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
    return True


def certbot(wanted: Wanted, settings: Settings, free: bool) -> list[str]:
    """Return the command that has a certificate issued."""
    if wanted.challenge == "dns-01":
        proof = ["--dns-cloudflare", "--dns-cloudflare-credentials", CREDENTIALS]
        proof += ["--dns-cloudflare-propagation-seconds", str(settings.dns_propagation_seconds)]
    else:
        proof = ["--standalone"] if free else ["--webroot", "--webroot-path", WEBROOT]
    account = ["--email", settings.email] if settings.email else ["--register-unsafely-without-email"]
    return [
        *("timeout", str(PATIENCE), "certbot", "certonly", "--non-interactive", "--agree-tos", *account),
        *("--server", settings.directory, "--cert-name", wanted.name, "--domains", ",".join(wanted.domains)),
        # Whether it is due was decided here. The last one lets an operator go back to the staging directory.
        # The key stays, since the DNS may name it (TLSA).
        *("--key-type", "ecdsa", "--reuse-key", "--force-renewal", "--renew-with-new-domains", "--break-my-certs"),
        *proof,
    ]


def told(code: int, said: str) -> str:
    """Return why certbot failed, without its decoration and without the token."""
    if code == 124:
        return f"no answer within {PATIENCE} seconds"
    for line in store.read(CREDENTIALS).splitlines():
        secret = line.partition("=")[2].strip()
        said = said.replace(secret, "********") if secret and not line.startswith("#") else said
    lines = [line.strip() for line in said.splitlines() if line.strip() and not NOISE.match(line.strip())]
    return " ".join(lines[-12:]) or f"certbot exits {code}"


def issue(wanted: Wanted, settings: Settings, command: store.Command) -> str:
    """Have a certificate issued; return why it was not."""
    if wanted.challenge == "dns-01" and not os.path.exists(CREDENTIALS):
        return "challenge dns-01 needs the Cloudflare API token (certificates_cloudflare_token)"
    code, said = command(certbot(wanted, settings, port_80_is_free()))
    return told(code, said) if code else ""


def deploy(kept: store.Store, files: dict[str, str]) -> None:
    """Make a pair the one that is served."""
    kept.switch(kept.stage(files[store.KEY]), {store.CHAIN: files[store.CHAIN]})


def keep(wanted: Wanted, settings: Settings, kept: store.Store, command: store.Command, outcome: Outcome) -> None:
    """Bring one certificate to the wanted state; whatever fails, a pair lies at its place."""
    at = x509.now()
    found = inspect(wanted, kept)
    why = reason(wanted, settings, found, at)
    failure = issue(wanted, settings, command) if why else ""
    if why and not failure:
        outcome.actions.append(f"issue {wanted.name} by {wanted.challenge}: {why}")
        found = inspect(wanted, kept)
    if found.lineage and not found.same and (x509.covers(found.lineage, wanted.domains) or not found.served):
        deploy(kept, lineage(wanted.name))
        outcome.actions.append(f"deploy {wanted.name}")
        found = inspect(wanted, kept)
    if failure:
        text = f"{wanted.name}: not issued ({why}); {standing(found.served, wanted, at)}: {failure}"
        (outcome.warnings if good(found.served, wanted, at) else outcome.failures).append(text)


def run(settings: Settings, command: store.Command, root: str = store.ROOT) -> Outcome:
    """Bring all certificates of a host to the wanted state."""
    outcome = Outcome()
    stores = {wanted.name: store.Store(wanted.name, root) for wanted in settings.wanted}
    with store.locked(root):
        # First of all, so that a web server can start whatever becomes of the others.
        for wanted in settings.wanted:
            kept = stores[wanted.name]
            if inspect(wanted, kept).served is None and not lineage(wanted.name):
                chain, key = x509.placeholder(wanted.domains, x509.now())
                deploy(kept, {store.CHAIN: chain, store.KEY: key})
                outcome.actions.append(f"place a placeholder for {wanted.name}")
        for wanted in settings.wanted:
            keep(wanted, settings, stores[wanted.name], command, outcome)
        done, failed = store.activate(stores.values(), settings.reload_units, command)
    outcome.actions += done
    outcome.failures += failed
    return outcome


def preview(settings: Settings, root: str = store.ROOT) -> Outcome:
    """Say what a run would do; touches nothing and asks nobody."""
    outcome = Outcome()
    waiting = False
    for wanted in settings.wanted:
        found = inspect(wanted, store.Store(wanted.name, root))
        steps = plan(wanted, settings, found, x509.now())
        outcome.actions += steps
        waiting = waiting or bool(steps) or not found.live
    outcome.actions += [f"reload {unit}" for unit in settings.reload_units] if waiting else []
    return outcome


def left_over(settings: Settings, root: str = store.ROOT) -> list[str]:
    """Return the names that are no longer wanted, and that no configuration names any more.

    A program's configuration changes after this role has run, or not at all, and it must not lose a file that it names.
    """
    unwanted = set(store.names(root)) - {wanted.name for wanted in settings.wanted} - set(RESERVED)
    return [name for name in sorted(unwanted) if not store.mentioned(os.path.join(root, name), PLACES)]


def tidy(settings: Settings, command: store.Command, outcome: Outcome, root: str = store.ROOT) -> None:
    """Remove what is left over, certbot's part first: without the other, nobody would look for it."""
    with store.locked(root):
        for name in left_over(settings, root):
            code, said = 0, ""
            if os.path.exists(os.path.join(LINEAGES, "renewal", f"{name}.conf")):
                code, said = command(["certbot", "delete", "--non-interactive", "--cert-name", name])
            if code:
                outcome.failures.append(f"{name}: not removed: {told(code, said)}")
            else:
                store.Store(name, root).remove()
                outcome.actions.append(f"remove {name}")
