"""Deep and superficial cartilage from any cartilage mask, and femoral cartilage laid out flat.

Depth runs from 0 at the bone to 1 at the joint:

    joint   . . . . . . . . .        depth = to bone / (to bone + to joint),
          superficial   depth > 1/2          both by distance transform, in mm
          ---------------------
          deep          depth < 1/2
    bone    # # # # # # # # #

Which side is bone follows from anatomy: femoral cartilage curves about its bone, tibial lies on top
of its bone, patellar behind it. Directions are those of the patient, so any orientation will do.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mrsr_tf.errors import InputError
from mrsr_tf.volume import Volume

# The patient's axes in LPS.
ANTERIOR, INFERIOR = np.array([0.0, -1.0, 0.0]), np.array([0.0, 0.0, -1.0])
BONE_SIDE = {"tibia": INFERIOR, "patella": ANTERIOR}
SMOOTHING_MM = 1.0
MARGIN_MM = 3.0
DEGREES, ALONG_MM = 1.0, 1.0


@dataclass(frozen=True)
class Cylinder:
    """The circle that femoral cartilage follows, along the patient's left-right axis.

    Attributes:
        centre_mm: (posterior, superior) in patient coordinates.
        radius_mm: of the circle.
    """

    centre_mm: tuple[float, float]
    radius_mm: float


def depth(mask: NDArray[np.bool_], scan: Volume, cartilage: str) -> NDArray[np.float32]:
    """How deep each voxel of cartilage lies between bone and joint.

    Args:
        mask: (rows, cols, slices), the cartilage of one bone.
        scan: whose grid it is on.
        cartilage: its name; one with "tibia" or "patella" in it is taken for that bone's, any other
            for the femur's.

    Returns:
        (rows, cols, slices): in (0, 1), 0 at the bone; NaN outside the mask.

    Raises:
        InputError: an empty mask, or one of which no side faces bone, or none the joint.
    """
    box = _box(mask, scan.spacing_mm)
    inside, spacing = np.pad(mask[box], 1), scan.spacing_mm
    smooth = ndimage.gaussian_filter(inside.astype(np.float32), SMOOTHING_MM / np.asarray(spacing))
    # What the mask grows towards, from each voxel around it, in the patient's axes per mm.
    inward = np.stack(np.gradient(smooth), axis=-1) @ np.linalg.inv(scan.affine[:3, :3])
    facing = np.sum(inward * _bone_side(mask, scan, cartilage, box), axis=-1)
    rim = ndimage.binary_dilation(inside) & ~inside
    distances = []
    for side, name in ((rim & (facing < 0), "bone"), (rim & (facing >= 0), "the joint")):
        if not side.any():
            raise InputError(f"expected {cartilage} to have a side to {name}, found none")
        distances.append(ndimage.distance_transform_edt(~side, sampling=spacing))
    to_bone, to_joint = distances
    inner = (slice(1, -1),) * 3
    result = np.full(mask.shape, np.nan, np.float32)
    result[box] = np.where(inside, to_bone / (to_bone + to_joint), np.nan)[inner]
    return result


def is_femoral(cartilage: str) -> bool:
    """Whether cartilage of this name is taken for the femur's: it names no other bone."""
    return not any(bone in cartilage for bone in BONE_SIDE)


def layers(mask: NDArray[np.bool_], scan: Volume, cartilage: str) -> dict[str, NDArray[np.bool_]]:
    """The deep and the superficial half of cartilage; see `depth`."""
    of_mask = depth(mask, scan, cartilage)
    return {"deep": of_mask < 0.5, "superficial": of_mask >= 0.5}


def unrolled(
    t2_ms: NDArray[np.floating], mask: NDArray[np.bool_], scan: Volume
) -> tuple[NDArray[np.floating], NDArray[np.floating], NDArray[np.floating]]:
    """T2 of femoral cartilage laid out flat, the mean over its depth.

    Args:
        t2_ms: (rows, cols, slices), NaN where there is none.
        mask: likewise, femoral cartilage.
        scan: whose grid they are on.

    Returns:
        (angles, positions) T2 in ms, NaN where there is none; the angles' edges in degrees about
        the cylinder's axis, 0 downwards and positive to the front; the positions' edges in mm,
        from the patient's right to left. Edges depend on the mask alone.

    Raises:
        InputError: as `cylinder`.
    """
    points = _points(mask, scan)
    fitted = cylinder(mask, scan)
    posterior, superior = (points[:, 1:] - fitted.centre_mm).T
    angles = np.degrees(np.arctan2(-posterior, -superior))
    across = points[:, 0]
    edges = [
        np.arange(np.floor(values.min()), values.max() + width, width)
        for values, width in ((angles, DEGREES), (across, max(ALONG_MM, scan.spacing_mm[2])))
    ]
    t2 = t2_ms[mask]
    used = np.isfinite(t2)
    total, *_ = np.histogram2d(angles[used], across[used], edges, weights=t2[used])
    count, *_ = np.histogram2d(angles[used], across[used], edges)
    flat = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return flat, edges[0], edges[1]


def cylinder(mask: NDArray[np.bool_], scan: Volume) -> Cylinder:
    """The least-squares circle (Kasa's) through a mask, seen from the side.

    Raises:
        InputError: fewer than three voxels, or all on a line.
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
    """Where bone lies, seen from each voxel of the padded box, as a vector of LPS."""
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
    """(n, 3): the mask's voxels in patient mm."""
    return np.argwhere(mask) @ scan.affine[:3, :3].T + scan.affine[:3, 3]


def _box(mask: NDArray[np.bool_], spacing_mm: Iterable[float]) -> tuple[slice, ...]:
    if not mask.any():
        raise InputError("expected at least one voxel of cartilage, got an empty mask")
    margins = [int(np.ceil(MARGIN_MM / mm)) for mm in spacing_mm]
    return tuple(
        slice(max(0, int(where.min()) - margin), min(count, int(where.max()) + 1 + margin))
        for where, margin, count in zip(np.nonzero(mask), margins, mask.shape, strict=True)
    )
