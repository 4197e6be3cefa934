"""FLOPs of Fourier transforms, dense linear algebra, losses, sorting and the choice of boxes."""

from math import log2, prod

from relay_frontend.flops_rule import Attributes, FlopsRule, Types, integer

__all__ = ["ALGEBRA_FLOPS"]


def _transform(extent: int, *, real: bool) -> int:
    """One fast Fourier transform: 5 n log2 n (Cooley and Tukey with a radix of 2), half of it for a real signal."""
    return round((2.5 if real else 5.0) * extent * log2(extent)) if extent > 1 else 0


def _dft(attributes: Attributes, inputs: Types, outputs: Types) -> tuple[int, int]:
    """A transform along one axis for every place on the others; the last axis is real or a pair."""
    data, output = inputs[0].shape, outputs[0].shape
    axis = integer(attributes, "axis", -2) % len(output)
    length = integer(attributes, "dft_length", 0) or max(data[axis], output[axis])
    others = prod(output[:-1]) // max(output[axis], 1)
    return others * _transform(length, real=1 in (data[-1], output[-1])), 0


def _stft(attributes: Attributes, inputs: Types, outputs: Types) -> tuple[int, int]:
    """A transform of every frame, and a product with the window where there is one: an input of floats in one row."""
    signal, output = inputs[0].shape, outputs[0].shape
    windows = [kind.shape[0] for kind in inputs[1:] if len(kind.shape) == 1 and "float" in kind.dtype]
    onesided = integer(attributes, "onesided", 1)
    bins = 2 * (output[2] - 1) if onesided else output[2]
    length = integer(attributes, "frame_length", 0) or (windows[0] if windows else bins)
    real = len(signal) < 3 or signal[-1] == 1
    frame = _transform(length, real=real) + (len(windows) and length * (1 if real else 2))
    return output[0] * output[1] * frame, 0


def _real_transform(signal_of_output: bool) -> FlopsRule:
    """com.microsoft Rfft and Irfft: the last ``signal_ndim`` axes of the real side are one signal."""

    def rule(attributes: Attributes, inputs: Types, outputs: Types) -> tuple[int, int]:
        shape = (outputs if signal_of_output else inputs)[0].shape
        split = len(shape) - integer(attributes, "signal_ndim", 1)
        return prod(shape[:split]) * _transform(prod(shape[split:]), real=True), 0

    return rule


def _determinant(attributes: Attributes, inputs: Types, outputs: Types) -> tuple[int, int]:
    """A factorisation into triangles, 2/3 n^3, and the product of the diagonal."""
    size = inputs[0].shape[-1]
    return outputs[0].elements * (2 * size**3 // 3 + size), 0


def _inverse(attributes: Attributes, inputs: Types, outputs: Types) -> tuple[int, int]:
    """2 n^3: a factorisation and the solution for every column."""
    return 2 * outputs[0].elements * outputs[0].shape[-1], 0


def _likelihood_loss(attributes: Attributes, inputs: Types, outputs: Types) -> tuple[int, int]:
    """1 a target: of every row one element is picked."""
    return inputs[1].elements, 0


def _cross_entropy_loss(attributes: Attributes, inputs: Types, outputs: Types) -> tuple[int, int]:
    """A softmax, 5 a score, and 1 a target."""
    return 5 * inputs[0].elements + inputs[1].elements, 0


def _suppression(attributes: Attributes, inputs: Types, outputs: Types) -> tuple[int, int]:
    """13 a pair of boxes (intersection, union, ratio, comparison), and 1 a score.

    Every box is compared with every one chosen before, at most ``max_output_boxes_per_class`` of each class; what is
    chosen depends on the data, so that this is the most that it can be.
    """
    boxes, scores = inputs[0].shape[1], inputs[1].shape
    chosen = min(integer(attributes, "max_output_boxes_per_class", boxes), boxes)
    return inputs[1].elements + 13 * prod(scores[:2]) * boxes * chosen, 0


def _sort(attributes: Attributes, inputs: Types, outputs: Types) -> tuple[int, int]:
    """A sort, n log2 n comparisons; with an axis those of whole slices along it."""
    count = inputs[0].elements
    axis = attributes.get("axis")
    rows = inputs[0].shape[axis] if isinstance(axis, int) else count
    return round(count * log2(rows)) if rows > 1 else count, 0


def _per_input_element(attributes: Attributes, inputs: Types, outputs: Types) -> tuple[int, int]:
    """1 an input element, of all inputs."""
    return sum(kind.elements for kind in inputs), 0


def _group_norm(per_element: int) -> FlopsRule:
    """com.microsoft's; 1 more for the SiLU behind it."""

    def rule(attributes: Attributes, inputs: Types, outputs: Types) -> tuple[int, int]:
        return (per_element + (integer(attributes, "activation", 0) == 1)) * outputs[0].elements, 0

    return rule


def _affine_grid(attributes: Attributes, inputs: Types, outputs: Types) -> tuple[int, int]:
    """2 x MAC of a row of ``theta``, [axes, axes + 1], and a place."""
    return 2 * inputs[0].shape[-1] * outputs[0].elements, 0


ALGEBRA_FLOPS: dict[str, FlopsRule] = {
    "AffineGrid": _affine_grid,
    "DFT": _dft,
    "Det": _determinant,
    "GroupNorm": _group_norm(7),
    "Inverse": _inverse,
    "Irfft": _real_transform(signal_of_output=True),
    "IsAllFinite": _per_input_element,
    "NegativeLogLikelihoodLoss": _likelihood_loss,
    "NonMaxSuppression": _suppression,
    "NonZero": _per_input_element,
    "Rfft": _real_transform(signal_of_output=False),
    "STFT": _stft,
    "SkipGroupNorm": _group_norm(8),
    "SoftmaxCrossEntropyLoss": _cross_entropy_loss,
    "TfIdfVectorizer": _per_input_element,
    "Unique": _sort,
}
