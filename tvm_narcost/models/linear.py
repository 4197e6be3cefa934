"""Linear: torch's layer, with oneDNN's matrix products in float32 instead of MKL's.

torch gives float32 products to MKL, which has no AVX-512 code for AMD's processors; oneDNN's has, and takes half the
time there. The operator is the one that torch.compile makes of a linear layer on a CPU. Results agree to rounding.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Linear"]

_FEWEST = 16  # rows; a smaller product is not worth a call of oneDNN
_WIDTHS = 64  # inputs and outputs are a multiple of this; for others oneDNN is no faster, or slow
_ALIGNED = 64
_PARTS = 8  # of an octave


class Linear(nn.Linear):
    """``nn.Linear``: the same parameters, drawn alike; [..., in_features] -> [..., out_features]."""

    def forward(self, input: Tensor) -> Tensor:
        """See the class."""
        rows = input.reshape(-1, self.in_features).contiguous()  # of other strides oneDNN may only have slow code
        if not self._by_onednn(rows):
            return F.linear(input, self.weight, self.bias)
        missing = padded_rows(len(rows)) - len(rows)
        padded = F.pad(rows, (0, 0, 0, missing)) if missing else rows
        out: Tensor = _Product.apply(padded, self.weight, self.bias)  # type: ignore[no-untyped-call]  # torch's
        return out[: len(rows)].view(*input.shape[:-1], self.out_features)

    def _by_onednn(self, rows: Tensor) -> bool:
        return (
            len(rows) >= _FEWEST
            and self.in_features % _WIDTHS == self.out_features % _WIDTHS == 0
            and rows.dtype == self.weight.dtype == torch.float32
            and rows.device.type == self.weight.device.type == "cpu"
            and torch.backends.mkldnn.is_available()
        )


def padded_rows(rows: int) -> int:
    """Rows that a product is computed with: oneDNN compiles one for each count, which takes as long as several runs.

    A multiple of 64, or of an eighth of the octave that ``rows`` lies in.
    """
    if rows % _ALIGNED == 0:
        return rows
    step = max((1 << rows.bit_length() - 1) // _PARTS, _FEWEST)
    return -(-rows // step) * step


class _Product(torch.autograd.Function):
    """x [M, K], weight [N, K], bias [N] or None -> [M, N]."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _product(x, weight, bias)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors  # type: ignore[attr-defined]  # not in torch's annotations
        of_x, of_weight, of_bias = ctx.needs_input_grad  # type: ignore[attr-defined]
        grad = grads[0].contiguous()
        return (
            _product(grad, weight.t(), None) if of_x else None,
            _product(grad.t(), x.t(), None) if of_weight else None,
            grad.sum(dim=0) if of_bias else None,
        )


def _product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    out: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return out
