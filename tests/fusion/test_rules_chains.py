"""The planner by rules on the smallest graph of each rule: chains, shared work, transposes."""

import pytest

from relay_frontend.graph import Edge, OpGraph
from tests.tokens.sketch import Sketch
from tvm_narcost.fusion.rules import plan_by_rules


def ops(graph: OpGraph, **options: int) -> list[str]:
    return [node.op for node in plan_by_rules(graph, **options).graph.nodes]


def half(sketch: Sketch, edge: Edge) -> Edge:
    return sketch.node("Mul", edge, sketch.weight())


def gelu(sketch: Sketch, x: Edge, spelling: str) -> Edge:
    """The three ways in which exporters write 0.5 x (1 + erf(x / sqrt 2))."""
    error = sketch.node("Erf", sketch.node("Div", x, sketch.weight()))
    one_more = sketch.node("Add", error, sketch.weight())
    match spelling:
        case "half of x first":
            return sketch.node("Mul", half(sketch, x), one_more)
        case "half at the end":
            return half(sketch, sketch.node("Mul", x, one_more))
        case "half of the error function":
            return sketch.node("Mul", x, half(sketch, one_more))
    raise AssertionError(spelling)


SPELLINGS = ["half of x first", "half at the end", "half of the error function"]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_gelu_in_every_spelling(spelling: str) -> None:
    sketch = Sketch((2, 5))
    gelu(sketch, sketch.input(), spelling)

    assert ops(sketch.done()) == ["Gelu"]


def test_a_gelu_whose_middle_is_read_elsewhere_stays_apart() -> None:
    sketch = Sketch((2, 5))
    last = gelu(sketch, sketch.input(), SPELLINGS[0])
    error = next(Edge(index) for index, node in enumerate(sketch.nodes) if node.op == "Erf")

    assert sorted(ops(sketch.done(last, error))) == ["Add", "Div", "Erf", "Mul", "Mul"]


@pytest.mark.parametrize("cube", ["Pow", "Mul"])
def test_fast_gelu(cube: str) -> None:
    sketch = Sketch((2, 5))
    x = sketch.input()
    third = sketch.node("Pow", x, sketch.weight()) if cube == "Pow" else sketch.node("Mul", sketch.node("Mul", x, x), x)
    inner = sketch.node("Add", x, half(sketch, third))
    bounded = sketch.node("Tanh", half(sketch, inner))
    sketch.node("Mul", half(sketch, x), sketch.node("Add", bounded, sketch.weight()))

    assert ops(sketch.done()) == ["FastGelu"]


def test_quick_gelu() -> None:
    sketch = Sketch((2, 5))
    sketch.node("Mul", sketch.input(), sketch.node("Sigmoid", sketch.input()))
    assert ops(sketch.done()) == ["QuickGelu"]

    sketch = Sketch((2, 5))
    sketch.node("Mul", sketch.node("Sigmoid", half(sketch, sketch.input())), sketch.input())
    assert ops(sketch.done()) == ["QuickGelu"]

    sketch = Sketch((2, 5), (2, 5))
    sketch.node("Mul", sketch.input(1), sketch.node("Sigmoid", sketch.input(0)))  # a gate, no GELU
    assert ops(sketch.done()) == ["Sigmoid", "Mul"]


def normalisation(sketch: Sketch, x: Edge, *, centred: bool, axis: int = 2) -> Edge:
    """(x - mean) / sqrt(mean square + epsilon) x gamma + beta over one axis of three."""
    shape = sketch.shape(x)
    short = tuple(1 if position == axis else extent for position, extent in enumerate(shape))
    deviation = x
    if centred:
        deviation = sketch.node("Sub", x, sketch.node("ReduceMean", x, shape=short, axes=(axis,), keepdims=1))
    square = sketch.node("Pow", deviation, sketch.weight())
    variance = sketch.node("ReduceMean", square, shape=short, axes=(axis,), keepdims=1)
    root = sketch.node("Sqrt", sketch.node("Add", variance, sketch.weight()))
    scaled = sketch.node("Mul", sketch.node("Div", deviation, root), sketch.weight(shape[-1]))
    return sketch.node("Add", scaled, sketch.weight(shape[-1])) if centred else scaled


def test_layer_normalisation() -> None:
    sketch = Sketch((2, 5, 8))
    normalisation(sketch, sketch.input(), centred=True)
    plan = plan_by_rules(sketch.done())

    assert [node.op for node in plan.graph.nodes] == ["LayerNormalization"]
    assert [kind.shape for kind in plan.graph.input_types(0)] == [(2, 5, 8), (8,), (8,)]


def test_layer_normalisation_without_a_mean() -> None:
    sketch = Sketch((2, 5, 8))
    normalisation(sketch, sketch.input(), centred=False)

    assert ops(sketch.done()) == ["SimplifiedLayerNormalization"]


def test_normalisation_over_another_axis_stays() -> None:
    sketch = Sketch((2, 8, 8))
    normalisation(sketch, sketch.input(), centred=True, axis=1)

    assert ops(sketch.done()).count("ReduceMean") == 2


@pytest.mark.parametrize(
    ("shape", "read_elsewhere", "expected"),
    [
        ((2, 5, 8), False, ["SkipLayerNormalization"]),
        ((2, 5, 8), True, ["Add", "LayerNormalization", "Exp"]),
        ((2, 5, 4, 8), False, ["Add", "LayerNormalization"]),
    ],
)
def test_a_sum_goes_into_the_normalisation(shape: tuple[int, ...], read_elsewhere: bool, expected: list[str]) -> None:
    sketch = Sketch(shape, shape)
    total = sketch.node("Add", sketch.input(0), sketch.input(1))
    outputs = [sketch.node("LayerNormalization", total, sketch.weight(8), sketch.weight(8), axis=len(shape) - 1)]
    if read_elsewhere:
        outputs.append(sketch.node("Exp", total))

    assert sorted(ops(sketch.done(*outputs))) == sorted(expected)


def test_indices_gathered_one_by_one_are_a_split() -> None:
    sketch = Sketch((3, 2, 8))
    parts = [sketch.node("Gather", sketch.input(), sketch.weight(dtype="int64"), shape=(2, 8), axis=0) for _ in "qkv"]
    plan = plan_by_rules(sketch.done(*parts))

    assert [node.op for node in plan.graph.nodes].count("Split") == 1
    assert [node.op for node in plan.graph.nodes].count("Squeeze") == 3
    assert plan.graph.nodes[0].outputs[0].shape == (1, 2, 8)


def test_too_few_indices_are_no_split() -> None:
    sketch = Sketch((3, 2, 8))
    parts = [sketch.node("Gather", sketch.input(), sketch.weight(dtype="int64"), shape=(2, 8), axis=0) for _ in "qk"]

    assert ops(sketch.done(*parts)) == ["Gather", "Gather"]


def slices(bounds: list[tuple[int, int]]) -> OpGraph:
    sketch = Sketch((2, 8))
    parts = [
        sketch.node("Slice", sketch.input(), shape=(2, end - start), axes=(1,), starts=(start,), ends=(end,),
                    steps=(1,))
        for start, end in bounds
    ]  # fmt: skip
    return sketch.done(*parts)


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ([(0, 3), (3, 8)], ["Split"]),
        ([(3, 8), (0, 3)], ["Split"]),
        ([(0, 3), (3, 7)], ["Slice", "Slice"]),  # something is left over
        ([(0, 4), (3, 8)], ["Slice", "Slice"]),  # overlapping
    ],
)
def test_slices_without_rest_are_a_split(bounds: list[tuple[int, int]], expected: list[str]) -> None:
    assert ops(slices(bounds)) == expected


def test_old_operators_have_no_split_to_write_the_parts_with() -> None:
    assert ops(slices([(0, 3), (3, 8)]), opset=12) == ["Slice", "Slice"]


def test_another_reader_of_the_whole_is_no_obstacle() -> None:
    sketch = Sketch((2, 8))
    low, high = (
        sketch.node("Slice", sketch.input(), shape=(2, 4), axes=(1,), starts=(start,), ends=(start + 4,), steps=(1,))
        for start in (0, 4)
    )
    turned = sketch.node("Concat", sketch.node("Neg", high), low, shape=(2, 8), axis=1)
    sketch.node("Add", sketch.input(), turned)

    assert ops(sketch.done()) == ["Split", "Neg", "Concat", "Add"]


def test_split_parts_keep_their_readers() -> None:
    plan = plan_by_rules(slices([(3, 8), (0, 3)]))

    assert [plan.graph.type_of(edge).shape for edge in plan.graph.outputs] == [(2, 5), (2, 3)]


def transposed(sketch: Sketch, edge: Edge, *perm: int) -> Edge:
    shape = tuple(sketch.shape(edge)[axis] for axis in perm)
    return sketch.node("Transpose", edge, shape=shape, perm=perm)


def test_transposes_that_undo_each_other_vanish() -> None:
    sketch = Sketch((2, 3, 4))
    sketch.node("Exp", transposed(sketch, transposed(sketch, sketch.input(), 2, 0, 1), 1, 2, 0))

    assert ops(sketch.done()) == ["Exp"]


def test_transposes_in_a_row_are_one() -> None:
    sketch = Sketch((2, 3, 4, 5))
    transposed(sketch, transposed(sketch, sketch.input(), 0, 2, 1, 3), 0, 1, 3, 2)
    nodes = plan_by_rules(sketch.done()).graph.nodes

    assert [node.op for node in nodes] == ["Transpose"]
    assert nodes[0].attribute_map["perm"] == (0, 2, 3, 1)


def test_operators_between_two_transposes_work_on_the_untransposed_value() -> None:
    sketch = Sketch((2, 3, 4))
    there = transposed(sketch, sketch.input(), 0, 2, 1)
    mean = sketch.node("ReduceMean", there, shape=(2, 4, 1), axes=(2,), keepdims=1)
    scaled = sketch.node("Mul", sketch.node("Sub", there, mean), sketch.weight(3))
    transposed(sketch, scaled, 0, 2, 1)
    plan = plan_by_rules(sketch.done())

    assert [node.op for node in plan.graph.nodes] == ["ReduceMean", "Sub", "Mul"]
    assert plan.graph.nodes[0].attribute_map["axes"] == (1,)
    assert plan.graph.input_types(2)[1].shape == (1, 3, 1)
    assert plan.graph.nodes[2].outputs[0].shape == (2, 3, 4)


@pytest.mark.parametrize(("opset", "fused"), [(17, True), (16, False)])
def test_normalisation_is_fused_before_transposes_move_only_if_it_is_an_operator(opset: int, fused: bool) -> None:
    sketch = Sketch((2, 8, 5))
    transposed(sketch, normalisation(sketch, transposed(sketch, sketch.input(), 0, 2, 1), centred=True), 0, 2, 1)

    assert ("LayerNormalization" in ops(sketch.done(), opset=opset)) == fused


def test_a_transpose_stays_above_what_would_only_move_it() -> None:
    sketch = Sketch((2, 3, 4), (2, 4, 3))
    sketch.node("Add", transposed(sketch, sketch.input(0), 0, 2, 1), sketch.input(1))

    assert ops(sketch.done()) == ["Transpose", "Add"]
