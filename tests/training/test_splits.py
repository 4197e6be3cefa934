"""Splits: nothing lies on both sides, and the held-out family takes no part in fitting."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_frontend.graph import GRAPH_INPUT, Edge, OpGraph, OpNode, TensorType
from tvm_narcost.errors import TrainingError
from tvm_narcost.training.splits import Split, hold_out_families, split_by_hash


@dataclass(frozen=True)
class Network:
    """As much of an Example as a split looks at."""

    family: str
    graph: OpGraph


def network(family: str, width: int) -> Network:
    kind = TensorType((1, width), "float32")
    node = OpNode("Relu", (Edge(GRAPH_INPUT),), (kind,))
    return Network(family, OpGraph(f"{family}-{width}", (node,), (("x", kind),), (), (Edge(0),)))


networks = st.lists(st.builds(network, st.sampled_from(["a", "b", "c"]), st.integers(1, 40)), max_size=60)
fraction = st.floats(0.0, 0.5)


def hashes(part: tuple[Network, ...]) -> set[str]:
    return {item.graph.structural_hash() for item in part}


def assert_no_graph_on_two_sides(split: Split[Network]) -> None:
    assert not hashes(split.train) & hashes(split.validation)
    assert not hashes(split.train) & hashes(split.test)
    assert not hashes(split.validation) & hashes(split.test)


@given(networks, fraction, fraction)
def test_parts_are_disjoint_by_graph_and_together_everything(
    items: list[Network], validation: float, test: float
) -> None:
    split = split_by_hash(items, validation=validation, test=test)
    assert_no_graph_on_two_sides(split)
    order = {id(item): position for position, item in enumerate(items)}
    together = [id(item) for part in (split.train, split.validation, split.test) for item in part]
    assert sorted(together, key=order.__getitem__) == [id(item) for item in items]


@given(networks, st.sampled_from(["a", "b", "c"]), fraction)
def test_held_out_family_is_in_no_training_part(items: list[Network], family: str, validation: float) -> None:
    items = [*items, network("a", 1001), network("b", 1002), network("c", 1003)]
    split = hold_out_families(items, (family,), validation=validation)
    assert {item.family for item in split.test} == {family}
    assert family not in {item.family for item in (*split.train, *split.validation)}
    assert_no_graph_on_two_sides(split)
    # Nothing is lost but what would be on both sides.
    kept = len(split.train) + len(split.validation) + len(split.test)
    shared = [item for item in items if item.family != family and item.graph.structural_hash() in hashes(split.test)]
    assert kept + len(shared) == len(items)


def test_fractions_are_about_right() -> None:
    split = split_by_hash([network("a", width) for width in range(1, 1001)], validation=0.1, test=0.2)
    assert 60 < len(split.validation) < 140
    assert 150 < len(split.test) < 250


def test_a_network_stays_on_its_side_when_others_come() -> None:
    few = [network("a", width) for width in range(1, 100)]
    many = [*few, *(network("b", width) for width in range(100, 300))]
    assert hashes(split_by_hash(few, validation=0.3).validation) <= hashes(
        split_by_hash(many, validation=0.3).validation
    )


@pytest.mark.parametrize("families", [[], ["a"], ["b"]])
def test_family_that_cannot_be_held_out(families: list[str]) -> None:
    items = [network(family, 8) for family in families]
    with pytest.raises(TrainingError, match="family 'a': .*expected one of"):
        hold_out_families(items, ("a",), validation=0.1)


def test_families_held_out_together_are_all_in_the_test_part_or_refused() -> None:
    items = [network(family, width) for width, family in enumerate(["a", "b", "c", "c"], 8)]
    split = hold_out_families(items, ("a", "c"), validation=0.0)
    assert [item.family for item in split.test] == ["a", "c", "c"]
    assert [item.family for item in split.train] == ["b"]
    with pytest.raises(TrainingError, match="family 'd': 0 networks, expected one of"):
        hold_out_families(items, ("a", "d"), validation=0.0)
