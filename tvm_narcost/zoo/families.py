"""The registry of families and the draw of one network."""

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from tvm_narcost.errors import ZooError
from tvm_narcost.zoo.audio import build_audio
from tvm_narcost.zoo.builder import GraphBuilder
from tvm_narcost.zoo.classic import build_alexnet, build_squeezenet, build_vgg
from tvm_narcost.zoo.corpus import (
    build_corpus_conv,
    build_corpus_elementwise,
    build_corpus_matmul,
    build_corpus_move,
    build_corpus_rows,
)
from tvm_narcost.zoo.dense import build_densenet
from tvm_narcost.zoo.encoder_decoder import build_encoder_decoder
from tvm_narcost.zoo.hrnet import build_hrnet
from tvm_narcost.zoo.hybrid import build_hybrid
from tvm_narcost.zoo.inception import build_googlenet
from tvm_narcost.zoo.language import build_bert, build_gpt
from tvm_narcost.zoo.micro import (
    build_activation,
    build_broadcast,
    build_concat,
    build_epilogue,
    build_layer_norm,
    build_matmul,
    build_multi_consumer,
    build_pool_add,
    build_residual,
    build_shuffle,
    build_softmax,
    build_transpose_reduce,
)
from tvm_narcost.zoo.mobile import build_efficientnet, build_mnasnet, build_mobilenet_v2, build_mobilenet_v3
from tvm_narcost.zoo.nasbench201 import build_nasbench201
from tvm_narcost.zoo.random_wired import build_random_wired
from tvm_narcost.zoo.repvgg import build_repvgg
from tvm_narcost.zoo.residual import build_regnet, build_resnet
from tvm_narcost.zoo.shuffle import build_ghostnet, build_shufflenet
from tvm_narcost.zoo.spelling import draw_spelling
from tvm_narcost.zoo.super_resolution import build_super_resolution
from tvm_narcost.zoo.tabular import build_tabular
from tvm_narcost.zoo.unet import build_unet
from tvm_narcost.zoo.vision import build_convnext, build_mlp_mixer, build_swin, build_vit
from tvm_narcost.zoo.xception import build_xception
from tvm_narcost.zoo.yolo import build_yolo

if TYPE_CHECKING:
    import onnx

__all__ = ["CORPUS_FAMILIES", "FAMILIES", "MICRO_FAMILIES", "NNLQP_FAMILIES", "Family", "family_named", "generate"]

MAX_FLOPS = 45e9
MAX_WEIGHT_BYTES = 620e6  # VGG-19 has 575 MB
_COST_RANGE_US = (300.0, 120e3)
_LARGE_COST_RANGE_US = (80e3, 380e3)  # VGG-19 at 224 must lie within, not at the edge
_CORPUS_COST_RANGE_US = (50.0, 20e3)
_LARGE_CORPUS_COST_RANGE_US = (20e3, 40e3)
_MICRO_COST_RANGE_US = (15.0, 2e3)
_LARGE_MICRO_COST_RANGE_US = (2e3, 6e3)
_SHARE_OF_LARGE = 0.07
_MAX_COST_US = 400e3
_DRAWS = 12


@dataclass(frozen=True, slots=True)
class Family:
    """A kind of network.

    Attributes:
        name: as given to :func:`generate`.
        description: one line.
        build: adds the nodes of one random member to a builder.
        cost_range_us: coarse cost that members are drawn towards.
        large_cost_range_us: of a few large ones.
    """

    name: str
    description: str
    build: Callable[[GraphBuilder], None]
    cost_range_us: tuple[float, float] = _COST_RANGE_US
    large_cost_range_us: tuple[float, float] = _LARGE_COST_RANGE_US


def _corpus(name: str, description: str, build: Callable[[GraphBuilder], None]) -> Family:
    return Family(name, description, build, _CORPUS_COST_RANGE_US, _LARGE_CORPUS_COST_RANGE_US)


def _micro(name: str, description: str, build: Callable[[GraphBuilder], None]) -> Family:
    return Family(f"micro_{name}", description, build, _MICRO_COST_RANGE_US, _LARGE_MICRO_COST_RANGE_US)


_ALL = (
    Family("alexnet", "AlexNet, ZFNet: large kernels, LRN, big fully connected layers", build_alexnet),
    Family("vgg", "VGG-11 to VGG-19 and thinner ones", build_vgg),
    Family("googlenet", "GoogLeNet: Inception v1 with LRN, v2 with batch normalisation", build_googlenet),
    Family("resnet", "ResNet of basic or bottleneck blocks, ResNeXt, wide, with squeeze-excitation", build_resnet),
    Family("squeezenet", "SqueezeNet 1.0 and 1.1: fire modules", build_squeezenet),
    Family("mobilenet_v2", "MobileNetV2 inverted residuals, now and then MobileNetV1", build_mobilenet_v2),
    Family("mobilenet_v3", "MobileNetV3 large and small: hard swish, squeeze-excitation", build_mobilenet_v3),
    Family("mnasnet", "MnasNet-A1 and B1", build_mnasnet),
    Family("efficientnet", "EfficientNet with swish and squeeze-excitation, and Lite", build_efficientnet),
    Family("nasbench201", "random cells in the NAS-Bench-201 skeleton", build_nasbench201),
    Family("shufflenet", "ShuffleNet v1 (grouped 1x1) and v2 (split)", build_shufflenet),
    Family("densenet", "DenseNet: pre-activation, each layer joined to all before it", build_densenet),
    Family("convnext", "ConvNeXt: large depthwise kernels, LayerNormalization, GELU", build_convnext),
    Family("regnet", "RegNetX and RegNetY", build_regnet),
    Family("ghostnet", "GhostNet: half of the channels by cheap depthwise convolutions", build_ghostnet),
    Family("vit", "ViT and DeiT", build_vit),
    Family("swin", "Swin: attention inside shifting windows", build_swin),
    Family("bert", "BERT encoders, with and without padding mask", build_bert),
    Family("gpt", "GPT-2 and Llama decoders with causal mask", build_gpt),
    Family("mlp_mixer", "MLP-Mixer: fully connected layers over positions and channels", build_mlp_mixer),
    Family("random_wired", "random graphs of the blocks of all families", build_random_wired),
    Family("unet", "U-Net, U-Net++, feature pyramids, DeepLab, fully convolutional networks", build_unet),
    Family("yolo", "detectors: YOLO of several generations, SSD, RetinaNet", build_yolo),
    Family("xception", "Xception, Inception v3 and v4, Inception-ResNet", build_xception),
    Family("repvgg", "RepVGG deployed and in training form, VoVNet, DarkNet", build_repvgg),
    Family("hrnet", "HRNet: parallel resolutions with exchange; Res2Net", build_hrnet),
    Family("super_resolution", "ESPCN, FSRCNN, EDSR and kin; style transfer, denoising", build_super_resolution),
    Family("tabular", "perceptrons, autoencoders, recommendation models", build_tabular, (50.0, 60e3)),
    Family("hybrid", "MobileViT, CoAtNet, EfficientFormer, PoolFormer, LeViT, PVT", build_hybrid),
    Family("audio", "encoders of waves and spectrograms: 1-D convolutions, Whisper, Conformer, keywords", build_audio),
    Family("encoder_decoder", "T5, BART, CLIP, ALBERT, DistilBERT, DETR", build_encoder_decoder),
    _corpus("corpus_conv", "random convolutions of every kind", build_corpus_conv),
    _corpus("corpus_matmul", "random matrix products and attention", build_corpus_matmul),
    _corpus("corpus_rows", "random reductions, softmax and normalisations", build_corpus_rows),
    _corpus("corpus_move", "random data movement", build_corpus_move),
    _corpus("corpus_elementwise", "random element-wise arithmetic and pooling", build_corpus_elementwise),
)

FAMILIES: Mapping[str, Family] = MappingProxyType({family.name: family for family in _ALL})
"""Every family by its name."""

NNLQP_FAMILIES: tuple[str, ...] = (
    "alexnet", "vgg", "googlenet", "resnet", "squeezenet", "mobilenet_v2", "mobilenet_v3", "mnasnet", "efficientnet",
    "nasbench201",
)  # fmt: skip
"""The ten families of NNLQP, over which leave-one-family-out is reported."""

CORPUS_FAMILIES: tuple[str, ...] = (
    "corpus_conv", "corpus_matmul", "corpus_rows", "corpus_move", "corpus_elementwise",
)  # fmt: skip
"""Networks of a few random kernels each: for training on shapes that no other family has, not for judging."""

_MICRO = (
    _micro("broadcast", "a chain of exponentials and the like, broadcast against a large tensor", build_broadcast),
    _micro("pool_add", "pooling and addition", build_pool_add),
    _micro("layer_norm", "layer and root-mean-square normalisation, spelled out", build_layer_norm),
    _micro("softmax", "softmax, spelled out", build_softmax),
    _micro("shuffle", "reshapes and transposes between element-wise arithmetic", build_shuffle),
    _micro("transpose_reduce", "a transpose before a reduction", build_transpose_reduce),
    _micro("multi_consumer", "element-wise arithmetic whose values have several readers", build_multi_consumer),
    _micro("concat", "dense layers joined to all before them", build_concat),
    _micro("matmul", "products of transposed operands and of sums, in chains", build_matmul),
    _micro("epilogue", "a convolution and a long row of element-wise operators", build_epilogue),
    _micro("residual", "branches that meet again", build_residual),
    _micro("activation", "GELU, SiLU, Mish and gates, spelled out", build_activation),
)

MICRO_FAMILIES: Mapping[str, Family] = MappingProxyType({family.name: family for family in _MICRO})
"""Micro-graphs over whose fusion a compiler can win or lose much, by family. They are not in :data:`FAMILIES`: other
profiles' datasets and benchmarks, which go over those, have no use for them."""


def family_named(name: str) -> Family:
    """A family of :data:`FAMILIES` or :data:`MICRO_FAMILIES`.

    Raises:
        ZooError: there is none of that name.
    """
    found = FAMILIES.get(name) or MICRO_FAMILIES.get(name)
    if found is None:
        raise ZooError(f"unknown zoo family {name!r}, expected one of {', '.join((*FAMILIES, *MICRO_FAMILIES))}")
    return found


def generate(family: str, seed: int) -> "onnx.ModelProto":
    """One network of a family: the same family and seed give the same bytes.

    Several members are drawn, and the one whose coarse cost comes nearest to a target is kept; targets are spread
    log-uniformly, so the members are too, as far as the family reaches.

    Args:
        family: a key of :data:`FAMILIES` or :data:`MICRO_FAMILIES`.
        seed: any integer.

    Returns:
        A checked-size model: at most 45 GFLOPs (2 per multiply-accumulate) and 620 MB of weights; its graph is named
        ``FAMILY-SEED``.

    Raises:
        ZooError: the family is unknown.
    """
    drawn = draw_network(family_named(family), seed)
    from tvm_narcost.zoo.emit import to_model

    return to_model(drawn, f"{family}-{seed}")


def draw_network(family: Family, seed: int) -> GraphBuilder:
    """The member of a family that ``seed`` stands for, not yet written as ONNX."""
    rng = random.Random(f"{family.name} {seed} target")
    low, high = family.large_cost_range_us if rng.random() < _SHARE_OF_LARGE else family.cost_range_us
    target_us = low * (high / low) ** rng.random()
    best: GraphBuilder | None = None
    distance = math.inf
    draws = 0
    while best is None or draws < _DRAWS:
        candidate = _draw(family, seed, draws)
        draws += 1
        if candidate is None:
            if draws > 40 * _DRAWS:
                raise ZooError(f"{family.name} seed {seed}: none of {draws} draws is a possible network")
            continue
        off = abs(math.log(candidate.cost_us / target_us))
        if off < distance:
            best, distance = candidate, off
    return best


def _draw(family: Family, seed: int, draw: int) -> GraphBuilder | None:
    """One draw, or None where the sizes do not fit together or exceed a cap."""
    rng = random.Random(f"{family.name} {seed} {draw}")
    spelling = draw_spelling(rng)
    b = GraphBuilder(rng, spelling, rng.choices([1, 2, 4], [0.92, 0.05, 0.03])[0])
    try:
        family.build(b)
    except ZooError:
        return None
    within = b.flops <= MAX_FLOPS and b.weight_bytes <= MAX_WEIGHT_BYTES and b.cost_us <= _MAX_COST_US
    return b if within else None
