"""Dataclasses from what JSON holds, type by type; whatever does not fit is named in one line."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


class Check(NamedTuple):
    """A condition on a value, which stands beside its type in `Annotated`.

    holds: whether a value meets it. words: what a value that meets it is called, such as "percent".
    """

    holds: Callable[[Any], bool]
    words: str


Percent = Annotated[float, Check(lambda rate: 0 <= rate <= 100 + 1e-9, "percent")]  # averages round


Probability = Annotated[float, Check(lambda number: 0 <= number <= 1 + 1e-9, "a probability")]
Count = Annotated[int, Check(lambda number: 0 <= number < 2**53, "a count")]  # beyond it floats are no longer exact
Seconds = Annotated[float, Check(lambda number: 0 <= number < 1e12, "a time in seconds")]


class MistypedError(ValueError):
    """A value that does not fit its type. The message says which, such as "its 'seed' is '1', not an integer"."""


_WORDS = {str: "a text", int: "an integer", float: "a number", bool: "true or false", NoneType: "null"}
_ACCEPTED = {str: (str,), int: (int,), float: (float, int), bool: (bool,), NoneType: (NoneType,)}  # JSON has 1 for 1.0


def from_json(kind: type[T], content: Any) -> T:
    """A dataclass from a JSON object, which must have its fields, no others, and their types.

    Known types: str, int, float, bool, None and their unions, Any, Literal, `Annotated` with a `Check`, list[T],
    tuple[T, ...], dict[str, T], and other dataclasses.

    Raises:
        MistypedError: it does not fit.
    """
    made: T = _read(kind, content, "")
    return made


def _read(kind: Any, value: Any, place: str) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if is_dataclass(kind):
        return _read_object(kind, value, place)
    if origin in (list, tuple):
        return origin(_read_items(arguments[0], _expected(value, list, "a list", place), place))
    if origin is dict:
        members = _expected(value, dict, "an object", place)
        return dict(zip(members, _read_items(arguments[1], members, place), strict=True))
    if origin in (Union, UnionType):
        return _read_union(arguments, value, place)
    if origin is Literal:
        return value if value in arguments else _refuse(value, f"one of {', '.join(arguments)}", place)
    if origin is Annotated:
        read, check = _read(arguments[0], value, place), arguments[1]
        return read if check.holds(read) else _refuse(value, check.words, place)
    return value if kind is Any or type(value) in _ACCEPTED[kind] else _refuse(value, _WORDS[kind], place)


def _read_object(kind: Any, value: Any, place: str) -> Any:
    members, types = _expected(value, dict, "an object", place), _types(kind)
    subject = f"its {place}" if place else "it"
    for name in types:
        if name not in members:
            raise MistypedError(f"{subject} lacks {name!r}")
    for name in members:
        if name not in types:
            raise MistypedError(f"{subject} has {name!r}, which this version does not know")
    places = {name: f"{place}[{name!r}]" if place else repr(name) for name in types}
    return kind(**{name: _read(of, members[name], places[name]) for name, of in types.items()})


def _read_items(kind: Any, items: list[Any] | dict[str, Any], place: str) -> Iterable[Any]:
    values = items.values() if isinstance(items, dict) else items
    plain, check = get_args(kind) if get_origin(kind) is Annotated else (kind, None)
    accepted = _ACCEPTED.get(plain, ())
    if all(type(value) in accepted for value in values) and (check is None or all(map(check.holds, values))):
        return values  # for speed: a record may list a million images
    keys = items if isinstance(items, dict) else range(len(items))
    return [_read(kind, value, f"{place}[{key!r}]") for key, value in zip(keys, values, strict=True)]


def _read_union(kinds: tuple[Any, ...], value: Any, place: str) -> Any:
    scalars = [kind for kind in kinds if kind in _ACCEPTED]
    if any(type(value) in _ACCEPTED[kind] for kind in scalars):
        return value
    others = [kind for kind in kinds if kind not in _ACCEPTED]
    if others:  # one at most is not a plain value
        return _read(others[0], value, place)
    return _refuse(value, " or ".join(_WORDS[kind] for kind in scalars), place)


def _expected(value: Any, kind: type[T], words: str, place: str) -> T:
    return value if isinstance(value, kind) else _refuse(value, words, place)


def _refuse(value: Any, words: str, place: str) -> Any:
    if not place:
        raise MistypedError(f"it holds a {type(value).__name__}, not {words}")
    raise MistypedError(f"its {place} is {reprlib.repr(value)}, not {words}")


@cache
def _types(kind: Any) -> Mapping[str, Any]:
    hints = get_type_hints(kind, include_extras=True)
    return {field.name: hints[field.name] for field in fields(kind)}
