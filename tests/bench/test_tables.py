"""The tables in README and docs are those that the result files give."""

import json
from pathlib import Path

import pytest

from bench.tables import TABLES, fill

ROOT = Path(__file__).parent.parent.parent
PAGES = ("README.md", "docs/benchmarks.md", "docs/uncertainty.md")


@pytest.mark.parametrize("page", PAGES)
def test_every_table_is_up_to_date(page: str) -> None:
    text = (ROOT / page).read_text()
    assert "<!-- table: " in text
    assert fill(text) == text, f"{page} is out of date: run `python -m bench.tables`"


def test_a_changed_figure_is_put_right() -> None:
    text = "before\n<!-- table: light -->\n| an old | figure |\n<!-- end -->\nafter"
    filled = fill(text)
    assert TABLES["light"]() in filled
    assert "an old" not in filled
    assert filled.startswith("before\n") and filled.endswith("\nafter")


def test_a_result_that_is_not_there_is_said_to_be_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.tables.RESULTS", tmp_path)
    filled = fill("<!-- table: light -->\n| an old | figure |\n<!-- end -->")
    assert filled == "<!-- table: light -->\nNot measured yet: there is no `bench/results/light.json`.\n<!-- end -->"


def test_kernels_of_kinds_that_take_little_time_are_one_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def kind(kernels: int, share: float, error: float) -> dict[str, object]:
        figures = {"error": error, "error_std": 0.0, "bias": -error}
        return {"kernels": kernels, "share": share, "narformer": figures, "kernel_sum": figures}

    kinds = {
        "all": kind(1006, 100, 5.0),
        "Conv": kind(1000, 99.4, 5.0),
        "Pad": kind(5, 0.4, 10),
        "Neg": kind(1, 0.2, 40),
    }
    network = {name: {"error": 4.0, "error_std": 0.0} for name in ("narformer", "kernel_sum")}
    summary = {"networks": 7, "kinds": kinds, "network": network}
    (tmp_path / "breakdown.json").write_text(json.dumps({"summary": summary}))
    monkeypatch.setattr("bench.tables.RESULTS", tmp_path)
    assert TABLES["breakdown"]().splitlines()[2:] == [
        "| Conv | 1,000 | 99.4 % | 5.0 % | -5.0 % | 5.0 % | -5.0 % |",
        "| 2 others | 6 | 0.6 % | 20.0 % | -20.0 % | 20.0 % | -20.0 % |",
        "| **all kernels** | 1,006 | 100.0 % | 5.0 % | -5.0 % | 5.0 % | -5.0 % |",
        "| **networks** | 7 |  | 4.0 % |  | 4.0 % |  |",
    ]


def test_intervals_by_family_and_by_certainty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def figures(mape: float) -> dict[str, float]:
        names = ("coverage", "width", "constant_width", "out_of_distribution")
        return {"mape": mape, **{name: 10.0 * number for number, name in enumerate(names, 1)}}

    summary = {
        "families": {"vgg": figures(4.0), "vit": figures(6.0)},
        "average": figures(5.0),
        "seeds": {"mape": {"std": 0.24}, "coverage": {"std": 0.5}},
        "risk_coverage": [{"most_certain": 50, "mape": 3.0}, {"most_certain": 100, "mape": 5.0}],
    }
    document = {"summary": summary, "data": {"false_alarms": {"vgg": 0.0, "vit": 2.0, "all": 1.0}}}
    (tmp_path / "uncertainty.json").write_text(json.dumps(document))
    monkeypatch.setattr("bench.tables.RESULTS", tmp_path)
    assert TABLES["uncertainty"]().splitlines()[2:] == [
        "| vgg | 4.0 % | 10.0 % | 20.0 % | 30.0 % | 40.0 % | 0.0 % |",
        "| vit | 6.0 % | 10.0 % | 20.0 % | 30.0 % | 40.0 % | 2.0 % |",
        "| **average** | 5.0 ± 0.2 % | 10.0 ± 0.5 % | 20.0 % | 30.0 % | 40.0 % | 1.0 % |",
    ]
    assert TABLES["certainty"]().splitlines()[0] == "| most certain | 50 % | 100 % |"
    assert TABLES["certainty"]().splitlines()[2] == "| MAPE | 3.0 % | 5.0 % |"


def test_an_unknown_table_is_an_error() -> None:
    with pytest.raises(KeyError, match="no_such_table"):
        fill("<!-- table: no_such_table -->\n<!-- end -->")
