import math

import numpy as np
import pytest
from small_scans import FLIP_DEG, SAGITTAL, TE_MS, TR_MS, write_subject
from upsamplers import FunctionUpsampler

from eval.experiments import lesions, runner
from eval.experiments.config import EvaluationConfig
from eval.reporting.html import page
from eval.reporting.sections import section
from eval.reporting.summaries import summarize
from eval.reporting.table_layout import to_text
from eval.results.rows import read_results
from mrsr_tf.errors import InputError
from mrsr_tf.inference.upsampling import Interpolation
from mrsr_tf.io.scans import find_scan
from mrsr_tf.outputs import write_json
from mrsr_tf.volume import Volume

SPACING_MM = (0.4, 0.4, 0.7)
SEQUENCE = {"tr_ms": TR_MS, "te_ms": TE_MS, "flip_deg": FLIP_DEG}
TCI, FI = Interpolation("tci"), Interpolation("fi")
SIZES = (0.7, 2.0)


def slab(noise: float = 20.0, seed: int = 0) -> tuple[Volume, np.ndarray]:
    """Cartilage 8 mm thick on bone, in two echoes, and where it is."""
    cartilage = np.zeros((44, 48, 44), bool)
    cartilage[12:32, 4:44] = True
    array = np.where(cartilage[..., None], (1000.0, 330.0), (200.0, 60.0))
    array = array + np.random.default_rng(seed).normal(0, noise, array.shape)
    affine = np.eye(4)
    affine[:3, :3] = SAGITTAL * SPACING_MM
    return Volume(array, affine, (TE_MS, 2 * TR_MS - TE_MS), TR_MS, FLIP_DEG), cartilage


def detector(size_mm: float, scan: Volume, cartilage: np.ndarray) -> lesions.Detector:
    added = lesions.contrast(scan, cartilage, SEQUENCE)
    return lesions.make_detector(scan, cartilage, size_mm, added)


@pytest.mark.parametrize("size_mm", [0.7, 1.0, 1.4, 4.0])
def test_a_lesion_has_the_volume_of_a_cylinder(size_mm):
    matched = detector(size_mm, *slab())
    volume = matched.occupancy.sum() * math.prod(SPACING_MM)
    assert volume == pytest.approx(math.pi * (lesions.ACROSS_MM / 2) ** 2 * size_mm, rel=0.1)
    assert not (matched.surround * matched.occupancy).any()


def test_degenerated_cartilage_is_brighter_and_most_so_in_the_second_echo():
    scan, cartilage = slab(noise=0)
    first, second = lesions.contrast(scan, cartilage, SEQUENCE) / (1000, 330)
    assert 0.2 < first < 0.4 < 0.7 < second < 1


@pytest.mark.parametrize("size_mm", SIZES)
def test_a_lesion_that_appears_in_full_raises_the_response_by_one(size_mm):
    scan, cartilage = slab(noise=0)
    matched = detector(size_mm, scan, cartilage)
    centres = np.array([[21, 22, 20]])
    before, after = (
        matched.response(a) for a in (scan.array, scan.array + matched.lesions_at(centres))
    )
    assert before[21, 22, 20] == pytest.approx(0, abs=1e-6)  # there is nothing but background
    assert after[21, 22, 20] == pytest.approx(1)


def test_lesions_lie_apart_and_always_in_the_same_places():
    scan, cartilage = slab()
    matched = detector(1.0, scan, cartilage)
    centres = lesions.sites(matched.places, SPACING_MM)
    np.testing.assert_array_equal(centres, lesions.sites(matched.places, SPACING_MM))
    apart = np.linalg.norm((centres[:, None] - centres) * SPACING_MM, axis=2)
    assert len(centres) > 5
    assert matched.places[tuple(centres.T)].all()
    assert apart[~np.eye(len(centres), dtype=bool)].min() >= lesions.APART_MM


def test_the_detector_has_five_per_cent_false_positives_and_finds_the_lesions():
    scan, cartilage = slab(noise=60.0)
    matched = detector(2.0, scan, cartilage)
    centres = lesions.sites(matched.places, SPACING_MM)
    responses = matched.response(scan.array)[matched.places]
    threshold = np.quantile(responses, 1 - lesions.FALSE_POSITIVES)
    other = slab(noise=60.0, seed=1)[0].array
    false = (matched.response(other)[matched.places] > threshold).mean()
    found = (
        matched.response(other + matched.lesions_at(centres))[tuple(centres.T)] > threshold
    ).mean()
    assert false == pytest.approx(0.05, abs=0.02)
    assert found == 1


def test_interpolation_loses_thin_lesions_and_makes_up_none():
    scan, cartilage = slab()
    rows = lesions.evaluate(scan, [TCI], sequence=SEQUENCE, cartilage=cartilage, sizes_mm=SIZES)
    truth, tci = rows[: len(SIZES)], rows[len(SIZES) :]
    assert [row["method"] for row in rows] == ["truth", "truth", "tci", "tci"]
    for row in truth:
        assert row["kept"] == pytest.approx(1, abs=1e-4)
        assert row["detected"] == row["lesions"]
    assert tci[0]["kept"] < 0.6 < 0.8 < tci[1]["kept"] < 1
    assert not any(row["false_foci"] for row in rows)


def test_each_false_focus_is_counted_once():
    scan, cartilage = slab()
    matched = detector(2.0, scan, cartilage)

    def inventive(thick: np.ndarray) -> np.ndarray:
        invented = matched.lesions_at(np.array([[21, 16, 12], [21, 30, 30]]))
        return TCI.upsample(thick) + invented

    rows = lesions.evaluate(
        scan, [FunctionUpsampler(inventive)], sequence=SEQUENCE, cartilage=cartilage, sizes_mm=[2.0]
    )
    assert [row["false_foci"] for row in rows] == [0, 2]


@pytest.mark.parametrize("size_mm", [0.0, -1.0, 40.0])
def test_a_lesion_without_size_or_room_is_refused(size_mm):
    with pytest.raises(InputError, match=r"expected (lesions longer|cartilage with room)"):
        detector(size_mm, *slab())


@pytest.mark.parametrize(
    "spoilt", [lambda fine: fine[:, :, 1:], lambda fine: np.where(fine > 990, np.nan, fine)]
)
def test_a_method_that_returns_other_slices_or_nan_is_refused(spoilt):
    scan, cartilage = slab()
    upsampler = FunctionUpsampler(lambda thick: spoilt(FI.upsample(thick)), "fi")
    with pytest.raises(InputError, match="method fi"):
        lesions.evaluate(scan, [upsampler], sequence=SEQUENCE, cartilage=cartilage, sizes_mm=SIZES)


@pytest.mark.parametrize("sizes", [(), (1.0, 1.0)])
def test_missing_or_repeated_sizes_are_refused(sizes):
    with pytest.raises(InputError, match="expected lesions of different sizes"):
        EvaluationConfig(experiment="lesions", lesion_mm=sizes)


def test_the_report_has_a_section_of_lesions_and_one_of_resolution(tmp_path):
    for name in ("a", "b"):
        scan, cartilage = slab(seed=ord(name))
        write_subject(tmp_path / "data" / name, scan, 3 * cartilage.astype(np.uint8))
    subjects = {name: find_scan(tmp_path / "data" / name) for name in ("a", "b")}
    sections, files = [], []
    for experiment in ("lesions", "resolution"):
        config = EvaluationConfig(experiment=experiment, lesion_mm=SIZES)
        out = tmp_path / experiment
        runner.evaluate(subjects, [TCI, FI], config, out)
        stated = {"methods": ["tci", "fi"], "model": None, "subjects": list(subjects)}
        write_json(out / "configuration.json", config.relevant() | stated)
        write_json(out / "versions.json", {"python": "3"})
        results = read_results(out)
        summary = summarize(results)
        files.append(summary.file)
        sections.append(section(results, summary))
        assert summary.tables[0].title in to_text(summary.tables[0])
        assert {record.method for record in summary.records} == {"truth", "tci", "fi"}
    assert files == ["lesions.csv", "resolution.csv"]
    assert [list(section.figures) for section in sections] == [["lesions"], ["transfer", "edge"]]
    html = page(sections, {"mrsr_tf": "0"})
    assert html.count("<figure") == 3
    assert "--lesion_mm=0.7,2.0" in html
    assert "Lesions found, %" in html
    assert "Edge, 10 to 90 %, mm" in html
