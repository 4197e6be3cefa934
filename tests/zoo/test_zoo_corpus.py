"""The kernel corpus: networks that load, run and read everywhere, whose kernels differ, and which cover wide ranges."""

import collections
import math
import random

import numpy as np
import onnx
import onnxruntime
import pytest

from relay_frontend.onnx import from_onnx
from relay_frontend.passes import canonicalize
from tvm_narcost.measure.inputs import random_input
from tvm_narcost.zoo import CORPUS_FAMILIES, FAMILIES, generate
from tvm_narcost.zoo.builder import Value
from tvm_narcost.zoo.corpus.draws import factorised, log_uniform, tensor_shape, width
from tvm_narcost.zoo.families import draw_network

_DTYPES = {"tensor(float)": "float32", "tensor(int64)": "int64"}


def _ran(model: onnx.ModelProto) -> list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    feed = {value.name: random_input(value.name, value.shape, _DTYPES[value.type]) for value in session.get_inputs()}
    return list(session.run(None, feed))


@pytest.mark.parametrize("family", CORPUS_FAMILIES)
def test_runs_and_reads_with_the_shapes_that_were_tracked(family: str) -> None:
    for seed in range(8):
        model = generate(family, seed)
        onnx.checker.check_model(model, full_check=True)
        outputs = _ran(model)
        graph = canonicalize(from_onnx(model))
        shapes = [output.shape for output in outputs]
        assert [graph.type_of(edge).shape for edge in graph.outputs] == shapes
        assert [value.shape for value in draw_network(FAMILIES[family], seed).outputs] == shapes
        for output in outputs:
            assert np.isfinite(output).all()
            assert not ((output != 0) & (np.abs(output) < np.finfo(np.float32).tiny)).any()  # denormals are slow


@pytest.mark.parametrize("family", CORPUS_FAMILIES)
def test_nothing_can_be_merged_or_dropped(family: str) -> None:
    for seed in range(40):
        b = draw_network(FAMILIES[family], seed)
        nodes = {(node.op_type, node.inputs, tuple(sorted(node.attributes.items()))) for node in b.nodes}
        assert len(nodes) == len(b.nodes)
        read = {name for node in b.nodes for name in node.inputs} | {value.name for value in b.outputs}
        assert {value.name for value in b.inputs} <= read
        assert sum(value.elements for value in b.outputs) <= 400_000  # copying them is no kernel's time


def test_families_differ_in_kernels_and_cover_the_sizes() -> None:
    main = {"corpus_conv": "Conv", "corpus_matmul": "MatMul", "corpus_rows": "Softmax", "corpus_move": "Transpose",
            "corpus_elementwise": "Add"}  # fmt: skip
    for family, op_type in main.items():
        drawn = [draw_network(FAMILIES[family], seed) for seed in range(60)]
        counts = collections.Counter(node.op_type for b in drawn for node in b.nodes)
        assert counts[op_type] > 25, family
        assert len(counts) > 30, family
        costs = sorted(b.cost_us for b in drawn)
        assert costs[5] < 300, family
        assert costs[-6] > 2e3, family


def test_draws_keep_their_bounds() -> None:
    rng = random.Random(1)
    for _ in range(300):
        assert 3 <= log_uniform(rng, 3, 50) <= 50
        assert 1 <= width(rng, 1, 700) <= 700
        assert math.prod(tensor_shape(rng, 1000, 4)) <= 2000
        shape = factorised(rng, 360, 3)
        assert shape is None or math.prod(shape) == 360


def test_width_is_often_no_multiple_of_four() -> None:
    rng = random.Random(2)
    widths = [width(rng) for _ in range(1000)]
    assert 300 < sum(extent % 4 != 0 for extent in widths) < 700
    assert sum(extent > 512 for extent in widths) > 100
    assert sum(extent < 16 for extent in widths) > 200


def test_pool_hands_out_what_fits() -> None:
    from tvm_narcost.zoo.corpus.pool import Pool

    for seed in range(30):
        b = draw_network(FAMILIES["corpus_move"], seed)
        b.rng = random.Random(seed)
        pool = Pool(b)
        pool.put(Value("a", (2, 6)), Value("b", (3, 4, 5)))
        assert len(pool.tensor(3).shape) == 3
        image = pool.image(2, lambda value: value.shape[1] % 3 == 0)
        assert len(image.shape) == 4
        assert image.shape[1] % 3 == 0
