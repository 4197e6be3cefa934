"""Numbers and tables as the command line prints them."""

import pytest

from tvm_narcost.cli.tables import aligned, milliseconds, scaled


@pytest.mark.parametrize(
    ("value_ms", "text"), [(None, "-"), (0.01234, "0.012"), (9.8765, "9.877"), (12.345, "12.35"), (1234.56, "1234.6")]
)
def test_milliseconds(value_ms: float | None, text: str) -> None:
    assert milliseconds(value_ms) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0"), (999, "999"), (1000, "1.00 k"), (4_089_184_256, "4.09 G"), (2.5e12, "2.50 T")]
)
def test_scaled(count: float, text: str) -> None:
    assert scaled(count) == text


def test_text_is_flush_left_and_numbers_are_flush_right() -> None:
    assert aligned([["model", "ms"], ["a", "12.3"], ["longer", "4"]]) == (
        "model     ms\n"
        "a       12.3\n"
        "longer     4"
    )  # fmt: skip
