# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Renew certificates of an ACME server before they are due: survey, rehearse, renew.

The authority limits how many certificates it issues for the same domains, on all hosts together. So the survey of each
host contains what was issued for it, and a plan for all hosts is made before the first one is changed.
"""

from __future__ import annotations

import datetime
import typing as t

from . import acme, brake, store, x509

FORCED = "its renewal is requested"
Chosen = t.Collection[str]


def survey(settings: acme.Settings, hours: float, root: str = store.ROOT) -> list[dict[str, t.Any]]:
    """Return the facts of each certificate of the host.

    Args:
        settings: the settings of the host.
        hours: a certificate that is younger counts as renewed.
        root: the directory of the store.
    """
    now = x509.now()
    issued = brake.read(root)
    return [_describe(wanted, settings, hours, issued, now, root) for wanted in settings.wanted]


def _describe(
    wanted: acme.Wanted,
    settings: acme.Settings,
    hours: float,
    issued: t.Sequence[brake.Issued],
    now: datetime.datetime,
    root: str,
) -> dict[str, t.Any]:
    current = acme.inspect(wanted, store.Store(wanted.name, root))
    key = brake.make_key(wanted.domains, settings.directory)
    begin = (now - brake.WINDOW).timestamp()
    served = current.served
    return {
        "name": wanted.name,
        "domains": list(wanted.domains),
        "directory": settings.directory,
        "serial": f"{served.serial:X}" if served else "",
        "begin": _format(served.begin) if served else "",
        "end": _format(served.end) if served else "",
        "key": served.key if served else "",
        "young": is_young(current.lineage, hours, now),
        "problem": "" if acme.is_usable(served, wanted, now) else acme.describe_served(served, wanted, now),
        # When certificates for the same domains were issued, in seconds
        "issued": [entry.time for entry in issued if entry.key == key and entry.time >= begin],
    }


def _format(moment: datetime.datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def is_young(found: x509.Facts | None, hours: float, now: datetime.datetime) -> bool:
    """Return whether a certificate was issued so recently that a repeated run does not renew it again."""
    return bool(found and not found.self_signed and now - found.begin < datetime.timedelta(hours=hours))


def choose(settings: acme.Settings, names: Chosen) -> list[acme.Wanted]:
    """Return the chosen certificates of the host."""
    return [wanted for wanted in settings.wanted if wanted.name in names]


def rehearse(settings: acme.Settings, names: Chosen, hours: float, command: store.Command, root: str) -> list[str]:
    """Let certbot order the chosen certificates without storing them; return the failures.

    For a directory of Let's Encrypt certbot uses the staging environment, which has limits of its own.
    """
    failures = []
    with store.lock(root):
        for wanted in choose(settings, names):
            if is_young(acme.inspect(wanted, store.Store(wanted.name, root)).lineage, hours, x509.now()):
                continue
            failure = acme.issue(wanted, settings, command, ["--dry-run"])
            failures += [f"{wanted.name}: the rehearsal failed, nothing was changed: {failure}"] if failure else []
    return failures


def preview(settings: acme.Settings, names: Chosen, hours: float, root: str = store.ROOT) -> list[str]:
    """Return the actions of a renewal when nothing fails; changes nothing and contacts no server."""
    now, actions, reloads = x509.now(), [], False
    for wanted in choose(settings, names):
        deployed = store.Store(wanted.name, root)
        current = acme.inspect(wanted, deployed)
        forced = "" if is_young(current.lineage, hours, now) else FORCED
        steps = acme.plan_actions(wanted, settings, current, now, forced=forced)
        actions += steps
        reloads = reloads or bool(steps) or not deployed.is_live()
    return actions + [f"reload {unit}" for unit in (settings.reload_units if reloads else ())]


def renew(
    settings: acme.Settings,
    names: Chosen,
    hours: float,
    command: store.Command,
    *,
    new_key: bool = False,
    root: str = store.ROOT,
) -> acme.Outcome:
    """Renew the chosen certificates, deploy them and reload the services; a failure keeps the previous pair.

    A certificate that is younger than `hours` is only deployed: a killed run has issued it.
    """
    outcome = acme.Outcome()
    with store.lock(root):
        chosen = choose(settings, names)
        stores = [store.Store(wanted.name, root) for wanted in chosen]
        for wanted, deployed in zip(chosen, stores, strict=True):
            young = is_young(acme.inspect(wanted, deployed).lineage, hours, x509.now())
            forced = "" if young else FORCED
            acme.converge(wanted, settings, deployed, command, outcome, forced=forced, new_key=new_key and not young)
        done, failed = store.activate(stores, settings.reload_units, command)
    outcome.actions += done
    # The operator wants each of them renewed: one that stays valid is a failure of this run, too.
    outcome.failures += outcome.warnings + failed
    outcome.warnings.clear()
    return outcome
