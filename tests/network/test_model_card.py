"""Cards whose content is not what a card holds."""

import copy
import json
import random

import numpy as np
import pytest

from mrsr_tf.errors import InputError
from mrsr_tf.inference.domain_check import out_of_range
from mrsr_tf.network.model_card import (
    checked_card,
    first_slice,
    read_card,
    summarize_evaluation,
    trained_factors,
    training_spacing_mm,
)
from mrsr_tf.network.weights_file import FOLDER
from mrsr_tf.records.manifest import each_set, find_split
from mrsr_tf.volume import Volume

SCAN = Volume(np.linspace(1, 9, 6 * 6 * 4 * 2).reshape(6, 6, 4, 2), np.eye(4), (7, 39), 23, 20)
OTHER_VALUES = [
    None, True, 0, -1, 2, 3.5, float("inf"), float("nan"), 10**400, "", "x", "fir",
    [], [1], [[1, 2]], [None], ["a", "b", "c"], [1, 2, 3, 4], {}, {"a": 1},
]  # fmt: skip


@pytest.fixture(scope="module")
def card():
    """A shipped card, with fewer subjects and under the names of today."""
    content = json.loads((FOLDER / "paper_dual" / "card.json").read_text())
    for manifest in content["records"]["sets"]:
        manifest["subjects"] = manifest["subjects"][:2]
        for subject in manifest["subjects"]:
            subject["patient"] = subject.pop("person")
            subject["target_range"] = subject.pop("truth_range")
    return content


def places(value, place=()):
    if isinstance(value, dict):
        for key in value:
            yield from places(value[key], (*place, key))
    elif isinstance(value, list):
        for index in range(len(value)):
            yield from places(value[index], (*place, index))
    if place:
        yield place


def mutated(card, draw):
    """The card with a value of another type somewhere, or without it."""
    card = copy.deepcopy(card)
    *above, last = draw.choice(list(places(card)))
    parent = card
    for key in above:
        parent = parent[key]
    if draw.random() < 0.2:
        del parent[last]
    else:
        parent[last] = draw.choice(OTHER_VALUES)
    return card


def use(card):
    """All that is computed from a card."""
    first_slice(card, card["slice_factor"])
    training_spacing_mm(card)
    out_of_range(SCAN, card, card["slice_factor"])
    find_split(SCAN, each_set(card["records"]) if "records" in card else [])


def test_a_mutated_card_is_refused_or_of_use(card, tmp_path):
    draw, refused = random.Random(0), 0
    for _ in range(300):
        (tmp_path / "card.json").write_text(json.dumps(mutated(card, draw)))
        try:
            use(read_card(tmp_path))
        except InputError:
            refused += 1
    assert 50 < refused < 250


@pytest.mark.parametrize(
    ("configuration", "rows", "words"),
    [
        ({"experiment": "t2", "model": {"weights_sha256": "b"}}, "", "found another's: .*results"),
        ({"experiment": "t2", "model": "pretrained"}, "", "found another's: .*results"),
        ({"experiment": "t2"}, "", "found another's: .*results"),
        ({"experiment": "t2", "model": {"weights_sha256": "a"}}, None, r"rows .*rows\.csv"),
        ({"experiment": "t2", "model": {"weights_sha256": "a"}}, "a,b\n1,2", r"rows .*rows\.csv"),
        (
            {"experiment": "t2", "model": {"weights_sha256": "a"}},
            "method,roi,t2_ms\nmrsr,bone,long",
            r"rows .*rows\.csv",
        ),
    ],
)
def test_what_is_no_evaluation_of_the_network_is_refused(tmp_path, configuration, rows, words):
    results = tmp_path / "results"
    results.mkdir()
    (results / "configuration.json").write_text(json.dumps(configuration))
    if rows is not None:
        (results / "rows.csv").write_text(rows)
    with pytest.raises(InputError, match=words):
        summarize_evaluation(results, "a")


def test_shipped_cards_are_accepted():
    folders = [path.parent for path in FOLDER.glob("*/card.json")]
    assert [trained_factors(read_card(folder))[0] for folder in folders] == [2] * 4


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (("slice_factor",), "2", "slice_factor"),
        (("space_to_depth",), [1, 1], "space_to_depth"),
        (("space_to_depth",), [1, 0, 1], "space_to_depth"),
        (("records", "sets", 1, "slice_factor"), 1, "slice_factor"),
        (("records", "sets", 0, "spacing_mm", "max"), [1, 2], r"records\.sets\.0\.spacing_mm\.max"),
        (("records", "sets", 0, "thickening", "profile"), "x", r"thickening\.profile"),
        (("records", "sets", 0, "subjects", 1), 7, r"records\.sets\.0\.subjects\.1"),
        (("training_spacing_mm",), {"min": [1, 1, 1]}, r"training_spacing_mm\.max"),
    ],
)
def test_the_message_names_the_entry(card, tmp_path, place, value, words):
    card = parent = copy.deepcopy(card)
    *above, last = place
    for key in above:
        parent = parent[key]
    parent[last] = value
    with pytest.raises(InputError, match=rf"expected a card with a valid (\S+ and )?\S*{words}: "):
        checked_card(card, tmp_path)
