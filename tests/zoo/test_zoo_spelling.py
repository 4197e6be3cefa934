"""What exporters write, and what the held-out light networks use, must occur in the zoo."""

import collections

import onnx
import pytest

from tvm_narcost.zoo import FAMILIES, generate
from tvm_narcost.zoo.families import draw_network

_LIGHT = {
    "alexnet": {"Conv", "Relu", "LRN", "MaxPool", "Reshape", "Gemm", "Dropout", "Softmax"},
    "densenet": {"Conv", "BatchNormalization", "Unsqueeze", "Mul", "Add", "Relu", "MaxPool", "Concat", "AveragePool",
                 "GlobalAveragePool"},
    "googlenet": {"Conv", "BatchNormalization", "Unsqueeze", "Mul", "Add", "Relu", "LRN", "MaxPool", "Concat",
                  "AveragePool", "Dropout", "Reshape", "Gemm", "Softmax"},
    "resnet": {"Conv", "BatchNormalization", "Relu", "MaxPool", "Sum", "AveragePool", "Reshape", "Gemm", "Softmax"},
    "shufflenet": {"Conv", "BatchNormalization", "Relu", "MaxPool", "Reshape", "Transpose", "AveragePool", "Concat",
                   "Sum", "Gemm", "Softmax"},
    "squeezenet": {"Conv", "Relu", "MaxPool", "Concat", "Dropout", "GlobalAveragePool", "Softmax"},
    "vgg": {"Conv", "Relu", "MaxPool", "Reshape", "Gemm", "Dropout", "Softmax"},
}  # fmt: skip


@pytest.mark.parametrize("family", _LIGHT)
def test_family_has_the_operators_of_its_public_files(family: str) -> None:
    seen: collections.Counter[str] = collections.Counter()
    for seed in range(60):
        seen.update({node.op_type for node in draw_network(FAMILIES[family], seed).nodes})
        if _LIGHT[family] <= set(seen):
            return
    pytest.fail(f"{family} never uses {_LIGHT[family] - set(seen)} in 60 seeds")


def test_opsets_and_batches_vary() -> None:
    drawn = [draw_network(FAMILIES["squeezenet"], seed) for seed in range(150)]
    assert {b.opset for b in drawn} == set(range(9, 22))
    batches = collections.Counter(b.batch for b in drawn)
    assert set(batches) == {1, 2, 4}
    assert batches[1] > 120


def test_oldest_files_list_initializers_among_the_inputs() -> None:
    seed = next(s for s in range(200) if draw_network(FAMILIES["squeezenet"], s).spelling.ir_version == 3)
    model = generate("squeezenet", seed)
    assert model.ir_version == 3
    assert {tensor.name for tensor in model.graph.initializer} < {value.name for value in model.graph.input}
    onnx.checker.check_model(model, full_check=True)
