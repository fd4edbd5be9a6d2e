# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A whole wanted list against what mailcow holds: the plan is pure, and one place decides what is done with it."""

from __future__ import annotations

import json
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vise.platform.plugins.module_utils.mailcow.client import (
    TRIES,
    Client,
    MailcowDown,
    MailcowError,
    Refused,
    Row,
    UnknownObject,
)

CONNECTION: dict[str, t.Any] = {
    "url": {"type": "str", "default": "http://127.0.0.1:8080"},
    "api_key": {"type": "str", "required": True, "no_log": True},
    "timeout": {"type": "int", "default": 30},
}
ALWAYS = "always"
STATE: dict[str, t.Any] = {"type": "str", "choices": ["present", "absent"], "default": "present"}
UPDATE_PASSWORD: dict[str, t.Any] = {
    "type": "str",
    "choices": ["on_create", ALWAYS],
    "default": "on_create",
    "no_log": False,
}
TEXT: dict[str, t.Any] = {"type": "str"}
NAME: dict[str, t.Any] = {"type": "str", "required": True}
NUMBER: dict[str, t.Any] = {"type": "int"}
FLAG: dict[str, t.Any] = {"type": "bool"}
STRINGS: dict[str, t.Any] = {"type": "list", "elements": "str"}
PASSWORD: dict[str, t.Any] = {"type": "str", "no_log": True}
ORDER = ("delete", "edit", "add")
HIDDEN = "(not shown)"


def entries(options: dict[str, t.Any]) -> dict[str, t.Any]:
    """Return the option that takes a list of objects, each of which may be wanted away."""
    return {"type": "list", "elements": "dict", "default": [], "options": {**options, "state": STATE}}


class Found(t.NamedTuple):
    """An object as mailcow has it: what the API calls it, its values in the module's words, and the API's own row."""

    item: t.Any
    values: Row
    row: Row = {}  # noqa: RUF012  # nobody writes to it


class Kind(t.NamedTuple):
    """What differs between the kinds of objects."""

    path: str  # in the API's addresses
    key: str  # the option that names an object
    create: t.Callable[[Row], Row]  # from an entry to the API's attributes
    update: t.Callable[[Row, Found], Row]  # from the options that differ to the API's attributes
    write_only: tuple[str, ...] = ()  # the API tells no value that could be compared
    secret: tuple[str, ...] = ()  # never shown


class Step(t.NamedTuple):
    """One object that has to change: how it looks, and the call that does it."""

    verb: str
    path: str
    name: str
    item: t.Any
    attributes: Row
    before: Row = {}  # noqa: RUF012  # nobody writes to it
    after: Row = {}  # noqa: RUF012

    @property
    def text(self) -> str:
        """Say it in words; what it sets, and never a value."""
        what = ", ".join(key for key in self.after if self.after[key] != self.before.get(key)) if self.before else ""
        return f"{self.verb} {self.path} {self.name}" + (f": {what}" if self.verb == "edit" and what else "")


def flag(value: t.Any) -> bool:
    """Return a boolean of what the API gives: 1, "1", true, "true"."""
    return str(value).lower() in ("1", "true", "y")


def number(value: t.Any) -> int:
    """Return an integer of what the API gives: 3, "3", 3.0, "", null."""
    return int(float(value or 0))


def megabytes(value: t.Any) -> int:
    """Return whole MiB of bytes."""
    return number(value) // 1048576


def plain(value: t.Any) -> t.Any:
    """Return a value as the API takes it."""
    return int(value) if isinstance(value, bool) else value


def given(entry: Row, *without: str) -> Row:
    """Return the options of an entry that were given."""
    return {key: value for key, value in entry.items() if value is not None and key not in ("state", *without)}


def doubles(kind: Kind, wanted: t.Sequence[Row]) -> list[str]:
    """Complain about objects that are listed twice."""
    names = [entry[kind.key] for entry in wanted]
    return [f"{kind.path} {name} is listed twice" for name in sorted({n for n in names if names.count(n) > 1})]


def refuse(wrong: t.Sequence[str]) -> None:
    """Stop with everything that is wrong, before anything changes."""
    if wrong:
        raise MailcowError("\n".join([*wrong, "Nothing was changed."]))


def unknown(params: Row, missing: t.Sequence[str]) -> None:
    """Stop when something is referred to that mailcow does not have, unless another task would have made it first."""
    if missing and not params.get("lenient"):
        raise UnknownObject("\n".join([*dict.fromkeys(missing), "Nothing was changed."]))


def plan(
    kind: Kind,
    wanted: t.Sequence[Row],
    found: t.Mapping[str, Found],
    purge: t.Collection[str] = (),
    always: bool = False,
) -> list[Step]:
    """Return what has to be done; `purge` names found objects that go unless they are wanted."""
    names = {entry[kind.key] for entry in wanted if entry["state"] == "present"}
    unwanted = {entry[kind.key] for entry in wanted if entry["state"] == "absent"} | (set(purge) - names)
    steps = [
        Step("delete", kind.path, name, found[name].item, {}, shown(kind, found[name].values), {})
        for name in sorted(unwanted & found.keys())
    ]
    for entry in wanted:
        if entry["state"] == "present":
            steps += _wanted(kind, entry, found.get(entry[kind.key]), always)
    return sorted(steps, key=lambda step: ORDER.index(step.verb))


def _wanted(kind: Kind, entry: Row, found: Found | None, always: bool) -> list[Step]:
    options, name = given(entry), entry[kind.key]
    if found is None:
        return [Step("add", kind.path, name, None, kind.create(options), {}, shown(kind, options))]
    changes = {
        key: value
        for key, value in options.items()
        if (always if key in kind.write_only else found.values.get(key) != value)
    }
    if not changes:
        return []
    before = {key: value for key, value in shown(kind, found.values).items() if key in changes or key == kind.key}
    after = {**before, **shown(kind, changes, " anew")}
    return [Step("edit", kind.path, name, found.item, kind.update(changes, found), before, after)]


def shown(kind: Kind, values: Row, mark: str = "") -> Row:
    """Return values without those that nobody may see."""
    return {key: HIDDEN + mark if key in (*kind.write_only, *kind.secret) else value for key, value in values.items()}


def batches(steps: t.Sequence[Step]) -> list[tuple[Step, list[Step]]]:
    """Return steps in groups that one call does: the same attributes for several objects, or several removals."""
    groups: dict[str, list[Step]] = {}
    for step in steps:
        alone = step.name if step.verb == "add" else ""
        groups.setdefault(json.dumps([step.verb, step.path, step.attributes, alone], sort_keys=True), []).append(step)
    return [(group[0], group) for group in groups.values()]


def apply(client: Client, steps: t.Sequence[Step], done: list[str]) -> None:
    """Do it, and note what is done; an error says what was done before."""
    for step, group in batches(steps):
        try:
            if step.verb == "add":
                client.add(step.path, step.attributes)
            elif step.verb == "edit":
                client.edit(step.path, [one.item for one in group], step.attributes)
            else:
                client.delete(step.path, [one.item for one in group])
        except MailcowError as error:
            tried = "; ".join(one.text for one in group)
            before = f"; done before that: {'; '.join(done)}" if done else "; nothing was changed before that"
            problem = type(error)(f"{tried}: {error}{before}")
            problem.tried = tuple(one.text for one in group)
            raise problem from error
        done += [one.text for one in group]


def diff(step: Step) -> dict[str, str]:
    """Return Ansible's diff of a step."""
    header = f"{step.path} {step.name}"
    before, after = (json.dumps(v, indent=2, sort_keys=True) + "\n" if v else "" for v in (step.before, step.after))
    return {"before_header": header, "after_header": header, "before": before, "after": after}


def result(steps: t.Sequence[Step], show_diff: bool) -> dict[str, t.Any]:
    """Return what a module says of a run."""
    answer: dict[str, t.Any] = {"changed": bool(steps), "actions": [step.text for step in steps]}
    if show_diff:
        answer["diff"] = [diff(step) for step in steps]
    return answer


Planner = t.Callable[[Client, dict[str, t.Any]], list[Step]]
Preparer = t.Callable[[Step], Step]  # gives a step what its call needs and nobody else may see


def converge(
    client: Client, planner: Planner, params: dict[str, t.Any], check_mode: bool, prepare: Preparer | None = None
) -> list[Step]:
    """Plan, apply unless in check mode, and see that mailcow now holds what it said it took.

    What is left then is applied once more: a new object may have come with a value of mailcow's own, and another run at
    once may have done a part.
    """
    steps = left = planner(client, params)
    done: list[str] = []
    for last in () if check_mode else (False, True):
        if not left:
            break
        try:
            apply(client, [prepare(step) for step in left] if prepare else left, done)
            left = planner(client, {**params, "update_password": "on_create"})
        except Refused as refused:
            try:
                left = planner(client, params)
            except MailcowError as error:
                raise refused from error
            # Somebody else did it when what was refused is no longer left to do
            if (last and left) or {step.text for step in left}.intersection(refused.tried):
                raise
    if left and not check_mode:
        raise Refused(f"mailcow took it, and does not hold it: {'; '.join(step.text for step in left)}")
    return steps


class NewHost(Client):
    """What check mode sees where mailcow does not run yet."""

    def rows(self, *_path: str) -> list[Row]:
        """Return no rows."""
        return []

    def row(self, *_path: str) -> Row:
        """Return no object."""
        return {}


def run(module: AnsibleModule, planner: Planner, prepare: Preparer | None = None) -> None:
    """Run as a module: find, plan, apply unless in check mode, exit."""
    # In check mode, what another task of the same play would make first may be missing.
    params = {**module.params, "lenient": module.check_mode}
    try:
        # Check mode may well come before mailcow does.
        client = Client(params["url"], params["api_key"], params["timeout"], 1 if module.check_mode else TRIES)
        try:
            steps = converge(client, planner, params, module.check_mode, prepare)
        except MailcowDown as error:
            if not module.check_mode or not isinstance(error.__cause__, ConnectionRefusedError):
                raise
            module.warn(f"{error}. Shown is what an empty mailcow would need.")
            steps = planner(NewHost(params["url"], params["api_key"]), params)
    except MailcowError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result(steps, module._diff))
