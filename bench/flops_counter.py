"""FLOPs of the nine light networks against a public counter, onnx-tool: bench/results/flops_counter.json.

Compared are the multiply-accumulates (MAC) of convolutions and matrix products, which both count and which are nearly
all of the work. For the rest there is no custom that both share: onnx-tool counts a division as 4 and an exponential as
32, costs.py counts 1 an element. A bias is one MAC an output element to onnx-tool and none to costs.py; ``deviation``
leaves that difference in, ``deviation_without_bias`` takes it out.
"""

import argparse
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.facts import LIGHT_NETWORKS, light_model, write_result
from relay_frontend.costs import operator_cost
from relay_frontend.graph import OpGraph
from relay_frontend.onnx import read_onnx
from tvm_narcost.cli.tables import aligned

__all__ = ["PRODUCTS", "MacComparison", "compare_macs"]

PRODUCTS = ("Conv", "ConvTranspose", "Gemm", "MatMul")  # operators that both count in MAC


@dataclass(frozen=True)
class MacComparison:
    """One network: MAC of its convolutions and matrix products.

    Attributes:
        macs: as costs.py counts them, FLOPs / 2.
        counter_macs: as onnx-tool counts them.
        bias_macs: the part of ``counter_macs`` that adds biases.
        operators: how many convolutions and products there are.
    """

    network: str
    macs: int
    counter_macs: int
    bias_macs: int
    operators: int

    @property
    def deviation(self) -> float:
        """Relative to the counter, as both count."""
        return self.macs / self.counter_macs - 1

    @property
    def deviation_without_bias(self) -> float:
        """Relative to the counter, had it not counted biases."""
        return self.macs / (self.counter_macs - self.bias_macs) - 1


def main() -> None:
    """Compare and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", default="epyc-zen5.onnxruntime", help="whose machine facts the result names")
    arguments = parser.parse_args()
    rows = [compare_macs(name) for name in LIGHT_NETWORKS]
    cells = [
        [row.network, str(row.macs), str(row.counter_macs), *(f"{value:+.3%}" for value in _deviations(row))]
        for row in rows
    ]
    print(aligned([["network", "MAC", "onnx-tool's", "deviation", "without bias"], *cells]))
    networks = [
        {**asdict(row), "deviation": row.deviation, "deviation_without_bias": row.deviation_without_bias}
        for row in rows
    ]
    result = {
        "counter": f"onnx-tool {_counter_version()}",
        "networks": networks,
        "worst_deviation": max(abs(row.deviation) for row in rows),
    }
    write_result("flops_counter", "bench.flops_counter", arguments.profile, result)


def compare_macs(network: str) -> MacComparison:
    """Count one light network both ways; the graph is as it is in the file, before anything is folded."""
    path = light_model(network)
    graph = read_onnx(path)
    products = [index for index, node in enumerate(graph.nodes) if node.op in PRODUCTS]
    return MacComparison(
        network=network,
        macs=sum(operator_cost(graph, index).flops for index in products) // 2,
        counter_macs=_counter_macs(path),
        bias_macs=_bias_macs(graph, products),
        operators=len(products),
    )


def _counter_macs(path: Path) -> int:
    import onnx_tool

    graph = onnx_tool.Model(str(path), {"verbose": False, "constant_folding": True}).graph
    graph.shape_infer(None)
    graph.profile()
    return int(
        sum(node.macs[0] for node in graph.nodemap.values() if node.op_type in PRODUCTS)
    )  # [1] is of sparse ones


def _bias_macs(graph: OpGraph, products: list[int]) -> int:
    """One an output element of each convolution and Gemm that has a third input."""
    return sum(graph.nodes[index].outputs[0].elements for index in products if len(graph.nodes[index].inputs) == 3)


def _deviations(row: MacComparison) -> tuple[float, float]:
    return row.deviation, row.deviation_without_bias


def _counter_version() -> str:
    from importlib.metadata import version

    return version("onnx-tool")


if __name__ == "__main__":
    main()
