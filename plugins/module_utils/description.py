# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Validate the description against its JSON Schema, and report what to write instead. Runs on the controller. Pure."""

from __future__ import annotations

import contextlib
import difflib
import functools
import json
import re
import typing as t
from collections.abc import Collection, Iterator, Mapping

from .model import names
from .model.domains import DomainError, to_ascii

try:
    import yaml
    from jsonschema import Draft202012Validator, ValidationError, validators
except ImportError as error:
    MISSING_LIBRARY = error.name or "jsonschema"
else:
    MISSING_LIBRARY = ""

# A JSON Schema, or a part of one. Its references are replaced by what they refer to: see inline_references.
Schema = Mapping[str, t.Any]
# Keys and indices
Path = tuple[t.Any, ...]
join_path = names.join_path

TYPES: Mapping[str, tuple[type, str]] = {
    "string": (str, "a string"),
    "integer": (int, "a number"),
    "boolean": (bool, "true or false"),
    "array": (list, "a list"),
    "object": (Mapping, "a mapping"),
    "null": (type(None), "empty"),
}
# Of several faults of one value, the first of these explains the others.
PRECEDENCE = ("x-name", "type", "x-secret")
# An error of these is that a key is unknown.
UNKNOWN = ("propertyNames", "additionalProperties")
PLACEHOLDER = re.compile(
    r"\s*(change[\s_-]*(it|me|this)?|to[\s_-]?do|fix[\s_-]?me|x{3,}|\.{3,}|\*+|<.*>|(your|my)[\s_-].*|"
    r"(replace|insert|enter)[\s_-].*|placeholder|example|dummy|secret|password|token|none|null|)[.!\s]*",
    re.IGNORECASE,
)
ENCRYPT = "write the real secret, encrypted"


class Error(t.NamedTuple):
    """An error of jsonschema: the keyword that a value violates, and the schema that has this keyword."""

    keyword: str
    path: Path
    value: t.Any
    schema: Schema


class Problem(t.NamedTuple):
    """A fault of one variable, and what to write instead."""

    variable: str
    fault: str
    advice: str
    file: str = ""

    def line(self) -> str:
        """Return the problem as one line."""
        location = f" ({self.file})" if self.file else ""
        return f"{self.variable}{location}: {self.fault}; {self.advice}"


def explain_missing_library(library: str, python: str, version: str) -> str:
    """Return how to install a library that is missing on the controller."""
    return (
        f"preflight needs the Python package {library} on the controller, and it is missing for {python} "
        f"(Python {version}), which runs ansible-playbook; install it with `{python} -m pip install {library}`, "
        "or, on Debian for its own Python, with `apt install python3-jsonschema`"
    )


def inline_references(schema: Schema) -> dict[str, t.Any]:
    """Return the schema with each `$ref` replaced by its definition; keywords next to the reference take precedence."""

    def inline(part: t.Any) -> t.Any:
        if isinstance(part, Mapping):
            if isinstance(part.get("$ref"), str):
                definition = schema["$defs"][part["$ref"].removeprefix("#/$defs/")]
                part = {**definition, **{key: value for key, value in part.items() if key != "$ref"}}
            return {key: inline(value) for key, value in part.items()}
        return [inline(value) for value in part] if isinstance(part, list) else part

    return {key: inline(value) for key, value in schema.items() if key != "$defs"}


def readers(key: Schema, description: Mapping[str, t.Any]) -> list[str]:
    """Return the groups whose hosts read a key: its own, and those that the entries of another key name."""
    entries = description.get(key.get("x-groups-of", "")) or ()
    return [*key.get("x-groups", ["all"]), *(entry["group"] for entry in entries if "group" in entry)]


def needs_key(key: Schema, host: str, groups: Mapping[str, Collection[str]], description: Mapping[str, t.Any]) -> bool:
    """Return whether a host reads the value of a key, and so needs its secrets."""
    names = key.get("x-readers") or readers(key, description)
    if "all" in names or any(host in (groups.get(name) or ()) for name in names):
        return True
    return "x-host-of" in key and description.get(key["x-host-of"]) == host


def select_keys(
    schema: Schema, groups: Mapping[str, Collection[str]], description: Mapping[str, t.Any], empty: Collection[str] = ()
) -> Schema:
    """Return the schema of the keys that hosts of this inventory read.

    Of the description only the keys that name groups are read; they must be valid. Empty are the keys without entries.
    """
    hosts = sorted(groups.get("all") or ())
    keys = {
        name: {**key, "enum": [*hosts, ""]} if key.get("x-host") else key
        for name, key in schema["properties"].items()
        if key.get("x-needs") not in empty and any(groups.get(group) for group in readers(key, description))
    }
    return {**schema, "properties": keys, "required": [name for name in schema.get("required", ()) if name in keys]}


def list_groups(schema: t.Any, groups: Collection[str]) -> t.Any:
    """Return a schema in which each name of a group may also be one of the inventory's own groups."""
    if isinstance(schema, Mapping):
        part = {key: list_groups(value, groups) for key, value in schema.items()}
        if not isinstance(schema.get("x-group"), bool):
            return part
        return {**part, "enum": [*schema["enum"], *sorted(set(groups) - {"all", "ungrouped", *schema["enum"]})]}
    return [list_groups(value, groups) for value in schema] if isinstance(schema, list) else schema


def has_type(value: t.Any, kind: str) -> bool:
    """Return whether a value has a type; true and false are not numbers, and neither are 1.0 and 1.5."""
    return isinstance(value, TYPES[kind][0]) and not (kind == "integer" and isinstance(value, bool))


def describe_type(value: t.Any) -> str:
    """Return the type of a value in the words of a user."""
    return next((text for kind, (_type, text) in TYPES.items() if has_type(value, kind)), type(value).__name__)


def validate_pattern(_validator: t.Any, pattern: str, value: t.Any, _schema: Schema) -> Iterator[ValidationError]:
    """Yield an error if a string does not match as a whole: unlike `$` in JSON Schema, Python's accepts a line feed."""
    if isinstance(value, str) and not re.fullmatch(pattern, value):
        yield ValidationError("")


def validate_secret(_validator: t.Any, secret: bool, value: t.Any, _schema: Schema) -> Iterator[ValidationError]:
    """Yield an error if a secret is a placeholder."""
    if secret and isinstance(value, str) and value and is_placeholder(value):
        yield ValidationError("")


@functools.cache
def validator_class() -> t.Any:
    """Return the validator with the types of YAML and the keywords of the description."""
    types = Draft202012Validator.TYPE_CHECKER.redefine_many(
        {kind: lambda _checker, value, kind=kind: has_type(value, kind) for kind in TYPES}
    )
    extend: t.Callable[..., t.Any] = validators.extend
    keywords = {"pattern": validate_pattern, "x-secret": validate_secret}
    return extend(Draft202012Validator, keywords, type_checker=types)


def find_errors(value: t.Any, schema: Schema) -> list[Error]:
    """Return the errors of a value, those of one mapping together, its unknown keys first."""
    found = []
    for one in validator_class()(schema).iter_errors(value):
        of_names = "propertyNames" in one.absolute_schema_path
        keyword = "propertyNames" if of_names else str(one.validator)
        path = name_keys(value, tuple(one.absolute_path))
        found.append(Error(keyword, path, one.instance, t.cast(Schema, one.schema)))
    found = [*find_name_errors(value, schema), *found]
    explained = {(error.path, error.keyword) for error in found if error.keyword in PRECEDENCE}
    return sorted(
        (error for error in found if not is_explained(error, explained)),
        key=lambda error: ([sortable(part) for part in error.path], error.keyword not in ("x-key", *UNKNOWN)),
    )


def find_name_errors(value: t.Any, schema: Schema, path: Path = ()) -> Iterator[Error]:
    """Yield the names that are not valid, and the keys of mappings that are not text."""
    if isinstance(value, Mapping) and has_type(value, schema.get("type", "object")):
        for key, one in value.items():
            place = (*path, names.write_key(key))
            if not is_valid_key(key, schema):
                yield Error("x-key", place, key, {"x-name": kind_of_keys(schema)})
            yield from find_name_errors(one, entry_schema(schema, str(key)), place)
    elif isinstance(value, list):
        for index, one in enumerate(value):
            yield from find_name_errors(one, entry_schema(schema, index), (*path, index))
    elif "x-name" in schema and names.find_problem(schema["x-name"], value):
        yield Error("x-name", path, value, schema)


def kind_of_keys(schema: Schema) -> str:
    """Return the kind of names that the keys of a mapping are."""
    return str(schema.get("propertyNames", {}).get("x-name", "text"))


def is_valid_key(key: t.Any, schema: Schema) -> bool:
    """Return whether a key of a mapping is a name of its kind; a mapping that lists its keys reports the others."""
    listed = "enum" in schema.get("propertyNames", {}) or schema.get("additionalProperties") is False
    return listed or names.find_problem(kind_of_keys(schema), key) is None


def name_keys(value: t.Any, path: Path) -> Path:
    """Return a path whose numbers are positions in a list: a key of a mapping may be a number too."""
    named: list[str | int] = []
    for part in path:
        named.append(names.write_key(part) if isinstance(value, Mapping) else part)
        value = value[part]
    return tuple(named)


def sortable(part: str | int) -> str:
    """Return a part of a path so that numbers sort as numbers."""
    return f"{part:06}" if isinstance(part, int) else str(part)


def is_explained(error: Error, explained: Collection[tuple[Path, str]]) -> bool:
    """Return whether an error follows from another one of the same value."""
    rank = PRECEDENCE.index(error.keyword) if error.keyword in PRECEDENCE else len(PRECEDENCE)
    return any((error.path, keyword) in explained for keyword in PRECEDENCE[:rank])


def entry_schema(schema: Schema, key: str | int) -> Schema:
    """Return the schema of one entry of a list or mapping; an unknown key has an empty one."""
    if isinstance(key, int):
        return t.cast(Schema, schema.get("items", {}))
    if key in schema.get("properties", {}):
        return t.cast(Schema, schema["properties"][key])
    others = schema.get("additionalProperties", {})
    return others if isinstance(others, Mapping) else {}


def find_schema(schema: Schema, path: Path) -> Schema:
    """Return the part of the schema that describes the value at a path."""
    for key in path:
        schema = entry_schema(schema, key)
    return schema


def write_yaml(value: t.Any) -> str:
    """Return a value as YAML in one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {write_yaml(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(write_yaml, value)) + "]"
    return value if isinstance(value, str) and is_plain(value) else json.dumps(value, ensure_ascii=False)


def is_plain(text: str) -> bool:
    """Return whether YAML reads a text without quotes as the same text."""
    try:
        return bool(yaml.safe_load(f"[{text}]") == [text])
    except yaml.YAMLError:
        return False


def advise(schema: Schema, path: Path) -> str:
    """Return what to write at a path; the entry of a list is written with its list."""
    owner = path
    while len(owner) > 1 and isinstance(owner[-1], int):
        owner = owner[:-1]
    found = find_schema(schema, path)
    for part in (find_schema(schema, owner), found):
        if part.get("examples"):
            return f"write `{owner[-1]}: {write_yaml(part['examples'][0])}`"
    if "enum" in found:
        return f"write one of {', '.join(map(str, filter(None, found['enum'])))}"
    return f"write {TYPES[found.get('type', 'string')][1]}"


def nearest(name: str, known: Collection[str]) -> str:
    """Return the known name that a misspelt one probably means; empty if none is similar."""
    return next(iter(difflib.get_close_matches(name, sorted(known), n=1)), "")


def describe_unknown(path: Path, known: Collection[str]) -> Problem:
    """Return the problem of a key that the schema does not have."""
    meant = nearest(str(path[-1]), known)
    advice = f"did you mean `{meant}`?" if meant else f"write one of {', '.join(sorted(known))}"
    return Problem(join_path(path), "unknown key", advice)


def unknown_keys(error: Error) -> tuple[list[t.Any], Collection[str]]:
    """Return the keys that an error reports as unknown, and the known ones; none for an error of another kind."""
    if error.keyword == "propertyNames":
        return [error.value], error.schema["enum"]
    if error.keyword == "additionalProperties":
        known = error.schema["properties"]
        return [key for key in error.value if key not in known], known
    return [], ()


def describe_error(error: Error, schema: Schema) -> list[Problem]:
    """Return the problems that an error stands for."""
    if error.keyword in UNKNOWN:
        keys, known = unknown_keys(error)
        return [describe_unknown((*error.path, names.write_key(key)), known) for key in keys]
    if error.keyword == "required":
        missing = [(*error.path, key) for key in error.schema["required"] if key not in error.value]
        return [Problem(join_path(path), "is missing", advise(schema, path)) for path in missing]
    fault, advice = describe_value(error)
    return [Problem(join_path(error.path), fault, advice or advise(schema, error.path))]


def describe_value(error: Error) -> tuple[str, str]:
    """Return the fault of one value, and advice where it is more than what the schema has. Secrets are not shown."""
    if error.keyword in ("x-key", "x-name"):
        problem = names.find_problem(error.schema["x-name"], error.value)
        return problem or ("", "")
    if error.keyword == "type":
        return f"is {describe_type(error.value)}, not {TYPES[error.schema['type']][1]}", ""
    if error.keyword == "x-secret":
        return "is a placeholder", ENCRYPT
    if error.schema.get("x-secret"):
        return "the secret has an invalid format", ""
    fault = f"`{write_yaml(error.value)}` is not valid"
    if error.keyword == "pattern":
        spelled = spell_domain(error.value, error.schema["pattern"])
        return fault, f"write `{spelled}`" if spelled else ""
    meant = nearest(str(error.value), [*map(str, error.schema["enum"])]) if error.keyword == "enum" else ""
    return fault, f"did you mean `{meant}`?" if meant else ""


def spell_domain(text: str, pattern: str) -> str:
    """Return a domain in the form that a pattern demands: lower case, no dot at the end, ASCII; empty if none fits."""
    lower = text.strip().rstrip(".").lower()
    forms = [lower]
    with contextlib.suppress(DomainError):
        forms.append(to_ascii(lower))
    return next((form for form in forms if re.fullmatch(pattern, form)), "")


def find_problems(description: Mapping[str, t.Any], schema: Schema) -> list[Problem]:
    """Return the problems of the description, in the order of the schema."""
    problems: list[Problem] = []
    for name, key in schema["properties"].items():
        if name in description or name in schema["required"]:
            part = {"type": "object", "required": [name], "properties": {name: key}}
            value = {name: description[name]} if name in description else {}
            problems += [problem for error in find_errors(value, part) for problem in describe_error(error, part)]
    return list(dict.fromkeys(problems))


def valid_part(value: t.Any, schema: Schema) -> t.Any:
    """Return the valid part of a value, or None. Values that are derived from it are then validated in the same run."""
    errors = find_errors(value, schema)
    if not errors:
        return value
    if isinstance(value, Mapping) and has_type(value, schema.get("type", "object")):
        unknown = [key for error in errors if not error.path for key in unknown_keys(error)[0]]
        unknown += [key for key in value if not is_valid_key(key, schema)]
        parts = {
            key: valid_part(one, entry_schema(schema, str(key))) for key, one in value.items() if key not in unknown
        }
        return {key: part for key, part in parts.items() if part is not None}
    if isinstance(value, list) and has_type(value, schema.get("type", "array")):
        return [part for part in (valid_part(one, entry_schema(schema, 0)) for one in value) if part is not None]
    return None


def find_unknown_names(defined: Mapping[str, str], known: Collection[str]) -> list[Problem]:
    """Return the variables, each with its file, that neither the description nor a role has."""
    problems = []
    for name, file in defined.items():
        if name not in known and not name.startswith(("vault_", "ansible_")):
            meant = nearest(name, known)
            advice = f"did you mean `{meant}`?" if meant else "remove it,"
            own = f"{advice} or, for a variable of your own, write `preflight_own_variables: [{name}]`"
            problems.append(Problem(name, "unknown variable", own, file))
    return problems


def is_placeholder(value: t.Any) -> bool:
    """Return whether a secret, or a part of it, is empty or a placeholder."""
    if isinstance(value, Mapping):
        return any(is_placeholder(part) for part in value.values())
    if isinstance(value, list):
        return any(is_placeholder(part) for part in value)
    return value is None or (isinstance(value, str) and PLACEHOLDER.fullmatch(value) is not None)


def find_placeholders(secrets: Mapping[str, t.Any], defined: Mapping[str, str]) -> list[Problem]:
    """Return the secrets that are placeholders, without their values."""
    return [
        Problem(name, "is empty or a placeholder", ENCRYPT, defined.get(name, ""))
        for name, value in secrets.items()
        if is_placeholder(value)
    ]
