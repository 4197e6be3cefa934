"""Variant: how a module is written before its operators are grouped; the second axis of the search beside the plan."""

from dataclasses import dataclass

from tvm_narcost.errors import CompileError

__all__ = ["LAYOUTS", "REWRITE_NAMES", "Variant"]

LAYOUTS = ("NCHW", "NHWC")
REWRITE_NAMES = (
    "fold_batch_norm",
    "adjust_matmul_order",
    "expand_matmul_of_sum",
    "combine_parallel_matmul",
)


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to write a network.

    Attributes:
        layout: of images: ``NCHW``, as importers write them, or ``NHWC``, which the schedules like better.
        rewrites: names out of ``REWRITE_NAMES``; they are applied in the order of that list, whatever theirs.
    """

    layout: str = "NCHW"
    rewrites: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        unknown = sorted({*self.rewrites} - {*REWRITE_NAMES})
        if self.layout not in LAYOUTS or unknown:
            raise CompileError(
                f"variant has layout {self.layout!r} and rewrites {', '.join(self.rewrites) or 'none'}, expected "
                f"layout {' or '.join(LAYOUTS)} and rewrites out of {', '.join(REWRITE_NAMES)}"
            )
