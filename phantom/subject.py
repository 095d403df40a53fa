"""One subject, from its seed to its files."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from phantom.anatomy.knee import Knee
from phantom.anatomy.pathology import Finding
from phantom.anatomy.tissues import LABELS
from phantom.scanner.acquisition import (
    Protocol,
    Scan,
    Sequence,
    acquire,
    cartilage_signal,
    receive_field,
    scan,
)
from phantom.scanner.ge_dicom import Header, write_study

HIGHEST = 32767  # that a file holds
SPOILER = (3132.0, 1560.0)  # area as GE stores it, duration in us
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
# Sagittal: rows run down (-z), columns backwards (+y), slices to the patient's right (-x), LPS.
SAGITTAL = np.array([[0, 0, -1.0], [0, 1.0, 0], [-1.0, 0, 0]])
# Middle of the field of view in the knee's own axes, mm: of a whole knee, and of a crop, which
# goes where there is most to see (the posterior horn of the medial meniscus).
WHOLE, CROP = np.array([0.0, 7.0, 2.0]), np.array([-20.0, 13.0, 3.0])


@dataclass(frozen=True, eq=False)
class Subject:
    """What a scanner would deliver of a knee, and what only a phantom knows.

    Attributes:
        images: int16 (rows, cols, slices, echoes), as stored.
        header: what the files say besides.
        truth: the tissues behind them.
        facts: how it was made, plain JSON values.
    """

    images: NDArray[np.int16]
    header: Header
    truth: Scan
    facts: dict[str, Any]


def make_subject(
    number: int,
    *,
    seed: int,
    protocol: Protocol,
    shape: tuple[int, int, int],
    snr: tuple[float, ...],
    diffusivity_m2_per_s: float = 0.0,
    truncate: bool = True,
    threads: int = 1,
) -> Subject:
    """Makes subject `number` of a seed.

    Args:
        number: of the subject.
        seed: of the set.
        protocol: how it is scanned.
        shape: rows, columns, slices; fewer than the protocol's crop the field of view.
        snr: range that the S1 signal-to-noise ratio of cartilage is drawn from; 0 is no noise.
        diffusivity_m2_per_s: of all but liquids, which diffuse twice as fast; 0 where no spins do.
        truncate: sample k-space as a scanner does; otherwise voxels are plain averages.
        threads: used at once; the result does not depend on it.
    """
    knee = Knee(np.random.default_rng([seed, number, 0]))
    rng = np.random.default_rng([seed, number, 1])
    laterality = "LR"[int(rng.integers(2))]
    affine, to_knee = _placed(protocol, shape, laterality, rng)
    sequence = _sequence(protocol, diffusivity_m2_per_s)
    truth = scan(knee, to_knee, shape, sequence, threads)
    images, reception = _received(truth, protocol, snr, truncate, [seed, number], rng)
    uid_seed = (
        f"mrsr-tf phantom {seed} {number} {protocol} {shape} {snr} "
        f"{diffusivity_m2_per_s} {truncate}"
    )
    person = f"{seed}-{number:03d}"
    header = _header(uid_seed, person, protocol, affine, laterality, sequence, rng)
    facts = {
        "seed": seed,
        "subject": number,
        "protocol": protocol.name,
        "laterality": laterality,
        **asdict(sequence),
        **reception,
        "spacing_mm": protocol.spacing_mm,
        "knee_size": knee.size,
        "cartilage_t2_level": knee.cartilage_t2,
        "pathology": [_described(finding, knee, to_knee) for finding in knee.findings],
        "labels": LABELS,
    }
    return Subject(images, header, truth, facts)


def write_subject(subject: Subject, folder: Path) -> None:
    """Writes dicom/ and truth/ into `folder`."""
    write_study(subject.images, subject.header, folder / "dicom")
    _write_truth(subject.truth, subject.header.affine, subject.facts, folder / "truth")


def _received(
    truth: Scan,
    protocol: Protocol,
    snr: tuple[float, ...],
    truncate: bool,
    seed: list[int],
    rng: np.random.Generator,
) -> tuple[NDArray[np.int16], dict[str, Any]]:
    """(rows, cols, slices, echoes) as stored, and how it was received."""
    field = receive_field(truth.label.shape, protocol.spacing_mm, rng)
    drawn_snr = float(rng.uniform(snr[0], snr[-1]))
    sigma = cartilage_signal(truth, field) / drawn_snr if drawn_snr else 0.0
    fraction = protocol.phase_fraction if truncate else None
    images = _images(truth, field, sigma, fraction, seed, protocol.combined)
    brightest = float(rng.uniform(4000, 9000)) / float(np.percentile(images, 99.99))
    # Without noise a stored step must not hide what T2 is to be compared with: all 15 bits.
    scale = brightest if sigma else HIGHEST / float(images.max(initial=1e-9))
    return np.clip(np.round(images * scale), 0, HIGHEST).astype(np.int16), {
        "cartilage_s1_snr": drawn_snr or None,
        "noise_sigma": sigma * scale,
        "intensity_per_m0": scale,
        "phase_fraction": fraction or 1.0,
        "k_space": "sampled" if truncate else "voxel averages",
    }


def _images(
    truth: Scan,
    field: NDArray[np.complex64],
    sigma: float,
    fraction: float | None,
    seed: list[int],
    combined: bool,
) -> NDArray[np.float32]:
    """(rows, cols, slices, echoes); one image, the root of the sum of squares, where combined."""
    echoes = np.stack(
        [acquire(truth.signal[..., e], field, sigma, fraction, [*seed, 2 + e]) for e in (0, 1)],
        axis=-1,
    )
    return np.sqrt((echoes**2).sum(axis=-1, keepdims=True)) if combined else echoes


def _header(
    uid_seed: str,
    person: str,
    protocol: Protocol,
    affine: NDArray[np.float64],
    laterality: str,
    sequence: Sequence,
    rng: np.random.Generator,
) -> Header:
    return Header(
        uid_seed=uid_seed,
        person=person,
        protocol=protocol.name,
        affine=affine,
        laterality=laterality,
        tr_ms=protocol.tr_ms,
        echo_times_ms=protocol.te_ms[:1] if protocol.combined else protocol.te_ms,
        flip_deg=protocol.flip_deg,
        spoiler=SPOILER if sequence.spoiler_area else None,
        two_series=bool(rng.integers(2)) and not protocol.combined,
        reversed_numbers=bool(rng.integers(2)),
    )


def _described(finding: Finding, knee: Knee, to_knee: NDArray[np.float64]) -> dict[str, object]:
    """A finding with where it lies in the scan; it may lie outside."""
    voxel = np.linalg.solve(to_knee[:, :3], knee.position(finding.centre) - to_knee[:, 3])
    return {
        "kind": finding.kind,
        "where": finding.where,
        "row_column_slice": [round(float(v), 2) for v in voxel],
        "size_mm": round(finding.size_mm * knee.size, 3),
        "severity": round(finding.severity, 3),
    }


def _sequence(protocol: Protocol, diffusivity: float) -> Sequence:
    still = Sequence(protocol.tr_ms, protocol.te_ms, protocol.flip_deg)
    if not diffusivity:
        return still
    return replace(
        still,
        diffusivity_m2_per_s=diffusivity,
        spoiler_area=SPOILER[0],
        spoiler_duration_us=SPOILER[1],
    )


def _placed(
    protocol: Protocol, shape: tuple[int, int, int], laterality: str, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where the scan lies: (4, 4) to patient mm (LPS), and (3, 4) to mm in the knee's own axes."""
    spacing = np.array(protocol.spacing_mm)
    middle = (np.array(shape) - 1) / 2
    oblique = bool(rng.random() < 0.4)
    tilt = Rotation.from_euler("xyz", rng.uniform(-12, 12, 3) * oblique, degrees=True).as_matrix()
    isocentre = np.array([(70.0 if laterality == "L" else -70.0), 0, 0]) + rng.uniform(-15, 15, 3)
    affine = np.eye(4)
    affine[:3, :3] = tilt @ SAGITTAL * spacing
    affine[:3, 3] = isocentre - affine[:3, :3] @ middle
    # The scanner's oblique follows the patient's: the knee lies almost straight in the slab.
    pose = Rotation.from_euler("xyz", rng.normal(0, [3, 2, 4]), degrees=True).as_matrix()
    mirror = np.diag([1.0 if laterality == "L" else -1.0, 1, 1])
    extent = spacing[[2, 1, 0]] * np.array(shape)[[2, 1, 0]]
    centre = WHOLE + (CROP - WHOLE) * np.clip((90 - extent) / 50, 0, 1)
    to_knee = np.empty((3, 4))
    to_knee[:, :3] = pose @ mirror @ SAGITTAL * spacing
    to_knee[:, 3] = centre - to_knee[:, :3] @ middle
    return affine, to_knee


def _write_truth(
    result: Scan, affine: NDArray[np.float64], facts: dict[str, object], folder: Path
) -> None:
    folder.mkdir(parents=True)
    swap = np.eye(4)[[1, 0, 2, 3]]  # a NIfTI is (col, row, slice)
    ras = LPS_TO_RAS @ affine @ swap
    maps: dict[str, NDArray] = {
        "t1_ms": result.t1_ms,
        "t2_ms": result.t2_ms,
        "m0": result.m0,
        "labels": result.label,
    }
    for name, array in maps.items():
        image = nibabel.Nifti1Image(array.transpose(1, 0, 2), ras)
        image.header.set_xyzt_units("mm")
        nibabel.save(image, folder / f"{name}.nii.gz")
    (folder / "acquisition.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
