"""What the benchmarks say of what they measured: ratios, tables, the page; and that they exist."""

import ast
import json
from pathlib import Path

import pytest
from commands import flags_of

from benchmarks import measuring, page, table
from benchmarks.table import Row

ROOT = Path(__file__).parents[2]


def entry(*rows):
    facts = {
        "command": "c",
        "date": "d",
        "load": 0.1,
        "seconds": 1,
        "machine": "m",
        "versions": "v",
    }
    return facts | {"rows": [vars(row) for row in rows]}


@pytest.mark.parametrize(
    ("row", "ratios"),
    [
        (Row("time", "s", [2, 4], "peer", [4, 2]), [2, 0.5]),
        (Row("rate", "patches/s", [2, 4], "peer", [4, 2]), [0.5, 2]),
        (Row("memory", "GB", [2, 4], "the limit", [8]), [4, 2]),
        (Row("alone", "s", [2, 4]), []),
    ],
)
def test_a_ratio_says_how_many_times_better_in_each_round(row, ratios):
    assert row.ratios() == ratios


def test_rounds_that_do_not_match_are_no_ratio():
    with pytest.raises(ValueError, match="shorter"):
        Row("time", "s", [1, 2, 3], "peer", [1, 2]).ratios()


def test_the_table_has_medians_the_spread_and_no_empty_column():
    rows = [Row("T2 map", "s", [1, 2, 4], "DOSMA", [2, 6, 4]), Row("records", "", [5625])]
    assert table.text(rows).splitlines() == [
        "what     ours   unit  beside  has  times better  rounds",
        "T2 map   2      s     DOSMA   4    2.00          1.00 to 3.00",
        "records  5,625",
    ]


def test_contenders_take_turns_backwards_every_other_round_and_warm_up_unmeasured():
    called = []
    contenders = {name: (lambda name=name: called.append(name) or len(called)) for name in "ab"}
    assert measuring.in_turns(contenders, 2) == {"a": [4, 5], "b": [3, 6]}
    assert called == ["a", "b", "b", "a", "a", "b"]


def test_a_command_that_fails_is_no_measurement(capfd):
    with pytest.raises(measuring.InputError, match=r"expected .* to do its work"):
        measuring.of_command("mrsr_tf.infer")
    taken, memory = measuring.of_command("mrsr_tf.infer", "--version")
    assert 0.01 < taken < 60
    # A test process that holds TensorFlow counts before the command starts.
    assert 0.005 < memory < 8


def test_the_page_says_from_where_on_growth_is_not_linear(tmp_path):
    def curve(what, *seconds):
        lines = [[], [], [3], [4]]
        points = zip((1, 2, 3, 4), seconds, lines, strict=True)
        return [Row(what, "s", [s], "the line" if x else "", x, at=n) for n, s, x in points]

    rows = [*curve("straight", 1, 2, 3.1, 4), *curve("bent", 1, 2, 5, 8)]
    measured = {"growth": entry(*rows, Row("speed", "s", [1], "peer", [2]))}
    told = page.render(measured)
    assert "- straight: linear up to 4, the most that was measured." in told
    assert "- bent: bent at 3." in told
    assert "| bent | 3 | 5 | s | the line | 3 | 0.60 |" in told
    page.draw(measured, tmp_path / "images")
    assert {path.name for path in (tmp_path / "images").iterdir()} == {
        "benchmarks_ratios.png", "benchmarks_growth.png",
    }  # fmt: skip


def test_the_page_of_the_documentation_is_what_was_measured():
    measured = json.loads((ROOT / "docs" / "benchmarks.json").read_text(encoding="utf-8"))
    assert page.render(measured) == (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")


def test_every_benchmark_of_every_size_exists_and_has_its_flags():
    source = ast.parse((ROOT / "benchmarks" / "__main__.py").read_text(encoding="utf-8"))
    (sizes,) = (
        ast.literal_eval(part.value)
        for part in source.body
        if isinstance(part, ast.Assign) and ast.unparse(part.targets[0]) == "SIZES"
    )
    assert list(sizes) == ["quick", "usual", "full"]
    assert len({tuple(asked) for asked in sizes.values()}) == 1
    for name, asked in (pair for size in sizes.values() for pair in size.items()):
        known = flags_of(f"benchmarks.{name}")
        assert {part.partition("=")[0].lstrip("-") for part in asked.split()} <= known, name
