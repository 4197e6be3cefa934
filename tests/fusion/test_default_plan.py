"""TVM's own plan and patterns, told without TVM: small cases by hand, and real networks against TVM itself."""

import contextlib
import io
from functools import cache
from typing import Any

import onnx
import pytest

from bench.facts import light_model
from relay_frontend.graph import GRAPH_INPUT, Edge, OpGraph, OpNode, TensorType
from tests.fusion.networks import network, space_of
from tvm_narcost.fusion.default_plan import default_plan
from tvm_narcost.fusion.legality import FusionSpace, check_plan
from tvm_narcost.fusion.patterns import Pattern, patterns_of
from tvm_narcost.zoo import MICRO_FAMILIES, generate

LIGHT = ("bvlc_alexnet", "resnet50", "shufflenet", "squeezenet", "zfnet512")
ZOO = [*((family, 3) for family in MICRO_FAMILIES), ("bert", 203), ("corpus_rows", 4), ("corpus_move", 6), ("vit", 2)]


@pytest.mark.parametrize(
    ("operators", "kernels"),
    [
        # elementwise operators go into the convolution before them, injective ones do not
        ([("Conv",), ("Relu", 0), ("Transpose", 1)], ((0, 1), (2,))),
        # all paths from the convolution meet again in elementwise operators
        ([("Conv",), ("Relu", 0), ("Sigmoid", 0), ("Add", 1, 2)], ((0, 1, 2, 3),)),
        # one path leads through a convolution
        ([("Conv",), ("Conv", 0), ("Add", 0, 1)], ((0,), (1, 2))),
        # a broadcast ends a convolution's kernel, and is fused with what follows
        ([("Conv",), ("Expand", 0), ("Relu", 1)], ((0,), (1, 2))),
        # injective operators are fused with each other, through a field of a tuple as well
        ([("Split",), ("Relu", 0), ("Transpose", 1)], ((0, 1, 2),)),
        # a reduction takes in what comes before it, and nothing behind it
        ([("Relu",), ("ReduceSum", 0), ("Relu", 1)], ((0, 1), (2,))),
        # a softmax takes in what comes behind it
        ([("Relu",), ("Softmax", 0), ("Relu", 1)], ((0,), (1, 2))),
        ([("Relu",), ("TopK", 0), ("Relu", 1)], ((0,), (1,), (2,))),
    ],
)  # fmt: skip
def test_the_rule_on_networks_of_a_few_operators(
    operators: list[tuple[str, *tuple[int, ...]]], kernels: tuple[tuple[int, ...], ...]
) -> None:
    assert default_plan(space_of(network(*operators))).kernels == kernels


def test_what_the_network_returns_is_not_fused_into_what_reads_it() -> None:
    assert default_plan(space_of(network(("Conv",), ("Relu", 0), outputs=(0, 1)))).kernels == ((0,), (1,))


def test_no_kernel_is_larger_than_allowed() -> None:
    space = space_of(network(("Conv",), *(("Relu", place) for place in range(5))))
    assert default_plan(space, max_operators=3).kernels == ((0, 1, 2), (3, 4, 5))
    assert default_plan(space).kernels == ((0, 1, 2, 3, 4, 5),)


def test_what_one_call_computes_stays_together() -> None:
    space = space_of(network(("Transpose",), ("Sigmoid", 0), ("Add", 0, 1)), inseparable=[(1, 2)])
    assert default_plan(space).kernels == ((0, 1, 2),)


def patterns(*nodes: tuple[str, tuple[int, ...], tuple[int, ...]], **attributes: Any) -> list[Pattern]:
    """Of operators of one operand, each of the shape that it reads and the shape that it writes."""
    found: list[Pattern] = []
    for op, read, written in nodes:
        node = OpNode(op, (Edge(GRAPH_INPUT),), (TensorType(written, "float32"),), tuple(sorted(attributes.items())))
        graph = OpGraph("one", (node,), (("x", TensorType(read, "float32")),), (), (Edge(0),))
        found += patterns_of(graph)
    return found


def test_patterns_depend_on_shapes() -> None:
    assert patterns(("Mul", (4, 8), (4, 8)), ("Mul", (8,), (4, 8))) == [Pattern.ELEMWISE, Pattern.BROADCAST]
    assert patterns(("Reshape", (1, 8), (1, 1, 8)), ("Reshape", (2, 8), (16,))) == [
        Pattern.BROADCAST,
        Pattern.INJECTIVE,
    ]
    assert patterns(("Slice", (4,), (3,)), starts=(0,), steps=(1,)) == [Pattern.ELEMWISE]
    assert patterns(("Slice", (4,), (3,)), starts=(1,), steps=(1,)) == [Pattern.INJECTIVE]


def test_an_operator_outside_the_table_is_opaque() -> None:
    assert patterns(("example.com.Splat", (4,), (4,)), ("LSTM", (4,), (4,))) == [Pattern.OPAQUE, Pattern.OPAQUE]


@cache
def prepared(name: str, seed: int | None) -> Any:
    """A network as narcost's pipeline for TVM prepares it."""
    pytest.importorskip("tvm")
    from tvm.relax.frontend.onnx import from_onnx

    from hardware_profiles import load_profile
    from tvm_narcost.hook.prepare import prepare
    from tvm_narcost.hook.variant import Variant

    model = onnx.load(light_model(name)) if seed is None else generate(name, seed)
    with contextlib.redirect_stdout(io.StringIO()):
        module = from_onnx(model)
    return prepare(module, load_profile("epyc-zen5.tvm"), variant=Variant("NHWC", ("fold_batch_norm",)), name=name)


NETWORKS = pytest.mark.parametrize(("name", "seed"), [*((name, None) for name in LIGHT), *ZOO])


@NETWORKS
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_same_kernels_in_the_same_order_as_fuse_ops(name: str, seed: int | None) -> None:
    found = prepared(name, seed)
    from tvm_narcost.hook.default_groups import tvm_plan

    space = FusionSpace(found.graph, found.patterns, found.inseparable)
    expected = tvm_plan(found)
    check_plan(space, expected)
    assert default_plan(space) == expected


def only_adds_or_drops_ones(graph: OpGraph, index: int) -> bool:
    """Whether the graph does not tell reshape from squeeze and expand_dims."""
    node = graph.nodes[index]
    shapes = [kind.shape for kind in (*graph.input_types(index)[:1], *node.outputs)]
    return node.op == "Reshape" and len({tuple(extent for extent in shape if extent != 1) for shape in shapes}) == 1


@NETWORKS
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_patterns_that_tvm_reads_off_its_loops(name: str, seed: int | None) -> None:
    found = prepared(name, seed)
    left_out = {index for unit in found.inseparable for index in unit}
    left_out |= {index for index in range(len(found.graph.nodes)) if only_adds_or_drops_ones(found.graph, index)}
    differences = {
        (node.op, ours.name, theirs.name)
        for index, (node, ours, theirs) in enumerate(
            zip(found.graph.nodes, patterns_of(found.graph), found.patterns, strict=True)
        )
        if ours != theirs and index not in left_out
    }
    assert differences == set()
