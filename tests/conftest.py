"""Fixtures of several test files."""

import functools
import os
from pathlib import Path

import numpy as np
import pytest

# Must be set before any test imports TensorFlow, so that sums have the same order in every run.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

pytest_plugins = ["orthanc_server"]
REPOSITORY = Path(__file__).parents[1]


def real_data(name: str) -> Path:
    """The folder of a real scan; the test is skipped if there is none."""
    root = Path(os.environ.get("MRSR_REAL_DATA", REPOSITORY.parent / "shared" / "data"))
    if not (root / name).is_dir():
        pytest.skip(f"no real scan {name} under MRSR_REAL_DATA ({root})")
    return root / name


@pytest.fixture(scope="session")
def real_knee() -> Path:
    """A real qDESS knee: both echoes, 48 slices of 1.5 mm."""
    return real_data("qdess_knee")


@pytest.fixture(scope="session")
def small_records(tmp_path_factory):
    """A function that makes the records of three small random scans, once for equal settings.

    `small_records("dual", stride=4)` returns their folder; the keywords are those of `Settings`.
    """
    from scipy import ndimage

    from mrsr_tf.io.nifti import write_nifti
    from mrsr_tf.volume import Volume
    from tf_records_tools.cohort import make_records
    from tf_records_tools.shard import Settings

    root = tmp_path_factory.mktemp("cohort")
    for subject in range(3):
        noise = np.random.default_rng(subject).normal(0, 1, (28, 28, 20, 2))
        structure = 500 + 1000 * ndimage.gaussian_filter(noise, (1.2, 1.2, 1.2, 0))
        affine = np.diag([0.4, 0.4, 0.7, 1.0])
        scan = Volume(np.abs(structure), affine, (7.0, 39.0), 23.0, 20.0)
        write_nifti(scan, root / "scans" / f"scan_{subject}.nii.gz")

    @functools.cache
    def records(contrasts: str, **settings) -> Path:
        folder = root / "_".join([contrasts, *(f"{key}_{n}" for key, n in settings.items())])
        settings = {"patch_size": 12, "stride": 8} | settings
        make_records(
            [root / "scans"], folder, Settings(contrasts, **settings), validation_subjects=1
        )
        return folder

    return records
