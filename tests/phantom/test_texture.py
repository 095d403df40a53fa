"""Textures of fat and marrow."""

import numpy as np
import pytest
from knee_grids import grid, knee_of, points

from phantom.anatomy import skin
from phantom.anatomy.knee import paint
from phantom.anatomy.tissue_texture import SUPERFICIAL_FASCIA_MM
from phantom.anatomy.tissues import LABELS, values_by_label

VOXEL = (0.4, 0.4, 0.4)


@pytest.fixture(scope="module")
def knee():
    return knee_of(0, 0, 0)


@pytest.fixture(scope="module")
def material(knee):
    points = grid(3.0)
    owner, _ = paint(points, knee.structures)
    return knee.material(points, knee.structures, owner, VOXEL)


def test_trabeculae_dephase_marrow_in_an_epiphysis_by_the_t2_prime_of_its_tissue(knee, material):
    epiphysis = (material.label == LABELS["marrow"]) & (np.abs(grid(3.0).z) < 14)
    mean = 1 / np.mean(1 / material.t2_prime_ms[epiphysis])
    assert mean == pytest.approx(values_by_label("t2_prime_ms")[LABELS["marrow"]], rel=0.3)
    shaft = (material.label == LABELS["marrow"]) & (grid(3.0).z > 65)
    assert np.median(material.t2_prime_ms[shaft]) > 3 * mean


def test_tissues_without_trabeculae_keep_their_t2_prime(material):
    cartilage = np.char.find(np.array(list(LABELS)), "cartilage")[material.label] >= 0
    assert np.isinf(material.t2_prime_ms[cartilage]).all()


def test_lobules_of_fat_are_even_on_average_and_septa_brighter(material):
    fat = material.label == LABELS["subcutaneous_fat"]
    relative = material.m0[fat] / values_by_label("m0")[LABELS["subcutaneous_fat"]]
    assert np.median(relative) == pytest.approx(1.1, abs=0.15)
    assert np.percentile(relative, 99) > 1.6


def test_the_superficial_fascia_lies_midway_between_skin_and_deep_fascia():
    fascia = skin.fascia()
    leg = skin.skin(np.random.default_rng(0), fascia, 6.0)
    _, outwards, _ = skin.fat_coordinates(leg, fascia)
    at = points(0.0, np.arange(40.0, 90, 0.1), 30.0)
    sheet = np.abs(outwards(at)) < SUPERFICIAL_FASCIA_MM / 2
    assert at.value(leg)[sheet] == pytest.approx(-at.value(fascia)[sheet], abs=0.31)
    assert 0 < sheet.sum() * 0.1 < 3 * SUPERFICIAL_FASCIA_MM
