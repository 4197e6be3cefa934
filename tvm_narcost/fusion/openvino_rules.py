"""The planner by rules for OpenVINO: stands in for its own where it is not installed.

bench/planners.py tells how near it comes.
"""

from relay_frontend.graph import OpGraph
from relay_frontend.passes import canonicalize
from relay_frontend.plan import FusionPlan
from tvm_narcost.fusion.duplicates import find_duplicates, without_duplicates
from tvm_narcost.fusion.openvino_chains import find_chains
from tvm_narcost.fusion.openvino_groups import group_operators
from tvm_narcost.fusion.openvino_layout import find_layouts, find_reorders
from tvm_narcost.fusion.partition import arrange_partition

__all__ = ["plan_openvino_by_rules"]


def plan_openvino_by_rules(graph: OpGraph) -> FusionPlan:
    """Plan a network: the kernels that OpenVINO would probably run on a CPU in float32.

    Several operators of the canonical graph are one kernel; changes of layout are operators of the plan's own graph.
    """
    graph = canonicalize(graph)
    duplicates = find_duplicates(graph)
    single = without_duplicates(graph, duplicates)
    chains = find_chains(single)
    layouts = find_layouts(single, chains)
    kernel_of = group_operators(single, chains, layouts)
    free = len(kernel_of)
    for index, kernel in enumerate(kernel_of):
        if index in duplicates:
            kernel_of[index] = kernel_of[duplicates[index]]
        elif kernel < 0:  # it reads nothing
            kernel_of[index] = free + index
    reorders = find_reorders(single, kernel_of, layouts)
    return arrange_partition(graph, kernel_of, reorders, "rules")[0]
