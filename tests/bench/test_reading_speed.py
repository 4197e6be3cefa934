"""The networks whose reading is timed, and what is made of the times."""

import onnx
import pytest

from bench.reading_speed import NODES, branching_model, chain_model, summarize
from relay_frontend.onnx import from_onnx
from relay_frontend.passes import canonicalize


def test_networks_are_valid_and_as_large_as_they_say() -> None:
    for build in (chain_model, branching_model):
        model = build(40)
        onnx.checker.check_model(model, full_check=True)
        graph = canonicalize(from_onnx(model))
        assert len(graph.nodes) == 40
        assert len(graph.parameters) == 14  # one a convolution


def test_only_one_network_branches() -> None:
    chain, branching = (from_onnx(build(60)) for build in (chain_model, branching_model))

    assert max(map(len, chain.consumers)) == 1
    assert max(map(len, branching.consumers)) > 1


def test_exponents_and_parsing_are_taken_from_medians() -> None:
    times = {"test_protobuf_alone_on_resnet50": [1.0, 2.0, 9.0], "test_file_to_tokens_of_resnet50": [12.0]}
    for shape, power in (("chain", 1), ("branching", 2)):
        for stage in ("graph", "tokens"):
            for nodes in NODES:
                times[f"test_file_to_{stage}[{shape}-{nodes}]"] = [0.0, nodes**power / 100, 1e9]

    result = summarize(times)

    assert result["light_resnet50_ms"] == {"parse": 2.0, "file_to_tokens": 12.0, "beyond_parsing": 10.0}
    assert result["scaling"]["chain, file to tokens"]["exponent"] == pytest.approx(1)
    assert result["scaling"]["branching, file to graph"]["exponent"] == pytest.approx(2)
    assert result["scaling"]["chain, file to graph"]["ms"][0] == 10
