"""The table of docs/formats.md is what reading says."""

from pathlib import Path

from bench.formats import FORMATS, fill
from relay_frontend.load import KNOWN_SUFFIXES

PAGE = Path(__file__).parent.parent.parent / "docs" / "formats.md"


def test_table_is_up_to_date() -> None:
    text = PAGE.read_text()
    assert "<!-- table: formats -->" in text
    assert fill(text) == text, "docs/formats.md is out of date: run `python -m bench.formats`"


def test_every_suffix_is_in_the_table() -> None:
    named = " ".join(FORMATS)
    assert all(f"`{suffix}`" in named for suffix in KNOWN_SUFFIXES)


def test_every_format_is_read_alone_and_as_its_onnx_file() -> None:
    rows = [line.split(" | ") for line in PAGE.read_text().splitlines() if line.startswith("| ")][2:]
    assert len(rows) == len(FORMATS)
    assert {tuple(row[1:3]) for row in rows} == {("yes", "yes")}
