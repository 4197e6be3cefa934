"""Which inputs of standard operators say how and not what: new opsets' spelling of what used to be attributes."""

__all__ = ["REDUCTIONS", "value_slots"]

REDUCTIONS = ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare")

# Inputs that say how, not what: operator -> ((input slot, the attribute that it becomes), ...).
_VALUE_SLOTS: dict[str, tuple[tuple[int, str], ...]] = {
    "AffineGrid": ((1, "size"),),
    "CenterCropPad": ((1, "shape"),),
    "Clip": ((1, "min"), (2, "max")),
    "Col2Im": ((1, "image_shape"), (2, "block_shape")),
    "ConstantOfShape": ((0, "shape"),),
    "CumProd": ((1, "axis"),),
    "CumSum": ((1, "axis"),),
    "DFT": ((1, "dft_length"), (2, "axis")),
    "Dropout": ((1, "ratio"), (2, "training_mode")),
    "Expand": ((1, "shape"),),
    "MaxUnpool": ((2, "output_shape"),),
    "NonMaxSuppression": ((2, "max_output_boxes_per_class"), (3, "iou_threshold"), (4, "score_threshold")),
    "OneHot": ((1, "depth"),),
    "Pad": ((1, "pads"), (2, "value"), (3, "axes")),
    "Reshape": ((1, "shape"),),
    "Resize": ((1, "roi"), (2, "scales"), (3, "sizes")),
    "Slice": ((1, "starts"), (2, "ends"), (3, "axes"), (4, "steps")),
    "STFT": ((1, "frame_step"), (3, "frame_length")),
    "Split": ((1, "split"),),
    "SplitToSequence": ((1, "split"),),
    "Squeeze": ((1, "axes"),),
    "Tile": ((1, "repeats"),),
    "TopK": ((1, "k"),),
    "Trilu": ((1, "k"),),
    "Unsqueeze": ((1, "axes"),),
    "Upsample": ((1, "scales"),),
    **{f"Reduce{kind}": ((1, "axes"),) for kind in REDUCTIONS},
}


def value_slots(op: str, version: int) -> tuple[tuple[int, str], ...]:
    """Which inputs of a standard operator become attributes when they are constant."""
    if op == "Resize" and version == 10:
        return ((1, "scales"),)
    return _VALUE_SLOTS.get(op, ())
