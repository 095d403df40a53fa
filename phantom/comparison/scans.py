"""A real scan and phantoms that are simulated as it was acquired, with regions of each tissue."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mrsr_tf.errors import InputError
from mrsr_tf.volume import Volume
from phantom.anatomy.tissues import FIRST_CARTILAGE, LABELS
from phantom.scanner.protocols import HIGH_RESOLUTION
from phantom.subject import SimulationConfig, make_subject

REAL_SHAPE = (512, 512, 48)  # of the one scan whose regions are known
REAL_SNR = 48.0  # of S1 in cartilage, approximately
SLAB_SLICES = 76  # a whole knee in slices of 1.5 mm; the real scan holds its lateral part
DIFFUSIVITY = 1.25e-9  # m^2/s
# Boxes drawn by eye where there is only one tissue, and away from the ends of the slab.
REAL_BOXES = {
    "fluid": [np.s_[328:335, 332:337, 22:23]],
    "muscle": [np.s_[260:325, 390:415, 17:24], np.s_[40:85, 345:415, 11:14]],
    "marrow": [np.s_[230:285, 210:270, 14:26], np.s_[390:450, 195:250, 11:16]],
    "fat": [np.s_[275:305, 115:138, 16:24], np.s_[245:295, 122:146, 11:14]],
    "meniscus": [np.s_[321:328, 230:238, 22:23]],
    "cartilage": [np.s_[178:222, 156:166, 20:24], np.s_[180:240, 158:167, 17:19]],
    "air": [np.s_[5:60, 5:60, 4:44], np.s_[440:505, 5:90, 4:30]],
}
REAL_PLATEAU = (325, 270, 18)  # the middle of the cartilage of the lateral plateau, by eye


@dataclass(frozen=True, eq=False)
class ComparedScan:
    """A scan with two echoes.

    Attributes:
        scan: the images.
        regions: by tissue, masks (rows, cols, slices).
        plateau: the voxel in the middle of the lateral plateau.
    """

    scan: Volume
    regions: dict[str, NDArray[np.bool_]]
    plateau: tuple[int, ...]


def real_knee(scan: Volume) -> ComparedScan:
    """The real scan with its regions.

    Raises:
        InputError: it is not the scan whose regions are known, or its header lacks its timing.
    """
    if scan.array.shape != (*REAL_SHAPE, 2):
        raise InputError(
            f"expected the real knee of 512x512x48 voxels and two echoes, got {scan.array.shape}"
        )
    _timing(scan)
    return ComparedScan(scan, _real_regions(), REAL_PLATEAU)


def phantom_like(real: Volume, number: int, seed: int) -> ComparedScan:
    """A right knee that is simulated as the scan of `real_knee` was acquired.

    Args:
        real: the scan.
        number: of the phantom; each is another knee in another scanner.
        seed: of all phantoms.
    """
    te_ms, tr_ms, flip_deg = _timing(real)
    rows_mm, cols_mm, slices_mm = (float(d) for d in real.spacing_mm)
    protocol = replace(
        HIGH_RESOLUTION,
        spacing_mm=(rows_mm, cols_mm, slices_mm),
        tr_ms=tr_ms,
        te_ms=te_ms,
        flip_deg=flip_deg,
        phase_fraction=320 / 512,
    )
    shape = (*REAL_SHAPE[:2], SLAB_SLICES)
    config = SimulationConfig(seed, protocol, shape, (REAL_SNR,), DIFFUSIVITY)
    return _phantom(config, number, real.affine)


def _timing(scan: Volume) -> tuple[tuple[float, float], float, float]:
    """Both echo times and the repetition time in ms, and the flip angle in degrees."""
    te, tr, flip = scan.echo_times_ms, scan.repetition_time_ms, scan.flip_angle_deg
    if te is None or len(te) != 2 or tr is None or flip is None:
        raise InputError(
            "expected a real knee with two echo times, repetition time and flip angle, got "
            f"{te}, {tr} and {flip}"
        )
    return (te[0], te[1]), tr, flip


def _real_regions() -> dict[str, NDArray[np.bool_]]:
    regions = {}
    for name, boxes in REAL_BOXES.items():
        regions[name] = np.zeros(REAL_SHAPE, bool)
        for box in boxes:
            regions[name][box] = True
    return regions


def _phantom(config: SimulationConfig, number: int, affine: NDArray[np.float64]) -> ComparedScan:
    """The lateral part of a simulated knee, in the orientation of a right knee."""
    subject = make_subject(number, config, threads=2)
    # Slices run to the patient's right: to lateral in a right knee, to medial in a left one.
    order = slice(None) if subject.header.laterality == "R" else slice(None, None, -1)
    lateral = slice(SLAB_SLICES - REAL_SHAPE[2], None)
    label = subject.truth.label[:, :, order][:, :, lateral]
    images = subject.images[:, :, order][:, :, lateral].astype(np.float32)
    plateau = np.isin(
        label, [LABELS[f"lateral_tibial_cartilage_{layer}"] for layer in ("deep", "superficial")]
    )
    middle = tuple(int(axis.mean()) for axis in np.nonzero(plateau))
    return ComparedScan(Volume(images, affine), _phantom_regions(label), middle)


def _phantom_regions(label: NDArray[np.int16]) -> dict[str, NDArray[np.bool_]]:
    """Each tissue without its outermost voxels."""
    labels = LABELS | {"fluid": LABELS["synovial_fluid"], "fat": LABELS["hoffa_fat_pad"]}
    masks = {
        name: label >= FIRST_CARTILAGE if name == "cartilage" else label == labels[name]
        for name in REAL_BOXES
    }
    neighbourhood = np.ones((3, 3, 3), bool)
    return {name: ndimage.binary_erosion(mask, neighbourhood) for name, mask in masks.items()}
