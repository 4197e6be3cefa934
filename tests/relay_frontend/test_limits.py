"""Limits: what is beyond them is refused, in words that say which to raise."""

import time
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from relay_frontend import InvalidGraphError, LimitError, Limits, load_graph

RESNET = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light" / "light_resnet50.onnx"
SMALL = Limits(file_bytes=10, nodes=3, nesting=2, rank=2, elements=100)


@pytest.mark.parametrize(
    ("within", "beyond", "message"),
    [
        (lambda: SMALL.check_bytes(10, "net"), lambda: SMALL.check_bytes(11, "net"), "net has 11 bytes.*at most 10"),
        (lambda: SMALL.check_nodes(3, "net"), lambda: SMALL.check_nodes(4, "net"), "net has 4 nodes.*Limits.nodes"),
        (lambda: SMALL.check_nesting(2, "f"), lambda: SMALL.check_nesting(3, "f"), "f is nested 3 deep.*at most 2"),
        (lambda: SMALL.check_shape((1, 2), "x"), lambda: SMALL.check_shape((1, 2, 3), "x"), "3 dimensions"),
        (lambda: SMALL.check_shape((50, 2), "x"), lambda: SMALL.check_shape((101,), "x"), r"\[101\].*100 elements"),
    ],
)
def test_a_limit_lets_pass_what_it_says_and_no_more(
    within: Callable[[], None], beyond: Callable[[], None], message: str
) -> None:
    within()
    with pytest.raises(LimitError, match=message):
        beyond()


def test_a_negative_extent_is_no_shape() -> None:
    with pytest.raises(InvalidGraphError, match=r"x has shape \[2, -1\]"):
        Limits().check_shape((2, -1), "x")


def test_a_clock_runs_out() -> None:
    clock = Limits(seconds=0.01).start_clock()
    clock.check("net")
    end = time.thread_time() + 0.02
    while time.thread_time() < end:
        pass
    with pytest.raises(LimitError, match="reading net takes more than 0.01 s of CPU"):
        clock.check("net")


def test_a_limit_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="'nodes': 0"):
        Limits(nodes=0)


def test_limits_reach_the_reader() -> None:
    with pytest.raises(LimitError, match="bytes, expected at most 1000"):
        load_graph(RESNET, limits=Limits(file_bytes=1000))
