"""Records made on Apache Beam are those of the plain command. Skips where Beam is not installed;
`make beam-test` installs it beside the rest.
"""

from functools import partial

import pytest
from random_scans import make_scan

from mrsr_tf.errors import InputError
from mrsr_tf.io.nifti import write_nifti
from tf_records_tools.beam_runner import map_on_beam
from tf_records_tools.cohort import make_records
from tf_records_tools.shard import Settings
from tf_records_tools.verification import check_records

SETTINGS = Settings("dual", patch_size=8, stride=4)


@pytest.fixture
def beam():
    return pytest.importorskip("apache_beam", reason="Apache Beam (extra [beam]) is not installed")


@pytest.fixture
def studies(tmp_path):
    for seed in range(4):
        scan = make_scan((12, 11, 13), spacing_mm=(0.4, 0.4, 0.7), seed=seed)
        write_nifti(scan, tmp_path / "studies" / f"scan_{seed}.nii.gz")
    return tmp_path / "studies"


def test_beam_with_two_workers_makes_the_same_records(beam, studies, tmp_path):
    make_records([studies], tmp_path / "plain", SETTINGS)
    run = partial(map_on_beam, runner="DirectRunner", workers=2)
    make_records([studies], tmp_path / "beam", SETTINGS, run=run)
    check_records(tmp_path / "beam", [studies])
    plain, parallel = (
        {path.name: path.read_bytes() for path in (tmp_path / folder).iterdir()}
        for folder in ("plain", "beam")
    )
    assert plain == parallel


def test_the_error_of_a_worker_keeps_its_message(beam, studies, tmp_path):
    one_echo = make_scan((12, 11, 13), echoes=1)
    write_nifti(one_echo, studies / "single.nii.gz")
    run = partial(map_on_beam, runner="DirectRunner", workers=2)
    with pytest.raises(InputError) as refused:
        make_records([studies], tmp_path / "beam", SETTINGS, run=run)
    reason = "expected a scan of two echoes for --contrasts=dual, got one echo"
    assert str(refused.value) == f"{reason}: {studies / 'single.nii.gz'}"


def test_without_beam_the_extra_is_named(studies, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "apache_beam", None)
    run = partial(map_on_beam, runner="DirectRunner")
    with pytest.raises(InputError, match=r"found none: pip install 'mrsr-tf\[beam\]'"):
        make_records([studies], tmp_path / "beam", SETTINGS, run=run)
    assert not list(tmp_path.glob("beam*"))
