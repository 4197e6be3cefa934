"""Rewrites change what is computed as they say, and not what comes out."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tvm")

from tvm import relax

from relay_frontend.costs import graph_cost
from tests.hook.modules import attention, build, normalised, numbers, profile, reference, run, weight
from tvm_narcost.hook.default_groups import tvm_plan
from tvm_narcost.hook.lower import lower
from tvm_narcost.hook.prepare import PreparedModule, prepare
from tvm_narcost.hook.variant import REWRITE_NAMES, Variant


def product_of_products(emit: Any, x: Any, a: Any, b: Any) -> Any:
    return emit(relax.op.matmul(x, emit(relax.op.matmul(a, b))))


def product_of_sum(emit: Any, x: Any, a: Any, b: Any) -> Any:
    return emit(relax.op.matmul(x, emit(relax.op.add(a, b))))


def scores(emit: Any, x: Any, y: Any) -> Any:
    """One of a batch against all, and the weight transposed as importers of torch write it."""
    keys = emit(relax.op.matmul(y, emit(relax.op.permute_dims(weight(8, 8)))))
    return emit(relax.op.matmul(x, emit(relax.op.permute_dims(keys, [0, 1, 3, 2]))))


# rewrite -> network, shapes of its inputs, operators before, operators after
CASES: dict[str, tuple[Callable[..., Any], list[tuple[int, ...]], str, str]] = {
    "fold_batch_norm": (
        normalised,
        [(1, 3, 8, 8)],
        "Conv BatchNormalization Relu Conv Add BatchNormalization Add BatchNormalization "
        "Reshape Transpose Reshape Conv Mul Reshape Transpose Softmax",
        "Conv Add Relu Conv Add Add Mul Add Reshape Transpose Reshape Conv Mul Reshape Transpose Softmax",
    ),
    "fuse_transpose_matmul": (
        scores,
        [(3, 1, 5, 8), (1, 2, 6, 8)],
        "MatMul Transpose MatMul",
        "MatMul MatMul",
    ),
    "adjust_matmul_order": (product_of_products, [(4, 32), (32, 16), (16, 32)], "MatMul MatMul", "MatMul MatMul"),
    "expand_matmul_of_sum": (product_of_sum, [(4, 32), (32, 16), (32, 16)], "Add MatMul", "MatMul MatMul Add"),
}


def prepared(rewrite: str, *names: str) -> PreparedModule:
    network, shapes, _, _ = CASES[rewrite]
    return prepare(build(network, *shapes), profile(), variant=Variant("NCHW", names))


def test_every_rewrite_has_a_case() -> None:
    assert set(CASES) == set(REWRITE_NAMES)


@pytest.mark.parametrize("rewrite", CASES)
def test_what_is_computed_changes_as_the_rewrite_says(rewrite: str) -> None:
    _, _, before, after = CASES[rewrite]
    for names, expected in (((), before), ((rewrite,), after)):
        assert " ".join(node.op for node in prepared(rewrite, *names).graph.nodes) == expected


@pytest.mark.parametrize("rewrite", CASES)
def test_the_result_stays(rewrite: str) -> None:
    network, shapes, _, _ = CASES[rewrite]
    data = [numbers(*shape, seed=seed) for seed, shape in enumerate(shapes)]
    (expected,) = reference(build(network, *shapes), data)
    module = prepared(rewrite, rewrite)
    (found,) = run(lower(module, tvm_plan(module), profile()), data)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


def test_the_order_of_products_saves_work() -> None:
    left, right = (prepared("adjust_matmul_order", *names).graph for names in ((), ("adjust_matmul_order",)))
    assert (graph_cost(left).flops, graph_cost(right).flops) == (2 * 32 * 32 * (16 + 4), 2 * 4 * 32 * (16 + 16))


def test_rewrites_go_together() -> None:
    module = prepare(build(attention, (1, 6, 8)), profile(), variant=Variant("NHWC", REWRITE_NAMES))
    data = numbers(1, 6, 8)
    (expected,) = reference(build(attention, (1, 6, 8)), [data])
    (found,) = run(lower(module, tvm_plan(module), profile()), [data])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())
