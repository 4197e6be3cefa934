"""Small Relax modules for the tests of the hook, and how to run one."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tvm
from numpy.typing import NDArray
from tvm import relax

from hardware_profiles import DeviceFacts, HardwareProfile, MeasurementProtocol, RuntimeFacts

Array = NDArray[Any]

DEVICE = DeviceFacts(
    "here", "any", ("avx2",), 1, 32, 32768, 1048576, 33554432, (("float32", 64.0),), (("memory", 10.0),), 1.0
)


def profile(target: str = "llvm", *, id: str = "here.tvm") -> HardwareProfile:
    return HardwareProfile(id, DEVICE, RuntimeFacts("tvm", "any", 1, "tvm", (), target), MeasurementProtocol())


def run(module: tvm.IRModule, inputs: Sequence[Array], *, pipeline: Any = None) -> list[Array]:
    """Compile a module and run it once; without a pipeline it must be lowered already."""
    target = tvm.target.Target("llvm")
    executable = tvm.compile(module, target, relax_pipeline=pipeline or tvm.transform.Sequential([]))
    found = relax.VirtualMachine(executable, tvm.cpu())["main"](*map(tvm.runtime.tensor, inputs))
    return [found.numpy()] if isinstance(found, tvm.runtime.Tensor) else [item.numpy() for item in found]


def reference(module: tvm.IRModule, inputs: Sequence[Array]) -> list[Array]:
    """What the module computes as TVM compiles it by default."""
    return run(module, inputs, pipeline=relax.get_default_pipeline(tvm.target.Target("llvm")))


def numbers(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def weight(*shape: int, seed: int = 1) -> relax.Expr:
    return relax.const(numbers(*shape, seed=seed) / np.sqrt(np.prod(shape[1:]) + 1).astype(np.float32))


def build(network: Callable[..., Any], *shapes: tuple[int, ...]) -> tvm.IRModule:
    """A module whose ``main`` is ``network(emit, *inputs)``; ``emit`` binds an expression to a variable."""
    builder = relax.BlockBuilder()
    inputs = [relax.Var(f"x{number}", relax.TensorType(shape, "float32")) for number, shape in enumerate(shapes)]
    with builder.function("main", inputs):
        with builder.dataflow():
            found = builder.emit_output(network(builder.emit, *inputs))
        builder.emit_func_output(found)
    return builder.get()


def separable(emit: Any, x: Any) -> Any:
    """Convolutions, a residual sum, a split, a concatenation, a pool and a product: 17 operators."""
    stem = emit(relax.op.nn.conv2d(x, weight(8, 3, 3, 3), strides=2, padding=1))
    stem = emit(relax.op.nn.relu(emit(relax.op.add(stem, weight(1, 8, 1, 1, seed=2)))))
    depth = emit(relax.op.nn.conv2d(stem, weight(8, 1, 3, 3, seed=3), padding=1, groups=8))
    point = emit(relax.op.nn.conv2d(emit(relax.op.sigmoid(depth)), weight(8, 8, 1, 1, seed=4)))
    total = emit(relax.op.add(point, stem))
    halves = emit(relax.op.split(total, 2, axis=1))
    left, right = emit(halves[0]), emit(halves[1])
    joined = emit(relax.op.concat([emit(relax.op.multiply(left, right)), emit(relax.op.tanh(left))], axis=1))
    pooled = emit(relax.op.nn.max_pool2d(emit(relax.op.exp(joined)), pool_size=(2, 2), strides=(2, 2)))
    flat = emit(relax.op.mean(emit(relax.op.negative(pooled)), axis=[2, 3]))
    return emit(relax.op.add(emit(relax.op.matmul(flat, weight(8, 5, seed=5))), weight(5, seed=6)))


def attention(emit: Any, x: Any) -> Any:
    """One head over [1, 6, 8], normalised before and gated behind: 14 operators, silu being two."""
    normal = emit(relax.op.nn.layer_norm(x, weight(8), weight(8, seed=2), axes=[-1]))
    query, key, value = (emit(relax.op.matmul(normal, weight(8, 8, seed=seed))) for seed in (3, 4, 5))
    scores = emit(relax.op.matmul(query, emit(relax.op.permute_dims(key, [0, 2, 1]))))
    scores = emit(relax.op.nn.softmax(emit(relax.op.multiply(scores, relax.const(0.35, "float32")))))
    mixed = emit(relax.op.add(emit(relax.op.matmul(scores, value)), x))
    return emit(relax.op.multiply(emit(relax.op.nn.silu(mixed)), emit(relax.op.erf(mixed))))


def normalised(emit: Any, x: Any) -> Any:
    """Batch normalisations behind a convolution, behind one with a bias, and behind a sum, then channels shuffled."""
    conv = emit(relax.op.nn.conv2d(x, weight(8, 3, 3, 3), padding=1))
    first = emit(relax.op.nn.relu(batch_norm(emit, conv, seed=2)))
    conv = emit(relax.op.nn.conv2d(first, emit(relax.op.multiply(weight(8, 8, 1, 1, seed=3), weight(8, 1, 1, 1)))))
    second = batch_norm(emit, emit(relax.op.add(conv, weight(8, 1, 1, seed=4))), seed=5)
    total = batch_norm(emit, emit(relax.op.add(first, second)), seed=6)
    groups = emit(relax.op.reshape(total, (1, 2, 4, 8, 8)))
    mixed = emit(relax.op.reshape(emit(relax.op.permute_dims(groups, [0, 2, 1, 3, 4])), (1, 8, 8, 8)))
    grouped = emit(relax.op.nn.conv2d(mixed, weight(6, 4, 3, 3, seed=7), groups=2))
    scaled = emit(relax.op.multiply(grouped, weight(6, 1, 1, seed=8)))
    tokens = emit(relax.op.permute_dims(emit(relax.op.reshape(scaled, (1, 6, 36))), [0, 2, 1]))
    return emit(relax.op.nn.softmax(tokens, axis=1))


def batch_norm(emit: Any, x: Any, *, seed: int) -> Any:
    channels = int(x.ty.shape.values[1])
    gamma, beta, mean = (weight(channels, seed=seed + 10 * part) for part in range(3))
    variance = relax.const(np.abs(numbers(channels, seed=seed)) + np.float32(0.5))
    return emit(emit(relax.op.nn.batch_norm(x, gamma, beta, mean, variance, axis=1, training=False))[0])


def blurred(emit: Any, x: Any) -> Any:
    """What importers make of LRN, padding, pools of both kinds, a slice and a resize."""
    conv = emit(relax.op.nn.conv2d(x, weight(8, 3, 3, 3), padding=1))
    squares = emit(relax.op.expand_dims(emit(relax.op.multiply(conv, conv)), axis=[1]))
    sums = emit(relax.op.nn.avg_pool3d(squares, pool_size=(5, 1, 1), padding=(2, 0, 0, 2, 0, 0)))
    scale = emit(relax.op.power(emit(relax.op.squeeze(sums, axis=[1])), relax.const(0.75, "float32")))
    lrn = emit(relax.op.divide(conv, emit(relax.op.add(scale, relax.const(1.0, "float32")))))
    padded = emit(relax.op.nn.pad(lrn, [0, 0, 0, 0, 1, 0, 0, 1]))
    pooled = emit(relax.op.nn.avg_pool2d(padded, pool_size=(3, 3), strides=(2, 2), ceil_mode=True))
    part = emit(relax.op.strided_slice(pooled, axes=[1], begin=[1], end=[8], strides=[2]))
    wide = emit(relax.op.image.resize2d(part, (7, 7), layout="NCHW"))
    return emit(relax.op.nn.adaptive_avg_pool2d(wide, (1, 1)))


def sequence(emit: Any, x: Any) -> Any:
    """One-dimensional convolutions, strided, depthwise and of one tap, with what is between them."""
    conv = emit(relax.op.nn.conv1d(x, weight(8, 3, 5), strides=2, padding=2))
    conv = emit(relax.op.nn.gelu(emit(relax.op.add(conv, weight(1, 8, 1, seed=2)))))
    depth = emit(relax.op.nn.conv1d(conv, weight(8, 1, 3, seed=3), padding=2, dilation=2, groups=8))
    point = emit(relax.op.nn.conv1d(emit(relax.op.add(depth, conv)), weight(6, 8, 1, seed=4)))
    return emit(relax.op.mean(point, axis=2))
