import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_scans import FLIP_DEG, TE_MS, TR_MS, knee, write_cohort, write_subject
from upsamplers import FunctionUpsampler

from eval.experiments import image_quality, runner, t2_accuracy
from eval.experiments.config import EvaluationConfig
from eval.methods import METHODS, NETWORK, check_names, upsample
from eval.regions import rois as regions
from eval.regions.body import air_mask, body_mask
from eval.results.planes import IMAGES, T2_MAPS, load_pictures
from eval.results.rows import COLUMNS, read_results, read_rows
from mrsr_tf.errors import InputError
from mrsr_tf.inference.upsampling import Interpolation
from mrsr_tf.io import dicom
from mrsr_tf.io.nifti import write_map
from mrsr_tf.io.scans import Scan, find_scan, find_scans
from mrsr_tf.mri import slices
from mrsr_tf.mri.dess import t2_map
from mrsr_tf.mri.t2 import sequence
from mrsr_tf.records.manifest import salted_hash, scan_sha256
from mrsr_tf.volume import Volume, intensity_scale

INTERPOLATIONS = TCI, FI = [Interpolation("tci"), Interpolation("fi")]
TIMES = {"tr_ms": TR_MS, "te_ms": TE_MS, "flip_deg": FLIP_DEG}
T2 = EvaluationConfig(experiment="t2")


def run(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "eval.evaluate", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


# Image quality


def test_scores_are_of_the_cropped_and_clipped_estimate_on_the_scale_of_the_truth():
    scan, _, _ = knee(shape=(24, 20, 11))  # odd: the twelfth slice that comes back is cropped
    rows, _ = image_quality.evaluate(scan, [TCI])
    estimate = slices.interpolate(slices.thicken(scan.array))[:, :, :11]
    scale = np.percentile(scan.array, 99.9)
    for row in rows:
        pair = [np.clip(a[..., row["echo"] - 1] / scale, 0, 1) for a in (scan.array, estimate)]
        mse = np.mean(np.subtract(*pair) ** 2, dtype=np.float64)
        assert row["mse"] == pytest.approx(mse, rel=1e-5)
        assert row["psnr_db"] == pytest.approx(-10 * np.log10(mse), abs=1e-4)
        assert row["rmse"] == pytest.approx(mse**0.5, rel=1e-5)


@pytest.mark.parametrize(
    ("experiment", "differing"),
    [("image_quality", {"scan"}), ("t2", {"scan", "labels", "truth"})],
)
def test_an_evaluation_is_of_its_scans_regions_and_true_maps(tmp_path, experiment, differing):
    config, out = EvaluationConfig(experiment=experiment), tmp_path / "out"
    scan, labels, t2 = knee()
    changes = {
        "before": (scan, labels, t2),
        "same": (scan, labels, t2),
        "scan": (replace(scan, array=scan.array * np.float32(1.001)), labels, t2),
        "labels": (scan, np.roll(labels, 1, axis=0), t2),
        "truth": (scan, labels, t2 + 1),
    }
    sources = {
        name: {"s": find_scan(write_subject(tmp_path / name, *content))}
        for name, content in changes.items()
    }
    runner.evaluate(sources["before"], [TCI], config, out)
    part = out / "subjects" / "s.csv"
    for name in changes.keys() - differing:
        runner.check_sources(sources[name], config, out)
    for name in differing:
        with pytest.raises(InputError, match=f"another: .*{name} "):
            runner.check_sources(sources[name], config, out)
    written = part.stat().st_mtime_ns
    runner.evaluate(sources["same"], [TCI], config, out)
    assert part.stat().st_mtime_ns == written
    runner.evaluate(sources["scan"], [TCI], config, out)
    assert part.stat().st_mtime_ns > written
    runner.check_sources(sources["scan"], config, out)


def test_body_scores_ignore_what_is_outside_the_body():
    scan, _, _ = knee(shape=(48, 40, 6))
    truth = np.clip(scan.array[..., 0] / intensity_scale(scan.array), 0, 1)
    body = body_mask(scan)
    spoilt = np.where(body, truth, 1 - truth)  # wrong everywhere but in the body
    scores = image_quality.scores(truth, spoilt, body=body)
    assert scores["mse_body"] == 0
    assert scores["psnr_db_body"] == np.inf
    assert scores["mse"] > 0.01
    assert scores["ssim_body"] > scores["ssim"]


def test_the_gain_over_tci_is_told_of_the_worst_slice_and_of_the_air_too():
    random, shape = np.random.default_rng(0), (20, 20, 4)
    error = random.standard_normal(shape)
    error[:, :, 2] *= 2  # the worst slice: twice TCI's error, 6.02 dB
    error[:, :, [0, 1, 3]] /= 2
    tci_error = random.standard_normal(shape)
    tci_error *= np.sqrt(np.mean(error**2, (0, 1)) / np.mean(tci_error**2, (0, 1)))
    tci_error[:, :, 2] /= 2
    tci_error[:, :, [0, 1, 3]] *= 2
    air = np.zeros(shape, bool)
    air[:, :, 0] = True
    error[:, :, 0] = 0.3 * tci_error[:, :, 0]
    compared = image_quality.compare_with_tci(
        error, tci_error, air=air, spacing_mm=np.array([0.4, 0.4, 0.7])
    )
    assert compared["gain_db"] == pytest.approx(
        10 * np.log10(np.mean(tci_error**2) / np.mean(error**2))
    )
    assert compared["worst_slice_gain_db"] == pytest.approx(-20 * np.log10(2))
    assert compared["air_rmse_over_tci"] == pytest.approx(0.3)


def test_a_smooth_line_in_air_counts_and_noise_hardly_does():
    shape, air = (40, 40, 2), np.ones((40, 40, 2), bool)
    noise = np.random.default_rng(0).standard_normal(shape)
    line = np.zeros(shape)
    line[18:22] = 1
    line *= np.sqrt(np.mean(noise**2) / np.mean(line**2))
    compared = image_quality.compare_with_tci(
        line, noise, air=air, spacing_mm=np.array([0.3, 0.3, 1.5])
    )
    assert compared["gain_db"] == pytest.approx(0, abs=1e-6)
    assert compared["air_rmse_over_tci"] > 3


def test_air_beside_the_skin_is_measured_in_mm_within_each_slice():
    body = np.zeros((60, 60, 3), bool)
    body[20:40, 20:40, 0] = True  # slice 1 has no body, and slice 2 is all body
    body[:, :, 2] = True
    air = air_mask(body, (0.5, 0.5, 2.0))
    assert not air[..., 1:].any()
    assert not air[18:42, 30, 0].any()  # 1.5 mm are three pixels
    assert air[17, 30, 0]
    assert air[0, 30, 0]
    assert not air[0, 0, 0]  # 20 pixels away along both axes, 14.1 mm


def test_the_body_includes_dark_bone_and_excludes_air():
    scan, labels, _ = knee(shape=(48, 40, 6), noise=20)
    body = body_mask(scan)
    assert body[labels > 0].mean() > 0.95
    assert body[labels == 0].mean() < 0.2


@pytest.mark.parametrize("shape", [(12, 12, 1, 1), (12, 30, 2, 2)])
def test_a_uniform_image_is_all_body(shape):
    assert body_mask(Volume(np.ones(shape), np.eye(4))).all()


def test_a_perfect_method_scores_perfectly():
    scan, _, _ = knee()
    rows, kept = image_quality.evaluate(scan, [FunctionUpsampler(lambda thick: scan.array)])
    assert [(row["method"], row["echo"]) for row in rows] == [("mrsr", 1), ("mrsr", 2)]
    assert all(row["ssim"] == pytest.approx(1) and row["mse"] == 0 for row in rows)
    # The input is shown though it was not asked to be scored.
    assert {name for picture in kept for name in picture.panels} == {"truth", "mrsr", "tci"}


def test_a_method_of_another_slice_count_is_refused():
    scan, _, _ = knee()
    with pytest.raises(InputError, match=r"expected an image \(24, 20, 12, 2\) from method mrsr"):
        image_quality.evaluate(scan, [FunctionUpsampler(lambda thick: thick)])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_method_that_returns_nan_or_infinity_is_refused(value):
    scan, labels, _ = knee()

    def broken(thick):
        fine = TCI.upsample(thick)
        fine[3, 4, 5, 1] = value
        return fine

    upsamplers = [FunctionUpsampler(broken)]
    for evaluate in (
        lambda: image_quality.evaluate(scan, upsamplers),
        lambda: evaluate_t2(scan, labels == 3, upsamplers),
    ):
        with pytest.raises(InputError, match="finite intensities from method mrsr, got 1 that"):
            evaluate()


def test_inner_scores_leave_out_the_outer_slices_and_are_nan_if_none_is_left():
    scan, _, _ = knee(shape=(16, 14, 10))
    truth = np.clip(scan.array[..., 0] / intensity_scale(scan.array), 0, 1)
    spoilt = truth.copy()
    spoilt[:, :, [0, 1, 8, 9]] = 0
    body = body_mask(scan)
    scored = image_quality.scores(truth, spoilt, body=body, outer=2)
    assert scored["mse_inner"] == scored["mse_body_inner"] == 0
    assert scored["ssim_inner"] == pytest.approx(1)
    assert scored["mse"] > 0
    none_left = image_quality.scores(truth, spoilt, body=body, outer=5)
    assert np.isnan([none_left["ssim_inner"], none_left["mse_body_inner"]]).all()
    others = {"subject", "method", "echo", "gain_db", "worst_slice_gain_db", "air_rmse_over_tci"}
    assert set(none_left) == set(COLUMNS["image_quality"]) - others


def test_an_empty_image_is_refused():
    scan, _, _ = knee()
    with pytest.raises(InputError, match="expected an image"):
        image_quality.evaluate(Volume(np.zeros_like(scan.array), scan.affine), INTERPOLATIONS)


def test_a_single_contrast_scan_has_one_row_per_method():
    scan, _, _ = knee(echoes=1)
    rows, _ = image_quality.evaluate(scan, INTERPOLATIONS)
    assert [(row["method"], row["echo"]) for row in rows] == [("tci", 1), ("fi", 1)]


def test_interpolation_scores_on_the_real_knee_as_in_the_paper(real_knee):
    scan = dicom.read_series(real_knee)
    part = Volume(scan.array[120:440, 100:420], scan.affine)
    rows, _ = image_quality.evaluate(part, [TCI])
    first, second = (row["psnr_db"] for row in rows)
    assert 28 < first < 30
    assert 33.5 < second < 35


# T2


def evaluate_t2(scan, roi, upsamplers=INTERPOLATIONS, **options):
    """The rows and pictures of one region, or of several by name."""
    rois = roi if isinstance(roi, dict) else {"cartilage": roi}
    regions = [t2_accuracy.Region(name, inside) for name, inside in rois.items()]
    parameters = {**sequence(scan), **options.pop("parameters", {})}
    return t2_accuracy.evaluate(scan, upsamplers, parameters=parameters, regions=regions, **options)


def test_the_covering_weights_are_a_quarter_a_half_and_a_quarter():
    np.testing.assert_allclose(
        t2_accuracy.combining_matrix(3, 2, "covering"),
        [[2 / 3, 1 / 3, 0, 0, 0, 0], [0, 0.25, 0.5, 0.25, 0, 0], [0, 0, 0, 0.25, 0.5, 0.25]],
        atol=1e-6,
    )


def test_the_pair_is_the_plain_mean_of_two_fine_slices():
    np.testing.assert_allclose(
        t2_accuracy.combining_matrix(2, 2, "pair"), [[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5]]
    )


@given(n=st.integers(1, 9), factor=st.integers(2, 5), kind=st.sampled_from(["covering", "pair"]))
def test_combining_preserves_constants_and_covering_is_centred(n, factor, kind):
    matrix = t2_accuracy.combining_matrix(n, factor, kind)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, rtol=1e-6)
    inner = slice(1, n - 1)
    centres = (matrix @ np.arange(factor * n))[inner] - factor * np.arange(n)[inner]
    np.testing.assert_allclose(centres, 0 if kind == "covering" else (factor - 1) / 2, atol=1e-4)


def test_another_combination_is_refused():
    with pytest.raises(InputError, match="expected combination covering or pair, got 'mean'"):
        t2_accuracy.combining_matrix(3, 2, "mean")


def test_a_method_that_repeats_the_thick_slices_has_their_t2():
    scan, labels, truth = knee()
    roi = (labels == 3) | (labels == 4)
    repeat = [FunctionUpsampler(lambda thick: np.repeat(thick, 2, axis=2))]
    (row,), _ = evaluate_t2(scan, roi, repeat, combination="pair", true_t2_ms=truth)
    own = t2_map(scan.array[..., 0], scan.array[..., 1], **TIMES)[roi]
    assert row["t2_thick_ms"] == pytest.approx(np.nanmean(own), rel=1e-5)
    assert row["t2_ms"] == pytest.approx(row["t2_thick_ms"], rel=1e-5)
    assert row["pixel_cv_percent"] == pytest.approx(0, abs=1e-3)
    assert row["t2_truth_ms"] == pytest.approx(truth[roi].mean(), rel=1e-5)
    assert (row["voxels"], row["excluded"]) == (roi.sum(), 0)


def test_signals_are_combined_before_t2_not_t2_itself():
    scan, labels, _ = knee()
    roi = labels == 3
    bright = scan.array.copy()
    bright[..., 0] *= 2  # another T2 in every second slice
    fine = np.stack([scan.array, bright], axis=3).reshape(24, 20, 24, 2)
    (row,), _ = evaluate_t2(scan, roi, [FunctionUpsampler(lambda thick: fine)], combination="pair")
    mean = (scan.array + bright)[roi] / 2
    assert row["t2_ms"] == pytest.approx(np.mean(t2_map(mean[:, 0], mean[:, 1], **TIMES)), rel=1e-4)


def test_voxels_beyond_100_ms_are_excluded_and_counted():
    scan, labels, _ = knee(t2_ms=(30.0, 400.0))
    roi = (labels == 3) | (labels == 4)
    (row,), _ = evaluate_t2(scan, roi, [TCI])
    assert row["voxels"] + row["excluded"] == roi.sum()
    assert row["excluded"] > 0.3 * roi.sum()
    assert row["t2_thick_ms"] == pytest.approx(30.4, abs=0.2)  # deep alone, 1 % up by the formula


def test_a_region_without_any_t2_is_refused():
    scan, labels, _ = knee(t2_ms=(400.0, 400.0))
    with pytest.raises(InputError, match=r"in \(0, 100\] ms somewhere in the region, got none"):
        evaluate_t2(scan, labels == 3)


def test_the_t2_picture_is_of_the_slice_with_most_of_the_region():
    scan, labels, truth = knee()
    roi = np.zeros(labels.shape, bool)
    roi[:, :, 4:6] = (labels == 3)[:, :, 4:6]
    roi[10, :, 5] = True
    _, (picture, *_) = evaluate_t2(scan, roi, true_t2_ms=truth)
    assert list(picture.panels) == ["s1", "roi", "thick", "truth", "tci", "fi"]
    assert picture.panels["roi"].sum() == roi[:, :, 5].sum()
    assert picture.spacing_mm == pytest.approx((0.4, 0.5))


def test_every_region_has_a_row_of_each_method_and_the_pictures_are_of_the_first():
    scan, labels, truth = knee()
    rois = {"a": labels == 4, "b": labels == 3}
    rows, (picture, flat, *_) = evaluate_t2(scan, rois, true_t2_ms=truth)
    assert [(row["roi"], row["method"]) for row in rows] == [
        *(("a", "tci"), ("a", "fi"), ("b", "tci"), ("b", "fi"))
    ]
    assert [row["t2_truth_ms"] for row in rows] == [46, 46, 27, 27]
    assert picture.panels["roi"].sum() <= (labels == 4).any(axis=2).sum()
    assert list(flat.panels) == ["thick", "truth", "tci", "fi"]


def test_exact_inversion_has_less_bias_than_the_papers_formula():
    scan, labels, truth = knee(t2_ms=(50.0, 50.0))
    (paper, *_), _ = evaluate_t2(scan, labels == 4, true_t2_ms=truth)
    (exact, *_), _ = evaluate_t2(
        scan, labels == 4, true_t2_ms=truth, parameters={"method": "exact"}
    )
    assert paper["t2_thick_ms"] == pytest.approx(1.046 * 50, rel=0.005)
    assert exact["t2_thick_ms"] == pytest.approx(50, rel=1e-3)


def test_a_regions_own_t1_is_the_one_that_its_t2_is_computed_with():
    scan, labels, _ = knee(t2_ms=(27.0, 27.0))
    regions = [
        t2_accuracy.Region("a", labels == 3),
        t2_accuracy.Region("b", labels == 3, t1_ms=1000.0),
    ]
    rows, _ = t2_accuracy.evaluate(scan, [TCI], parameters=TIMES, regions=regions)
    s1, s2 = np.moveaxis(scan.array[labels == 3], 1, 0)
    for row, t1_ms in zip(rows, (1200.0, 1000.0), strict=True):
        assert row["t2_thick_ms"] == pytest.approx(np.mean(t2_map(s1, s2, t1_ms=t1_ms, **TIMES)))


def test_outliers_lie_beyond_three_scaled_deviations_and_are_kept_by_default():
    normal = np.random.default_rng(0).normal(40, 2, 5000)
    t2 = np.concatenate([normal, [np.nan, 80.0, 90.0]])
    np.testing.assert_array_equal(t2_accuracy.without_outliers(t2, "none"), t2)
    kept = t2_accuracy.without_outliers(t2, "mad")
    assert np.isnan(kept[-3:]).all()
    # Of a normal distribution 0.27 % lie beyond three standard deviations.
    assert np.isnan(kept[:-3]).mean() == pytest.approx(0.0027, abs=0.0015)
    np.testing.assert_array_equal(t2_accuracy.without_outliers(np.full(3, 9.0), "mad"), [9.0] * 3)
    with pytest.raises(InputError, match="expected outliers none or mad, got 'some'"):
        t2_accuracy.without_outliers(t2, "some")


def test_outliers_are_counted_among_the_excluded():
    scan, labels, _ = knee()
    roi, fluid = labels == 3, np.zeros(labels.shape, bool)
    fluid[tuple(np.argwhere(roi)[::40].T)] = True
    scan.array[fluid, 1] *= 1.8
    (row,), _ = evaluate_t2(scan, roi, [TCI])
    (robust,), _ = evaluate_t2(scan, roi, [TCI], outliers="mad")
    assert (row["outliers"], row["excluded"]) == (0, 0)
    assert robust["outliers"] == robust["excluded"] >= fluid.sum() / 2
    assert robust["thick_excluded"] == fluid.sum()
    assert robust["voxels"] + robust["excluded"] == roi.sum()
    assert robust["t2_thick_ms"] < row["t2_thick_ms"]


def test_pixel_wise_differences_from_the_truth_are_nan_if_it_is_unknown():
    scan, labels, truth = knee()
    (row,), _ = evaluate_t2(scan, labels == 3, [TCI], true_t2_ms=1.1 * truth)
    (near,), _ = evaluate_t2(scan, labels == 3, [TCI], true_t2_ms=truth)
    assert near["pixel_cv_truth_percent"] < 5 < row["pixel_cv_truth_percent"]
    (unknown,), _ = evaluate_t2(scan, labels == 3, [TCI])
    assert np.isnan(unknown["pixel_cv_truth_percent"])


def test_only_femoral_cartilage_is_shown_unrolled():
    scan, labels, truth = knee()
    _, shown = evaluate_t2(scan, {"femoral": labels == 3}, [TCI], true_t2_ms=truth)
    viewer = [IMAGES, T2_MAPS]
    assert [picture.view for picture in shown] == ["t2", "unrolled", *viewer]
    flat = shown[1].panels
    assert {panel.shape for panel in flat.values()} == {flat["thick"].shape}
    assert np.nanmean(flat["truth"]) == pytest.approx(27, abs=0.1)
    _, shown = evaluate_t2(scan, {"patellar": labels == 3}, [TCI])
    assert [picture.view for picture in shown] == ["t2", *viewer]
    line = np.zeros(labels.shape, bool)
    line[12, 7:9, 6] = True
    _, shown = evaluate_t2(scan, {"femoral": line}, [TCI])
    assert [picture.view for picture in shown] == ["t2", *viewer]


# Regions


@pytest.fixture
def subject(tmp_path):
    scan, labels, t2 = knee()
    return scan, labels, write_subject(tmp_path / "knee", scan, labels, t2)


def region(folder, scan, name, **options):
    return regions.regions(folder, scan, [name], **options)[name]


def test_a_region_is_all_labels_whose_names_start_with_its_own(subject):
    scan, labels, folder = subject
    found = region(folder, scan, "medial_femoral_cartilage")
    np.testing.assert_array_equal(found, (labels == 3) | (labels == 4))
    deep = region(folder, scan, "medial_femoral_cartilage_deep")
    np.testing.assert_array_equal(deep, labels == 3)


def test_layers_of_a_region_are_halves_of_its_depth(subject):
    scan, labels, folder = subject
    whole = "medial_femoral_cartilage"
    found = regions.regions(folder, scan, [whole, f"{whole}:deep", f"{whole}:superficial"])
    both, deep, superficial = found.values()
    np.testing.assert_array_equal(both, deep ^ superficial)
    for layer, label in ((deep, 3), (superficial, 4)):
        own = labels == label
        assert 2 * (layer & own).sum() / (layer.sum() + own.sum()) > 0.8
    with pytest.raises(InputError, match="expected a layer deep or superficial, got 'middle'"):
        region(folder, scan, f"{whole}:middle")


def test_without_its_rim_a_region_has_only_voxels_whose_neighbours_in_the_slice_are_in_it(subject):
    scan, labels, folder = subject
    whole = "medial_femoral_cartilage"
    names = [whole, f"{whole}:deep", f"{whole}:superficial"]
    core, deep, superficial = regions.regions(folder, scan, names, rim=False).values()
    drawn = (labels == 3) | (labels == 4)
    for row, col, one in np.argwhere(core):
        assert drawn[row - 1 : row + 2, col - 1 : col + 2, one].all()
    # The rim is that of the cartilage: between its layers nothing is left out.
    np.testing.assert_array_equal(deep | superficial, core)
    assert 0 < core.sum() < drawn.sum()
    thin = np.where(np.indices(labels.shape)[0] == 9, labels, 0)
    write_map(thin, scan, folder / "truth/labels.nii.gz")
    with pytest.raises(InputError, match="found the region too thin"):
        regions.regions(folder, scan, [whole], rim=False)


def test_a_region_drawn_outside_the_scan_is_refused(subject):
    scan, labels, folder = subject
    away = scan.affine.copy()
    away[:3, 3] += 500
    write_map((labels == 3).astype(np.uint8), Volume(scan.array, away), folder / "rois.nii.gz")
    with pytest.raises(InputError, match=r"expected labels that lie in the scan.*rois\.nii\.gz"):
        region(folder, scan, "cartilage")


def test_drawn_regions_come_before_a_phantoms(subject):
    scan, labels, folder = subject
    write_map((labels == 7).astype(np.uint8), scan, folder / "rois.nii.gz")
    found = region(folder, scan, "medial_femoral_cartilage")
    np.testing.assert_array_equal(found, labels == 7)


def test_several_drawn_labels_need_names(subject):
    scan, labels, folder = subject
    write_map(labels, scan, folder / "rois.nii.gz")
    with pytest.raises(
        InputError, match="expected one label, or a table beside it that names them"
    ):
        region(folder, scan, "patella")
    (folder / "rois.json").write_text(json.dumps({"patella": 4}))
    np.testing.assert_array_equal(region(folder, scan, "patella"), labels == 4)
    with pytest.raises(InputError, match="expected a region tibia, found only patella"):
        region(folder, scan, "tibia")


def test_a_region_without_a_voxel_is_refused(subject):
    scan, labels, folder = subject
    write_map(np.where(labels == 7, 7, 0).astype(np.uint8), scan, folder / "truth/labels.nii.gz")
    with pytest.raises(InputError, match=r"at least one voxel of the region medial.*labels\.nii"):
        region(folder, scan, "medial_femoral_cartilage")


def test_a_subject_without_regions_is_refused(tmp_path):
    scan, _, _ = knee()
    folder = write_subject(tmp_path / "bare", scan)
    with pytest.raises(InputError, match=r"in rois\.nii\.gz, .*truth/labels\.nii\.gz, found none"):
        region(folder, scan, "medial_femoral_cartilage")
    assert regions.true_t2(folder, scan) is None


@pytest.mark.parametrize("names", ["{", "[]", '{"label": {}}'])
def test_unreadable_label_names_are_refused(subject, names):
    scan, _, folder = subject
    (folder / "truth/acquisition.json").write_text(names)
    with pytest.raises(InputError, match=r"expected the names of the labels .*acquisition\.json"):
        region(folder, scan, "medial_femoral_cartilage")


def test_a_region_on_another_grid_is_refused(subject):
    scan, _, folder = subject
    shifted = scan.affine.copy()
    shifted[0, 3] += 1
    for other in (Volume(scan.array[:, :, 1:], scan.affine), Volume(scan.array, shifted)):
        with pytest.raises(InputError, match=r"labels\.nii\.gz"):
            region(folder, other, "medial_femoral_cartilage")


# Methods


def test_the_methods_are_those_of_inference_and_sparse_coding():
    check_names(METHODS)
    assert METHODS == ("mrsr", "tci", "fi", "scsr")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["tci", "cubic"], "expected methods among mrsr, tci, fi, scsr, got 'cubic'"),
        ([], "expected different methods, got none"),
        (["tci", "tci"], "expected different methods, got tci,tci"),
    ],
)
def test_an_unknown_method_is_refused_with_a_list_of_the_known_ones(names, message):
    with pytest.raises(InputError, match=message):
        check_names(names)


@pytest.mark.parametrize("name", ["tci", "fi"])
@pytest.mark.parametrize(("shape", "factor"), [((5, 4, 1), 2), ((3, 6, 7), 3)])
def test_interpolations_give_the_fine_grid(name, shape, factor):
    scan, _, _ = knee(shape=shape)
    fine = upsample(Interpolation(name, factor), scan.array)
    assert fine.shape == (*shape[:2], factor * shape[2], 2)


# Resuming, workers and the network's own scans


def test_an_interrupted_evaluation_continues_with_the_subjects_that_are_missing(tmp_path):
    data = write_cohort(tmp_path / "data", 3)
    subjects = find_scans(data)
    config = EvaluationConfig(experiment="image_quality")
    seen = []

    def breaks_at_third(thick):
        seen.append(float(thick.sum()))
        if len(seen) == 3:
            raise InputError("expected calm, got a storm")
        return TCI.upsample(thick)

    upsamplers = [FunctionUpsampler(breaks_at_third, "tci")]
    out = tmp_path / "out"
    with pytest.raises(InputError, match=r"every subject to succeed, 1 of 3 failed .*subject_2$"):
        runner.evaluate(subjects, upsamplers, config, out)
    assert not (out / "rows.csv").exists()
    runner.evaluate(subjects, upsamplers, config, out)
    assert len(seen) == 4  # the two finished ones were not evaluated again
    rows = read_rows(out / "rows.csv", "image_quality")
    assert [row["subject"] for row in rows] == [name for name in subjects for _ in (1, 2)]
    assert len(load_pictures(out / "reformats" / "subject_2.npz")) == 3


def test_workers_give_the_same_rows_and_the_network_never_works_for_two(tmp_path):
    data = write_cohort(tmp_path / "data", 4)
    subjects = find_scans(data)
    working, most = [], []

    def network(thick):
        working.append(thick)
        most.append(len(working))
        time.sleep(0.02)
        working.pop()
        return FI.upsample(thick)

    upsamplers = [FunctionUpsampler(network, NETWORK), *INTERPOLATIONS]
    for workers in (1, 3):
        out = tmp_path / str(workers)
        runner.evaluate(subjects, upsamplers, T2, out, workers=workers)
    assert (tmp_path / "1/rows.csv").read_bytes() == (tmp_path / "3/rows.csv").read_bytes()
    assert max(most) == 1


@pytest.mark.parametrize("workers", [1, 2])
def test_a_subject_that_fails_stops_no_other_and_leaves_no_table(tmp_path, workers, caplog):
    data = write_cohort(tmp_path / "data", 3)
    (data / "subject_0/image.nii.gz").write_bytes(b"no scan")
    subjects = find_scans(data)
    with pytest.raises(InputError, match=r"every subject to succeed, 1 of 3 failed .*subject_0$"):
        runner.evaluate(subjects, [TCI], T2, tmp_path / "out", workers=workers)
    assert "subject_0 failed: expected" in caplog.text
    kept = {path.stem for path in (tmp_path / "out/subjects").iterdir()}
    assert kept == {"subject_1", "subject_2"}
    assert not (tmp_path / "out/rows.csv").exists()


def test_anonymous_names_count_the_sorted_names():
    scans = {
        name: Scan(Path(name), Path(name), dicom.Dicom()) for name in ("Roe", "Doe_Jane", "doe")
    }
    named = runner.anonymous(scans)
    assert [*named.items()] == [
        ("subject_01", scans["Doe_Jane"]),
        ("subject_02", scans["Roe"]),
        ("subject_03", scans["doe"]),
    ]
    assert [*runner.anonymous({f"{n:04}": scans["doe"] for n in range(1000)})][-1] == "subject_1000"


@pytest.mark.parametrize(("split", "use"), [("train", "trained on"), ("validation", "chosen by")])
def test_a_subject_of_the_training_causes_a_warning(tmp_path, caplog, split, use):
    data = write_cohort(tmp_path / "data", 2)
    subjects = find_scans(data)
    known = salted_hash("salt", scan_sha256(subjects["subject_1"].read()))
    config = EvaluationConfig(experiment="image_quality")
    record = {"salt": "salt", "subjects": [{"split": split, "source_sha256": known}]}
    for card, warned in (({"records": record}, ["subject_1"]), ({}, [])):
        caplog.clear()
        out = tmp_path / f"out_{len(warned)}"
        runner.evaluate(subjects, [FunctionUpsampler(TCI.upsample, card=card)], config, out)
        warnings = [message for message in caplog.messages if "very scan" in message]
        assert len(warnings) == len(warned)
        for message, name in zip(warnings, warned, strict=True):
            assert name in message
            assert use in message
        noted = {note.name: note.read_text() for note in (out / "seen_in_training").glob("*")}
        assert noted == dict.fromkeys(warned, use)


def test_a_single_contrast_scan_has_no_t2_and_the_message_says_why(tmp_path):
    scan, _, _ = knee(echoes=1)
    folder = write_subject(tmp_path / "single", scan)
    with pytest.raises(InputError, match=r"single-contrast scan: T2 comes from the ratio .*single"):
        runner.evaluate({"single": find_scan(folder)}, INTERPOLATIONS, T2, tmp_path / "out")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"roi": ()}, "expected different regions, got none"),
        ({"roi": ("a", "a")}, "expected different regions, got a,a"),
        ({"roi": ("a", "b", "c"), "t1_ms": (1.0, 2.0)}, "one T1 or one for each of the 3 regions"),
    ],
)
def test_contradictory_settings_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        EvaluationConfig(experiment="t2", **options)


def test_t2_of_a_phantoms_folder_is_near_its_truth(tmp_path):
    data = write_cohort(tmp_path / "data", 2)
    subjects = find_scans(data)
    runner.evaluate(subjects, INTERPOLATIONS, T2, tmp_path / "out")
    rows = read_rows(tmp_path / "out" / "rows.csv", "t2")
    assert {row["roi"] for row in rows} == {"medial_femoral_cartilage"}
    for row in rows:
        assert row["t2_thick_ms"] == pytest.approx(row["t2_truth_ms"], rel=0.06)
        assert row["t2_ms"] == pytest.approx(row["t2_thick_ms"], rel=0.06)


# The command


def test_a_second_call_has_nothing_to_do(tmp_path):
    data, out = write_cohort(tmp_path / "data", 2), tmp_path / "out"
    call = ["--experiment=image_quality", f"--data={data}", f"--output={out}", "--methods=tci,fi"]
    first = run(*call)
    assert (first.returncode, first.stderr) == (0, "")
    before = (out / "rows.csv").read_text()
    assert len(before.splitlines()) == 1 + 2 * 2 * 2
    again = run(*call)
    assert again.returncode == 0
    assert "finished" in again.stdout
    other = run(*call, "--slice_factor=3")
    assert other.returncode == 1
    assert "slice_factor 2 -> 3" in other.stderr
    assert (out / "rows.csv").read_text() == before
    assert str(tmp_path) not in (out / "configuration.json").read_text()


def test_results_under_anonymous_names_hold_no_name_of_a_folder(tmp_path):
    data, out = write_cohort(tmp_path / "data", 2), tmp_path / "out"
    (data / "subject_0").rename(data / "Doe_Jane")
    call = ["--experiment=t2", f"--data={data}", f"--output={out}", "--methods=tci"]
    result = run(*call, "--anonymous_names")
    assert (result.returncode, "2 subjects" in result.stdout) == (0, True), result.stderr
    assert read_results(out).subjects == ["subject_01", "subject_02"]
    pages = [str(path.relative_to(out)) for path in out.rglob("*")]
    pages += [path.read_text() for path in out.rglob("*") if path.suffix in (".csv", ".json")]
    pages += [repr(load_pictures(path)) for path in out.rglob("*.npz")]
    assert not any(name in page for page in pages for name in ("Doe", "subject_1", str(tmp_path)))
    assert "finished" in run(*call, "--anonymous_names").stdout


def test_a_scan_without_a_subjects_folder_is_one_subject(tmp_path):
    scan, _, _ = knee()
    write_subject(tmp_path / "knee", scan)
    source, out = tmp_path / "knee" / "image.nii.gz", tmp_path / "out"
    result = run(
        "--experiment=image_quality", f"--data={source}", f"--output={out}", "--methods=tci"
    )
    assert result.returncode == 0, result.stderr
    assert {row["subject"] for row in read_results(out).rows} == {"image"}


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--methods=tci,cubic"], 1, "expected methods among mrsr, tci, fi, scsr, got 'cubic'"),
        (["--model=nowhere"], 1, "nowhere"),
        (["--methods=tci", "--data=nowhere"], 1, "nowhere"),
        (["--methods=tci", "--experiment=t2", "--roi=patella"], 1, "expected a region patella"),
        (
            ["--methods=tci", "--experiment=t2", "--t1_ms=0"],
            1,
            "expected T1 in ms, numbers above 0",
        ),
        (["--experiment=layers"], 2, "experiment"),
        (["--slice_factor=1"], 2, "slice_factor"),
        (["stray"], 2, "stray"),
    ],
)
def test_a_wrong_call_ends_in_one_line_and_leaves_nothing(tmp_path, arguments, code, message):
    data, out = write_cohort(tmp_path / "data", 1), tmp_path / "out"
    call = ["--experiment=image_quality", f"--data={data}", f"--output={out}", *arguments]
    result = run(*call)
    assert result.returncode == code
    assert message in result.stderr
    errors = [line for line in result.stderr.splitlines() if not line.startswith("warning: ")]
    assert len(errors) == 1
    assert errors[0].startswith("error: ")
    assert sorted(tmp_path.iterdir()) == [data]


def test_the_network_is_one_of_the_methods_and_determines_the_slice_factor(tmp_path):
    from mrsr_tf.network.architecture import build_model
    from mrsr_tf.network.streaming import SuperResolver
    from mrsr_tf.network.trained_model import TrainedModel

    weights = [0 * each for each in build_model(2, convolutions=2, filters=2).get_weights()]
    model = tmp_path / "model"
    TrainedModel("idle", SuperResolver(weights, 2), {}).export(model)
    data, out = write_cohort(tmp_path / "data", 1), tmp_path / "out"
    call = ["--experiment=image_quality", f"--data={data}", f"--model={model}"]
    wrong = run(*call, f"--output={out}", "--slice_factor=3")
    assert (wrong.returncode, "--slice_factor=2, which the model" in wrong.stderr) == (1, True)
    result = run(*call, f"--output={out}", "--methods=mrsr,tci")
    assert result.returncode == 0, result.stderr
    read = read_results(out)
    ssim, mse = (
        {(row["method"], row["echo"]): row[score] for row in read.rows} for score in ("ssim", "mse")
    )
    # A network of zeros adds nothing to its input.
    assert ssim["mrsr", 1] == pytest.approx(ssim["tci", 1], abs=1e-4)
    assert read.configuration["model"]["name"] == "model"
    assert not {"precision", "ensemble", "consistent"} & set(read.configuration)
    out = tmp_path / "with_options"
    options = ["--ensemble", "--consistent", "--precision=bfloat16"]
    result = run(*call, f"--output={out}", "--methods=mrsr", *options)
    assert result.returncode == 0, result.stderr
    read = read_results(out)
    stated = {name: read.configuration[name] for name in ("precision", "ensemble", "consistent")}
    assert stated == {"precision": "bfloat16", "ensemble": True, "consistent": True}
    assert read.rows[0]["mse"] < mse["tci", 1]  # consistent, and so nearer to the truth
