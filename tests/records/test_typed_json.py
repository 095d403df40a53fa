from enum import StrEnum
from typing import Annotated, Any, NotRequired, TypedDict

import pytest

from mrsr_tf.records.typed_json import misfits


class Colour(StrEnum):
    RED = "red"


class Leaf(TypedDict):
    sizes: Annotated[list[float], 2]
    colour: NotRequired[Colour]


class Tree(TypedDict):
    name: str
    leaves: list[Leaf]
    height: float | None
    notes: NotRequired[dict[str, int]]
    rest: NotRequired[Any]


class Forest(TypedDict):
    trees: list[Tree]


TREE = {"name": "oak", "leaves": [{"sizes": [1, 2.5], "colour": "red"}], "height": None}


@pytest.mark.parametrize(
    ("change", "places"),
    [
        ({}, []),
        ({"height": 3, "notes": {"a": 1}, "rest": [{}], "unknown": {}}, []),
        ({"name": None}, ["name"]),
        ({"height": True}, ["height"]),
        ({"height": float("nan")}, ["height"]),
        ({"height": 10**400}, ["height"]),
        ({"notes": {"a": 1.5, "b": 2}}, ["notes.a"]),
        ({"leaves": {}}, ["leaves"]),
        ({"leaves": [{"sizes": [1, 2]}, 7]}, ["leaves.1"]),
        ({"leaves": [{"sizes": [1]}]}, ["leaves.0.sizes"]),
        ({"leaves": [{"sizes": [1, "2"]}]}, ["leaves.0.sizes.1"]),
        ({"leaves": [{"sizes": [1, 2], "colour": "blue"}]}, ["leaves.0.colour"]),
        ({"leaves": [{}]}, ["leaves.0.sizes"]),
    ],
)
def test_misfits_are_named_by_their_places(change, places):
    assert sorted(misfits(TREE | change, Tree)) == places


def test_keys_may_be_missing_where_that_is_allowed():
    assert sorted(misfits({"leaves": [{}]}, Tree)) == ["height", "leaves.0.sizes", "name"]
    assert misfits({"leaves": [{}]}, Tree, optional=[Tree]) == ["leaves.0.sizes"]


@pytest.mark.parametrize("value", [None, 3, [], "x"])
def test_what_is_no_object_is_itself_a_misfit(value):
    assert misfits(value, Tree) == [""]


def test_of_a_union_the_object_that_shares_most_keys_is_meant():
    assert misfits({"trees": [TREE | {"name": 1}]}, Tree | Forest) == ["trees.0.name"]
    assert misfits(TREE, Forest | Tree) == []
