# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Plan and apply the settings, rules and records of a zone together."""

from __future__ import annotations

import typing as t
from collections.abc import Mapping, Sequence

from ansible_collections.vise.platform.plugins.module_utils.cloudflare import (
    permissions,
    plans,
    record_changes,
    record_plan,
    rules,
    setting_effects,
    zone_settings,
)
from ansible_collections.vise.platform.plugins.module_utils.cloudflare.client import (
    DNS_EDIT,
    ApiError,
    Forbidden,
    Json,
    Refusal,
    Session,
    Zone,
)
from ansible_collections.vise.platform.plugins.module_utils.cloudflare.records import Record

NO_RECORDS = record_plan.Plan([], 0, [])


class Wanted(t.NamedTuple):
    """The wanted state of a zone; empty or missing parts are not managed."""

    settings: Json
    # All rules of each phase.
    rules: Mapping[str, list[Json]]
    records: record_changes.Wanted | None = None
    # Permissions that the token must have even when nothing changes.
    permissions: Sequence[str] = ()

    def needed_permissions(self) -> list[str]:
        """Return the permissions that a change of the zone to the wanted state may need."""
        names = [
            *([DNS_EDIT] if self.records else []),
            *zone_settings.permissions(self.settings),
            *(f"{rules.PHASES[phase]} / Edit" for phase in self.rules),
        ]
        return list(dict.fromkeys(names))


class Plan(t.NamedTuple):
    """The current state and the necessary changes."""

    # Current values of the wanted settings, and the new values of those that must change.
    current_settings: Json
    settings: Json
    # Current and new rules of each phase that must change.
    rules: Mapping[str, tuple[list[Json], list[Json]]]
    records: record_plan.Plan
    # The DS record for the registrar; empty if the zone is not signed.
    ds: str
    # The number of phases that do not change.
    unchanged_phases: int
    # Settings that would have no effect, and what limits the effect of the others.
    problems: Sequence[str] = ()
    warnings: Sequence[str] = ()

    @property
    def changed(self) -> bool:
        """Return whether anything must change."""
        return bool(self.settings or self.rules or self.records.changes)


def plan(session: Session, zone: Zone, wanted: Wanted) -> Plan:
    """Read the zone and return the plan; raise an error with the names of all permissions that the token lacks."""
    try:
        planned = read_plan(session, zone, wanted)
    except Forbidden:
        # A read failed. One error must name all missing permissions, not only the first.
        permissions.require(session, zone, [*wanted.permissions, *wanted.needed_permissions()])
        raise
    check_plan(session, zone, wanted, planned)
    return planned


def check_plan(session: Session, zone: Zone, wanted: Wanted, planned: Plan) -> None:
    """Raise an error for missing permissions, settings without effect, and rules that Cloudflare would refuse."""
    names = [*wanted.permissions, *(wanted.needed_permissions() if planned.changed else ())]
    # The validation of new rules also shows whether the token may write them.
    validated = {f"{rules.PHASES[phase]} / Edit" for phase in planned.rules}
    missing = permissions.missing_permissions(session, zone, [name for name in names if name not in validated])
    problems = list(planned.problems)
    for phase, (_current, after) in planned.rules.items():
        try:
            rules.validate(session, zone, phase, after)
        except Forbidden:
            missing.append(f"{rules.PHASES[phase]} / Edit")
        except Refusal as refusal:
            problems.append(rules.describe_refusal(zone, phase, after, refusal))
    if missing:
        lacking = [name for name in dict.fromkeys(names) if name in missing]
        raise permissions.PermissionsMissing(lacking, session.token_page)
    if problems:
        raise ApiError("\n".join(["nothing was changed: the zone does not allow all settings and rules", *problems]))


def wanted_records(wanted: Wanted) -> Sequence[Record]:
    """Return the wanted records."""
    return wanted.records.records if wanted.records else ()


def read_plan(session: Session, zone: Zone, wanted: Wanted) -> Plan:
    """Read the zone and compare it with the wanted state."""
    limits = plans.find_limits(zone.plan)
    if problems := [text for record in wanted_records(wanted) for text in plans.record_problems(record, limits)]:
        raise ApiError("\n".join(["nothing was changed: the plan of the zone does not allow all records", *problems]))
    settings, ds, fixed = zone_settings.read(session, zone, wanted.settings)
    changes = zone_settings.plan(settings, wanted.settings)
    facts = setting_effects.read_facts(session, zone, wanted.settings)
    current = {phase: rules.read(session, zone, phase) for phase in wanted.rules}
    differing = {
        phase: (current[phase], after) for phase, after in wanted.rules.items() if not rules.same(current[phase], after)
    }
    return Plan(
        current_settings=settings,
        settings=changes,
        rules=differing,
        records=record_changes.read_plan(session, zone, wanted.records) if wanted.records else NO_RECORDS,
        ds=ds,
        unchanged_phases=len(current) - len(differing),
        problems=[
            *setting_effects.fixed_problems(changes, fixed, zone),
            *setting_effects.problems(wanted.settings, facts, zone),
        ],
        warnings=list(setting_effects.warnings([*wanted.settings, *wanted.rules], facts, zone)),
    )


def apply(session: Session, zone: Zone, wanted: Wanted, planned: Plan) -> str:
    """Apply a plan, and return the DS record for the registrar.

    Settings and rules are applied before records, so that they protect a newly proxied record from its first request.
    """
    ds = planned.ds
    for name, value in planned.settings.items():
        try:
            answer = zone_settings.apply(session, zone, name, value)["result"]
            ds = zone_settings.ds_of(answer) if name == "dnssec" else ds
        except ApiError as error:
            raise ApiError(f"setting {name}: {error}") from error
    for phase, (_current, after) in planned.rules.items():
        try:
            rules.apply(session, zone, phase, after)
        except ApiError as error:
            raise ApiError(f"rules of {phase}: {error}") from error
    if wanted.records:
        record_changes.apply(session, zone, wanted.records, planned.records)
    return ds


def count_changes(planned: Plan) -> dict[str, int]:
    """Return how many records, settings and phases are added, changed, removed and unchanged."""
    counts = record_plan.count_changes(planned.records)
    counts["change"] += len(planned.settings) + len(planned.rules)
    counts["keep"] += len(planned.current_settings) - len(planned.settings) + planned.unchanged_phases
    return counts


def describe_plan(planned: Plan) -> list[str]:
    """Return the plan for an operator: the changes, one per line, and the counts in the last line."""
    lines = record_plan.describe_plan(planned.records)
    lines += zone_settings.describe_changes(planned.current_settings, planned.settings)
    for phase, (current, after) in planned.rules.items():
        lines += rules.describe_change(phase, current, after)
    number = count_changes(planned)
    total = (
        f"{number['add']} to add, {number['change']} to change, {number['remove']} to remove, "
        f"{number['keep']} as wanted"
    )
    return [*lines, total]


def diff(planned: Plan, name: str) -> list[dict[str, t.Any]]:
    """Return what changes, before and after."""
    parts = [record_plan.diff(planned.records, name)] if planned.records.changes else []
    settings = [zone_settings.diff(planned.current_settings, planned.settings)] if planned.settings else []
    return [*parts, *settings, *(rules.diff(phase, *pair) for phase, pair in planned.rules.items())]
