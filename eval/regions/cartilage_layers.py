"""Deep and superficial layers of a cartilage mask, and femoral cartilage laid out flat.

Depth runs from 0 at the bone to 1 at the joint:

    joint   . . . . . . . . .        depth = to bone / (to bone + to joint),
          superficial   depth > 1/2          both by distance transform, in mm
          ---------------------
          deep          depth < 1/2
    bone    # # # # # # # # #

Anatomy determines which side is bone: femoral cartilage curves about its bone, tibial cartilage
lies on top of its bone, and patellar cartilage behind it. Directions are those of the patient, so
the scan may have any orientation.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mrsr_tf.errors import InputError
from mrsr_tf.volume import Volume

# Directions in LPS.
ANTERIOR, INFERIOR = np.array([0.0, -1.0, 0.0]), np.array([0.0, 0.0, -1.0])
BONE_SIDE = {"tibia": INFERIOR, "patella": ANTERIOR}
SMOOTHING_MM = 1.0
MARGIN_MM = 3.0
DEGREES, ALONG_MM = 1.0, 1.0


class Cylinder(NamedTuple):
    """A cylinder along the patient's left-right axis, which femoral cartilage follows.

    Its centre is (posterior, superior) in patient coordinates.
    """

    centre_mm: tuple[float, float]
    radius_mm: float


def depth(mask: NDArray[np.bool_], scan: Volume, cartilage: str) -> NDArray[np.float32]:
    """(rows, cols, slices): each voxel's relative depth, 0 at the bone; NaN outside the mask.

    A name of the cartilage with "tibia" or "patella" in it means that bone, any other the femur.

    Raises:
        InputError: the mask is empty, or no side of it faces the bone or the joint.
    """
    box = _box(mask, scan.spacing_mm)
    inside, spacing = np.pad(mask[box], 1), scan.spacing_mm
    smooth = ndimage.gaussian_filter(inside.astype(np.float32), SMOOTHING_MM / np.asarray(spacing))
    # The gradient of the mask in patient coordinates, per mm.
    inward = np.stack(np.gradient(smooth), axis=-1) @ np.linalg.inv(scan.affine[:3, :3])
    facing = np.sum(inward * _bone_side(mask, scan, cartilage, box), axis=-1)
    rim = ndimage.binary_dilation(inside) & ~inside
    distances = []
    for side, name in ((rim & (facing < 0), "bone"), (rim & (facing >= 0), "the joint")):
        if not side.any():
            raise InputError(f"expected {cartilage} to have a side to {name}, found none")
        distances.append(ndimage.distance_transform_edt(~side, sampling=spacing))
    to_bone, to_joint = distances
    without_padding = (slice(1, -1),) * 3
    depths = np.full(mask.shape, np.nan, np.float32)
    depths[box] = np.where(inside, to_bone / (to_bone + to_joint), np.nan)[without_padding]
    return depths


def is_femoral(cartilage: str) -> bool:
    """Whether this name means cartilage of the femur, because it names no other bone."""
    return not any(bone in cartilage for bone in BONE_SIDE)


def layers(mask: NDArray[np.bool_], scan: Volume, cartilage: str) -> dict[str, NDArray[np.bool_]]:
    """The deep and the superficial half of cartilage; see `depth`."""
    depths = depth(mask, scan, cartilage)
    return {"deep": depths < 0.5, "superficial": depths >= 0.5}


def unrolled(
    t2_ms: NDArray[np.floating], mask: NDArray[np.bool_], scan: Volume
) -> tuple[NDArray[np.floating], NDArray[np.floating], NDArray[np.floating]]:
    """T2 of the femoral cartilage in a mask laid out flat, the mean over its depth.

    Returns:
        T2 in ms as (angles, positions), NaN where there is none; the edges of the angles in degrees
        about the cylinder's axis, 0 downwards and positive to the front; and the edges of the
        positions in mm, from the patient's right to left. The edges depend on the mask alone.

    Raises:
        InputError: as for `cylinder`.
    """
    points = _points(mask, scan)
    posterior, superior = (points[:, 1:] - cylinder(mask, scan).centre_mm).T
    angles = np.degrees(np.arctan2(-posterior, -superior))
    across = points[:, 0]
    edges = [
        np.arange(np.floor(values.min()), values.max() + width, width)
        for values, width in ((angles, DEGREES), (across, max(ALONG_MM, scan.spacing_mm[2])))
    ]
    t2 = t2_ms[mask]
    valid = np.isfinite(t2)
    total, *_ = np.histogram2d(angles[valid], across[valid], edges, weights=t2[valid])
    count, *_ = np.histogram2d(angles[valid], across[valid], edges)
    flat = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return flat, edges[0], edges[1]


def cylinder(mask: NDArray[np.bool_], scan: Volume) -> Cylinder:
    """The cylinder whose circle fits a mask by least squares (Kasa's method), seen from the side.

    Raises:
        InputError: the mask has fewer than three voxels, or all lie on a line.
    """
    y, z = _points(mask, scan)[:, 1:].T
    if y.size < 3:
        raise InputError(f"expected at least three voxels of cartilage, got {y.size}")
    matrix = np.column_stack([2 * y, 2 * z, np.ones_like(y)])
    (a, b, c), _, rank, _ = np.linalg.lstsq(matrix, y**2 + z**2)
    if rank < 3:
        raise InputError("expected cartilage that curves, got voxels on a line")
    return Cylinder((float(a), float(b)), float(np.sqrt(c + a**2 + b**2)))


def _bone_side(
    mask: NDArray[np.bool_], scan: Volume, cartilage: str, box: tuple[slice, ...]
) -> NDArray[np.float64]:
    """The direction to the bone in LPS, for all or for each voxel of the padded box."""
    if not is_femoral(cartilage):
        return next(side for bone, side in BONE_SIDE.items() if bone in cartilage)
    counts = [part.stop - part.start + 2 for part in box]
    starts = np.array([part.start - 1 for part in box])
    voxels = np.stack(np.meshgrid(*map(np.arange, counts), indexing="ij"), axis=-1) + starts
    to_axis = np.zeros((*counts, 3))
    centre = cylinder(mask, scan).centre_mm
    to_axis[..., 1:] = centre - (voxels @ scan.affine[:3, :3].T + scan.affine[:3, 3])[..., 1:]
    return to_axis


def _points(mask: NDArray[np.bool_], scan: Volume) -> NDArray[np.float64]:
    """(n, 3): the voxels of a mask in patient coordinates, in mm."""
    return np.argwhere(mask) @ scan.affine[:3, :3].T + scan.affine[:3, 3]


def _box(mask: NDArray[np.bool_], spacing_mm: Iterable[float]) -> tuple[slice, ...]:
    """The bounding box of a mask with a margin."""
    if not mask.any():
        raise InputError("expected at least one voxel of cartilage, got an empty mask")
    margins = [int(np.ceil(MARGIN_MM / mm)) for mm in spacing_mm]
    return tuple(
        slice(max(0, int(index.min()) - margin), min(count, int(index.max()) + 1 + margin))
        for index, margin, count in zip(np.nonzero(mask), margins, mask.shape, strict=True)
    )
