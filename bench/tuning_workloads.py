"""Kernels held out of every training of the schedule model: of real networks, and of families that no training saw.

Each is named by its network, its layout, and the operators and shapes of its buffers, inputs then outputs.
"""

from dataclasses import dataclass

import onnx

from bench.facts import LIGHT_NETWORKS, light_model
from hardware_profiles import HardwareProfile
from tvm_narcost.errors import NarcostError
from tvm_narcost.hook.metaschedule.workloads import NetworkSource, Workload, network_workloads, workloads_of

__all__ = ["HELD_OUT", "HeldOut", "held_out_workloads"]


@dataclass(frozen=True)
class HeldOut:
    """One kernel; ``network`` is one of the onnx package, or a family and a seed of the zoo's."""

    short: str
    network: str
    layout: str
    name: str


HELD_OUT = tuple(
    HeldOut(*one)
    for one in (
        ("conv 3x3", "resnet50", "NHWC",
         "conv2d_add_relu.1x14x14x256.3x3x256x256.1x1x1x256.1x14x14x256"),
        ("conv 3x3 NCHW", "resnet50", "NCHW",
         "conv2d_add_relu.1x64x56x56.64x64x3x3.1x64x1x1.1x64x56x56"),
        ("conv 1x1", "resnet50", "NCHW",
         "conv2d_add_relu.1x512x28x28.128x512x1x1.1x128x1x1.1x128x28x28"),
        ("conv 1x1 residual", "resnet50", "NHWC",
         "conv2d_add_add_relu.1x56x56x64.1x1x64x256.1x1x1x256.1x56x56x256.1x56x56x256"),
        ("conv 3x3 strided", "resnet50", "NHWC",
         "conv2d_add_relu.1x56x56x128.3x3x128x128.1x1x1x128.1x28x28x128"),
        ("conv 7x7 strided", "resnet50", "NCHW",
         "conv2d_add_relu.1x3x224x224.64x3x7x7.1x64x1x1.1x64x112x112"),
        ("conv grouped", "bvlc_alexnet", "NHWC",
         "conv2d_add_relu.1x12x12x384.3x3x192x256.1x1x1x256.1x12x12x256"),
        ("conv grouped 1x1", "shufflenet", "NCHW",
         "conv2d_add_relu.1x272x14x14.272x68x1x1.1x272x1x1.1x272x14x14"),
        ("conv depthwise", "shufflenet", "NHWC",
         "conv2d_add.1x28x28x136.3x3x1x136.1x1x1x136.1x28x28x136"),
        ("matmul gelu", "gpt/0", "NCHW",
         "matmul_add_divide_erf_multiply_add_multiply.1x189x96.96x384.384....1x189x384"),
        ("matmul", "swin/0", "NCHW",
         "matmul_add.4x64x384.384x384.384.4x64x384"),
        ("vector matmul", "resnet50", "NCHW",
         "matmul_add.1x2048.2048x1000.1000.1x1000"),
        ("batch matmul", "gpt/0", "NCHW",
         "matmul.1x3x189x189.1x3x189x32.1x3x189x32"),
        ("batch matmul mask", "swin/0", "NCHW",
         "matmul_add.4x12x64x32.4x12x32x64.1x12x64x64.4x12x64x64"),
        ("softmax", "gpt/0", "NCHW",
         "softmax.1x3x189x189.1x3x189x189"),
        ("layer norm", "swin/0", "NCHW",
         "layer_norm.1x16x16x384.384.384.1x16x16x384"),
        ("max pool", "resnet50", "NHWC",
         "max_pool2d.1x112x112x64.1x56x56x64"),
        ("windows", "swin/0", "NCHW",
         "reshape_transpose_reshape_add.16x64x192.1x32x32x192.1x32x32x192"),
    )
)  # fmt: skip


def held_out_workloads(profile: HardwareProfile) -> dict[str, Workload]:
    """Short name -> kernel, in the order above.

    Raises:
        NarcostError: a network has no kernel of such a name any more.
    """
    networks: dict[tuple[str, str], dict[str, Workload]] = {}
    for one in HELD_OUT:
        if (one.network, one.layout) not in networks:
            found = _workloads(one.network, one.layout, profile)
            networks[one.network, one.layout] = {workload.name: workload for workload in found}
    missing = [one for one in HELD_OUT if one.name not in networks[one.network, one.layout]]
    if missing:
        names = ", ".join(f"{one.network} {one.name}" for one in missing)
        raise NarcostError(
            f"networks lack {len(missing)} of the kernels held out ({names}), expected each: the zoo or TVM's fusion "
            "has changed, name kernels that are there"
        )
    return {one.short: networks[one.network, one.layout][one.name] for one in HELD_OUT}


def _workloads(network: str, layout: str, profile: HardwareProfile) -> tuple[Workload, ...]:
    if network in LIGHT_NETWORKS:
        return workloads_of(onnx.load(light_model(network)), profile, layout=layout, origin=f"{network}/{layout}")
    family, seed = network.split("/")
    return network_workloads(NetworkSource(family, int(seed), layout), profile)
