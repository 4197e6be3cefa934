"""Images with channels last."""

import tvm
from tvm import relax

__all__ = ["to_channels_last"]


def to_channels_last(module: tvm.IRModule) -> tvm.IRModule:
    """Convolutions in NHWC, and what follows them as far as TVM can take the layout."""
    return relax.transform.ConvertLayout({"relax.nn.conv2d": ["NHWC", "HWIO"]})(module)
