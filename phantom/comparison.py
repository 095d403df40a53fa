"""Comparison of a phantom with a real knee: figures of both side by side, and pictures."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, stats

from mrsr_tf.errors import InputError
from mrsr_tf.volume import Volume, intensity_scale
from phantom.anatomy.tissues import FIRST_CARTILAGE, LABELS, LAYERS
from phantom.scanner.protocols import Protocol
from phantom.subject import SimulationConfig, make_subject

REAL_SHAPE = (512, 512, 48)  # of the one scan whose regions are known
REAL_SNR = 30.0  # approximately
SLAB_SLICES = 76  # a whole knee in slices of 1.5 mm; the real scan holds its lateral part
DIFFUSIVITY = 1.25e-9  # m^2/s
# (rows, columns, slice) in the real scan, drawn by eye where there is only one tissue.
REAL_REGIONS = {
    "cartilage": ((175, 222), (155, 166), 22),
    "fluid": ((328, 335), (332, 337), 22),
    "muscle": ((290, 370), (378, 398), 22),
    "marrow": ((220, 290), (220, 300), 22),
    "fat": ((275, 312), (112, 142), 22),
    "meniscus": ((321, 328), (230, 238), 22),
    "air": ((5, 60), (5, 60), 22),
}
REAL_PLATEAU = (325, 270, 18)  # the middle of the cartilage of the lateral plateau, by eye
PHANTOM_TISSUES = {
    "fluid": "synovial_fluid",
    "muscle": "muscle",
    "marrow": "marrow",
    "fat": "hoffa_fat_pad",
    "meniscus": "meniscus",
    "air": "air",
}
FREQUENCY_BAND = (0.1, 0.45)  # cycles per voxel
CONDYLES_ABOVE_MM = 22.0  # height of the axial plane above the plateau

Regions = dict[str, NDArray[np.bool_]]


@dataclass(frozen=True, eq=False)
class ComparedScan:
    """A scan, masks of its tissues, and the voxel in the middle of its lateral plateau."""

    scan: Volume
    regions: Regions
    plateau: tuple[int, ...]


Pair = tuple[ComparedScan, ComparedScan]


def real_and_phantom(real: Volume, seed: int) -> Pair:
    """The real scan and a right knee that is simulated as the real one was acquired.

    Raises:
        InputError: the real scan is not the one whose regions are known.
    """
    te, tr, flip = real.echo_times_ms, real.repetition_time_ms, real.flip_angle_deg
    if real.array.shape != (*REAL_SHAPE, 2) or te is None or tr is None or flip is None:
        raise InputError(
            f"expected the real knee of 512x512x48 voxels and two echoes, got {real.array.shape}"
        )
    rows_mm, cols_mm, slices_mm = (float(d) for d in real.spacing_mm)
    protocol = Protocol(
        name="compared",
        shape=(*REAL_SHAPE[:2], SLAB_SLICES),
        spacing_mm=(rows_mm, cols_mm, slices_mm),
        tr_ms=tr,
        te_ms=(te[0], te[1]),
        flip_deg=flip,
        snr=(REAL_SNR, REAL_SNR),
        phase_fraction=320 / 512,
    )
    config = SimulationConfig(
        seed=seed,
        protocol=protocol,
        shape=protocol.shape,
        snr=(REAL_SNR,),
        diffusivity_m2_per_s=DIFFUSIVITY,
    )
    return ComparedScan(real, _real_regions(), REAL_PLATEAU), _phantom(config, real.affine)


def _phantom(config: SimulationConfig, affine: NDArray[np.float64]) -> ComparedScan:
    """The lateral part of a simulated knee, in the orientation of a right knee."""
    subject = make_subject(0, config, threads=2)
    # Slices run to the patient's right: to lateral in a right knee, to medial in a left one.
    order = slice(None) if subject.header.laterality == "R" else slice(None, None, -1)
    lateral = slice(SLAB_SLICES - REAL_SHAPE[2], None)
    label = subject.truth.label[:, :, order][:, :, lateral]
    scan = Volume(subject.images[:, :, order][:, :, lateral].astype(np.float32), affine)
    cartilage = [LABELS[f"lateral_tibial_cartilage_{layer}"] for layer in LAYERS]
    plateau = tuple(int(axis.mean()) for axis in np.nonzero(np.isin(label, cartilage)))
    return ComparedScan(scan, _phantom_regions(label), plateau)


def _real_regions() -> Regions:
    regions = {}
    for name, ((top, bottom), (left, right), index) in REAL_REGIONS.items():
        mask = np.zeros(REAL_SHAPE, bool)
        mask[top:bottom, left:right, index] = True
        regions[name] = mask
    return regions


def _phantom_regions(label: NDArray[np.int16]) -> Regions:
    """Each tissue without its outermost voxels."""
    masks = {"cartilage": label >= FIRST_CARTILAGE} | {
        name: label == LABELS[tissue] for name, tissue in PHANTOM_TISSUES.items()
    }
    neighbourhood = np.ones((3, 3, 3), bool)
    return {name: ndimage.binary_erosion(mask, neighbourhood) for name, mask in masks.items()}


def comparison_table(pair: Pair) -> str:
    """The figures of both scans and their ratio as a Markdown table."""
    real, phantom = (_figures(knee.scan, knee.regions) for knee in pair)
    lines = ["| figure | real | phantom | ratio |", "|---|---|---|---|"]
    for name, value in real.items():
        simulated = phantom[name]
        lines.append(f"| {name} | {value:.3g} | {simulated:.3g} | {simulated / value:.2f} |")
    gradients = [_gradients(knee.scan) for knee in pair]
    distance = stats.wasserstein_distance(*gradients)
    mean = float(np.mean(gradients[0]))
    lines.append(
        f"| gradient histograms: Wasserstein distance over the real mean | | {distance / mean:.2g} "
        "| |"
    )
    return "\n".join(lines) + "\n"


def _figures(scan: Volume, regions: Regions) -> dict[str, float]:
    figures: dict[str, float] = {}
    signal = _signal(scan, regions["air"])
    cartilage = signal(regions["cartilage"], 0)
    for name in ("fluid", "muscle", "marrow", "fat", "meniscus", "cartilage"):
        for echo in (0, 1):
            if name != "cartilage" or echo:
                figures[f"S{echo + 1} of {name} over S1 of cartilage"] = (
                    signal(regions[name], echo) / cartilage
                )
    for axis, name in enumerate(("rows", "columns", "slices")):
        for echo in (0, 1):
            figures[f"slope of the power spectrum, echo {echo + 1}, along {name}"] = _slope(
                scan.array[..., echo], axis
            )
    for name in ("air", "muscle"):
        for echo in (0, 1):
            image = scan.array[..., echo]
            fine = image - ndimage.uniform_filter(image, (5, 5, 1))
            noise = float(fine[regions[name]].std() / np.sqrt(1 - 1 / 25))
            figures[f"noise of echo {echo + 1} in {name} over S1 of cartilage"] = noise / cartilage
    return figures


def _signal(scan: Volume, air: NDArray[np.bool_]) -> Callable[[NDArray[np.bool_], int], float]:
    """A function that gives the mean signal of a region, corrected for the noise in air."""

    def signal(region: NDArray[np.bool_], echo: int) -> float:
        image = scan.array[..., echo].astype(np.float64)
        power = np.mean(image[region] ** 2) - np.mean(image[air] ** 2)
        return math.sqrt(max(float(power), 0.0))

    return signal


def _slope(image: NDArray[np.float32], axis: int) -> float:
    """Exponent of the power spectrum along an axis, averaged over the middle of the scan."""
    middle = tuple(slice(n // 5, n - n // 5) for n in image.shape)
    window = np.hanning(image[middle].shape[axis]).astype(np.float32)
    lines = np.moveaxis(image[middle], axis, -1)
    lines = (lines - lines.mean(axis=-1, keepdims=True)) * window
    power = (np.abs(np.fft.rfft(lines, axis=-1)) ** 2).mean(axis=(0, 1))
    frequency = np.fft.rfftfreq(lines.shape[-1])
    band = (frequency >= FREQUENCY_BAND[0]) & (frequency <= FREQUENCY_BAND[1])
    return float(np.polyfit(np.log(frequency[band]), np.log(power[band]), 1)[0])


def _gradients(scan: Volume) -> NDArray[np.floating]:
    """Gradient magnitudes in the brighter half of echo 1, in intensity scales per mm."""
    image = scan.array[..., 0] / intensity_scale(scan.array)
    components = np.gradient(image, *scan.spacing_mm)
    magnitude = np.sqrt(np.sum(np.square(components), axis=0))
    return magnitude[image > np.median(image)][::50]


def draw_planes(pair: Pair, path: Path) -> None:
    """Draws sagittal, coronal and axial planes of both echoes of both scans."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(4, 3, figsize=(15, 20))
    for row, (echo, name, knee) in enumerate(
        (echo, name, knee)
        for echo in (0, 1)
        for name, knee in zip(("real", "phantom"), pair, strict=True)
    ):
        scan, (plateau_row, plateau_column, plateau_slice) = knee.scan, knee.plateau
        image = scan.array[..., echo] / np.percentile(scan.array[..., echo], 99.7)
        axial_row = plateau_row - round(CONDYLES_ABOVE_MM / scan.spacing_mm[0])
        for panel, axis, index in zip(
            axes[row], (2, 1, 0), (plateau_slice, plateau_column, axial_row), strict=True
        ):
            down, across = np.delete(scan.spacing_mm, axis)
            plane = np.take(image, index, axis=axis)
            panel.imshow(plane, "gray", vmin=0, vmax=1, aspect=down / across)
            panel.set_title(f"{name}, echo {echo + 1}")
            panel.axis("off")
    figure.tight_layout()
    figure.savefig(path, dpi=80)
