"""One simulated subject, from its seed to its files."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from mrsr_tf.io import truth_files
from phantom.anatomy.knee import Knee
from phantom.anatomy.pathology import Finding
from phantom.anatomy.tissues import LABELS
from phantom.scanner.ge_dicom import Header, write_study
from phantom.scanner.imperfections import BEYOND_MM, Imperfections, random_imperfections
from phantom.scanner.partial_volume import NoiseFreeScan, scan_knee
from phantom.scanner.protocols import Protocol
from phantom.scanner.reception import acquire, cartilage_signal, receive_field, received

LARGEST_INTENSITY = 32767  # of the int16 images
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
# Sagittal: rows run down (-z), columns backwards (+y), slices to the patient's right (-x), in LPS.
SAGITTAL = np.array([[0, 0, -1.0], [0, 1.0, 0], [-1.0, 0, 0]])
# Centre of the field of view in the axes of the knee, mm: of a whole knee, and of a crop, which
# shows the posterior horn of the medial meniscus.
WHOLE_CENTRE, CROP_CENTRE = np.array([0.0, 7.0, 2.0]), np.array([-20.0, 13.0, 3.0])


@dataclass(frozen=True)
class SimulationConfig:
    """How a set of subjects is simulated.

    Attributes:
        seed: of the set.
        protocol: the scan protocol.
        shape: rows, columns and slices; fewer than the protocol's crop the field of view.
        snr: range from which the S1 signal-to-noise ratio of cartilage is sampled; 0 is no noise.
        diffusivity_m2_per_s: of all but liquids, which diffuse twice as fast; 0 is no diffusion.
        truncate: sample k-space as a scanner does; otherwise voxels are plain averages.
        fat_t2: range from which the T2 of fat, relative to that of `anatomy.tissues`, is sampled.
    """

    seed: int
    protocol: Protocol
    shape: tuple[int, int, int]
    snr: tuple[float, ...]
    diffusivity_m2_per_s: float = 0.0
    truncate: bool = True
    fat_t2: tuple[float, ...] = (1.0,)


@dataclass(frozen=True, eq=False)
class Subject:
    """The images of a knee and its ground truth.

    Attributes:
        images: int16 (rows, cols, slices, echoes), as stored.
        header: the further content of the DICOM files.
        truth: the noise-free scan and the tissues behind it.
        acquisition: how it was simulated, in plain JSON values.
    """

    images: NDArray[np.int16]
    header: Header
    truth: NoiseFreeScan
    acquisition: dict[str, Any]


def make_subject(number: int, config: SimulationConfig, threads: int = 1) -> Subject:
    """Simulates subject `number` of a set. The result does not depend on the number of threads."""
    knee = Knee(np.random.default_rng([config.seed, number, 0]), config.fat_t2)
    rng = np.random.default_rng([config.seed, number, 1])
    laterality = "LR"[int(rng.integers(2))]
    affine, to_knee = _random_position(config.protocol, config.shape, laterality, rng)
    sequence = config.protocol.sequence(config.diffusivity_m2_per_s)
    imperfections = random_imperfections(rng, config.protocol) if config.truncate else None
    scan, beyond = _scan(knee, to_knee, config, imperfections, threads)
    images, reception = _receive(scan, beyond, config, number, rng, imperfections)
    truth = scan.cropped(beyond)
    acquisition = {
        "seed": config.seed,
        "subject": number,
        "protocol": config.protocol.name,
        "laterality": laterality,
        **asdict(sequence),
        **reception,
        "spacing_mm": config.protocol.spacing_mm,
        "knee_size": knee.size,
        "flexion_deg": round(knee.flexion_deg, 1),
        "joint_fluid_ml": round(knee.joint_fluid_ml, 1),
        "cartilage_t2_level": knee.cartilage_t2,
        "fat_t2_level": knee.fat_t2,
        "pathology": [_finding_entry(finding, knee, to_knee) for finding in knee.findings],
        "labels": LABELS,
    }
    header = Header(
        uid_seed=(
            f"mrsr-tf phantom {config.seed} {number} {config.protocol} {config.shape} {config.snr} "
            f"{config.diffusivity_m2_per_s} {config.truncate} {config.fat_t2}"
        ),
        patient=f"{config.seed}-{number:03d}",
        protocol=config.protocol,
        sequence=sequence,
        affine=affine,
        laterality=laterality,
        two_series=bool(rng.integers(2)) and not config.protocol.combined,
        reversed_numbers=bool(rng.integers(2)),
    )
    return Subject(images, header, truth, acquisition)


def write_subject(subject: Subject, folder: Path) -> None:
    """Writes dicom/ and truth/ into `folder`."""
    write_study(subject.images, subject.header, folder / "dicom")
    _write_truth(subject, folder / truth_files.FOLDER)


def _scan(
    knee: Knee,
    to_knee: NDArray[np.float64],
    config: SimulationConfig,
    imperfections: Imperfections | None,
    threads: int,
) -> tuple[NoiseFreeScan, int]:
    """The signals of a knee, and how many slices they extend beyond the slab at each end."""
    sequence = config.protocol.sequence(config.diffusivity_m2_per_s)
    rows, columns, slices = config.shape
    beyond = min(round(BEYOND_MM / config.protocol.spacing_mm[2]), slices) if imperfections else 0
    start = to_knee.copy()
    start[:, 3] -= beyond * to_knee[:, 2]
    shape = (rows, columns, slices + 2 * beyond)
    fat = imperfections.fat_excitation() if imperfections else None
    return scan_knee(knee, start, shape, sequence, threads, fat_excitation=fat), beyond


def _receive(
    scan: NoiseFreeScan,
    beyond: int,
    config: SimulationConfig,
    number: int,
    rng: np.random.Generator,
    imperfections: Imperfections | None,
) -> tuple[NDArray[np.int16], dict[str, Any]]:
    """(rows, cols, slices, echoes) as stored, and the parameters of their reception."""
    spacing_mm = config.protocol.spacing_mm
    field = receive_field(scan.label.shape, spacing_mm, rng)
    snr = float(rng.uniform(config.snr[0], config.snr[-1]))
    sigma = cartilage_signal(scan, field) / snr if snr else 0.0
    if imperfections:
        echoes = [
            acquire(
                received(scan, echo, field, beyond, spacing_mm, imperfections),
                sigma,
                echo,
                imperfections,
                np.random.default_rng([config.seed, number, 2 + echo]),
            )
            for echo in (0, 1)
        ]
    else:
        echoes = [
            _with_noise(scan.signal[..., echo] * field, sigma, [config.seed, number, 2 + echo])
            for echo in (0, 1)
        ]
    images = np.stack(echoes, axis=-1)
    if config.protocol.combined:
        images = np.sqrt((images**2).sum(axis=-1, keepdims=True))
    scanner_scale = float(rng.uniform(4000, 9000)) / float(np.percentile(images, 99.99))
    # Without noise, rounding to integers must not limit the accuracy of T2: all 15 bits are used.
    scale = scanner_scale if sigma else LARGEST_INTENSITY / float(images.max(initial=1e-9))
    images *= np.float32(scale)
    return np.clip(np.round(images, out=images), 0, LARGEST_INTENSITY).astype(np.int16), {
        "cartilage_s1_snr": snr or None,
        "noise_sigma": sigma * scale,
        "intensity_per_m0": scale,
        "k_space": "sampled" if imperfections else "voxel averages",
        "scanner": asdict(imperfections) if imperfections else None,
    }


def _with_noise(
    signal: NDArray[np.complex64], sigma: float, seed: list[int]
) -> NDArray[np.float32]:
    """The magnitude of voxel averages with the noise of one coil."""
    if not sigma:
        return np.abs(signal)
    noise = np.random.default_rng(seed).standard_normal((*signal.shape, 2), np.float32)
    return np.abs(signal + np.float32(sigma) * noise.view(np.complex64)[..., 0])


def _finding_entry(finding: Finding, knee: Knee, to_knee: NDArray[np.float64]) -> dict[str, object]:
    """A finding with its position in the scan, which may lie outside the field of view."""
    position = knee.from_reference(finding.centre)
    voxel = np.linalg.solve(to_knee[:, :3], position - to_knee[:, 3])
    return {
        "kind": finding.kind,
        "where": finding.where,
        "row_column_slice": [round(float(v), 2) for v in voxel],
        "size_mm": round(finding.size_mm * knee.size, 3),
        "severity": round(finding.severity, 3),
    }


def _random_position(
    protocol: Protocol, shape: tuple[int, int, int], laterality: str, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The position of the scan in the patient and in the knee.

    Returns:
        (4, 4) from (row, col, slice, 1) to patient mm (LPS), and (3, 4) to mm in the knee's axes.
    """
    spacing = np.array(protocol.spacing_mm)
    middle = (np.array(shape) - 1) / 2
    oblique = bool(rng.random() < 0.4)
    tilt = Rotation.from_euler("xyz", rng.uniform(-12, 12, 3) * oblique, degrees=True).as_matrix()
    isocentre = np.array([(70.0 if laterality == "L" else -70.0), 0, 0]) + rng.uniform(-15, 15, 3)
    affine = np.eye(4)
    affine[:3, :3] = tilt @ SAGITTAL * spacing
    affine[:3, 3] = isocentre - affine[:3, :3] @ middle
    # An oblique scan follows an oblique patient: the knee lies almost straight in the slab.
    pose = Rotation.from_euler("xyz", rng.normal(0, [3, 2, 4]), degrees=True).as_matrix()
    mirror = np.diag([1.0 if laterality == "L" else -1.0, 1, 1])
    extent_mm = spacing[[2, 1, 0]] * np.array(shape)[[2, 1, 0]]
    cropped = np.clip((90 - extent_mm) / 50, 0, 1)
    to_knee = np.empty((3, 4))
    to_knee[:, :3] = pose @ mirror @ SAGITTAL * spacing
    centre = WHOLE_CENTRE + (CROP_CENTRE - WHOLE_CENTRE) * cropped
    to_knee[:, 3] = centre - to_knee[:, :3] @ middle
    return affine, to_knee


def _write_truth(subject: Subject, folder: Path) -> None:
    folder.mkdir(parents=True)
    ras = (LPS_TO_RAS @ subject.header.affine)[:, [1, 0, 2, 3]]  # a NIfTI is (col, row, slice)
    truth = subject.truth
    for name, array in (
        (truth_files.T1, truth.t1_ms),
        (truth_files.T2, truth.t2_ms),
        (truth_files.M0, truth.m0),
        (truth_files.LABELS, truth.label),
    ):
        image = nibabel.Nifti1Image(array.transpose(1, 0, 2), ras)
        image.header.set_xyzt_units("mm")
        nibabel.save(image, folder / name)
    content = json.dumps(subject.acquisition, indent=2, allow_nan=False) + "\n"
    (folder / truth_files.ACQUISITION).write_text(content, encoding="utf-8")
