"""One subject, from its seed to its files."""

import json
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from phantom.acquisition import (
    PROTOCOLS,
    Protocol,
    Scan,
    Sequence,
    acquire,
    cartilage_signal,
    receive_field,
    scan,
)
from phantom.knee import Knee
from phantom.pathology import Finding
from phantom.study import Header, write_study
from phantom.tissues import LABELS

SPOILER = (3132.0, 1560.0)  # area as GE stores it, duration in us
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
# Sagittal: rows run down (-z), columns backwards (+y), slices to the patient's right (-x), LPS.
SAGITTAL = np.array([[0, 0, -1.0], [0, 1.0, 0], [-1.0, 0, 0]])
# Middle of the field of view in the knee's own axes, mm: of a whole knee, and of a crop, which
# goes where there is most to see (the posterior horn of the medial meniscus).
WHOLE, CROP = np.array([0.0, 7.0, 2.0]), np.array([-20.0, 13.0, 3.0])


def write_subject(
    folder: Path,
    number: int,
    *,
    seed: int,
    protocol: str,
    shape: tuple[int, int, int],
    snr: tuple[float, ...],
    diffusivity_m2_per_s: float,
    truncate: bool,
    threads: int = 1,
) -> None:
    """Makes subject `number` of a seed and writes dicom/ and truth/ into `folder`."""
    chosen = PROTOCOLS[protocol]
    knee = Knee(np.random.default_rng([seed, number, 0]))
    rng = np.random.default_rng([seed, number, 1])
    laterality = "LR"[int(rng.integers(2))]
    affine, to_knee = _placed(chosen, shape, laterality, rng)
    sequence = _sequence(chosen, diffusivity_m2_per_s)
    result = scan(knee, to_knee, shape, sequence, threads)
    field = receive_field(shape, chosen.spacing_mm, rng)
    drawn_snr = float(rng.uniform(snr[0], snr[-1]))
    sigma = cartilage_signal(result, field) / drawn_snr if drawn_snr else 0.0
    fraction = chosen.phase_fraction if truncate else 1.0
    echoes = np.stack(
        [acquire(result.signal[..., e], field, sigma, fraction, [seed, number, 2 + e])
         for e in range(2)], axis=-1,
    )  # fmt: skip
    if chosen.combined:
        echoes = np.sqrt((echoes**2).sum(axis=-1, keepdims=True))
    peak = float(rng.uniform(4000, 9000))
    scale = peak / float(np.percentile(echoes, 99.99))
    header = Header(
        uid_seed=f"mrsr-tf phantom {seed} {number} {protocol} {shape} {snr} "
        f"{diffusivity_m2_per_s} {truncate}",
        number=number,
        protocol=protocol,
        affine=affine,
        laterality=laterality,
        tr_ms=chosen.tr_ms,
        echo_times_ms=chosen.te_ms[:1] if chosen.combined else chosen.te_ms,
        flip_deg=chosen.flip_deg,
        spoiler=SPOILER if diffusivity_m2_per_s else None,
        two_series=bool(rng.integers(2)) and not chosen.combined,
        reversed_numbers=bool(rng.integers(2)),
    )
    stored = np.clip(np.round(echoes * scale), 0, 32767).astype(np.int16)
    write_study(stored, header, folder / "dicom")
    facts = {
        "seed": seed,
        "subject": number,
        "protocol": protocol,
        "laterality": laterality,
        "tr_ms": chosen.tr_ms,
        "te_ms": list(chosen.te_ms),
        "flip_deg": chosen.flip_deg,
        "diffusivity_m2_per_s": diffusivity_m2_per_s,
        "spoiler_area": sequence.spoiler_area,
        "spoiler_duration_us": sequence.spoiler_duration_us,
        "cartilage_s1_snr": drawn_snr or None,
        "noise_sigma": sigma * scale,
        "intensity_per_m0": scale,
        "phase_fraction": fraction,
        "spacing_mm": list(chosen.spacing_mm),
        "pathology": [_described(f, knee, to_knee) for f in knee.findings],
        "labels": LABELS,
    }
    _write_truth(result, affine, facts, folder / "truth")


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
