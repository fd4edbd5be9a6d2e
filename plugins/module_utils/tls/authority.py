# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Replace the platform's own authority in stages, so that each connection can be verified at every moment.

The state is located in the vault file: its secrets name the authority that signs, and the one that is trusted in
addition. So each run of site.yml continues the stage that was begun. A stage renames secrets; the values stay. Pure.
"""

from __future__ import annotations

import typing as t

CURRENT = ("vault_internal_ca", "vault_internal_ca_key")
NEXT = ("vault_internal_ca_next", "vault_internal_ca_next_key")
PREVIOUS = ("vault_internal_ca_previous", "vault_internal_ca_previous_key")
# What the vault file contains
SINGLE, TRUSTED, ISSUED = "single", "trusted", "issued"
STAGES = ("trust", "issue", "retire", "back", "abandon")


class Step(t.NamedTuple):
    """What a stage does to the secrets: generate the next authority, or rename them and remove those without a name."""

    generates: bool = False
    renames: t.Mapping[str, str | None] = {}
    refusal: str = ""


def detect(names: t.Collection[str]) -> str:
    """Return what the vault file contains; raises ValueError if that is not one of the known states."""
    partial = [name for pair in (CURRENT, NEXT, PREVIOUS) if sum(one in names for one in pair) == 1 for name in pair]
    missing = [name for name in partial if name not in names]
    if missing:
        present = [name for name in partial if name in names]
        raise ValueError(
            f"{', '.join(missing)} is missing, but {', '.join(present)} is present, and they belong together: restore "
            "the vault file from its repository"
        )
    if CURRENT[0] not in names:
        raise ValueError(f"{CURRENT[0]} is missing: run make_secrets.yml")
    if NEXT[0] in names and PREVIOUS[0] in names:
        raise ValueError(
            f"both {NEXT[0]} and {PREVIOUS[0]} are present; an authority has at most one other: restore the vault file "
            "from its repository"
        )
    return TRUSTED if NEXT[0] in names else ISSUED if PREVIOUS[0] in names else SINGLE


def plan_step(stage: str, state: str) -> Step:
    """Return what a stage does in a state; a stage that was already done does nothing."""
    forward = {**_rename(CURRENT, PREVIOUS), **_rename(NEXT, CURRENT)}
    backward = {**_rename(CURRENT, NEXT), **_rename(PREVIOUS, CURRENT)}
    steps = {
        ("trust", SINGLE): Step(generates=True),
        ("trust", TRUSTED): Step(),
        ("trust", ISSUED): Step(refusal="the new authority already signs; next: -e rotate_authority=retire"),
        ("issue", SINGLE): Step(refusal="there is no new authority yet; first: -e rotate_authority=trust"),
        ("issue", TRUSTED): Step(renames=forward),
        ("issue", ISSUED): Step(),
        ("retire", SINGLE): Step(),
        ("retire", TRUSTED): Step(
            refusal="the previous authority still signs; next: -e rotate_authority=issue. To give the new one up: "
            "-e rotate_authority=abandon"
        ),
        ("retire", ISSUED): Step(renames=dict.fromkeys(PREVIOUS)),
        ("back", SINGLE): Step(refusal="there is only one authority, so there is none to return to"),
        ("back", TRUSTED): Step(),
        ("back", ISSUED): Step(renames=backward),
        ("abandon", SINGLE): Step(),
        ("abandon", TRUSTED): Step(renames=dict.fromkeys(NEXT)),
        ("abandon", ISSUED): Step(refusal="the new authority signs; first: -e rotate_authority=back"),
    }
    return steps[stage, state]


def _rename(old: t.Sequence[str], new: t.Sequence[str]) -> dict[str, str | None]:
    return dict(zip(old, new, strict=True))


def apply_renames(values: t.Mapping[str, str], renames: t.Mapping[str, str | None]) -> dict[str, str]:
    """Return the secrets after a step."""
    renamed = {renames.get(name, name): value for name, value in values.items()}
    return {name: value for name, value in renamed.items() if name}


def label(names: t.Mapping[str, str]) -> dict[str, str]:
    """Return the certificates of the authorities by what they are."""
    pairs = {"current": CURRENT, "next": NEXT, "previous": PREVIOUS}
    return {kind: names[pair[0]] for kind, pair in pairs.items() if names.get(pair[0])}


class Host(t.NamedTuple):
    """What a host trusts and presents, by the fingerprints of authorities; an empty one is unknown."""

    trusts: t.Collection[str]
    leaf: str
    is_live: bool
    services: t.Sequence[t.Mapping[str, str]]


def find_problems(stage: str, hosts: t.Mapping[str, Host], authorities: t.Mapping[str, str]) -> list[str]:
    """Return why a stage must not begin.

    Args:
        stage: the stage.
        hosts: what each host trusts and presents.
        authorities: fingerprints by what the authorities are now: current, next, previous.
    """
    both = {kind: authorities[kind] for kind in ("current", "next", "previous") if kind in authorities}
    problems = []
    if stage in ("issue", "back"):
        problems += [
            f"{name} does not trust the {kind} authority yet; first run -e rotate_authority="
            f"{'trust' if 'next' in authorities else 'issue'} until it succeeds"
            for name, host in hosts.items()
            for kind, fingerprint in both.items()
            if fingerprint not in host.trusts or not host.is_live
        ]
    if stage in ("retire", "abandon"):
        problems += find_strangers(hosts, {authorities["current"]}, "issue" if stage == "retire" else "back")
    return problems


def find_strangers(hosts: t.Mapping[str, Host], permitted: t.Collection[str], remedy: str = "") -> list[str]:
    """Return the certificates that none of the permitted authorities has issued, and services that do not answer."""
    text = f"; first run -e rotate_authority={remedy} until it succeeds" if remedy else ""
    problems = [
        f"{name}: its certificate is not issued by the current authority{text}"
        for name, host in hosts.items()
        if host.leaf not in permitted
    ]
    for name, host in hosts.items():
        for one in host.services:
            where = f"{name}: {one['service']} ({one['place']})"
            if one["problem"]:
                problems.append(f"{where}: {one['problem']}")
            elif one["issuer"] not in permitted:
                problems.append(f"{where} presents a certificate of another authority{text}")
    return problems


def find_untrusting(hosts: t.Mapping[str, Host]) -> list[str]:
    """Return the hosts that could not verify a service of any host: each must trust each issuer that is in use."""
    used = sorted({one["issuer"] for host in hosts.values() for one in host.services if one["issuer"]})
    used = sorted({*used, *(host.leaf for host in hosts.values() if host.leaf)})
    return [
        f"{name} does not trust an authority whose certificate {', '.join(_find_users(hosts, fingerprint))} presents"
        for name, host in hosts.items()
        for fingerprint in used
        if fingerprint not in host.trusts
    ]


def _find_users(hosts: t.Mapping[str, Host], fingerprint: str) -> list[str]:
    return [
        name
        for name, host in hosts.items()
        if fingerprint == host.leaf or fingerprint in [one["issuer"] for one in host.services]
    ]
