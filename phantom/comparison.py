"""Comparison of a phantom with a real knee: figures of both side by side, and pictures."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, stats

from mrsr_tf.errors import InputError
from mrsr_tf.volume import Volume, intensity_scale
from phantom.anatomy.tissues import FIRST_CARTILAGE, LABELS
from phantom.scanner.protocols import HIGH_RESOLUTION
from phantom.subject import SimulationConfig, make_subject

REAL_SHAPE = (512, 512, 48)  # of the one scan whose regions are known
REAL_SNR = 30.0  # approximately
SLAB_SLICES = 76  # a whole knee in slices of 1.5 mm; the real scan holds its lateral part
DIFFUSIVITY = 1.25e-9  # m^2/s
# Drawn by eye where there is only one tissue.
REAL_REGIONS = {
    "fluid": np.s_[328:335, 332:337, 22],
    "muscle": np.s_[290:370, 378:398, 22],
    "marrow": np.s_[220:290, 220:300, 22],
    "fat": np.s_[275:312, 112:142, 22],
    "meniscus": np.s_[321:328, 230:238, 22],
    "cartilage": np.s_[175:222, 155:166, 22],
    "air": np.s_[5:60, 5:60, 22],
}
REAL_PLATEAU = (325, 270, 18)  # the middle of the cartilage of the lateral plateau, by eye
FREQUENCY_BAND = (0.1, 0.45)  # cycles per voxel
CONDYLES_ABOVE_MM = 22.0  # height of the axial plane above the plateau


@dataclass(frozen=True, eq=False)
class ComparedScan:
    """A scan with two echoes.

    Attributes:
        scan: the images.
        regions: by tissue, slices or a mask that index an image of it.
        plateau: the voxel in the middle of the lateral plateau.
    """

    scan: Volume
    regions: dict[str, Any]
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
    protocol = replace(
        HIGH_RESOLUTION,
        spacing_mm=(rows_mm, cols_mm, slices_mm),
        tr_ms=tr,
        te_ms=(te[0], te[1]),
        flip_deg=flip,
        phase_fraction=320 / 512,
    )
    shape = (*REAL_SHAPE[:2], SLAB_SLICES)
    config = SimulationConfig(seed, protocol, shape, (REAL_SNR,), DIFFUSIVITY)
    return ComparedScan(real, REAL_REGIONS, REAL_PLATEAU), _phantom(config, real.affine)


def _phantom(config: SimulationConfig, affine: NDArray[np.float64]) -> ComparedScan:
    """The lateral part of a simulated knee, in the orientation of a right knee."""
    subject = make_subject(0, config, threads=2)
    # Slices run to the patient's right: to lateral in a right knee, to medial in a left one.
    order = slice(None) if subject.header.laterality == "R" else slice(None, None, -1)
    lateral = slice(SLAB_SLICES - REAL_SHAPE[2], None)
    label = subject.truth.label[:, :, order][:, :, lateral]
    scan = Volume(subject.images[:, :, order][:, :, lateral].astype(np.float32), affine)
    plateau = np.isin(
        label, [LABELS[f"lateral_tibial_cartilage_{layer}"] for layer in ("deep", "superficial")]
    )
    middle = tuple(int(axis.mean()) for axis in np.nonzero(plateau))
    return ComparedScan(scan, _phantom_regions(label), middle)


def _phantom_regions(label: NDArray[np.int16]) -> dict[str, NDArray[np.bool_]]:
    """Each tissue without its outermost voxels."""
    labels = LABELS | {"fluid": LABELS["synovial_fluid"], "fat": LABELS["hoffa_fat_pad"]}
    masks = {
        name: label >= FIRST_CARTILAGE if name == "cartilage" else label == labels[name]
        for name in REAL_REGIONS
    }
    neighbourhood = np.ones((3, 3, 3), bool)
    return {name: ndimage.binary_erosion(mask, neighbourhood) for name, mask in masks.items()}


def comparison_table(pair: Pair) -> str:
    """The figures of both scans and their ratio as a Markdown table."""
    real, phantom = map(_figures, pair)
    lines = ["| figure | real | phantom | ratio |", "|---|---|---|---|"]
    for name, value in real.items():
        simulated = phantom[name]
        lines.append(f"| {name} | {value:.3g} | {simulated:.3g} | {simulated / value:.2f} |")
    gradients = [_gradients(knee.scan) for knee in pair]
    distance = stats.wasserstein_distance(*gradients) / float(np.mean(gradients[0]))
    name = "gradient histograms: Wasserstein distance over the real mean"
    return "\n".join([*lines, f"| {name} | | {distance:.2g} | |"]) + "\n"


def _figures(knee: ComparedScan) -> dict[str, float]:
    echoes = list(enumerate(np.moveaxis(knee.scan.array, 3, 0), 1))
    signals = {
        f"S{echo} of {name}": _signal(image, region, knee.regions["air"])
        for name, region in knee.regions.items()
        for echo, image in echoes
        if name != "air"
    }
    cartilage = signals.pop("S1 of cartilage")
    slopes = {
        f"slope of the power spectrum, echo {echo}, along {name}": _slope(image, axis)
        for axis, name in enumerate(("rows", "columns", "slices"))
        for echo, image in echoes
    }
    noise = {
        f"noise of echo {echo} in {name}": _noise(image, knee.regions[name])
        for name in ("air", "muscle")
        for echo, image in echoes
    }

    def over_cartilage(values: dict[str, float]) -> dict[str, float]:
        return {f"{name} over S1 of cartilage": v / cartilage for name, v in values.items()}

    return over_cartilage(signals) | slopes | over_cartilage(noise)


def _signal(image: NDArray[np.float32], region: Any, air: Any) -> float:
    """The mean signal of a region, corrected for the noise in air."""
    power, noise = (np.mean(np.square(image[part], dtype=np.float64)) for part in (region, air))
    return float(np.sqrt(max(power - noise, 0)))


def _noise(image: NDArray[np.float32], region: Any) -> float:
    fine = image - ndimage.uniform_filter(image, (5, 5, 1))
    return float(fine[region].std() / np.sqrt(1 - 1 / 25))


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
