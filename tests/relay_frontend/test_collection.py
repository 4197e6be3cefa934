"""Python's garbage collector waits while a model is read, and only then."""

import gc
from collections.abc import Iterator
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from relay_frontend.collection import collection_paused
from relay_frontend.errors import ModelFileError
from relay_frontend.load import load_graph
from relay_frontend.onnx import from_onnx


@pytest.fixture
def collections() -> Iterator[list[int]]:
    """The generation of each collection that has begun."""
    found: list[int] = []

    def note(phase: str, facts: dict[str, int]) -> None:
        if phase == "start":
            found.append(facts["generation"])

    gc.callbacks.append(note)
    yield found
    gc.callbacks.remove(note)


def chain(length: int) -> onnx.ModelProto:
    nodes = [helper.make_node("Relu", [f"v{index}"], [f"v{index + 1}"]) for index in range(length)]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [4]) for name in ("v0", f"v{length}")]
    return helper.make_model(helper.make_graph(nodes, "chain", ends[:1], ends[1:]))


def test_nothing_is_collected_while_a_model_is_read(tmp_path: Path, collections: list[int]) -> None:
    model = chain(3000)
    path = tmp_path / "chain.onnx"
    path.write_bytes(model.SerializeToString())
    load_graph(path)  # imports what it needs
    collections.clear()

    from_onnx(model)
    assert len(collections) <= 1  # one may follow, when the collector is back
    load_graph(path)
    assert len(collections) <= 2
    assert gc.isenabled()


def test_a_model_leaves_no_cycles_behind() -> None:
    model = chain(300)
    from_onnx(model)
    gc.collect()

    with collection_paused():
        graph = from_onnx(model)
        assert gc.collect() == 0
    assert len(graph.nodes) == 300


def test_collector_is_back_after_an_error(tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"broken")

    with pytest.raises(ModelFileError):
        load_graph(tmp_path / "broken.onnx")
    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off() -> None:
    gc.disable()
    try:
        with collection_paused():
            assert not gc.isenabled()
        assert not gc.isenabled()
    finally:
        gc.enable()
