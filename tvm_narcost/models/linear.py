"""Linear: torch's layer, whose products are oneDNN's instead of MKL's where nothing is learned.

torch gives float32 products to MKL, which has no AVX-512 code for AMD's processors; oneDNN's has, and takes half the
time there. The operator is the one that torch.compile makes of a linear layer on a CPU. Results agree to rounding.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Linear"]

_FEWEST_ROWS = 16  # a smaller product is not worth a call of oneDNN
_FEWEST_COLUMNS = 16


class Linear(nn.Linear):
    """``nn.Linear``: the same parameters, drawn alike; [..., in_features] -> [..., out_features]."""

    def forward(self, input: Tensor) -> Tensor:
        """See the class."""
        rows = input.numel() // self.in_features
        if not self._by_onednn(input, rows):
            return F.linear(input, self.weight, self.bias)
        flat = input.reshape(rows, self.in_features)
        out: Tensor = torch.ops.mkldnn._linear_pointwise(flat, self.weight, self.bias, "none", [], "")
        return out.view(*input.shape[:-1], self.out_features)

    def _by_onednn(self, input: Tensor, rows: int) -> bool:
        return (
            torch.is_inference_mode_enabled()  # while gradients flow, oneDNN is slow in strides that MKL does not mind
            and rows >= _FEWEST_ROWS
            and self.out_features >= _FEWEST_COLUMNS
            and input.dtype == self.weight.dtype == torch.float32
            and input.device.type == self.weight.device.type == "cpu"
            and torch.backends.mkldnn.is_available()
        )
