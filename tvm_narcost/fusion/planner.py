"""Which rules plan for which runtime."""

from hardware_profiles import HardwareProfile
from relay_frontend.graph import OpGraph
from relay_frontend.plan import FusionPlan
from tvm_narcost.fusion.openvino_rules import plan_openvino_by_rules
from tvm_narcost.fusion.rules import plan_by_rules

__all__ = ["plan_without_runtime"]

_FLOAT32_BYTES = 4


def plan_without_runtime(graph: OpGraph, profile: HardwareProfile, *, opset: int) -> FusionPlan:
    """Plan a network by the rules for the runtime of ``profile``; those for ONNX Runtime where it has none.

    Args:
        graph: as read from its file.
        profile: names the runtime, and the width of a vector register.
        opset: version of ONNX's operators that the file uses.
    """
    if profile.runtime.name == "openvino":
        return plan_openvino_by_rules(graph)
    return plan_by_rules(graph, channel_block=profile.device.vector_bytes // _FLOAT32_BYTES, opset=opset)
