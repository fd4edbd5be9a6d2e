# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Compare the description with its schema, and say what to write instead. Pure."""

from __future__ import annotations

import difflib
import re
import typing as t
from collections.abc import Collection, Iterator, Mapping

# As in an argument specification: type, elements, options, choices, required; also pattern, example, and secret for a
# text that is not repeated. A dict with elements is one of named entries, whose names may be limited by keys; elements
# may be a whole option.
Option = Mapping[str, t.Any]
Schema = Mapping[str, Option]

TYPES: Mapping[str, tuple[type, str]] = {
    "str": (str, "a text"),
    "int": (int, "a number"),
    "bool": (bool, "true or false"),
    "list": (list, "a list"),
    "dict": (Mapping, "a mapping"),
}
PLACEHOLDER = re.compile(
    r"\s*(change[\s_-]*(it|me|this)?|to[\s_-]?do|fix[\s_-]?me|x{3,}|\.{3,}|\*+|<.*>|(your|my)[\s_-].*|"
    r"(replace|insert|enter)[\s_-].*|placeholder|example|dummy|secret|password|token|none|null|)[.!\s]*",
    re.IGNORECASE,
)


class Problem(t.NamedTuple):
    """What is wrong with one variable, and what to write."""

    variable: str
    what: str
    write: str
    file: str = ""

    def line(self) -> str:
        """Return it as one line."""
        where = f" ({self.file})" if self.file else ""
        return f"{self.variable}{where}: {self.what}; {self.write}"


def nearest(name: str, known: Collection[str]) -> str:
    """Return what a misspelt name was probably meant to be; empty when nothing is near."""
    return next(iter(difflib.get_close_matches(name, sorted(known), n=1)), "")


def unknown(path: str, name: str, known: Collection[str], otherwise: str) -> Problem:
    """Return the problem of a name that nothing reads."""
    meant = nearest(name, known)
    return Problem(path, "nothing reads it", f"did you mean {meant}?" if meant else otherwise)


def is_of(value: t.Any, kind: str) -> bool:
    """Return whether a value has a type; true and false are no numbers."""
    return isinstance(value, TYPES[kind][0]) and not (kind == "int" and isinstance(value, bool))


def name_of(value: t.Any) -> str:
    """Return what a user would call the type of a value."""
    return next((text for kind, (_type, text) in TYPES.items() if is_of(value, kind)), type(value).__name__)


def advice(name: str, option: Option) -> str:
    """Return what to write for an option."""
    if "example" in option:
        return f"write `{name}: {option['example']}`"
    if "choices" in option:
        return f"write one of {', '.join(map(str, option['choices']))}"
    return f"write {TYPES[option.get('type', 'str')][1]}"


def last(path: str) -> str:
    """Return the key at the end of a path; an entry of a list is written with its list."""
    return re.sub(r"\[\d+\]$", "", path.rpartition(".")[2])


def check_text(path: str, value: str, option: Option) -> Iterator[Problem]:
    """Yield what is wrong with a text, by choices and pattern."""
    if option.get("secret") and value and is_placeholder(value):
        yield Problem(path, "is a placeholder", "write the real secret, encrypted")
        return
    choices = option.get("choices")
    if choices and value not in choices:
        meant = nearest(value, choices)
        yield Problem(
            path, f"{value} is not possible", f"did you mean {meant}?" if meant else advice(last(path), option)
        )
    if "pattern" in option and not re.fullmatch(option["pattern"], value):
        what = "the secret" if option.get("secret") else repr(value)
        yield Problem(path, f"{what} is not possible", advice(last(path), option))


def check_value(path: str, value: t.Any, option: Option) -> Iterator[Problem]:
    """Yield what is wrong with one value, and with all that it holds."""
    kind = option.get("type", "str")
    if not is_of(value, kind):
        yield Problem(path, f"is {name_of(value)}, not {TYPES[kind][1]}", advice(last(path), option))
    elif "elements" in option:
        yield from check_entries(path, value, option)
    elif kind == "dict" and "options" in option:
        yield from check_keys(path, value, option["options"])
    elif kind == "str":
        yield from check_text(path, value, option)


def element_of(option: Option) -> Option:
    """Return what each entry of a list or mapping must be; beside a mere type, the rest is said of the entries."""
    element = option["elements"]
    if isinstance(element, str):
        return {**{key: option[key] for key in option if key not in ("elements", "keys")}, "type": element}
    return t.cast(Option, element)


def check_entries(path: str, value: t.Any, option: Option) -> Iterator[Problem]:
    """Yield what is wrong with the entries of a list, or of a mapping of named ones."""
    element = element_of(option)
    if not isinstance(value, Mapping):
        for number, entry in enumerate(value):
            yield from check_value(f"{path}[{number}]", entry, element)
        return
    for name, entry in value.items():
        if name not in option.get("keys", [name]):
            yield unknown(f"{path}.{name}", str(name), option["keys"], f"known are {', '.join(sorted(option['keys']))}")
        yield from check_value(f"{path}.{name}", entry, element)


def check_keys(path: str, value: Mapping[str, t.Any], options: Schema) -> Iterator[Problem]:
    """Yield what is wrong with a mapping whose keys are known."""
    for name in value:
        if name not in options:
            yield unknown(f"{path}.{name}", str(name), options, f"known are {', '.join(sorted(options))}")
    for name, option in options.items():
        if name in value:
            yield from check_value(f"{path}.{name}", value[name], option)
        elif option.get("required"):
            yield Problem(f"{path}.{name}", "is missing", advice(name, option))


def readers(option: Option, description: Mapping[str, t.Any]) -> list[str]:
    """Return the groups whose hosts read a variable: its own, and those that the entries of another one name."""
    entries = description.get(option.get("groups_of", "")) or ()
    return [*option.get("groups", ["all"]), *(entry["group"] for entry in entries if "group" in entry)]


def asked(schema: Schema, groups: Mapping[str, Collection[str]], description: Mapping[str, t.Any]) -> Schema:
    """Return the variables that somebody reads: those for certain groups, where one of them has a host.

    Of the description only what names groups is looked at; it must be sound.
    """
    return {name: one for name, one in schema.items() if any(groups.get(group) for group in readers(one, description))}


def check(description: Mapping[str, t.Any], schema: Schema) -> list[Problem]:
    """Return what is wrong with the values of the description."""
    problems: list[Problem] = []
    for name, option in schema.items():
        if name in description:
            problems += check_value(name, description[name], option)
        elif option.get("required"):
            problems.append(Problem(name, "is missing", advice(name, option)))
    return problems


def entry_options(value: Mapping[str, t.Any], option: Option) -> Schema:
    """Return the option of each entry that a mapping may have."""
    if "elements" in option:
        return dict.fromkeys(option.get("keys", value), element_of(option))
    return t.cast(Schema, option["options"])


def sound(value: t.Any, option: Option) -> t.Any:
    """Return what is right of a value, so that what follows from it can be checked in the same round; else nothing."""
    if not any(check_value("", value, option)):
        return value
    if not is_of(value, option.get("type", "str")):
        return None
    if isinstance(value, Mapping):
        options = entry_options(value, option)
        right = {name: sound(entry, options[name]) for name, entry in value.items() if name in options}
        return {name: entry for name, entry in right.items() if entry is not None}
    if isinstance(value, list):
        return [entry for entry in (sound(entry, element_of(option)) for entry in value) if entry is not None]
    return None


def check_names(defined: Mapping[str, str], known: Collection[str]) -> list[Problem]:
    """Return the variables, each with its file, that nothing reads."""
    own = "or name it in preflight_own_variables when it is yours"
    foreign = ("vault_", "ansible_")
    problems = []
    for name, file in defined.items():
        if name not in known and not name.startswith(foreign):
            problem = unknown(name, name, known, "remove it")
            problems.append(problem._replace(write=f"{problem.write} {own}", file=file))
    return problems


def is_placeholder(value: t.Any) -> bool:
    """Return whether a secret, or a part of it, still waits for its value."""
    if isinstance(value, Mapping):
        return any(is_placeholder(part) for part in value.values())
    if isinstance(value, list):
        return any(is_placeholder(part) for part in value)
    return value is None or (isinstance(value, str) and PLACEHOLDER.fullmatch(value) is not None)


def check_secrets(secrets: Mapping[str, t.Any], defined: Mapping[str, str]) -> list[Problem]:
    """Return the secrets that are placeholders; their values are not repeated."""
    return [
        Problem(name, "is empty or a placeholder", "write the real secret, encrypted", defined.get(name, ""))
        for name, value in secrets.items()
        if is_placeholder(value)
    ]
