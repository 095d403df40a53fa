"""Figures of scans side by side: where interpolation errs, texture by tissue, and noise."""

import itertools
from collections.abc import Callable, Iterable, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, stats

from mrsr_tf.mri.slices import interpolate, thicken
from mrsr_tf.volume import Volume, intensity_scale
from phantom.comparison.scans import ComparedScan

Image = NDArray[np.floating]
# By name, functions that super-resolve thick slices (rows, cols, slices, echoes) by a factor of 2.
Networks = Mapping[str, Callable[[Image], Image]]

BRIGHTNESS = {  # S1 over the intensity scale
    "0 to 0.05": (0, 0.05),
    "0.05 to 0.1": (0.05, 0.1),
    "0.1 to 0.2": (0.1, 0.2),
    "0.2 to 0.4": (0.2, 0.4),
    "0.4 to 0.7": (0.4, 0.7),
    "0.7 and more": (0.7, np.inf),
}
DEPTHS_MM = {  # distance into the leg; air is negative
    "in air, 1.5 mm from the skin and more": (-np.inf, -1.5),
    "within 1.5 mm of the skin": (-1.5, 1.5),
    "1.5 to 5 mm below the skin": (1.5, 5),
    "5 to 15 mm below the skin": (5, 15),
    "15 mm below the skin and more": (15, np.inf),
}
TISSUES = ("muscle", "fat", "marrow", "cartilage")
PATCH = 16  # voxels of the patches whose spectra are averaged
FREQUENCIES = (0.2, 0.5, 0.9, 1.5)  # cycles per mm: the bands in plane
OUTER_SLICES = {"first 7": np.s_[:7], "last 4": np.s_[-4:]}  # where a slab ends, if it does


def comparison_table(
    real: ComparedScan, phantoms: Iterable[ComparedScan], networks: Networks
) -> str:
    """The figures of a real scan beside the mean and the range of those of phantoms, in Markdown.

    Args:
        real: the real scan.
        phantoms: one or more, of which one is held at a time.
        networks: whose gain over interpolation is compared.
    """
    expected = figures(real, networks)
    measured = [figures(knee, networks) | _gradient_distances(real, knee) for knee in phantoms]
    lines = ["| figure | real | phantoms | lowest | highest | ratio |", "|---|---|---|---|---|---|"]
    within = 0
    for name in measured[0]:
        values = [each[name] for each in measured]
        mean, low, high = (f(values) for f in (np.mean, min, max))
        value = expected.get(name)
        first, ratio = "", ""
        if value is not None:
            first, ratio = f"{value:.3g}", f"{mean / value:.2f}" if value else ""
            within += bool(low <= value <= high)
        lines.append(f"| {name} | {first} | {mean:.3g} | {low:.3g} | {high:.3g} | {ratio} |")
    lines += ["", f"{within} of {len(expected)} figures of the real knee lie within the phantoms'."]
    return "\n".join(lines) + "\n"


def figures(knee: ComparedScan, networks: Networks) -> dict[str, float]:
    """All figures of one scan by their names."""
    return {
        **_signals(knee),
        **_interpolation(knee, networks),
        **_textures(knee),
        **_noises(knee),
    }


def _signals(knee: ComparedScan) -> dict[str, float]:
    """Mean signals of the tissues over S1 of cartilage."""
    means: dict[str, float] = {
        f"S{echo + 1} of {name}": _mean_signal(knee, echo, name)
        for name in knee.regions
        for echo in (0, 1)
        if name != "air"
    }
    cartilage = means.pop("S1 of cartilage")
    return {f"{name} over S1 of cartilage": mean / cartilage for name, mean in means.items()}


def _mean_signal(knee: ComparedScan, echo: int, region: str) -> float:
    """The mean signal of a region, corrected for the noise in air."""
    image = knee.scan.array[..., echo]
    power, noise = (
        float(np.mean(np.square(image[knee.regions[name]], dtype=np.float64)))
        for name in (region, "air")
    )
    return max(power - noise, 0) ** 0.5


def _interpolation(knee: ComparedScan, networks: Networks) -> dict[str, float]:
    """PSNR of interpolation after thickening by 2, where its errors lie, and gains of networks."""
    array = knee.scan.array
    scale, slices = intensity_scale(array), array.shape[2]
    thick = thicken(array)
    tci = interpolate(thick)[:, :, :slices]
    restored = {name: network(thick)[:, :, :slices] for name, network in networks.items()}
    depth_mm = _depth_mm(knee.scan)
    result = {}
    for echo in (0, 1):
        truth, estimate = (np.clip(image[..., echo] / scale, 0, 1) for image in (array, tci))
        squared = np.square(truth - estimate, dtype=np.float64)
        own = np.clip(array[..., echo] / intensity_scale(array[..., [echo]]), 0, 1)
        own_tci = np.clip(tci[..., echo] / intensity_scale(array[..., [echo]]), 0, 1)
        result[f"S{echo + 1}: pSNR of TCI, one scale, dB"] = _db(squared)
        result[f"S{echo + 1}: pSNR of TCI, own scale, dB"] = _db((own - own_tci) ** 2)
        for name, fine in restored.items():
            error = (truth - np.clip(fine[..., echo] / scale, 0, 1)) ** 2
            result[f"S{echo + 1}: gain of {name} over TCI, dB"] = _db(error) - _db(squared)
        shares = {
            **_shares(squared, array[..., 0] / scale, BRIGHTNESS, "at S1 of {} of the scale"),
            **_shares(squared, depth_mm, DEPTHS_MM, "{}"),
        }
        for place, percent in shares.items():
            result[f"S{echo + 1}: share of TCI's error {place}, %"] = percent
    return result


def _shares(
    squared: Image, value: Image, bands: dict[str, tuple[float, float]], text: str
) -> dict[str, float]:
    """The percentage of a squared error where a value lies in each band."""
    return {
        text.format(name): 100
        * float(squared[(value >= low) & (value < high)].sum() / squared.sum())
        for name, (low, high) in bands.items()
    }


def _db(squared: Image) -> float:
    return float(-10 * np.log10(squared.mean()))


def _depth_mm(scan: Volume) -> NDArray[np.float32]:
    """Distance from the skin within each slice, negative in air."""
    image = scan.array[..., 0] / intensity_scale(scan.array)
    rows_mm, cols_mm, _ = scan.spacing_mm
    smooth = ndimage.gaussian_filter(image, (1 / rows_mm, 1 / cols_mm, 0))
    air = np.median(smooth[smooth < np.percentile(smooth, 20)])
    depth = np.empty(image.shape, np.float32)
    for index in range(image.shape[2]):
        bright = ndimage.binary_opening(smooth[..., index] > 3 * air, iterations=2)
        # Dark bone and fat lie between the front and the back of the leg, which columns cross.
        leg = np.maximum.accumulate(bright, axis=1)
        leg &= np.maximum.accumulate(bright[:, ::-1], axis=1)[:, ::-1]
        inside, outside = (
            ndimage.distance_transform_edt(mask, (rows_mm, cols_mm)) for mask in (leg, ~leg)
        )
        depth[..., index] = inside - outside
    return depth


def _textures(knee: ComparedScan) -> dict[str, float]:
    """Root of the power in bands of frequency, and of steps between slices, over the mean."""
    result = {}
    for tissue in TISSUES:
        for echo in (0, 1):
            image, mean = knee.scan.array[..., echo], _mean_signal(knee, echo, tissue)
            power = _power_by_band(image, knee.regions[tissue], float(knee.scan.spacing_mm[0]))
            for low, high, value in zip(FREQUENCIES, FREQUENCIES[1:], power, strict=False):
                name = (
                    f"S{echo + 1}: texture of {tissue}, {low:g} to {high:g} per mm, % of its mean"
                )
                result[name] = 100 * float(np.sqrt(value)) / mean
            both = knee.regions[tissue][..., 1:] & knee.regions[tissue][..., :-1]
            step = np.sqrt(np.mean(np.diff(image, axis=2)[both] ** 2) / 2)
            result[f"S{echo + 1}: step between slices of {tissue}, % of its mean"] = (
                100 * float(step) / mean
            )
    return {name: value for name, value in result.items() if not np.isnan(value)}


def _power_by_band(image: Image, region: NDArray[np.bool_], pixel_mm: float) -> list[float]:
    """Mean power of patches within a region in each band of `FREQUENCIES`; NaN without patch."""
    window = np.outer(*(np.hanning(PATCH + 2)[1:-1],) * 2)
    window /= np.sqrt(np.mean(window**2))
    frequency = np.hypot(*np.meshgrid(*(np.fft.fftfreq(PATCH, pixel_mm),) * 2))
    fits = ndimage.minimum_filter(region, (PATCH, PATCH, 1), origin=(-PATCH // 2, -PATCH // 2, 0))
    corners = np.argwhere(fits[:: PATCH // 2, :: PATCH // 2]) * (PATCH // 2, PATCH // 2, 1)
    patches = [image[r : r + PATCH, c : c + PATCH, s] for r, c, s in corners]
    patches = [patch for patch in patches if patch.shape == window.shape]
    if not patches:
        return [np.nan] * (len(FREQUENCIES) - 1)
    stack = np.array(patches) - np.mean(patches, axis=(1, 2), keepdims=True)
    power = np.mean(np.abs(np.fft.fft2(stack * window)) ** 2, axis=0) / PATCH**4
    return [
        float(power[(frequency >= low) & (frequency < high)].sum())
        for low, high in itertools.pairwise(FREQUENCIES)
    ]


def _gradient_distances(real: ComparedScan, knee: ComparedScan) -> dict[str, float]:
    """How far apart the gradients of two scans are distributed, over the mean of the first."""
    result = {}
    for tissue in TISSUES:
        for echo in (0, 1):
            pair = [_gradients(scan, tissue, echo) for scan in (real, knee)]
            distance = float(stats.wasserstein_distance(*pair) / np.mean(pair[0]))
            name = f"S{echo + 1}: Wasserstein distance of gradients in {tissue} over the real mean"
            result[name] = distance
    return result


def _gradients(knee: ComparedScan, tissue: str, echo: int) -> Image:
    """Gradient magnitudes in plane within a tissue, in parts of its mean per mm."""
    image = knee.scan.array[..., echo]
    rows, cols = np.gradient(image, *knee.scan.spacing_mm[:2], axis=(0, 1))
    inside = np.hypot(rows, cols)[knee.regions[tissue]] / _mean_signal(knee, echo, tissue)
    return inside[:: max(1, len(inside) // 50_000)]


def _noises(knee: ComparedScan) -> dict[str, float]:
    """Noise over S1 of cartilage, and how the magnitude of air is distributed."""
    cartilage, result = _mean_signal(knee, 0, "cartilage"), {}
    air = knee.regions["air"]
    for echo in (0, 1):
        image = knee.scan.array[..., echo]
        for name in ("air", "muscle"):
            noise = _noise(image, knee.regions[name]) / cartilage
            result[f"S{echo + 1}: noise in {name} over S1 of cartilage"] = noise
        result[f"S{echo + 1}: mean of air over its SD (Rayleigh: 1.91)"] = float(
            image[air].mean() / image[air].std()
        )
        result |= {
            f"S{echo + 1}: {name}": value
            for name, value in _outer_slices(image, air, cartilage).items()
        }
    return result


def _outer_slices(image: Image, air: NDArray[np.bool_], cartilage: float) -> dict[str, float]:
    """Brightness and noise of the first and the last slices."""
    bright, result = np.percentile(image, 98, axis=(0, 1)), {}
    # The outermost slices hold no region of the real scan: what is air in all others is air there.
    always = np.all(air[:, :, np.any(air, axis=(0, 1))], axis=2)
    for place, part in OUTER_SLICES.items():
        outer = image[:, :, part]
        result[f"brightness of the {place} slices over the middle"] = float(
            bright[part].mean() / np.median(bright)
        )
        result[f"noise in air of the {place} slices over S1 of cartilage"] = (
            _noise(outer, np.broadcast_to(always[..., None], outer.shape)) / cartilage
        )
    return result


def _noise(image: Image, region: NDArray[np.bool_]) -> float:
    fine = image - ndimage.uniform_filter(image, (5, 5, 1))
    return float(fine[region].std() / np.sqrt(1 - 1 / 25))
