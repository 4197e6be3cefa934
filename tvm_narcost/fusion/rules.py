"""The planner by rules: stands in for ONNX Runtime's where it is not installed.

It rewrites a graph as a session of ONNX Runtime would, in the same order: constants into weights, sums into products,
chains of operators into one, activations into what they follow, and last the blocked layout. Pure Python over OpGraph;
bench/planners.py tells how near it comes.
"""

from relay_frontend.collection import collection_paused
from relay_frontend.graph import OpGraph
from relay_frontend.passes import DropDeadNodesPass, DropIdentityPass, FoldBatchNormPass
from relay_frontend.plan import FusionPlan
from tvm_narcost.fusion.activations import fuse_activations, fuse_residual_sums, inline_hard_swish
from tvm_narcost.fusion.chains import (
    fuse_gelu,
    fuse_layer_normalization,
    fuse_quick_gelu,
    fuse_skip_layer_normalization,
)
from tvm_narcost.fusion.draft import Draft
from tvm_narcost.fusion.folding import (
    fold_channel_constants,
    fold_padding,
    fold_scale_into_matmul,
    fold_sum_into_gemm,
    merge_reshapes,
)
from tvm_narcost.fusion.generic import mark_generic_kernels
from tvm_narcost.fusion.layout import block_layout
from tvm_narcost.fusion.sharing import share_equal_nodes, split_gathers, split_slices
from tvm_narcost.fusion.transposes import push_transposes

__all__ = ["plan_by_rules"]

_SPLIT_OPSET = 13  # Split takes its sizes as an input, which is how the fused node is written
_NORMALIZATION_OPSET = 17  # LayerNormalization is a standard operator, so that it may be fused before transposes move

_CLEANING = (DropIdentityPass(), FoldBatchNormPass(), DropDeadNodesPass())
_FIRST = (
    share_equal_nodes, fold_padding, fold_channel_constants, fold_sum_into_gemm, merge_reshapes,
)  # fmt: skip
_THEN = (inline_hard_swish, fuse_activations, fuse_gelu, fuse_layer_normalization)
_SPLITS = (split_gathers, split_slices)
_LAST = (push_transposes, fuse_skip_layer_normalization, fuse_quick_gelu, fold_scale_into_matmul)


@collection_paused()
def plan_by_rules(graph: OpGraph, *, channel_block: int = 16, opset: int = _NORMALIZATION_OPSET) -> FusionPlan:
    """Plan a network: the graph that ONNX Runtime would probably run, one kernel a node.

    Args:
        graph: as read from its file, or canonicalised. The former is better: canonical form calls a Sum of two values
            Add, and ONNX Runtime fuses an Add where it leaves a Sum alone.
        channel_block: channels that fill a vector register: 16 for AVX-512, 8 for AVX2.
        opset: version of ONNX's operators that the network's file uses; some rules wait for newer operators.
    """
    for rewrite in _CLEANING:
        graph = rewrite(graph)
    draft = Draft(graph)
    early = (fuse_layer_normalization,) if opset >= _NORMALIZATION_OPSET else ()
    splits = _SPLITS if opset >= _SPLIT_OPSET else ()
    for rule in (*_FIRST, *early, push_transposes, *_THEN, *splits, *_LAST):
        rule(draft)
    block_layout(draft, channel_block)
    fuse_residual_sums(draft)
    rewritten = mark_generic_kernels(draft.to_graph(), opset)
    return FusionPlan(rewritten, tuple((index,) for index in range(len(rewritten.nodes))), "rules")
