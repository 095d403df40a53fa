"""JSON values compared with type hints, so that a file of another content is one line of error."""

from collections.abc import Collection, Iterator
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, NotRequired, Union, get_args, get_origin, get_type_hints

LARGEST_NUMBER = 2.0**63


def misfits(value: Any, hint: Any, *, optional: Collection[type[Any]] = ()) -> list[str]:
    """The places in a JSON value that are missing or of another type than their hint.

    Args:
        value: what `json.loads` returned.
        hint: a `TypedDict`, list, dict, union, `Enum`, number, str, bool or Any. Numbers are
            finite, whole ones are also floats, and `Annotated[list[...], n]` has n items. Keys
            that a `TypedDict` does not know are ignored.
        optional: `TypedDict`s of which any key may be missing.

    Returns:
        Names such as "records.subjects.0.shape"; "" is the value itself.
    """
    return [".".join(place) for place in _places(value, hint, optional)]


def _places(value: Any, hint: Any, optional: Collection[type[Any]]) -> Iterator[tuple[str, ...]]:
    kind, options = get_origin(hint), get_args(hint)
    if kind is NotRequired:
        yield from _places(value, options[0], optional)
    elif kind in (Union, UnionType):
        yield from _places(value, _nearest(value, options), optional)
    elif kind is Annotated:
        if isinstance(value, list) and len(value) != options[1]:
            yield ()
        yield from _places(value, options[0], optional)
    elif not _is_of(value, kind or hint):
        yield ()
    elif isinstance(value, dict):
        yield from _places_in_object(value, hint, optional)
    elif isinstance(value, list) and options:
        for number, item in enumerate(value):
            yield from _below(str(number), item, options[0], optional)


def _places_in_object(
    value: dict[str, Any], hint: Any, optional: Collection[type[Any]]
) -> Iterator[tuple[str, ...]]:
    if not hasattr(hint, "__required_keys__"):
        hints = dict.fromkeys(value, (*get_args(hint), Any, Any)[1])
    else:
        hints = get_type_hints(hint, include_extras=True)
        missing = () if hint in optional else hint.__required_keys__ - value.keys()
        yield from ((key,) for key in sorted(missing))
    for key in hints.keys() & value.keys():
        yield from _below(key, value[key], hints[key], optional)


def _below(
    name: str, value: Any, hint: Any, optional: Collection[type[Any]]
) -> Iterator[tuple[str, ...]]:
    yield from ((name, *place) for place in _places(value, hint, optional))


def _nearest(value: Any, options: tuple[Any, ...]) -> Any:
    """The option of a union that a value is to be: of objects, the one that shares most keys."""
    if value is None and NoneType in options:
        return NoneType
    options = tuple(option for option in options if option is not NoneType)
    keys = set(value) if isinstance(value, dict) else set()
    return max(options, key=lambda option: len(keys & set(getattr(option, "__annotations__", ()))))


def _is_of(value: Any, kind: Any) -> bool:
    if kind is Any:
        return True
    if kind in (int, float):
        is_number = isinstance(value, (int, kind)) and not isinstance(value, bool)
        return is_number and abs(value) < LARGEST_NUMBER
    if hasattr(kind, "__required_keys__"):
        return isinstance(value, dict)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return value in [member.value for member in kind]
    return isinstance(value, kind)
