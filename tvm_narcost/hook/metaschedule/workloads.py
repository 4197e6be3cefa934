"""Workloads: the kernels of generated networks as TIR functions, for which schedules are measured.

A network's weights are taken as inputs, so that nothing of their values is computed, and what runs once for all
inferences (``transform_params``) is left out. What is left is lowered as TVM's default pipeline does it, FuseOps'
groups included, in the layout NCHW or NHWC.
"""

import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice

import onnx
import tvm
import tvm_ffi
from onnx import helper, numpy_helper
from tvm import relax
from tvm.s_tir import meta_schedule as ms
from tvm.s_tir.analysis import estimate_tir_flops

from hardware_profiles import HardwareProfile
from tvm_narcost.errors import CompileError
from tvm_narcost.hook.importing import import_quietly
from tvm_narcost.hook.stderr import silent_stderr
from tvm_narcost.hook.target import target_of
from tvm_narcost.zoo import generate

__all__ = [
    "KINDS",
    "TRAINING_NETWORKS",
    "NetworkSource",
    "Workload",
    "choose",
    "network_workloads",
    "structural_hash",
    "training_workloads",
    "workloads_of",
]

LAYOUTS = ("NCHW", "NHWC")

# How many workloads of each kind a training set has; see _kind for what they are.
KINDS = {
    "conv": 26, "conv_1x1": 22, "conv_strided": 14, "conv_grouped": 12, "conv_depthwise": 18, "conv_dilated": 6,
    "matmul": 18, "batch_matmul": 12, "softmax": 8, "layer_norm": 6, "reduce": 8, "pool": 8, "elementwise": 10,
}  # fmt: skip

_MIN_FLOPS = {"conv": 2e6, "matmul": 1e6, "batch_matmul": 1e6}
_MAX_FLOPS = 2.5e8  # without a schedule, a quarter of a second
_MIN_BYTES = 1 << 14  # of kernels whose time is their memory's


@dataclass(frozen=True, slots=True)
class NetworkSource:
    """A generated network in a layout; ``family`` and ``seed`` are the zoo's."""

    family: str
    seed: int
    layout: str = "NCHW"

    def __str__(self) -> str:
        return f"{self.family}/{self.seed}/{self.layout}"


@dataclass(frozen=True, slots=True)
class Workload:
    """One kernel.

    Attributes:
        name: what it computes and the shapes of its buffers, e.g. ``conv2d_add_relu.1x64x56x56.64x64x3x3...``.
        kind: one of :data:`KINDS`.
        module: with one function ``main``.
        origin: the network that it comes from.
    """

    name: str
    kind: str
    module: tvm.IRModule
    origin: str


# Each kind of convolution, attention and pooling, old and new; the families of bench/tuning_workloads.py are left out.
TRAINING_NETWORKS = tuple(
    NetworkSource(family, seed, layout)
    for family, seeds in (
        ("alexnet", (0,)), ("bert", (0, 1)), ("convnext", (0, 1)), ("corpus_conv", (0, 1, 2, 3)),
        ("corpus_matmul", (0, 1, 2)), ("corpus_rows", (0, 1, 2)),
        ("efficientnet", (0,)), ("encoder_decoder", (0,)), ("ghostnet", (0,)), ("mlp_mixer", (0,)),
        ("mnasnet", (0, 1)), ("mobilenet_v2", (0, 1)), ("mobilenet_v3", (0,)), ("nasbench201", (0,)),
        ("regnet", (0, 1)),
        ("repvgg", (0,)), ("resnet", (0, 1, 2)), ("super_resolution", (0,)), ("unet", (0, 1)), ("vgg", (0,)),
        ("vit", (0, 1)), ("xception", (0, 1)), ("yolo", (0, 1)),
    )
    for seed in seeds
    for layout in LAYOUTS
)  # fmt: skip


def training_workloads(
    profile: HardwareProfile, *, progress: Callable[[NetworkSource], object] | None = None
) -> tuple[Workload, ...]:
    """The workloads that the shipped cost model is trained on: the same on every machine.

    Lowering the networks takes a minute; ``progress`` is called before each.
    """

    def found() -> Iterator[Workload]:
        for source in TRAINING_NETWORKS:
            if progress is not None:
                progress(source)
            yield from network_workloads(source, profile)

    return choose(found(), KINDS)


def network_workloads(source: NetworkSource, profile: HardwareProfile) -> tuple[Workload, ...]:
    """The kernels of a generated network."""
    model = generate(source.family, source.seed)
    return workloads_of(model, profile, layout=source.layout, origin=str(source))


def workloads_of(
    model: onnx.ModelProto, profile: HardwareProfile, *, layout: str = "NCHW", origin: str = ""
) -> tuple[Workload, ...]:
    """The distinct kernels of a network, in the order in which it first calls them.

    Raises:
        CompileError: TVM cannot import or lower it.
    """
    target = target_of(profile)
    try:
        with silent_stderr():
            lowered = _lower(_deployed(model), target, layout)
            tasks = ms.relax_integration.extract_tasks(lowered, target)
    except Exception as error:  # TVM raises whatever it likes
        raise CompileError(
            f"TVM cannot lower {origin or model.graph.name!r} in {layout} ({type(error).__name__}: {error}), "
            "expected a network whose operators it has all of"
        ) from error
    workloads = []
    for task in reversed(list(tasks)):
        module = task.dispatched[0]
        shapes = _shapes(module)
        name = ".".join([_operators(task.task_name), *("x".join(map(str, shape)) for shape in shapes)])
        workloads.append(Workload(name, _kind(task.task_name, module), module, origin))
    return tuple(workloads)


def choose(workloads: Iterable[Workload], counts: dict[str, int]) -> tuple[Workload, ...]:
    """Of each kind ``counts[kind]``, fewer where there are not as many, spread over the networks that have them.

    Equal kernels count once, and those are left out that are too small to be timed or too slow to be timed often.
    """
    by_kind: dict[str, dict[str, list[Workload]]] = {kind: {} for kind in counts}
    seen: set[int] = set()
    for workload in workloads:
        key = structural_hash(workload.module)
        if key in seen or workload.kind not in counts:
            continue
        seen.add(key)
        if not _is_worth_measuring(workload):
            continue
        by_kind[workload.kind].setdefault(workload.origin, []).append(workload)
    return tuple(one for kind, count in counts.items() for one in islice(_in_turn(by_kind[kind]), count))


def structural_hash(module: tvm.IRModule) -> int:
    """Equal for kernels that are the same but for the names of their variables."""
    return int(tvm_ffi.structural_hash(module))


def _in_turn(by_origin: dict[str, list[Workload]]) -> Iterator[Workload]:
    """One of each network, then another of each; of a network in an order that means nothing and stays the same."""
    queues = [sorted(found, key=lambda one: sha256(one.name.encode()).digest()) for found in by_origin.values()]
    for turn in range(max(map(len, queues), default=0)):
        yield from (queue[turn] for queue in queues if turn < len(queue))


def _is_worth_measuring(workload: Workload) -> bool:
    flops = estimate_tir_flops(workload.module)
    if flops > _MAX_FLOPS:
        return False
    least = _MIN_FLOPS.get("conv" if workload.kind.startswith("conv") else workload.kind)
    if least is not None:
        return bool(flops >= least)
    return sum(4 * math.prod(shape) for shape in _shapes(workload.module)) >= _MIN_BYTES


def _shapes(module: tvm.IRModule) -> tuple[tuple[int, ...], ...]:
    """Of the function's buffers, inputs then outputs."""
    arguments = ms.arg_info.ArgInfo.from_entry_func(module, False)
    return tuple(tuple(int(size) for size in argument.shape) for argument in arguments)


def _operators(task: str) -> str:
    """``fused_conv2d17_add11`` -> ``conv2d_add``: without the numbers that tell functions of a module apart."""
    words = re.sub(r"^fused_", "", task)
    return re.sub(r"(conv2d|conv3d|conv1d|pool2d|pool1d|[a-z])\d*(?=_|$)", r"\1", words)


def _kind(task: str, module: tvm.IRModule) -> str:
    """What decides about a kernel's schedule: its heaviest operator."""
    words = set(_operators(task).split("_"))
    if "conv2d" in words:
        return _convolution(module)
    if "matmul" in words:
        return "batch_matmul" if all(len(shape) > 2 for shape in _shapes(module)[:2]) else "matmul"
    if "softmax" in words:
        return "softmax"
    if {"layer", "norm"} <= words:
        return "layer_norm"
    if "pool2d" in words:
        return "pool"
    return "reduce" if words & {"mean", "sum", "max", "min", "variance"} else "elementwise"


def _convolution(module: tvm.IRModule) -> str:
    """Kind of a 2-D convolution, as its block says it: the strides and dilations are factors of its indices."""
    script = module.script()
    found = re.search(r"(group_)?conv2d_(nchw|nhwc)", script)
    if found is None:
        return "conv"
    weight = _shapes(module)[1]
    inputs, kernel = (weight[1], weight[2:]) if found[2] == "nchw" else (weight[2], weight[:2])
    if found[1]:
        return "conv_depthwise" if inputs == 1 else "conv_grouped"
    if re.search(r"v_r[yx] \* T\.int64", script):
        return "conv_dilated"
    if re.search(r"v_(yy|xx) \* T\.int64", script):
        return "conv_strided"
    return "conv_1x1" if kernel == (1, 1) else "conv"


def _deployed(model: onnx.ModelProto) -> onnx.ModelProto:
    """``model`` as it would be deployed: weights are data, normalisation is part of the convolution before it.

    Values are of no interest, so a convolution's BatchNormalization becomes its bias, and dropout goes away.
    """
    deployed = onnx.ModelProto()
    deployed.CopyFrom(model)
    graph = deployed.graph
    shapes = {
        item.name: tuple(numpy_helper.to_array(item).ravel()) for item in graph.initializer if item.data_type == 7
    }
    makers = {output: node for node in graph.node for output in node.output}
    readers: dict[str, int] = {}
    for node in graph.node:
        for name in node.input:
            readers[name] = readers.get(name, 0) + 1
    nodes, renamed = [], dict[str, str]()
    for node in graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = renamed.get(name, name)
        if node.op_type == "ConstantOfShape" and node.input[0] in shapes:
            shape = [int(size) for size in shapes[node.input[0]]]
            zeros = bytes(4 * math.prod(shape))
            graph.initializer.append(helper.make_tensor(node.output[0], onnx.TensorProto.FLOAT, shape, zeros, raw=True))
        elif node.op_type in {"Dropout", "Identity"}:
            renamed[node.output[0]] = node.input[0]
        elif node.op_type == "BatchNormalization" and _is_convolution_alone(makers.get(node.input[0]), readers):
            convolution = makers[node.input[0]]
            if len(convolution.input) == 2:
                convolution.input.append(node.input[2])
            renamed[node.output[0]] = node.input[0]
        elif node.op_type == "Sum" and len(node.input) == 2:
            nodes.append(helper.make_node("Add", list(node.input), list(node.output), node.name))
        else:
            nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    # Old models list weights as inputs too, in any order; TVM takes the first of all inputs for the network's own.
    weights = {item.name for item in graph.initializer}
    own = [value for value in graph.input if value.name not in weights]
    del graph.input[:]
    graph.input.extend(own)
    for output in graph.output:
        if output.name in renamed:
            graph.node.append(helper.make_node("Relu", [renamed[output.name]], [output.name]))
    return deployed


def _is_convolution_alone(node: onnx.NodeProto | None, readers: dict[str, int]) -> bool:
    return node is not None and node.op_type == "Conv" and readers[node.output[0]] == 1


def _lower(model: onnx.ModelProto, target: tvm.target.Target, layout: str) -> tvm.IRModule:
    """The network's kernels, fused, in a module whose constants are inputs."""
    module = import_quietly(model, keep_params_in_input=True)
    module, _ = relax.frontend.detach_params(module)
    passes = [relax.transform.DecomposeOpsForInference()]
    if layout == "NHWC":
        passes.append(relax.transform.ConvertLayout({"relax.nn.conv2d": ["NHWC", "HWIO"]}))
    passes += [relax.backend.DispatchSampling(), relax.backend.DispatchSortScan(), relax.transform.LegalizeOps()]
    passes.append(relax.transform.LiftTransformParams())
    with target:
        module = tvm.transform.Sequential(passes)(module)
        module = tvm.IRModule(
            {name: body for name, body in module.functions.items() if name.name_hint != "main_transform_params"}
        )
        fuse = [relax.transform.AnnotateTIROpPattern(), relax.transform.FuseOps(), relax.transform.FuseTIR()]
        return tvm.transform.Sequential(fuse)(module)
