import csv

import numpy as np
import pytest
from small_scans import image_quality_rows, t2_rows, write_results

from eval import statistics
from eval.metrics import METRICS
from eval.reporting import published_values
from eval.reporting.summaries import summarize
from eval.reporting.summaries.image_quality import quality_records, quality_table
from eval.reporting.summaries.t2 import t2_records, t2_table
from eval.reporting.table_layout import to_text
from eval.results.rows import Results, read_results, read_rows, write_rows
from mrsr_tf.errors import InputError

QUALITY = {
    "mrsr": [0.98, 0.97, 0.99, 0.985, 0.975],
    "tci": [0.95, 0.93, 0.96, 0.955, 0.94],
    "fi": [0.952, 0.931, 0.978, 0.957, 0.942],
}


@pytest.fixture
def quality(tmp_path):
    folder = write_results(tmp_path / "q", "image_quality", image_quality_rows(QUALITY))
    return read_results(folder)


def paper_t2(tmp_path, **options) -> Results:
    rows = t2_rows(
        published_values.T2_THICK_MS,
        {m: list(v) for m, v in published_values.T2_MS.items()},
        **options,
    )
    return read_results(write_results(tmp_path / "t2", "t2", rows))


def test_table_1_has_the_mean_sd_and_both_tests_of_each_metric_echo_and_method(quality):
    records = quality_records(quality)
    assert len(records) == 2 * 4 * 2 * 3
    tci = next(r for r in records if (r.metric, r.echo, r.method) == ("ssim", 1, "tci"))
    assert tci.mean == pytest.approx(np.mean(QUALITY["tci"]))
    assert tci.sd == pytest.approx(np.std(QUALITY["tci"], ddof=1))
    # All of five below all of five: 2 of the 252 ways to split ten; 2 of the 32 sign patterns.
    assert tci.mann_whitney_p == pytest.approx(2 / 252)
    assert tci.paired_p == pytest.approx(2 / 32)
    # Four comparisons: TCI in both echoes is the smallest pair, FI the other.
    assert tci.mann_whitney_p_holm == pytest.approx(4 * 2 / 252)
    assert (tci.paper_mean, tci.paper_sd, tci.paper_starred) == (0.95, 0.02, True)


def test_table_1_has_the_bootstrap_interval_of_each_mean(quality):
    tci = next(r for r in quality_records(quality) if (r.metric, r.method) == ("ssim", "tci"))
    low, high = tci.mean_low, tci.mean_high
    assert min(QUALITY["tci"]) < low < tci.mean < high < max(QUALITY["tci"])
    assert (low, high) == statistics.mean_interval(QUALITY["tci"])
    shown = to_text(quality_table(quality_records(quality)))
    assert f"[{low:.3f}, {high:.3f}]" in shown


def test_table_1_has_the_inner_slices_where_a_scan_has_any(tmp_path, quality):
    assert {r.region for r in quality_records(quality)} == {"whole", "body"}
    rows = [
        row | {f"{name}_inner": row[name] + 0.001 for name in METRICS}
        for row in image_quality_rows(QUALITY)
    ]
    inner = read_results(write_results(tmp_path / "inner", "image_quality", rows))
    records = quality_records(inner)
    assert {r.region for r in records} == {"whole", "body", "whole_inner"}
    found = {r.region: r for r in records if (r.metric, r.method) == ("ssim", "tci")}
    assert found["whole_inner"].mean == pytest.approx(found["whole"].mean + 0.001)
    assert np.isnan(found["whole_inner"].paper_mean)
    assert "without the outer slices" in to_text(quality_table(records))


def test_the_network_is_not_tested_against_itself(quality):
    ours = [r for r in quality_records(quality) if r.method == "mrsr"]
    assert all(np.isnan(r.mann_whitney_p) and np.isnan(r.paired_p_holm) for r in ours)


def test_table_1_as_text_stars_differences_and_shows_the_papers_values_below(quality):
    shown = to_text(quality_table(quality_records(quality)))
    lines = shown.splitlines()
    row = next(index for index, line in enumerate(lines) if line.startswith("SSIM"))
    assert lines[row].split() == "SSIM S1 0.980 ± 0.008 0.947 ± 0.012* 0.952 ± 0.018*".split()
    assert lines[row + 1].lstrip().startswith("[0.97")
    assert lines[row + 2].split() == "(0.98 ± 0.01) (0.95 ± 0.02*) (0.92 ± 0.02*)".split()
    assert "5 subjects" in lines[0]
    assert "MSE x 10³" in shown


def test_the_papers_rmse_is_compared_with_our_mse(quality):
    by_metric = {(r.metric, r.method): r for r in quality_records(quality)[::-1]}
    assert by_metric["mse", "tci"].paper_mean == pytest.approx(0.72e-3)
    assert np.isnan(by_metric["rmse", "tci"].paper_mean)


def test_one_subject_has_no_test_and_the_table_notes_it(tmp_path):
    one = {method: values[:1] for method, values in QUALITY.items()}
    folder = write_results(tmp_path / "q", "image_quality", image_quality_rows(one))
    records = quality_records(read_results(folder))
    assert all(np.isnan(r.mann_whitney_p) and np.isnan(r.sd) for r in records)
    shown = to_text(quality_table(records))
    assert "One subject only: no SD and no test possible." in shown
    assert "nan" not in shown


def test_results_without_the_network_have_no_test_and_the_table_notes_it(tmp_path):
    rows = image_quality_rows({"tci": QUALITY["tci"]})
    results = read_results(write_results(tmp_path / "q", "image_quality", rows))
    assert "MRSR was not evaluated" in to_text(summarize(results).tables[0])


def test_table_2_of_the_papers_subjects_is_the_papers_summary(tmp_path):
    records = t2_records(paper_t2(tmp_path))
    summary = [r for r in records if r.reference == "thick" or r.quantity.startswith("av")]
    compared = [r for r in summary if np.isfinite(r.paper_value)]
    assert len(compared) == 5 + 4 * 5
    assert {r.quantity for r in compared} >= {"limit_low_ms", "limit_high_ms"}
    for record in compared:
        assert record.value == pytest.approx(record.paper_value)
        assert record.sd == pytest.approx(record.paper_sd, nan_ok=True)


def test_table_2_as_text_prints_the_papers_digits(tmp_path):
    shown = to_text(t2_table(t2_records(paper_t2(tmp_path))))
    for line in (
        "s0 35.2 35.8 36.4 36.1 42.4",
        "Average T2, ms 35.5 ± 5.2 37.1 ± 5.4 37.8 ± 5.3 37.6 ± 5.5 46.7 ± 8.4",
        "Difference, ms 1.6 ± 1.0 2.3 ± 1.1 2.1 ± 1.1 11.2 ± 6.7",
        "CV % 3.1 ± 1.8 4.5 ± 2.2 4.1 ± 2.0 18.8 ± 9.3",
        "CCC 0.93 0.87 0.89 0.21",
        # Mean difference -+ 1.96 standard deviations of the paper's subjects.
        "Limits of agreement, ms: from -0.3 0.1 0.0 -2.0",
        "to 3.5 4.5 4.2 24.3",
    ):
        assert line in [" ".join(row.split()) for row in shown.splitlines()]
    assert "Truth" not in shown


def test_table_2_compares_with_the_truth_where_it_is_known(tmp_path):
    records = t2_records(paper_t2(tmp_path, truth=[35.0, 42.0, 28.0, 35.0, 36.0]))
    truth = [r for r in records if (r.reference, r.quantity) == ("truth", "difference_ms")]
    assert {r.method for r in truth} == set(published_values.T2_MS)
    assert truth[0].value == pytest.approx(np.mean(published_values.T2_MS["mrsr"]) - 35.2)
    assert np.isnan(truth[0].paper_value)
    assert "Against the truth" in to_text(t2_table(records))


def test_table_2_of_one_subject_has_the_values_that_need_no_second_subject(tmp_path):
    rows = t2_rows([35.0], {"mrsr": [36.0], "tci": [37.0]})
    records = t2_records(read_results(write_results(tmp_path / "t2", "t2", rows)))
    found = {(r.quantity, r.method): r for r in records if r.reference == "thick"}
    assert found["difference_ms", "tci"].value == pytest.approx(2)
    assert found["cv_percent", "tci"].value == pytest.approx(100 * 2 / (2**0.5 * 36))
    assert np.isnan(found["ccc", "tci"].value)
    assert np.isnan(found["paired_p", "tci"].value)
    shown = to_text(t2_table(records))
    assert "One subject only: no SD and no test possible." in shown
    assert "nan" not in shown


def test_methods_of_different_subjects_are_refused(tmp_path):
    rows = image_quality_rows({"mrsr": [0.98, 0.97], "tci": [0.95]})
    with pytest.raises(InputError, match="same subjects, found no tci of s1"):
        read_results(write_results(tmp_path / "q", "image_quality", rows))


def test_methods_of_different_regions_are_refused(tmp_path):
    rows = t2_rows([35.0, 36.0], {"mrsr": [36.0, 37.0], "tci": [37.0, 38.0]})
    deep = [row | {"roi": "deep"} for row in rows if row["method"] == "mrsr"]
    with pytest.raises(InputError, match="same subjects, found no tci of s0"):
        read_results(write_results(tmp_path / "t2", "t2", rows + deep))


def test_a_method_measured_twice_is_refused(tmp_path):
    rows = image_quality_rows(QUALITY)
    with pytest.raises(InputError, match="same subjects, found mrsr more than once"):
        read_results(write_results(tmp_path / "q", "image_quality", [*rows, rows[0]]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "expected the columns subject,method,echo"),
        ("", "expected the columns"),
        (None, "expected a finished evaluation, found no rows.csv"),
    ],
)
def test_a_file_with_other_columns_is_refused(tmp_path, text, message):
    folder = write_results(tmp_path / "q", "image_quality", image_quality_rows(QUALITY))
    if text is None:
        (folder / "rows.csv").unlink()
    else:
        (folder / "rows.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        read_results(folder)


def test_a_row_with_a_word_for_a_number_is_refused_with_its_line(tmp_path):
    folder = write_results(tmp_path / "q", "image_quality", image_quality_rows(QUALITY))
    text = (folder / "rows.csv").read_text().replace("0.98,", "good,", 1)
    (folder / "rows.csv").write_text(text)
    with pytest.raises(InputError, match=r"rows\.csv line 2"):
        read_results(folder)


def test_an_unknown_experiment_is_refused(tmp_path):
    folder = write_results(tmp_path / "q", "image_quality", image_quality_rows(QUALITY))
    (folder / "configuration.json").write_text('{"experiment": "x"}')
    with pytest.raises(
        InputError,
        match="expected experiment image_quality or t2 or lesions or resolution, got 'x'",
    ):
        read_results(folder)


def test_rows_in_another_order_are_paired_by_subject(tmp_path, quality):
    rows = image_quality_rows(QUALITY)
    rows = rows[:10][::-1] + rows[10:]
    shuffled = read_results(write_results(tmp_path / "other", "image_quality", rows))

    def paired(results):
        names = ("metric", "region", "echo", "method")
        return {tuple(getattr(r, n) for n in names): r.paired_p for r in quality_records(results)}

    assert paired(shuffled) == pytest.approx(paired(quality), nan_ok=True)


def test_written_rows_are_read_unchanged(tmp_path):
    rows = t2_rows([35.25], {"mrsr": [36.5]})
    rows[0]["voxels"] = 1234567
    write_rows(tmp_path / "rows.csv", rows, "t2")
    (row,) = read_rows(tmp_path / "rows.csv", "t2")
    assert np.isnan(row.pop("t2_truth_ms"))
    assert np.isnan(rows[0].pop("t2_truth_ms"))
    empty = ("outliers", "thick_excluded", "pixel_cv_truth_percent")
    assert np.isnan([row.pop(name) for name in empty]).all()
    assert row == rows[0]


def test_a_csv_file_has_empty_cells_where_there_is_no_value(tmp_path, quality):
    summarize(quality).write_csv(tmp_path)
    with (tmp_path / "table1.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["method"] == "mrsr"
    assert rows[0]["mann_whitney_p"] == ""
    assert float(rows[1]["mann_whitney_p"]) == pytest.approx(2 / 252)
