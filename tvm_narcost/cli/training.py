"""What `train`, `adapt` and `evaluate` say while they work and when they are done."""

import shlex
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tvm_narcost.training.fit import FittedModels

__all__ = ["command_line", "held_out_line", "tell"]


def command_line() -> str:
    """What the user called, as an artifact keeps it."""
    return shlex.join(["narcost", *sys.argv[1:]])


def tell(step: str) -> None:
    """Say on stderr what is done now."""
    print(f"narcost: {step}", file=sys.stderr)


def held_out_line(fitted: "FittedModels") -> str:
    """How far off the models were on families held out, for people."""
    metrics = fitted.narformer.facts.metrics
    return (
        f"on families held out: MAPE {metrics['families_held_out_mape']:.1f} %, "
        f"{metrics['families_held_out_acc_10']:.0f} % of the networks within 10 %"
    )
