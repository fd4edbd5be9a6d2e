"""Compare a request with the types that Cloudflare's SDK has for it."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Required

from typing_extensions import get_type_hints, is_typeddict

UNIONS = (typing.Union, types.UnionType)
NAME = "SequenceNotStr"


def problems(value: Any, wanted: Any, path: str = "") -> list[str]:
    """Return where a value differs from a type of the SDK; a field that the type does not have is one of them."""
    return list(_find(value, wanted, path or "request"))


def _find(value: Any, wanted: Any, path: str) -> Iterator[str]:
    origin, inner = typing.get_origin(wanted), typing.get_args(wanted)
    if origin in (Required, Annotated):
        yield from _find(value, inner[0], path)
    elif origin in UNIONS:
        yield from _find_in_union(value, inner, path)
    elif is_typeddict(wanted) or hasattr(wanted, "model_fields"):
        yield from _find_in_fields(value, _fields(wanted), path)
    elif origin is dict:
        yield from _find_in_fields(value, dict.fromkeys(value, inner[1]) if isinstance(value, Mapping) else {}, path)
    elif getattr(wanted, "__name__", "") == NAME or (isinstance(origin, type) and issubclass(origin, Iterable)):
        yield from _find_in_list(value, inner[0], path)
    else:
        yield from _find_in_scalar(value, wanted, path)


def _find_in_scalar(value: Any, wanted: Any, path: str) -> Iterator[str]:
    if typing.get_origin(wanted) is typing.Literal:
        # A boolean equals a number, and is none.
        if not any(value == one and type(value) is type(one) for one in typing.get_args(wanted)):
            yield f"{path}: {value!r} is not one of {typing.get_args(wanted)}"
    elif wanted is float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            yield f"{path}: {value!r} is not a number"
    elif wanted not in (Any, object) and type(value) is not wanted:
        yield f"{path}: {value!r} is not {wanted}"


def _find_in_union(value: Any, members: Iterable[Any], path: str) -> Iterator[str]:
    every = [problems(value, one, path) for one in members]
    # The type that has this kind of object, then the most similar type
    kinds = tuple(f"{path}.{name}:" for name in ("action", "type"))
    yield from min(every, key=lambda found: (any(one.startswith(kinds) for one in found), len(found)))


def _find_in_list(value: Any, wanted: Any, path: str) -> Iterator[str]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        yield f"{path}: {value!r} is not a list"
        return
    for number, one in enumerate(value):
        yield from _find(one, wanted, f"{path}[{number}]")


def _fields(wanted: Any) -> dict[str, Any]:
    """Return the fields of an object: of a request, or of an answer."""
    if is_typeddict(wanted):
        return get_type_hints(wanted, include_extras=True)
    return {name: field.annotation for name, field in wanted.model_fields.items()}


def _find_in_fields(value: Any, fields: Mapping[str, Any], path: str) -> Iterator[str]:
    if not isinstance(value, Mapping):
        yield f"{path}: {value!r} is not an object"
        return
    yield from (f"{path}.{name}: the SDK has no such field" for name in value.keys() - fields.keys())
    for name, kind in fields.items():
        if name in value:
            yield from _find(value[name], kind, f"{path}.{name}")
        elif typing.get_origin(kind) is Required:
            yield f"{path}.{name}: missing"
