"""Real networks that no training saw: the nine of the onnx package, predicted, then measured here.

Writes bench/results/light.json; ``python -m bench.demo`` shows three of them.
"""

import argparse
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from statistics import mean, median

import onnx

import tvm_narcost
from bench.facts import LIGHT_NETWORKS, light_model, write_result
from relay_frontend import load_graph
from tvm_narcost.api import NetworkPredictor, artifact_folder
from tvm_narcost.cli.tables import aligned, milliseconds
from tvm_narcost.measure.runtime import runtime_for
from tvm_narcost.models.flops import FlopsModel

__all__ = ["Comparison", "compare", "table"]


@dataclass(frozen=True)
class Comparison:
    """One network: what each predictor said, and what was measured right after; milliseconds."""

    network: str
    predicted_ms: float
    interval_ms: tuple[float, float]
    kernel_sum_ms: float
    flops_ms: float
    measured_ms: float
    verdict: str

    @property
    def ratio(self) -> float:
        """Predicted over measured."""
        return self.predicted_ms / self.measured_ms


def compare(names: Iterable[str], predictor: NetworkPredictor) -> Iterator[Comparison]:
    """Predict each network, then measure it in the profile's runtime."""
    runtime = runtime_for(predictor.profile)
    by_flops = FlopsModel.open(artifact_folder(predictor.profile.id))
    for name in names:
        path = light_model(name)
        prediction = predictor.predict(path)
        graph = load_graph(path)
        plan, measurement = runtime.measure(onnx.load(path), predictor.profile, graph_hash=graph.structural_hash())
        flops_ms = by_flops.predict([graph], [plan], predictor.profile)[0].latency_ms
        yield Comparison(
            network=name,
            predicted_ms=prediction.latency_ms,
            interval_ms=prediction.interval_ms,
            kernel_sum_ms=prediction.kernel_sum_ms,
            flops_ms=flops_ms * predictor.calibration,
            measured_ms=median(measurement.samples_us) / 1e3,
            verdict=measurement.verdict,
        )


def table(rows: Iterable[Comparison]) -> str:
    """The comparison as the demo prints it; milliseconds."""
    header = ["network", "predicted", "90 % interval", "measured", "ratio", "kernel-sum", "FLOPs"]
    cells = [
        [
            row.network,
            milliseconds(row.predicted_ms),
            " - ".join(map(milliseconds, row.interval_ms)),
            milliseconds(row.measured_ms),
            f"{row.ratio:.2f}",
            milliseconds(row.kernel_sum_ms),
            milliseconds(row.flops_ms),
        ]
        for row in rows
    ]
    return aligned([header, *cells])


def errors(rows: list[Comparison]) -> dict[str, float]:
    """Mean absolute percentage error of each predictor."""
    return {
        name: round(100 * mean(abs(getattr(row, field) / row.measured_ms - 1) for row in rows), 2)
        for name, field in (("narformer", "predicted_ms"), ("kernel_sum", "kernel_sum_ms"), ("flops", "flops_ms"))
    }


def main() -> None:
    """Compare all nine and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", default="epyc-zen5.onnxruntime")
    parser.add_argument("--name", default="light", help="of the result (default: %(default)s)")
    parser.add_argument("--no-calibrate", action="store_true", help="take the profile's figures as they are shipped")
    arguments = parser.parse_args()
    predictor = tvm_narcost.load(arguments.profile)
    if not arguments.no_calibrate:
        predictor = predictor.calibrated()
    rows = list(compare(LIGHT_NETWORKS, predictor))
    print(table(rows))
    mape = errors(rows)
    print(mape)
    result = {"calibration": predictor.calibration, "mape": mape, "networks": [asdict(row) for row in rows]}
    write_result(arguments.name, "bench.light", arguments.profile, result)


if __name__ == "__main__":
    main()
