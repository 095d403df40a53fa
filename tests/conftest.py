"""What several test files share."""

import os
from pathlib import Path

import pytest

# Before any test imports TensorFlow: the same order of sums in every run.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

REPOSITORY = Path(__file__).parents[1]


def real_data(name: str) -> Path:
    """A folder of the real scans, or a skip that says where it was looked for."""
    root = Path(os.environ.get("MRSR_REAL_DATA", REPOSITORY.parent / "shared" / "data"))
    if not (root / name).is_dir():
        pytest.skip(f"no real scan {name} under MRSR_REAL_DATA ({root})")
    return root / name


@pytest.fixture(scope="session")
def real_knee() -> Path:
    """A real qDESS knee: both echoes, 48 slices of 1.5 mm."""
    return real_data("qdess_knee")
