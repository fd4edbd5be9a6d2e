# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Compare wanted objects with mailcow's, plan the changes (pure), apply them, and verify the result."""

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
TEXT: dict[str, t.Any] = {"type": "str"}
NAME: dict[str, t.Any] = {"type": "str", "required": True}
NUMBER: dict[str, t.Any] = {"type": "int"}
FLAG: dict[str, t.Any] = {"type": "bool"}
STRINGS: dict[str, t.Any] = {"type": "list", "elements": "str"}
PASSWORD: dict[str, t.Any] = {"type": "str", "no_log": True}
ORDER = ("delete", "edit", "add")
HIDDEN = "(not shown)"

Rows = t.Mapping[str, t.Sequence[Row]]  # the lists of the API, by their path


class Current(t.NamedTuple):
    """An object in mailcow: its id in the API, its values by the module's option names, and its row of the API."""

    item: t.Any
    values: Row
    row: Row = {}  # noqa: RUF012  # read only


class Reference(t.NamedTuple):
    """A number of another object, by default its id; the object may not exist before the plan is applied."""

    path: str
    key: str
    name: str
    field: str = "id"


def _same(entry: Row) -> Row:
    return entry


def _all(_entry: Row) -> bool:
    return True


def _nothing(*_: t.Any) -> list[t.Any]:
    return []


def _no_objects(_rows: Rows) -> dict[str, Current]:
    return {}


class Kind(t.NamedTuple):
    """The differences between the kinds of objects."""

    path: str  # in the API's addresses
    key: str  # the option that names an object
    create: t.Callable[[Row], Row]  # from an entry to the API's attributes
    update: t.Callable[[Row, Current], Row]  # from the options that differ to the API's attributes
    write_only: tuple[str, ...] = ()  # options whose value the API does not return
    secret: tuple[str, ...] = ()  # options whose value is never shown
    option: str = ""  # of mailcow_objects
    selects: t.Callable[[Row], bool] = _all  # whether an entry of the option is of this kind
    normalize: t.Callable[[Row], Row] = _same  # from an entry to one that can be compared
    read: t.Callable[[Rows], dict[str, Current]] = _no_objects  # from the API's rows to the objects by name
    default: t.Callable[[str], Current] | None = None  # for objects that cannot be deleted: the values without a row
    problems: t.Callable[[t.Sequence[Row], t.Mapping[str, Current]], list[str]] = _nothing
    needs: t.Callable[[Row], list[tuple[str, str]]] = (
        _nothing  # the objects that an entry refers to, each with kind and name
    )


class Step(t.NamedTuple):
    """One object that has to change: its values before and after, and the API's call."""

    verb: str
    path: str
    name: str
    item: t.Any
    attributes: Row
    before: Row = {}  # noqa: RUF012  # read only
    after: Row = {}  # noqa: RUF012

    @property
    def text(self) -> str:
        """Describe the step by the names of the options that it sets, without their values."""
        changed = [key for key in self.after if self.after[key] != self.before.get(key)] if self.before else []
        options = f": {', '.join(changed)}" if self.verb == "edit" and changed else ""
        return f"{self.verb} {self.path} {self.name}{options}"


def object_list(options: dict[str, t.Any], **more: t.Any) -> dict[str, t.Any]:
    """Return the specification of an option that takes a list of objects, each present or absent."""
    return {"type": "list", "elements": "dict", "options": {**options, "state": STATE}, **more}


def to_flag(value: t.Any) -> bool:
    """Convert a boolean of the API: 1, "1", true, "true"."""
    return str(value).lower() in ("1", "true", "y")


def to_number(value: t.Any) -> int:
    """Convert an integer of the API: 3, "3", 3.0, "", null."""
    return int(float(value or 0))


def to_megabytes(value: t.Any) -> int:
    """Convert bytes to whole MiB."""
    return to_number(value) // 1048576


def to_api(value: t.Any) -> t.Any:
    """Convert a value to the form that the API takes."""
    return int(value) if isinstance(value, bool) else value


def given_options(entry: Row) -> Row:
    """Return the options of an entry that have a value."""
    return {key: value for key, value in entry.items() if value is not None and key != "state"}


def to_ascii(domain: str) -> str:
    """Convert a domain as mailcow stores it: in lower case, international names in their ASCII form."""
    if domain.isascii():
        return domain.lower()
    # Programs convert these letters differently
    if set(domain) & set("\u00df\u03c2\u200c\u200d"):
        raise MailcowError(f"{domain} has no unique ASCII form: write it as xn--...\nNothing was changed.")
    try:
        return domain.encode("idna").decode("ascii").lower()
    except UnicodeError:
        raise MailcowError(f"{domain} is not a valid domain name\nNothing was changed.") from None


def normalize_address(address: str, lower: bool = True) -> str:
    """Return an address with its domain as mailcow stores it; Postfix ignores the case of its own addresses."""
    local, at, domain = address.strip().rpartition("@")
    return f"{local.lower() if lower else local}{at}{to_ascii(domain)}"


def find_text_problems(name: str, entry: Row, limits: t.Mapping[str, int], stripped: t.Sequence[str] = ()) -> list[str]:
    """Return the texts that mailcow would refuse or store in another form.

    Args:
        name: the object.
        entry: its options.
        limits: the maximum length of options, in bytes.
        stripped: options from which mailcow removes white space at both ends.
    """
    texts = {key: value for key, value in entry.items() if isinstance(value, str)}
    return [
        f"{name}: {key} is longer than {limit} bytes"
        for key, limit in limits.items()
        if len(texts.get(key, "").encode()) > limit
    ] + [
        f"{name}: {key} must not begin or end with white space, which mailcow would remove"
        for key in stripped
        if texts.get(key, "") != texts.get(key, "").strip()
    ]


def find_duplicates(kind: Kind, wanted: t.Sequence[Row]) -> list[str]:
    """Return a problem for each object that is listed twice."""
    names = [entry[kind.key] for entry in wanted]
    return [f"{kind.path} {name} is listed twice" for name in sorted({n for n in names if names.count(n) > 1})]


def refuse(problems: t.Sequence[str]) -> None:
    """Fail with all problems before anything changes."""
    if problems:
        raise MailcowError("\n".join([*problems, "Nothing was changed."]))


def refuse_unknown(params: Row, missing: t.Sequence[str]) -> None:
    """Fail when a referenced object is missing; not in check mode, where an earlier task may have planned it."""
    if missing and not params.get("lenient"):
        raise UnknownObject("\n".join([*dict.fromkeys(missing), "Nothing was changed."]))


def plan(
    kind: Kind,
    wanted: t.Sequence[Row],
    current: t.Mapping[str, Current],
    purge: t.Collection[str] = (),
    always: bool = False,
) -> list[Step]:
    """Return the steps to the wanted objects; current objects in `purge` are deleted unless they are wanted."""
    present = [entry for entry in wanted if entry["state"] == "present"]
    absent = [entry for entry in wanted if entry["state"] == "absent"]
    if kind.default:
        # An absent object that cannot be deleted gets its default values
        present, absent = [*(({**entry, **kind.default(entry[kind.key]).values}) for entry in absent), *present], []
    unwanted = {entry[kind.key] for entry in absent} | (set(purge) - {entry[kind.key] for entry in present})
    steps = [
        Step("delete", kind.path, name, current[name].item, {}, redact(kind, current[name].values), {})
        for name in sorted(unwanted & current.keys())
    ]
    for entry in present:
        steps += _plan_present(kind, entry, current.get(entry[kind.key]), always)
    return sorted(steps, key=lambda step: ORDER.index(step.verb))


def _plan_present(kind: Kind, entry: Row, current: Current | None, always: bool) -> list[Step]:
    options, name = given_options(entry), entry[kind.key]
    if current is None and kind.default:
        current = kind.default(name)
    if current is None:
        return [Step("add", kind.path, name, None, kind.create(options), {}, redact(kind, options))]
    changes = {
        key: value
        for key, value in options.items()
        if (always if key in kind.write_only else current.values.get(key) != value)
    }
    if not changes:
        return []
    before = {key: value for key, value in redact(kind, current.values).items() if key in changes or key == kind.key}
    after = {**before, **redact(kind, changes, " changed")}
    return [Step("edit", kind.path, name, current.item, kind.update(changes, current), before, after)]


def redact(kind: Kind, values: Row, mark: str = "") -> Row:
    """Return the values; secret values are hidden."""
    return {key: HIDDEN + mark if key in (*kind.write_only, *kind.secret) else value for key, value in values.items()}


def group_steps(steps: t.Sequence[Step]) -> list[list[Step]]:
    """Group the steps that one call applies: equal attributes for several objects, or several deletions."""
    groups: dict[str, list[Step]] = {}
    for step in steps:
        only = step.name if step.verb == "add" else ""
        groups.setdefault(json.dumps([step.verb, step.path, step.attributes, only], sort_keys=True), []).append(step)
    return list(groups.values())


def call(client: Client, group: t.Sequence[Step]) -> None:
    """Make the API's call for a group of steps."""
    step, items = group[0], [step.item for step in group]
    attributes = {key: resolve(client, value) for key, value in step.attributes.items()}
    if step.verb == "add":
        client.add(step.path, attributes)
    elif step.verb == "edit":
        client.edit(step.path, items, attributes)
    else:
        client.delete(step.path, items)


def apply(client: Client, steps: t.Sequence[Step], done: list[str], caller: t.Callable[..., None] = call) -> None:
    """Apply steps and append each to `done`; an error names the steps that were applied before it."""
    for group in group_steps(steps):
        try:
            caller(client, group)
        except MailcowError as error:
            tried = "; ".join(step.text for step in group)
            before = (
                f"; changed before this error: {'; '.join(done)}" if done else "; nothing was changed before this error"
            )
            problem = type(error)(f"{tried}: {error}{before}")
            problem.tried = tuple(step.text for step in group)
            raise problem from error
        done += [step.text for step in group]


def find_numbers(reference: Reference, rows: t.Sequence[Row]) -> dict[str, int]:
    """Return the referenced number of each object; sizes are in MiB."""
    convert = to_megabytes if "quota" in reference.field else to_number
    return {row[reference.key]: convert(row.get(reference.field)) for row in rows}


def resolve(client: Client, value: t.Any) -> t.Any:
    """Return the number of the object that a reference names; other values are returned unchanged."""
    if not isinstance(value, Reference):
        return value
    numbers = find_numbers(value, client.rows(value.path, "all"))
    if value.name not in numbers:
        raise UnknownObject(f"{value.path} {value.name} does not exist")
    return numbers[value.name]


def format_diff(step: Step) -> dict[str, str]:
    """Return Ansible's diff of a step."""
    header = f"{step.path} {step.name}"
    before, after = (json.dumps(v, indent=2, sort_keys=True) + "\n" if v else "" for v in (step.before, step.after))
    return {"before_header": header, "after_header": header, "before": before, "after": after}


def build_result(steps: t.Sequence[Step], show_diff: bool) -> dict[str, t.Any]:
    """Return a module's result for the steps of a run."""
    result: dict[str, t.Any] = {"changed": bool(steps), "actions": [step.text for step in steps]}
    if show_diff:
        result["diff"] = [format_diff(step) for step in steps]
    return result


Planner = t.Callable[[Client, dict[str, t.Any]], list[Step]]
Caller = t.Callable[[Client, t.Sequence[Step]], None]  # makes the change of a group of steps


def converge(
    client: Client, planner: Planner, params: dict[str, t.Any], check_mode: bool, caller: Caller = call
) -> list[Step]:
    """Plan, apply unless in check mode, and verify that mailcow now has the wanted objects.

    If steps remain, they are applied once more: mailcow may have set its own value in a new object, or a parallel run
    may have applied some steps.
    """
    steps = left = planner(client, params)
    done: list[str] = []
    for last in () if check_mode else (False, True):
        if not left:
            break
        try:
            apply(client, left, done, caller)
            left = planner(client, {**params, "update_password": "on_create"})
        except Refused as refused:
            try:
                left = planner(client, params)
            except MailcowError as error:
                raise refused from error
            # If the refused steps are no longer planned, a parallel run has applied them
            if (last and left) or {step.text for step in left}.intersection(refused.tried):
                raise
    if left and not check_mode:
        raise Refused(f"mailcow accepted the changes, but they are missing: {'; '.join(step.text for step in left)}")
    return steps


class NewHost(Client):
    """An empty mailcow, for the plan in check mode if mailcow does not run yet."""

    def rows(self, *_path: str) -> list[Row]:
        """Return no rows."""
        return []

    def row(self, *_path: str) -> Row:
        """Return no object."""
        return {}


def run(module: AnsibleModule, planner: Planner, caller: Caller = call) -> None:
    """Run as a module: read, plan, apply unless in check mode, exit."""
    # In check mode, an object that an earlier task would add does not exist.
    params = {**module.params, "lenient": module.check_mode}
    try:
        # In check mode, do not retry: mailcow may not be installed yet
        client = Client(params["url"], params["api_key"], params["timeout"], 1 if module.check_mode else TRIES)
        try:
            steps = converge(client, planner, params, module.check_mode, caller)
        except MailcowDown as error:
            if not module.check_mode or not isinstance(error.__cause__, ConnectionRefusedError):
                raise
            module.warn(f"{error}. The plan assumes an empty mailcow.")
            steps = planner(NewHost(params["url"], params["api_key"]), params)
    except MailcowError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**build_result(steps, module._diff))
