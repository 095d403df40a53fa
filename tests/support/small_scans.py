"""Small knees for the tests of the evaluation: tubes of known T2, written as subjects' folders."""

import json
from pathlib import Path

import numpy as np

from eval.results.rows import write_rows
from mrsr_tf.io.nifti import write_map, write_nifti
from mrsr_tf.mri.dess import dess_signals
from mrsr_tf.volume import Volume

TR_MS, TE_MS, FLIP_DEG = 23.0, 7.0, 20.0
SPACING_MM = (0.4, 0.5, 1.6)
# A right knee's sagittal slices from lateral to medial: rows to inferior, columns to posterior.
SAGITTAL = np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])
LABELS = {"medial_femoral_cartilage_deep": 3, "medial_femoral_cartilage_superficial": 4, "bone": 7}


def sagittal_affine() -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = SAGITTAL * SPACING_MM
    affine[:3, 3] = (-40, -20, 30)
    return affine


def knee(
    shape=(24, 20, 12), echoes: int = 2, t2_ms=(27.0, 46.0), seed: int = 0, noise: float = 0.0
) -> tuple[Volume, np.ndarray, np.ndarray]:
    """A scan, its labels and its true T2: two nested tubes that lean along the slices."""
    rows, cols, slices = np.indices(shape)
    radius = np.hypot(rows - shape[0] / 2, cols - shape[1] / 2 - 0.4 * np.sin(slices))
    labels = np.select([radius < 3, radius < 5, radius < 7], [7, 3, 4])
    true_t2 = np.select([labels == 3, labels == 4], t2_ms, 30.0)
    m0 = np.select([labels == 7, labels > 0], [0.1, 1.0], 0.02) * 10000
    signals = dess_signals(m0, 1200.0, true_t2, tr_ms=TR_MS, te_ms=TE_MS, flip_deg=FLIP_DEG)
    array = np.stack(signals[:echoes], axis=-1)
    array = np.abs(array + np.random.default_rng(seed).normal(0, noise, array.shape))
    times = (TE_MS, 2 * TR_MS - TE_MS)[:echoes]
    scan = Volume(array, sagittal_affine(), times, TR_MS, FLIP_DEG)
    return scan, labels.astype(np.uint8), true_t2.astype(np.float32)


def write_subject(
    folder: Path, scan: Volume, labels: np.ndarray | None = None, t2: np.ndarray | None = None
) -> Path:
    """image.nii.gz and, where labels are given, a phantom's truth/."""
    folder.mkdir(parents=True)
    write_nifti(scan, folder / "image.nii.gz")
    if labels is not None:
        (folder / "truth").mkdir()
        write_map(labels, scan, folder / "truth" / "labels.nii.gz")
        (folder / "truth" / "acquisition.json").write_text(json.dumps({"labels": LABELS}))
    if t2 is not None:
        write_map(t2, scan, folder / "truth" / "t2_ms.nii.gz")
    return folder


def write_cohort(folder: Path, subjects: int, **options) -> Path:
    for number in range(subjects):
        scan, labels, t2 = knee(seed=number, noise=20.0, t2_ms=(26.0 + number, 45.0), **options)
        write_subject(folder / f"subject_{number}", scan, labels, t2)
    return folder


def image_quality_rows(values: dict[str, list[float]], echoes=(1, 2)) -> list[dict]:
    """Rows of these SSIMs per subject; pSNR, MSE and RMSE follow them."""
    return [
        {"subject": f"s{index}", "method": method, "echo": echo}
        | {"ssim": x, "psnr_db": 30 + 10 * x, "mse": 1e-3 * (1 - x), "rmse": 0.03}
        | {"ssim_body": x, "psnr_db_body": 25 + x, "mse_body": 1e-3, "rmse_body": 0.03}
        for method, series in values.items()
        for index, x in enumerate(series)
        for echo in echoes
    ]


def t2_rows(thick, methods: dict[str, list[float]], truth=None) -> list[dict]:
    return [
        {"subject": f"s{index}", "roi": "cartilage", "method": method, "t2_ms": value}
        | {"t2_thick_ms": thick[index], "t2_truth_ms": truth[index] if truth else float("nan")}
        | {"pixel_cv_percent": 3.0, "voxels": 100, "excluded": 2}
        for method, series in methods.items()
        for index, value in enumerate(series)
    ]


def write_results(folder: Path, experiment: str, rows: list[dict], **configuration) -> Path:
    folder.mkdir(parents=True)
    write_rows(folder / "rows.csv", rows, experiment)
    stated = {"experiment": experiment, "model": None, "subjects": []} | configuration
    (folder / "configuration.json").write_text(json.dumps(stated))
    (folder / "versions.json").write_text(json.dumps({"python": "3"}))
    return folder
