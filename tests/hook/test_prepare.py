"""A module in any variant computes what it did, and its graph says what it is made of."""

import numpy as np
import pytest

pytest.importorskip("tvm")

from relay_frontend.costs import operator_cost
from tests.hook.modules import (
    attention,
    blurred,
    build,
    normalised,
    numbers,
    profile,
    reference,
    run,
    separable,
    sequence,
)
from tvm_narcost.hook.default_groups import tvm_plan
from tvm_narcost.hook.lower import lower
from tvm_narcost.hook.prepare import prepare
from tvm_narcost.hook.variant import Variant

NETWORKS = {
    "separable": (separable, (1, 3, 16, 16)),
    "attention": (attention, (1, 6, 8)),
    "normalised": (normalised, (1, 3, 8, 8)),
    "blurred": (blurred, (1, 3, 9, 9)),
    "sequence": (sequence, (1, 3, 21)),
}
VARIANTS = [Variant("NCHW", ("fold_batch_norm",)), Variant("NHWC"), Variant("NHWC", ("fold_batch_norm",))]
MODULES = {name: build(network, shape) for name, (network, shape) in NETWORKS.items()}


@pytest.mark.parametrize("name", NETWORKS)
def test_every_variant_computes_the_same(name: str) -> None:
    data = numbers(*NETWORKS[name][1])
    (expected,) = reference(MODULES[name], [data])
    for variant in VARIANTS:
        prepared = prepare(MODULES[name], profile(), variant=variant)
        (found,) = run(lower(prepared, tvm_plan(prepared), profile()), [data])
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max(), err_msg=str(variant))


def operators(name: str, variant: Variant) -> list[str]:
    return [node.op for node in prepare(MODULES[name], profile(), variant=variant).graph.nodes]


def test_only_the_input_is_transposed() -> None:
    plain = operators("blurred", Variant("NCHW"))
    assert operators("blurred", Variant("NHWC")) == ["Transpose", *plain, "Reshape"]  # of one pixel nothing moves
    assert operators("normalised", Variant("NHWC")).count("Transpose") == 2  # and the shuffled channels
    assert operators("sequence", Variant("NHWC")) == ["Transpose", *operators("sequence", Variant("NCHW"))]


@pytest.mark.parametrize("name", ["separable", "blurred", "sequence"])
def test_the_layout_changes_no_flops_and_no_parameter(name: str) -> None:
    graphs = [prepare(MODULES[name], profile(), variant=Variant(layout)).graph for layout in ("NCHW", "NHWC")]
    plain, last = (
        [
            operator_cost(graph, index)
            for index, node in enumerate(graph.nodes)
            if node.op not in ("Transpose", "Reshape")
        ]
        for graph in graphs
    )
    assert [(cost.flops, cost.padding_flops, cost.parameter_bytes) for cost in last] == [
        (cost.flops, cost.padding_flops, cost.parameter_bytes) for cost in plain
    ]
    windows = [node for node in graphs[1].nodes if node.op in ("Conv", "MaxPool", "AveragePool")]
    rank = 3 if name == "sequence" else 4
    assert {node.attribute_map.get("channels_last") for node in windows if len(node.outputs[0].shape) == rank} == {1}
