"""Batch normalisation of known statistics: a product and a sum a channel, and those go into a convolution before it."""

from collections import Counter
from typing import Any

import tvm
from tvm import relax

from tvm_narcost.hook.bindings import Emitter, bindings_of, rewrite_main, tensors_of

__all__ = ["fold_batch_norm"]


def fold_batch_norm(module: tvm.IRModule) -> tvm.IRModule:
    """Let a convolution do what the batch_norm that alone reads it does; elsewhere multiply and add.

    A bias that is added in between is folded too. What is computed from weights is left for constants to be folded.
    """
    reads = Counter(emitted for binding in bindings_of(module["main"]) for emitted in tensors_of(binding.value))
    folding = _Folding(reads)
    return rewrite_main(module, folding.rule)


class _Folding:
    """The rule, and who of the new function is read how often."""

    def __init__(self, old_reads: Counter[Any]) -> None:
        self.old_reads = old_reads
        self.reads: dict[Any, int] = {}

    def rule(self, emitter: Emitter, variable: relax.Var, value: Any) -> Any:
        for old in tensors_of(value):
            if isinstance(old, relax.Var):
                self.reads[emitter.read(old)] = self.old_reads[old]
        value = emitter.read(value)
        if not isinstance(value, relax.TupleGetItem) or value.index != 0:
            return value
        norm = emitter.call_behind(value.tuple_value, "nn.batch_norm")
        if norm is None or norm.attrs.training or not all(map(emitter.is_constant, norm.args[1:])):
            return value
        return self._spelled_out(emitter, norm)

    def _spelled_out(self, emitter: Emitter, norm: Any) -> Any:
        data, gamma, beta, mean, variance = norm.args
        attrs, rank = norm.attrs, norm.args[0].ty.ndim
        axis = int(attrs.axis) % rank
        kind = variance.ty.dtype.dtype
        deviation = emitter.emit(relax.op.sqrt(emitter.emit(relax.op.add(variance, relax.const(attrs.epsilon, kind)))))
        one = relax.const(1.0, kind)
        scale = emitter.emit(relax.op.divide(gamma if attrs.scale else one, deviation))
        data, bias = self._without_bias(emitter, data, axis)
        offset = mean if bias is None else emitter.emit(relax.op.subtract(mean, bias))
        shift = emitter.emit(relax.op.multiply(offset, scale))
        shift = emitter.emit(relax.op.subtract(beta, shift) if attrs.center else relax.op.negative(shift))
        product = self._scaled(emitter, data, scale, axis)
        return relax.op.add(product, _along(emitter, shift, rank, axis))

    def _without_bias(self, emitter: Emitter, data: Any, axis: int) -> tuple[Any, Any]:
        """What a constant a channel is added to, if nobody else reads the sum, and that constant as a vector."""
        add = emitter.call_behind(data, "add")
        if add is None or self.reads.get(data) != 1:
            return data, None
        for source, bias in (add.args, tuple(reversed(add.args))):
            extents = [int(extent) for extent in bias.ty.shape.values]
            wide = [place for place, extent in enumerate(extents, start=data.ty.ndim - len(extents)) if extent != 1]
            conv = emitter.call_behind(source, "nn.conv2d")
            if conv is not None and emitter.is_constant(bias) and wide == [axis]:
                return source, emitter.emit(relax.op.reshape(bias, [int(data.ty.shape.values[axis])]))
        return data, None

    def _scaled(self, emitter: Emitter, data: Any, scale: Any, axis: int) -> Any:
        conv = emitter.call_behind(data, "nn.conv2d")
        if (
            conv is None
            or self.reads.get(data) != 1
            or axis != 1
            or (conv.attrs.data_layout, conv.attrs.kernel_layout) != ("NCHW", "OIHW")
            or not emitter.is_constant(conv.args[1])
        ):
            return emitter.emit(relax.op.multiply(data, _along(emitter, scale, data.ty.ndim, axis)))
        weight = emitter.emit(relax.op.multiply(conv.args[1], _along(emitter, scale, 4, 0)))
        return emitter.emit(tvm.ir.Call(conv.op, [conv.args[0], weight], conv.attrs))


def _along(emitter: Emitter, vector: Any, rank: int, axis: int) -> Any:
    """A vector as a tensor whose other axes are 1."""
    if vector.ty.ndim == 0:
        return vector
    extents = [1] * rank
    extents[axis] = int(vector.ty.shape.values[0])
    return emitter.emit(relax.op.reshape(vector, extents))
