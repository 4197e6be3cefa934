"""What generate() promises: valid, runnable, reproducible, distinct networks under the caps."""

import struct
import subprocess
import sys
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tvm_narcost import zoo
from tvm_narcost.errors import NarcostError
from tvm_narcost.zoo import CORPUS_FAMILIES, FAMILIES, NNLQP_FAMILIES, ZooError, generate
from tvm_narcost.zoo.builder import GraphBuilder
from tvm_narcost.zoo.families import MAX_FLOPS, MAX_WEIGHT_BYTES, draw_network

_BUDGET_SEEDS = range(6)


def _small_seed(family: str) -> int:
    """The cheapest of some seeds of a family."""
    return min(_BUDGET_SEEDS, key=lambda seed: draw_network(FAMILIES[family], seed).cost_us)


def _inputs_of(model: onnx.ModelProto) -> dict[str, np.ndarray[Any, Any]]:
    rng = np.random.default_rng(0)
    initialised = {tensor.name for tensor in model.graph.initializer}
    feed: dict[str, np.ndarray[Any, Any]] = {}
    for value in model.graph.input:
        if value.name in initialised:
            continue
        shape = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        if value.type.tensor_type.elem_type == onnx.TensorProto.INT64:
            feed[value.name] = rng.integers(0, 2, shape)
        else:
            feed[value.name] = rng.standard_normal(shape).astype(np.float32)
    return feed


@pytest.mark.parametrize("family", FAMILIES)
def test_member_is_valid_and_runs(family: str) -> None:
    seed = _small_seed(family)
    model = generate(family, seed)
    assert model.graph.name == f"{family}-{seed}"
    onnx.checker.check_model(model, full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    outputs = session.run(None, _inputs_of(model))
    declared = [tuple(d.dim_value for d in value.type.tensor_type.shape.dim) for value in model.graph.output]
    assert [output.shape for output in outputs] == declared
    for output in outputs:
        assert np.isfinite(output).all()
        assert 1e-10 < np.abs(output).max() < 1e6  # neither denormal nor on the way to overflow


@pytest.mark.parametrize("family", FAMILIES)
def test_same_seed_same_bytes(family: str) -> None:
    once, again = (generate(family, 3).SerializeToString(deterministic=True) for _ in range(2))
    assert once == again


def test_same_bytes_in_another_process() -> None:
    program = (
        "import hashlib, tvm_narcost.zoo as z;"
        "print(hashlib.sha256(z.generate('random_wired', 1).SerializeToString(deterministic=True)).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", program], check=True, capture_output=True, text=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
        ).stdout
        for seed in ("0", "1")
    }  # fmt: skip
    assert len(digests) == 1


@pytest.mark.parametrize("family", FAMILIES)
def test_every_weight_has_a_value_of_its_own(family: str) -> None:
    """Equal weights would let ONNX Runtime merge parallel layers."""
    model = generate(family, 0)
    fills = []
    for node in model.graph.node:
        if node.op_type == "ConstantOfShape":
            tensor = node.attribute[0].t
            assert tensor.data_type == onnx.TensorProto.FLOAT
            fills.append(struct.unpack("<f", tensor.raw_data)[0])
    assert len(fills) > 4 or family in CORPUS_FAMILIES  # element-wise arithmetic has no weights
    assert len(set(fills)) == len(fills)
    assert all(1e-9 < fill < 1e3 for fill in fills)


def test_unknown_family_names_the_known_ones() -> None:
    with pytest.raises(ZooError, match=r"unknown zoo family 'lenet', expected one of alexnet, .*random_wired"):
        generate("lenet", 0)
    assert issubclass(ZooError, NarcostError)


def test_registry() -> None:
    assert set(NNLQP_FAMILIES) < set(FAMILIES)
    assert set(CORPUS_FAMILIES) < set(FAMILIES)
    assert not set(CORPUS_FAMILIES) & set(NNLQP_FAMILIES)
    assert len(FAMILIES) == 36
    assert all(name == family.name and family.description for name, family in FAMILIES.items())
    assert all(hasattr(zoo, name) for name in zoo.__all__)
    with pytest.raises(TypeError):
        FAMILIES["mine"] = FAMILIES["vgg"]  # type: ignore[index]


def test_import_is_light() -> None:
    program = "import sys, tvm_narcost.zoo; print([m for m in ('onnx', 'numpy', 'torch') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True,
                          env={"PYTHONPATH": ":".join(sys.path)})  # fmt: skip
    assert done.stdout.strip() == "[]"


def _structure(b: GraphBuilder) -> object:
    return [(node.op_type, node.inputs) for node in b.nodes], [weight.shape for weight in b.weights], b.inputs


@settings(max_examples=25, deadline=None)
@given(family=st.sampled_from(sorted(FAMILIES)), seed=st.integers(-(2**63), 2**63))
def test_any_seed_keeps_to_the_caps_and_leaves_nothing_unused(family: str, seed: int) -> None:
    b = draw_network(FAMILIES[family], seed)
    assert 0 <= b.flops <= MAX_FLOPS
    assert b.flops or family in CORPUS_FAMILIES
    assert b.weight_bytes <= MAX_WEIGHT_BYTES
    read = {name for node in b.nodes for name in node.inputs} | {value.name for value in b.outputs}
    written = {name for node in b.nodes for name in node.outputs}
    weights = {weight.name for weight in b.weights}
    assert written | weights <= read
    assert read <= written | weights | {v.name for v in b.inputs} | {c.name for c in b.constants} | {""}
    assert _structure(b) != _structure(draw_network(FAMILIES[family], seed + 1))


def test_sizes_spread_over_two_decades() -> None:
    for name in ("resnet", "mobilenet_v2", "bert"):
        costs = sorted(draw_network(FAMILIES[name], seed).cost_us for seed in range(30))
        assert costs[3] < 3e3, name
        assert costs[-4] > 20e3, name
