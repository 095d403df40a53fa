"""Figures by which a phantom and a real knee are compared."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, stats

from mrsr_tf.errors import InputError
from mrsr_tf.volume import Volume, intensity_scale
from phantom.anatomy.tissues import FIRST_CARTILAGE, LABELS, LAYERS
from phantom.scanner.acquisition import Protocol
from phantom.subject import make_subject

SNR = 30.0  # of the real scan, near enough
SLAB_SLICES = 76  # a whole knee at the real scan's 1.5 mm, of which it holds the lateral part
DIFFUSIVITY = 1.25e-9
# (rows, columns, slice) in the real scan, drawn by eye where only one tissue is.
REGIONS = {
    "cartilage": ((175, 222), (155, 166), 22),
    "fluid": ((328, 335), (332, 337), 22),
    "muscle": ((290, 370), (378, 398), 22),
    "marrow": ((220, 290), (220, 300), 22),
    "fat": ((275, 312), (112, 142), 22),
    "meniscus": ((321, 328), (230, 238), 22),
    "air": ((5, 60), (5, 60), 22),
}
TISSUES = {
    "fluid": ("synovial_fluid",),
    "muscle": ("muscle",),
    "marrow": ("marrow",),
    "fat": ("hoffa_fat_pad",),
    "meniscus": ("meniscus",),
    "air": ("air",),
}
PLATEAU = (325, 270, 18)  # the middle of the lateral plateau's cartilage, likewise
BAND = (0.1, 0.45)  # cycles per voxel

Regions = dict[str, NDArray[np.bool_]]


@dataclass(frozen=True, eq=False)
class Compared:
    """A scan, the voxels of its tissues and the middle of its lateral plateau."""

    scan: Volume
    regions: Regions
    plateau: tuple[int, ...]


def paired(real: Volume, seed: int) -> tuple[Compared, Compared]:
    """The real scan, and a right knee simulated as it was acquired.

    Raises:
        InputError: the real scan is not the one whose regions are known.
    """
    te, tr, flip = real.echo_times_ms, real.repetition_time_ms, real.flip_angle_deg
    if real.array.shape != (512, 512, 48, 2) or te is None or tr is None or flip is None:
        raise InputError(
            f"expected the real knee of 512x512x48 voxels and two echoes, got {real.array.shape}"
        )
    rows_mm, cols_mm, slices_mm = (float(d) for d in real.spacing_mm)
    protocol = Protocol(
        "compared", (512, 512, SLAB_SLICES), (rows_mm, cols_mm, slices_mm), tr, (te[0], te[1]),
        flip, (SNR, SNR), phase_fraction=320 / 512,
    )  # fmt: skip
    subject = make_subject(
        0, seed=seed, protocol=protocol, shape=protocol.shape, snr=(SNR,),
        diffusivity_m2_per_s=DIFFUSIVITY, threads=2,
    )  # fmt: skip
    # Slices run to the patient's right: to lateral in a right knee, to medial in a left one.
    order = slice(None) if subject.header.laterality == "R" else slice(None, None, -1)
    lateral = slice(SLAB_SLICES - 48, None)
    label = subject.truth.label[:, :, order][:, :, lateral]
    phantom = Volume(subject.images[:, :, order][:, :, lateral].astype(np.float32), real.affine)
    cartilage = [LABELS[f"lateral_tibial_cartilage_{layer}"] for layer in LAYERS]
    plateau = tuple(int(place.mean()) for place in np.nonzero(np.isin(label, cartilage)))
    return Compared(real, _drawn(real), PLATEAU), Compared(phantom, _known(label), plateau)


def _drawn(scan: Volume) -> Regions:
    regions = {}
    for name, ((top, bottom), (left, right), index) in REGIONS.items():
        mask = np.zeros(scan.array.shape[:3], bool)
        mask[top:bottom, left:right, index] = True
        regions[name] = mask
    return regions


def _known(label: NDArray[np.int16]) -> Regions:
    """Each tissue without its surface."""
    masks = {"cartilage": label >= FIRST_CARTILAGE} | {
        name: np.isin(label, [LABELS[tissue] for tissue in tissues])
        for name, tissues in TISSUES.items()
    }
    around = np.ones((3, 3, 3), bool)
    return {name: ndimage.binary_erosion(mask, around) for name, mask in masks.items()}


def table(pair: tuple[Compared, Compared]) -> str:
    """All figures of both as a Markdown table, with the phantom's over the real's."""
    real, phantom = (_figures(knee.scan, knee.regions) for knee in pair)
    lines = ["| figure | real | phantom | ratio |", "|---|---|---|---|"]
    for name, value in real.items():
        other = phantom[name]
        lines.append(f"| {name} | {value:.3g} | {other:.3g} | {other / value:.2f} |")
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
    """Mean signal of a region, the noise floor's power taken off."""

    def signal(region: NDArray[np.bool_], echo: int) -> float:
        image = scan.array[..., echo].astype(np.float64)
        power = np.mean(image[region] ** 2) - np.mean(image[air] ** 2)
        return math.sqrt(max(float(power), 0.0))

    return signal


def _slope(image: NDArray[np.float32], axis: int) -> float:
    """Exponent of the power spectrum along an axis, mean over the middle of the scan."""
    middle = tuple(slice(n // 5, n - n // 5) for n in image.shape)
    window = np.hanning(image[middle].shape[axis]).astype(np.float32)
    part = np.moveaxis(image[middle], axis, -1)
    part = (part - part.mean(axis=-1, keepdims=True)) * window
    power = (np.abs(np.fft.rfft(part, axis=-1)) ** 2).mean(axis=(0, 1))
    frequency = np.fft.rfftfreq(part.shape[-1])
    band = (frequency >= BAND[0]) & (frequency <= BAND[1])
    return float(np.polyfit(np.log(frequency[band]), np.log(power[band]), 1)[0])


def _gradients(scan: Volume) -> NDArray[np.floating]:
    """Gradient magnitudes of the bright half of echo 1, relative to the scan's scale, per mm."""
    image = scan.array[..., 0] / intensity_scale(scan.array)
    steps = np.gradient(image, *scan.spacing_mm)
    size = np.sqrt(np.sum(np.square(steps), axis=0))
    return size[image > np.median(image)][::50]
