"""Calibration: machines of one kind differ; three small networks timed here say by how much."""

import math
import statistics

from hardware_profiles import HardwareProfile
from relay_frontend.onnx import from_onnx
from relay_frontend.passes import canonicalize
from tvm_narcost.database.measurement import Measurement
from tvm_narcost.errors import MeasurementError
from tvm_narcost.measure.runtime import runtime_for
from tvm_narcost.predictor import LatencyModel
from tvm_narcost.zoo import generate

__all__ = ["CALIBRATION_NETWORKS", "calibration_factor"]

# Seeds far from those that datasets are collected from, so that none of the three was in training.
CALIBRATION_NETWORKS = (("resnet", 1002), ("mobilenet_v2", 1002), ("squeezenet", 1002))


def calibration_factor(model: LatencyModel, profile: HardwareProfile) -> float:
    """Geometric mean of measured over predicted latency of the three networks, on this machine.

    Raises:
        RuntimeMissingError: the profile's runtime is not installed.
        MeasurementError: a network could not be timed.
    """
    runtime = runtime_for(profile)
    ratios = []
    for family, seed in CALIBRATION_NETWORKS:
        proto = generate(family, seed)
        graph = canonicalize(from_onnx(proto))
        plan, measurement = runtime.measure(proto, profile, graph_hash=graph.structural_hash())
        predicted = model.predict([graph], [plan], profile)[0]
        ratios.append(_median_ms(measurement) / predicted.latency_ms)
    return math.exp(sum(map(math.log, ratios)) / len(ratios))


def _median_ms(measurement: Measurement) -> float:
    if not measurement.samples_us:
        raise MeasurementError(
            f"calibration: {measurement.verdict} ({measurement.reason}), expected samples; try again"
        )
    return statistics.median_high(measurement.samples_us) / 1e3
