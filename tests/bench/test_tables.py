"""The tables in README and docs are those that the result files give."""

from pathlib import Path

import pytest

from bench.tables import TABLES, fill

ROOT = Path(__file__).parent.parent.parent
PAGES = ("README.md", "docs/benchmarks.md")


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


def test_an_unknown_table_is_an_error() -> None:
    with pytest.raises(KeyError, match="no_such_table"):
        fill("<!-- table: no_such_table -->\n<!-- end -->")
