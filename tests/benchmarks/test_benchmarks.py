"""The ratios, tables and page of the benchmarks, and that all benchmarks exist."""

import ast
import json
from pathlib import Path

import pytest
from commands import flags_of

from benchmarks import measuring, page, table
from benchmarks.table import Row

ROOT = Path(__file__).parents[2]


def entry(*rows):
    metadata = {
        "command": "c",
        "date": "d",
        "load": 0.1,
        "seconds": 1,
        "machine": "m",
        "versions": "v",
    }
    return metadata | {"rows": [vars(row) for row in rows]}


@pytest.mark.parametrize(
    ("row", "ratios"),
    [
        (Row("time", "s", [2, 4], "peer", [4, 2]), [2, 0.5]),
        (Row("rate", "patches/s", [2, 4], "peer", [4, 2]), [0.5, 2]),
        (Row("memory", "GB", [2, 4], "the limit", [8]), [4, 2]),
        (Row("alone", "s", [2, 4]), []),
    ],
)
def test_ratios_say_how_many_times_better_ours_is_in_each_round(row, ratios):
    assert row.ratios() == ratios


def test_values_of_different_numbers_of_rounds_are_an_error():
    with pytest.raises(ValueError, match="shorter"):
        Row("time", "s", [1, 2, 3], "peer", [1, 2]).ratios()


def test_the_table_holds_medians_and_ranges_and_no_empty_column():
    rows = [Row("T2 map", "s", [1, 2, 4], "DOSMA", [2, 6, 4]), Row("records", "", [5625])]
    assert table.text(rows).splitlines() == [
        "quantity  ours   unit  compared with  its value  times better  range over rounds",
        "T2 map    2      s     DOSMA          4          2.00          1.00 to 3.00",
        "records   5,625",
    ]


def test_contenders_take_turns_backwards_every_other_round_and_warm_up_unmeasured():
    called = []
    contenders = {name: (lambda name=name: called.append(name) or len(called)) for name in "ab"}
    assert measuring.in_turns(contenders, 2) == {"a": [4, 5], "b": [3, 6]}
    assert called == ["a", "b", "b", "a", "a", "b"]


def test_a_command_that_fails_is_an_error(capfd):
    with pytest.raises(measuring.InputError, match=r"expected .* to succeed"):
        measuring.run_command("mrsr_tf.infer")
    duration, memory = measuring.run_command("mrsr_tf.infer", "--version")
    assert 0.01 < duration < 60
    # A test process that holds TensorFlow counts before the command starts.
    assert 0.005 < memory < 8


def test_the_page_holds_ratios_in_tables_and_in_a_figure_and_curves_in_another(tmp_path):
    curve = [Row("bent", "s", [1], size=1), Row("bent", "s", [5], "a line", [3], size=3)]
    results = {"growth": entry(*curve, Row("speed", "s", [1], "peer", [2]))}
    text = page.render(results)
    assert "| bent | 3 | 5 | s | a line | 3 | 0.60 |" in text
    page.draw(results, tmp_path / "images")
    assert {path.name for path in (tmp_path / "images").iterdir()} == {
        "benchmarks_ratios.png", "benchmarks_growth.png",
    }  # fmt: skip


def test_the_page_of_the_documentation_is_what_was_measured():
    results = json.loads((ROOT / "docs" / "benchmarks.json").read_text(encoding="utf-8"))
    assert page.render(results) == (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")


def test_every_benchmark_answers_a_question_and_has_the_flags_of_every_size():
    source = ast.parse((ROOT / "benchmarks" / "__main__.py").read_text(encoding="utf-8"))
    (sizes,) = (
        ast.literal_eval(part.value)
        for part in source.body
        if isinstance(part, ast.Assign) and ast.unparse(part.targets[0]) == "SIZES"
    )
    assert list(sizes) == ["quick", "usual", "full"]
    assert len({tuple(benchmarks) for benchmarks in sizes.values()}) == 1
    assert all(page.question(name).endswith("?") for name in sizes["usual"])
    for name, arguments in (pair for size in sizes.values() for pair in size.items()):
        names = {argument.partition("=")[0].lstrip("-") for argument in arguments.split()}
        assert names <= flags_of(f"benchmarks.{name}"), name
