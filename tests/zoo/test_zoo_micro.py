"""Micro-graphs: they load, run and read everywhere, hold what their family is about, and stay out of other groups."""

import collections

import numpy as np
import onnx
import onnxruntime
import pytest

from relay_frontend.onnx import from_onnx
from relay_frontend.passes import canonicalize
from tvm_narcost.measure.inputs import random_input
from tvm_narcost.zoo import CORPUS_FAMILIES, FAMILIES, MICRO_FAMILIES, NNLQP_FAMILIES, ZooError, generate
from tvm_narcost.zoo.families import draw_network, family_named


def _ran(model: onnx.ModelProto) -> list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    feed = {value.name: random_input(value.name, value.shape, "float32") for value in session.get_inputs()}
    return list(session.run(None, feed))


@pytest.mark.parametrize("family", MICRO_FAMILIES)
def test_runs_and_reads_with_the_shapes_that_were_tracked(family: str) -> None:
    for seed in range(4):
        model = generate(family, seed)
        assert model.graph.name == f"{family}-{seed}"
        onnx.checker.check_model(model, full_check=True)
        outputs = _ran(model)
        graph = canonicalize(from_onnx(model))
        shapes = [output.shape for output in outputs]
        assert [graph.type_of(edge).shape for edge in graph.outputs] == shapes
        assert [value.shape for value in draw_network(MICRO_FAMILIES[family], seed).outputs] == shapes
        for output in outputs:
            assert np.isfinite(output).all()
            assert 1e-10 < np.abs(output).max() < 1e6
            assert not ((output != 0) & (np.abs(output) < np.finfo(np.float32).tiny)).any()  # denormals are slow


@pytest.mark.parametrize("family", MICRO_FAMILIES)
def test_nothing_is_unused_and_seeds_differ(family: str) -> None:
    structures = set()
    for seed in range(30):
        b = draw_network(MICRO_FAMILIES[family], seed)
        read = {name for node in b.nodes for name in node.inputs} | {value.name for value in b.outputs}
        written = {name for node in b.nodes for name in node.outputs}
        assert written | {weight.name for weight in b.weights} | {value.name for value in b.inputs} <= read
        assert len(b.nodes) <= 80
        structures.add((tuple((node.op_type, node.inputs) for node in b.nodes), tuple(v.shape for v in b.inputs)))
    assert len(structures) == 30


def test_families_are_about_what_they_say() -> None:
    wanted = {
        "micro_broadcast": "Exp", "micro_pool_add": "MaxPool", "micro_layer_norm": "Sqrt", "micro_softmax": "ReduceSum",
        "micro_shuffle": "Transpose", "micro_transpose_reduce": "ReduceMean", "micro_concat": "Concat",
        "micro_matmul": "Transpose", "micro_epilogue": "Conv", "micro_activation": "Mul",
    }  # fmt: skip
    for family, op_type in wanted.items():
        counts = collections.Counter(
            node.op_type for seed in range(20) for node in draw_network(MICRO_FAMILIES[family], seed).nodes
        )
        assert counts[op_type] >= 12, (family, counts)
    for family in ("micro_multi_consumer", "micro_residual"):
        b = draw_network(MICRO_FAMILIES[family], 1)
        readers = collections.Counter(name for node in b.nodes for name in set(node.inputs))
        assert max(readers[name] for node in b.nodes for name in node.outputs) > 1


def test_they_are_in_no_other_group() -> None:
    others = {*FAMILIES, *CORPUS_FAMILIES, *NNLQP_FAMILIES}
    assert not others & set(MICRO_FAMILIES)
    assert len(MICRO_FAMILIES) == 12
    assert family_named("micro_softmax") is MICRO_FAMILIES["micro_softmax"]
    assert family_named("vgg") is FAMILIES["vgg"]
    with pytest.raises(ZooError, match=r"unknown zoo family 'micro_lenet', expected one of .*micro_softmax"):
        family_named("micro_lenet")
