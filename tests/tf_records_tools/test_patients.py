"""No patient is on both sides of the split: visits and knees stay together."""

import json
from dataclasses import replace

import numpy as np
import pytest
from dicom_studies import SECRETS, write_study
from random_scans import make_array, make_scan

from mrsr_tf.errors import InputError
from mrsr_tf.io import scans
from mrsr_tf.io.nifti import write_nifti
from mrsr_tf.records.manifest import read_manifest, salted_hash, scan_sha256, with_checksum
from tf_records_tools.cohort import make_records, shard_names, shuffle_patients
from tf_records_tools.patients import patient_numbers
from tf_records_tools.shard import Settings
from tf_records_tools.verification import check_records

SETTINGS = Settings("dual", patch_size=4, stride=4)
PATIENTS = {"PAT-1": 4, "PAT-2": 2, "PAT-3": 1, "PAT-4": 1}  # visits and knees of each


def study(folder, patient="PAT-4711", name="Doe^Jane", seed=0):
    def change(header, index, echo):
        header.PatientID, header.PatientName = patient, name

    return write_study(folder, make_array(seed=seed), name="{slice}_{echo}", change=change)


def nifti(path, seed=0):
    write_nifti(make_scan(seed=seed), path)
    return path


@pytest.fixture
def cohort(tmp_path):
    """The scans of several patients, whose order mixes the patients."""
    seed = 0
    for patient, times in PATIENTS.items():
        for visit in range(times):
            study(tmp_path / "scans" / f"visit_{visit}_{seed:02d}", patient, seed=seed)
            seed += 1
    return tmp_path / "scans"


@pytest.mark.parametrize("seed", range(4))
def test_all_scans_of_a_patient_are_on_one_side_of_the_split(cohort, tmp_path, seed):
    settings = replace(SETTINGS, seed=seed)
    make_records([cohort], tmp_path / "records", settings, validation_subjects=2)
    manifest = check_records(tmp_path / "records", [cohort])
    side = {entry["source_sha256"]: entry["split"] for entry in manifest["subjects"]}
    sides = {patient: set() for patient in PATIENTS}
    for scan in scans.find_scans(cohort).values():
        source = salted_hash(manifest["salt"], scan_sha256(scan.read()))
        sides[scan.patient()].add(side[source])
    assert all(len(found) == 1 for found in sides.values())
    assert manifest["counts"]["validation"]["patients"] == 2
    assert manifest["counts"]["train"]["patients"] == 2
    written = b"".join(path.read_bytes() for path in (tmp_path / "records").iterdir())
    assert not [word for word in (*PATIENTS, *SECRETS) if word.encode() in written]


@pytest.mark.parametrize("seed", range(20))
def test_the_split_keeps_patients_together_for_every_seed(seed):
    patient_of = np.random.default_rng(seed).integers(0, 7, 30)
    patient_of = np.unique(patient_of, return_inverse=True)[1].tolist()
    patients = shuffle_patients(patient_of, seed)
    names = shard_names([len(indices) for indices in patients], 3)
    validated = {patient_of[index] for indices in patients[-3:] for index in indices}
    assert len(validated) == 3
    flat = [index for indices in patients for index in indices]
    assert sorted(flat) == list(range(30))
    for index, name in zip(flat, names, strict=True):
        assert name.startswith("validation") == (patient_of[index] in validated)


def test_scans_that_name_no_patient_count_as_one_each(tmp_path):
    paths = [nifti(tmp_path / f"{n}.nii") for n in range(2)]
    paths += [study(tmp_path / str(n), "") for n in range(2)]
    named = [(path.name, scans.find_scan(path)) for path in paths]
    assert patient_numbers(named) == [0, 1, 2, 2]  # the two DICOM scans share their name
    assert patient_numbers(named, "scan") == [0, 1, 2, 3]


def test_one_dummy_id_for_all_scans_is_refused_with_advice(cohort, tmp_path):
    for number in range(3):
        study(tmp_path / "same" / str(number), "ANON", seed=number)
    with pytest.raises(InputError, match=r"than the 1 there are, got 1 \(3 scans; .*group_by=scan"):
        make_records([tmp_path / "same"], tmp_path / "records", SETTINGS)
    manifest = make_records([tmp_path / "same"], tmp_path / "records", SETTINGS, group_by="scan")
    assert manifest["counts"]["train"]["patients"] == 2
    assert manifest["group_by"] == "scan"
    check_records(tmp_path / "records", [tmp_path / "same"])


def test_a_table_assigns_scans_to_patients(tmp_path):
    for number in range(4):
        nifti(tmp_path / "scans" / f"knee_{number}.nii.gz", number)
    table = tmp_path / "who.csv"
    rows = [f"knee_{number},{'ab'[number % 2]}" for number in range(4)]
    table.write_text("\n".join(["subject,patient", *rows]))
    found = list(scans.find_scans(tmp_path / "scans").items())
    assert patient_numbers(found, str(table)) == [0, 1, 0, 1]
    manifest = make_records([tmp_path / "scans"], tmp_path / "out", SETTINGS, group_by=str(table))
    assert manifest["group_by"] == "table"
    assert manifest["counts"]["validation"]["subjects"] == 2
    assert "who.csv" not in json.dumps(manifest)
    table.write_text("\n".join(["subject,patient", "knee_0,b", "knee_1,a", *rows[2:]]))
    with pytest.raises(InputError, match=r"patient_of_scan \w{16} -> \w{16}"):
        make_records([tmp_path / "scans"], tmp_path / "out", SETTINGS, group_by=str(table))
    table.write_text("\n".join(["subject,patient", *rows[:2]]))
    with pytest.raises(InputError, match=r"found none for knee_2 \(2 in all\): .*who\.csv"):
        patient_numbers(found, str(table))


@pytest.mark.parametrize("text", [None, "", "subject;patient\nknee_0;a", "subject,patient\nknee_0"])
def test_a_missing_or_malformed_table_is_refused(tmp_path, text):
    if text is not None:
        (tmp_path / "who.csv").write_text(text)
    with pytest.raises(InputError, match=r"columns subject and patient|found none for knee_0"):
        patient_numbers([("knee_0", tmp_path)], str(tmp_path / "who.csv"))


def test_records_that_split_one_patient_are_found_by_their_scans(tmp_path):
    for number in range(2):
        study(tmp_path / "scans" / str(number), "PAT-1", seed=number)
    study(tmp_path / "scans" / "other", "PAT-2", seed=9)
    make_records([tmp_path / "scans"], tmp_path / "out", SETTINGS, group_by="scan")
    manifest = read_manifest(tmp_path / "out") | {"group_by": "patient"}
    (tmp_path / "out" / "manifest.json").write_text(json.dumps(with_checksum(manifest)))
    with pytest.raises(InputError, match="one patient number for one patient, found two"):
        check_records(tmp_path / "out", [tmp_path / "scans"])
