"""TrainingKernels: kernels unlike those in training are far, ordinary ones of unseen networks are not."""

import random

import numpy as np
import pytest
from numpy.typing import NDArray

from relay_frontend.graph import GRAPH_INPUT, PARAMETER, Edge, OpGraph, OpNode, TensorType
from tests.training.analytic import FAMILIES, PROFILE, examples, one_kernel_a_node
from tvm_narcost.models.training_kernels import COLUMNS, TrainingKernels, fit_training_kernels
from tvm_narcost.tokens import default
from tvm_narcost.tokens.default import encode_kernels
from tvm_narcost.tokens.facts import kernel_facts

Encoded = tuple[tuple[str, ...], NDArray[np.float32]]


def encode(graph: OpGraph) -> Encoded:
    facts = kernel_facts(one_kernel_a_node(graph))
    return facts.ops, encode_kernels(facts, PROFILE).values


def product(m: int, n: int, k: int, dtype: str = "float32") -> OpGraph:
    """One matrix product with a weight."""
    left, weight, out = (TensorType(shape, dtype) for shape in ((m, k), (k, n), (m, n)))
    node = OpNode("MatMul", (Edge(GRAPH_INPUT), Edge(PARAMETER, 0)), (out,))
    return OpGraph("product", (node,), (("x", left),), (("w", weight),), (Edge(0),))


def convolution(channels: int, extent: int, dilation: int) -> OpGraph:
    """One 3x3 convolution that keeps its extent."""
    kind = TensorType((1, channels, extent, extent), "float32")
    weight = TensorType((channels, channels, 3, 3), "float32")
    attributes = (
        ("dilations", (dilation, dilation)), ("group", 1), ("kernel_shape", (3, 3)), ("pads", (dilation,) * 4),
        ("strides", (1, 1)),
    )  # fmt: skip
    node = OpNode("Conv", (Edge(GRAPH_INPUT), Edge(PARAMETER, 0)), (kind,), attributes)
    return OpGraph("convolution", (node,), (("x", kind),), (("w", weight),), (Edge(0),))


@pytest.fixture(scope="module")
def known() -> TrainingKernels:
    """Thirty networks of each family of convolutions, and a hundred small matrix products."""
    draw = random.Random(0)
    networks = [(example.operators, example.tokens) for example in examples(tuple(FAMILIES), 30)]
    extents = [(draw.randint(4, 256), draw.randint(4, 256), draw.randint(4, 256)) for _ in range(100)]
    networks += [encode(product(*extent)) for extent in extents]
    return fit_training_kernels(networks)


def distance(known: TrainingKernels, graph: OpGraph) -> float:
    return float(known.distance(*encode(graph)).max())


def test_huge_dilation_is_far(known: TrainingKernels) -> None:
    assert distance(known, convolution(64, 28, 1)) < 1
    assert distance(known, convolution(64, 28, 2)) > 1
    assert distance(known, convolution(64, 28, 32)) > 3


def test_large_product_is_far_where_training_had_small_ones(known: TrainingKernels) -> None:
    assert distance(known, product(100, 200, 50)) < 1
    assert distance(known, product(4096, 4096, 4096)) > 2
    assert distance(known, product(1, 4096, 4096)) > 2


def test_unknown_operator_is_infinitely_far(known: TrainingKernels) -> None:
    kind = TensorType((1, 64, 28, 28), "float32")
    nodes = (OpNode("Softmax", (Edge(GRAPH_INPUT),), (kind,)), OpNode("Relu", (Edge(0),), (kind,)))
    found = known.distance(*encode(OpGraph("g", nodes, (("x", kind),), (), (Edge(1),))))
    assert found[0] == np.inf
    assert found[1] < 1


def test_type_that_never_varied_is_far(known: TrainingKernels) -> None:
    assert distance(known, product(100, 200, 50, "float64")) > 1


def test_ordinary_networks_that_training_did_not_see_are_near(known: TrainingKernels) -> None:
    """The limit lets one kernel in two hundred be far; with thirty networks a family it holds to within a few."""
    unseen = [example for example in examples(tuple(FAMILIES), 50) if int(example.name.split("-")[1]) >= 30]
    assert len(unseen) == 100
    far = [known.distance(example.operators, example.tokens) > 1 for example in unseen]
    assert np.concatenate(far).mean() < 0.01
    assert np.mean([example.share[found].sum() > 0.05 for example, found in zip(unseen, far, strict=True)]) < 0.02


def test_points_are_shared_out_and_every_operator_has_one() -> None:
    networks = [(example.operators, example.tokens) for example in examples(("mixed",), 20)]
    few = fit_training_kernels(networks, points=30)
    assert set(few.points) == set(few.limits) == {"Add", "Conv", "Relu"}
    assert sum(map(len, few.points.values())) == 30
    assert len(few.points["Conv"]) > len(few.points["Relu"])  # convolutions differ in more than one way
    assert all(points.dtype == np.float16 and points.shape[1] == len(COLUMNS) for points in few.points.values())
    assert {len(points) for points in fit_training_kernels(networks, points=1).points.values()} == {1}


def test_more_points_leave_no_kernel_farther() -> None:
    networks = [(example.operators, example.tokens) for example in examples(("mixed",), 20)]
    conv = [tokens[np.array(operators) == "Conv"] for operators, tokens in networks]

    def radius(points: int) -> float:
        kernels = fit_training_kernels(networks, points=points)
        return max(float(kernels.distance(("Conv",) * len(part), part).max()) * kernels.limits["Conv"] for part in conv)

    assert radius(200) < 0.7 * radius(20)


def test_all_kernels_kept_are_at_no_distance() -> None:
    networks = [(example.operators, example.tokens) for example in examples(("plain",), 5)]
    kernels = fit_training_kernels(networks)
    for operators, tokens in networks:  # kernels that agree to a tenth of a unit count as one
        assert kernels.distance(operators, tokens).max() < 0.5


def test_kernels_of_one_network_alone_have_the_least_limit() -> None:
    operators, tokens = encode(product(8, 8, 8))
    assert fit_training_kernels([(operators, tokens)]).limits == {"MatMul": 1.0}
    assert fit_training_kernels([(operators, tokens)] * 30).limits == {"MatMul": 1.0}


def test_rare_operator_takes_the_limit_of_all() -> None:
    networks = [(example.operators, example.tokens) for example in examples(("plain",), 40)]
    kernels = fit_training_kernels([*networks, encode(product(8, 8, 8)), encode(product(9, 9, 9))])
    limits = kernels.limits
    assert min(limits["Conv"], limits["Relu"]) <= limits["MatMul"] <= max(limits["Conv"], limits["Relu"])


def test_network_without_kernels(known: TrainingKernels) -> None:
    assert known.distance((), np.zeros((0, default.WIDTH), np.float32)).shape == (0,)


def test_what_runs_around_a_kernel_does_not_count(known: TrainingKernels) -> None:
    operators, tokens = encode(product(100, 200, 50))
    elsewhere = tokens.copy()
    elsewhere[:, -default.TOPOLOGY_WIDTH :] = 0.5
    head = len(default.OPERATORS) + len(default.CATEGORIES) + len(default.ACTIVATIONS)
    for name in ("input_age_bytes", "oldest_age_bytes", "consumers", "network_footprint_l3"):
        elsewhere[:, head + default.QUANTITIES.index(name)] += 9.0
    assert np.array_equal(known.distance(operators, elsewhere), known.distance(operators, tokens))
