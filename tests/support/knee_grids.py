"""Knees, and points and voxel grids in the reference knee."""

import functools

import numpy as np

from phantom.anatomy.implicit_surfaces import Points
from phantom.anatomy.knee import Knee
from phantom.scanner.protocols import Sequence

STILL = Sequence(23.0, (7.0, 39.0), 20.0)  # spins do not diffuse


@functools.cache
def knee_of(*seed):
    """The knee of a seed, which takes seconds to assemble and is shared by all tests."""
    return Knee(np.random.default_rng(seed))


def points(*xyz):
    return Points(*(np.asarray(axis, np.float32).ravel() for axis in np.broadcast_arrays(*xyz)))


def grid(step, x=(-60, 60), y=(-60, 70), z=(-75, 75)):
    return points(*np.meshgrid(*(np.arange(*axis, step) for axis in (x, y, z))))


def sagittal(shape, spacing, centre=(-20.0, 6.0, 2.0)):
    """(3, 4): rows down, columns backwards, slices towards lateral."""
    to_knee = np.array([[0, 0, spacing[2], 0], [0, spacing[1], 0, 0], [-spacing[0], 0, 0, 0.0]])
    to_knee[:, 3] = np.array(centre) - to_knee[:, :3] @ ((np.array(shape) - 1) / 2)
    return to_knee
