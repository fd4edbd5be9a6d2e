# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Certificates from an ACME server through certbot; used by both the module and the renewal timer."""

from __future__ import annotations

import dataclasses
import datetime
import errno
import os
import re
import socket
import typing as t

from ..host import files
from . import brake, store, x509
from .lineage import Lineage, list_lineages

LINEAGES = "/etc/letsencrypt"
WEBROOT = "/var/lib/acme-webroot"
CREDENTIALS = "/etc/vise/acme/cloudflare.ini"
CHALLENGES = ("http-01", "dns-01")
# The certificate of the internal CA is located in the same directory.
RESERVED = ("internal",)
# Configurations, and the component journals with configurations that a change may be rolled back to.
CONFIGURATION_DIRECTORIES = ("/etc", "/var/lib/vise")
# certbot always reads its settings file, and a command line cannot prevent it. An option there could add a hook, make
# each run a dry run, or change what is issued.
WITHOUT_SETTINGS = 'mount --bind /dev/null "$0" && exec "$@"'
HOOKS = ("pre", "deploy", "post")
# Seconds. certbot has its own timeouts; this one ends a certbot that hangs.
CERTBOT_TIMEOUT = 300
# Errors of an account that the ACME server does not know or has closed, or whose files are damaged
ACCOUNT = re.compile(
    r"accountDoesNotExist|[Aa]ccount is not valid|[Aa]ccount .*(deactivated|revoked)|/accounts/.*\.json"
)
OTHER_KEY = "the certificate has another key, although a TLSA record in the DNS may contain the previous one"
NOISE = re.compile(r"^(Saving debug log|Ask for help|Hint: |Some challenges|Requesting a|Renewing an|Plugins sel|- -)")


@dataclasses.dataclass(frozen=True)
class Wanted:
    """A certificate that a host needs."""

    name: str
    domains: tuple[str, ...]
    challenge: str = "http-01"


@dataclasses.dataclass(frozen=True)
class Settings:
    """All certificates of a host, and the ACME server that issues them."""

    directory: str
    wanted: tuple[Wanted, ...] = ()
    email: str = ""
    renew_days: int = 30
    dns_propagation_seconds: int = 10
    reload_units: tuple[str, ...] = ()
    later: tuple[str, ...] = ()  # names of certificates that this run does not issue

    @classmethod
    def from_dict(cls, data: dict[str, t.Any]) -> Settings:
        """Build settings from the module's parameters or from the settings file of the timer."""
        wanted = tuple(Wanted(**{**entry, "domains": tuple(entry["domains"])}) for entry in data["wanted"])
        return cls(
            **{
                **data,
                "wanted": wanted,
                "reload_units": tuple(data["reload_units"]),
                "later": tuple(data.get("later") or ()),
            }
        )


@dataclasses.dataclass(frozen=True)
class Current:
    """The current state of one certificate: certbot's lineage and the pair that services use."""

    lineage: x509.Facts | None = None
    lineage_directory: str = ""  # URL of the ACME directory that issued the lineage
    lineage_problem: str = ""  # why certbot cannot renew the lineage
    served: x509.Facts | None = None
    is_deployed: bool = False  # the served pair equals the lineage, and its key is protected
    is_live: bool = False  # the services have loaded the served pair


@dataclasses.dataclass
class Outcome:
    """The result of a run: actions, warnings (a valid certificate stays in use), failures, and notes."""

    actions: list[str] = dataclasses.field(default_factory=list)
    warnings: list[str] = dataclasses.field(default_factory=list)
    failures: list[str] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)


def find_problems(settings: Settings) -> list[str]:
    """Validate the settings before any change; return a text for each problem."""
    problems = []
    if not settings.directory.startswith("https://"):
        problems.append(f"ACME directory {settings.directory!r}: must be production, staging or a URL with https://")
    if settings.renew_days < 1:
        problems.append(
            f"renew_days is {settings.renew_days}, but must be at least 1: a certificate is renewed before it expires"
        )
    names = [wanted.name for wanted in settings.wanted]
    problems += [
        f"{name}: listed more than once, names must be unique"
        for name in sorted({name for name in names if names.count(name) > 1})
    ]
    for wanted in settings.wanted:
        problems += [f"{wanted.name or '(no name)'}: {text}" for text in _find_problems(wanted)]
    return problems


def _find_problems(wanted: Wanted) -> t.Iterator[str]:
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", wanted.name) or wanted.name in RESERVED:
        yield "the name may contain only a-z, 0-9, dots, hyphens and underscores, and 'internal' is reserved"
    if wanted.challenge not in CHALLENGES:
        yield f"challenge is {wanted.challenge!r}, but must be http-01 or dns-01"
    if not wanted.domains:
        yield "domains is empty, list at least one"
    for domain in wanted.domains:
        if not re.fullmatch(r"(\*\.)?([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z0-9-]+", domain):
            yield f"{domain!r} is not a valid domain name in lower case"
        elif domain.startswith("*.") and wanted.challenge == "http-01":
            yield f"{domain} is a wildcard, which needs challenge dns-01"


def explain_issue(wanted: Wanted, settings: Settings, current: Current, now: datetime.datetime) -> str:
    """Return why a certificate must be issued, or an empty string."""
    lineage = current.lineage
    if current.lineage_problem:
        return current.lineage_problem
    if lineage is None:
        return "no certificate exists"
    if lineage.names != {x509.normalize_name(domain) for domain in wanted.domains}:
        return "the domains differ"
    if current.lineage_directory != settings.directory:
        return f"it was issued by {current.lineage_directory or 'an unknown authority'}"
    if x509.is_due(lineage, settings.renew_days, now):
        return f"it expires {lineage.end:%Y-%m-%d %H:%M} UTC"
    return ""


def plan_actions(
    wanted: Wanted,
    settings: Settings,
    current: Current,
    now: datetime.datetime,
    *,
    paused: bool = False,
    forced: str = "",
) -> list[str]:
    """Return the actions of a run for one certificate, when nothing fails; a paused one is not issued."""
    actions = [] if current.served or current.lineage else [f"create a placeholder for {wanted.name}"]
    reason = "" if paused else explain_issue(wanted, settings, current, now) or forced
    if current.lineage_problem:
        actions.append(f"move the damaged files of {wanted.name} to {LINEAGES}/damaged")
    if reason:
        actions.append(f"issue {wanted.name} by {wanted.challenge}: {reason}")
    if reason or (current.lineage and not current.is_deployed):
        actions.append(f"deploy {wanted.name}")
    return actions


def is_usable(current: x509.Facts | None, wanted: Wanted, now: datetime.datetime) -> bool:
    """Return whether the served certificate is valid now, covers the domains and is not a placeholder."""
    return bool(current and not current.self_signed and current.end > now and x509.covers(current, wanted.domains))


def describe_served(current: x509.Facts | None, wanted: Wanted, now: datetime.datetime) -> str:
    """Describe the served certificate, for the message that a new one was not issued."""
    if current is None:
        return "no certificate is served"
    if current.self_signed:
        return "only a self-signed placeholder is served"
    if current.end <= now:
        return f"the served certificate expired {current.end:%Y-%m-%d %H:%M} UTC"
    missing = sorted({x509.normalize_name(domain) for domain in wanted.domains} - current.names)
    if missing:
        return f"the served certificate does not cover {', '.join(missing)}"
    return f"the served certificate stays valid until {current.end:%Y-%m-%d %H:%M} UTC"


def read_lineage(name: str) -> dict[str, str]:
    """Return certbot's chain and key; an empty mapping when the key does not match the chain."""
    return Lineage(LINEAGES, name).read_pair()


def inspect(wanted: Wanted, deployed: store.Store) -> Current:
    """Read the current state of one certificate on the host."""
    if not x509.HAS_CRYPTOGRAPHY:
        return Current()
    files_of_certbot = Lineage(LINEAGES, wanted.name)
    held = files_of_certbot.read_pair()
    served = {file: deployed.read(file) for file in (store.CHAIN, store.KEY)}
    fits = x509.key_matches(*served.values())
    return Current(
        lineage=x509.read_facts(held[store.CHAIN]) if held else None,
        lineage_directory=files_of_certbot.read_directory(),
        lineage_problem=files_of_certbot.find_problem(),
        served=x509.read_facts(served[store.CHAIN]) if fits else None,
        is_deployed=held == served and deployed.key_is_protected(),
        is_live=deployed.is_live(),
    )


def port_80_is_free() -> bool:
    """Return whether no process listens on port 80, so that certbot must answer the challenge itself."""
    for family, address in ((socket.AF_INET, ""), (socket.AF_INET6, "")):
        try:
            with socket.socket(family, socket.SOCK_STREAM) as listener:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind((address, 80))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
    return True


def build_certbot_call(arguments: t.Sequence[str]) -> list[str]:
    """Return the call of certbot; a private mount namespace covers its settings file."""
    argv = ["certbot", *arguments]
    shared = os.path.join(LINEAGES, "cli.ini")
    return ["unshare", "--mount", "sh", "-c", WITHOUT_SETTINGS, shared, *argv] if os.path.exists(shared) else argv


def certbot_command(wanted: Wanted, settings: Settings, port_80_free: bool, options: t.Sequence[str] = ()) -> list[str]:
    """Return the certbot command that issues a certificate, with further options."""
    if wanted.challenge == "dns-01":
        proof = ["--dns-cloudflare", "--dns-cloudflare-credentials", CREDENTIALS]
        proof += ["--dns-cloudflare-propagation-seconds", str(settings.dns_propagation_seconds)]
    else:
        proof = ["--standalone"] if port_80_free else ["--webroot", "--webroot-path", WEBROOT]
    account = ["--email", settings.email] if settings.email else ["--register-unsafely-without-email"]
    arguments = [
        *("certonly", "--non-interactive", "--agree-tos", *account),
        # logrotate of the package removes the logs; the hooks of others could stop a service.
        *("--max-log-backups", "0", "--no-directory-hooks"),
        *("--server", settings.directory, "--cert-name", wanted.name, "--domains", ",".join(wanted.domains)),
        # --force-renewal: explain_issue has already decided. --break-my-certs: allow a return to the staging directory.
        # --reuse-key: a TLSA record in the DNS may contain the key.
        *("--key-type", "ecdsa", "--reuse-key", "--force-renewal", "--renew-with-new-domains", "--break-my-certs"),
        *options,
        *proof,
    ]
    return ["timeout", str(CERTBOT_TIMEOUT), *build_certbot_call(arguments)]


def explain_failure(code: int, output: str) -> str:
    """Return certbot's error message, without progress lines and with the API token masked."""
    if code == 124:
        return f"certbot timed out after {CERTBOT_TIMEOUT} seconds"
    for line in files.read_text(CREDENTIALS).splitlines():
        secret = line.partition("=")[2].strip()
        output = output.replace(secret, "********") if secret and not line.startswith("#") else output
    lines = [line.strip() for line in output.splitlines() if line.strip() and not NOISE.match(line.strip())]
    text = " ".join(lines[-12:]) or f"certbot failed with exit code {code}"
    if ACCOUNT.search(output):
        text += f"; the ACME account is not valid: move {LINEAGES}/accounts away and run again, to register a new one"
    return text


def issue(wanted: Wanted, settings: Settings, command: store.Command, options: t.Sequence[str] = ()) -> str:
    """Issue a certificate with certbot; return the reason of a failure, or an empty string."""
    if wanted.challenge == "dns-01" and not os.path.exists(CREDENTIALS):
        return "challenge dns-01 needs a Cloudflare API token: set certificates_cloudflare_token"
    code, output = command(certbot_command(wanted, settings, port_80_is_free(), options))
    return explain_failure(code, output) if code else ""


def repair(wanted: Wanted, deployed: store.Store, current: Current) -> str:
    """Replace a damaged lineage by one with an intact chain and key; return the action.

    The key is kept, because a TLSA record in the DNS may contain it. A placeholder is not kept.
    """
    damaged = Lineage(LINEAGES, wanted.name)
    pair = damaged.read_pair()
    if not pair and current.served and not current.served.self_signed:
        pair = {file: deployed.read(file) for file in (store.CHAIN, store.KEY)}
    place = damaged.move_away()
    if pair:
        damaged.create(pair)
    return f"move the damaged files of {wanted.name} to {place}"


def explain_same(before: x509.Facts | None, after: x509.Facts | None, new_key: bool) -> str:
    """Return why a forced renewal did not have its effect, or an empty string."""
    if before is None or after is None:
        return ""
    if before.serial == after.serial:
        return "the certificate is still the previous one"
    if new_key and before.key == after.key:
        return "the certificate still has the previous key"
    if not new_key and before.key != after.key:
        return OTHER_KEY
    return ""


def keep_key(wanted: Wanted, deployed: store.Store) -> None:
    """Give certbot the deployed chain and key again, because it has issued a certificate with another key."""
    kept = Lineage(LINEAGES, wanted.name)
    kept.move_away()
    kept.create({file: deployed.read(file) for file in (store.CHAIN, store.KEY)})


def explain_no_effect(wanted: Wanted, reason: str) -> str:
    """Return that certbot reported success without the wanted result."""
    others = Lineage(LINEAGES, wanted.name).siblings()
    found = f", and it has {', '.join(others)}, which nothing uses" if others else ""
    return f"certbot reported success, but {reason}{found}; compare with `certbot certificates`"


def deploy(deployed: store.Store, pair: dict[str, str]) -> None:
    """Switch the services' certificate to a chain and key."""
    deployed.switch(deployed.stage(pair[store.KEY]), {store.CHAIN: pair[store.CHAIN]})


def find_pause(wanted: Wanted, settings: Settings, deployed: store.Store, now: datetime.datetime) -> str:
    """Return why a certificate must not be issued again yet, or an empty string."""
    return brake.explain_pause(deployed.root, brake.make_key(wanted.domains, settings.directory), now)


def record_issue(wanted: Wanted, settings: Settings, deployed: store.Store, result: x509.Facts | None) -> None:
    """Record that the authority has issued a certificate; the result is None when the host does not have it."""
    due = x509.compute_due_time(result, settings.renew_days).timestamp() if result else 0
    key = brake.make_key(wanted.domains, settings.directory)
    brake.add(deployed.root, brake.Issued(key, x509.now().timestamp(), due))


def find_foreign(settings: Settings, root: str) -> list[str]:
    """Return a note for each file of others below certbot's directory that has no effect any more."""
    known = {wanted.name for wanted in settings.wanted} | set(store.list_names(root))
    notes = [
        f"{Lineage(LINEAGES, name).renewal}: this role does not renew the certificate {name}, and it has stopped"
        " certbot.timer; add it to certificates_wanted, or remove it with `certbot delete`"
        for name in list_lineages(LINEAGES)
        if name not in known
    ]
    for kind in HOOKS:
        directory = os.path.join(LINEAGES, "renewal-hooks", kind)
        notes += [
            f"{directory}/{name} is not run; list the units that use a certificate in certificates_reload_units"
            for name in (sorted(os.listdir(directory)) if os.path.isdir(directory) else ())
            if os.access(os.path.join(directory, name), os.X_OK) and not name.endswith("~")
        ]
    return notes


def converge(
    wanted: Wanted,
    settings: Settings,
    deployed: store.Store,
    command: store.Command,
    outcome: Outcome,
    *,
    forced: str = "",
    new_key: bool = False,
) -> None:
    """Bring one certificate to the wanted state; after a failure the previous pair stays in place.

    Args:
        wanted: the certificate.
        settings: the settings of the host.
        deployed: where services read it.
        command: runs programs.
        outcome: gets what was done.
        forced: why a certificate is issued that is not due; empty when it is not.
        new_key: whether the issued certificate gets a new key.
    """
    now = x509.now()
    current = inspect(wanted, deployed)
    reason = "" if wanted.name in settings.later else explain_issue(wanted, settings, current, now) or forced
    if current.lineage_problem:
        outcome.actions.append(repair(wanted, deployed, current))
        current = inspect(wanted, deployed)
    failure = find_pause(wanted, settings, deployed, now) if reason and not forced else ""
    if reason and not failure:
        before = current.lineage
        failure = issue(wanted, settings, command, ["--new-key"] if new_key else [])
        if not failure:
            current = inspect(wanted, deployed)
            left = explain_issue(wanted, settings, current, x509.now())
            if forced and not left:
                left = explain_same(before, current.lineage, new_key)
            failure = explain_no_effect(wanted, left) if left else ""
            record_issue(wanted, settings, deployed, None if left else current.lineage)
            if left == OTHER_KEY:
                keep_key(wanted, deployed)
                current = inspect(wanted, deployed)
    if reason and not failure:
        outcome.actions.append(f"issue {wanted.name} by {wanted.challenge}: {reason}")
    if (
        current.lineage
        and not current.is_deployed
        and (x509.covers(current.lineage, wanted.domains) or not current.served)
    ):
        deploy(deployed, read_lineage(wanted.name))
        outcome.actions.append(f"deploy {wanted.name}")
        current = inspect(wanted, deployed)
    if failure:
        text = f"{wanted.name}: not issued ({reason}); {describe_served(current.served, wanted, now)}: {failure}"
        (outcome.warnings if is_usable(current.served, wanted, now) else outcome.failures).append(text)


def run(settings: Settings, command: store.Command, root: str = store.ROOT) -> Outcome:
    """Bring all certificates of a host to the wanted state."""
    outcome = Outcome()
    stores = {wanted.name: store.Store(wanted.name, root) for wanted in settings.wanted}
    with store.lock(root):
        # Placeholders first, so that a web server can start even when certbot fails.
        for wanted in settings.wanted:
            deployed = stores[wanted.name]
            if inspect(wanted, deployed).served is None and not read_lineage(wanted.name):
                chain, key = x509.make_placeholder(wanted.domains, x509.now())
                deploy(deployed, {store.CHAIN: chain, store.KEY: key})
                outcome.actions.append(f"create a placeholder for {wanted.name}")
        for wanted in settings.wanted:
            converge(wanted, settings, stores[wanted.name], command, outcome)
        done, failed = store.activate(stores.values(), settings.reload_units, command)
    outcome.actions += done
    outcome.failures += failed
    outcome.notes += find_foreign(settings, root)
    return outcome


def preview(settings: Settings, root: str = store.ROOT) -> Outcome:
    """Return the actions of a run; changes nothing and contacts no server."""
    outcome = Outcome()
    reloads = False
    for wanted in settings.wanted:
        deployed, now = store.Store(wanted.name, root), x509.now()
        current = inspect(wanted, deployed)
        pause = find_pause(wanted, settings, deployed, now) if explain_issue(wanted, settings, current, now) else ""
        steps = plan_actions(wanted, settings, current, now, paused=bool(pause) or wanted.name in settings.later)
        outcome.notes += [f"{wanted.name}: not issued: {pause}"] if pause else []
        outcome.actions += steps
        reloads = reloads or bool(steps) or not current.is_live
    outcome.actions += [f"reload {unit}" for unit in settings.reload_units] if reloads else []
    outcome.notes += find_foreign(settings, root)
    return outcome


def find_unused(settings: Settings, root: str = store.ROOT) -> list[str]:
    """Return the certificates that are no longer wanted and that no configuration refers to.

    The configuration of a service changes later than the role certificates runs, or never. Until then its certificate
    must stay.
    """
    unwanted = set(store.list_names(root)) - {wanted.name for wanted in settings.wanted} - set(RESERVED)
    places = CONFIGURATION_DIRECTORIES
    return [name for name in sorted(unwanted) if not files.is_referenced(os.path.join(root, name), places)]


def remove_unused(settings: Settings, command: store.Command, outcome: Outcome, root: str = store.ROOT) -> None:
    """Remove unused certificates, certbot's lineage first: it is found only as long as the store has the name."""
    with store.lock(root):
        for name in find_unused(settings, root):
            code, output = 0, ""
            unused = Lineage(LINEAGES, name)
            if unused.find_problem():
                unused.move_away()
            elif unused.exists():
                code, output = command(build_certbot_call(["delete", "--non-interactive", "--cert-name", name]))
            if code:
                outcome.failures.append(f"{name}: unused, but not removed: {explain_failure(code, output)}")
            else:
                store.Store(name, root).remove()
                outcome.actions.append(f"remove {name}")
