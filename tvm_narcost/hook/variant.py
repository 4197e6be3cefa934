"""Variant: how a module is written before its operators are grouped; the second axis of the search beside the plan."""

from dataclasses import dataclass

from hardware_profiles import HardwareProfile
from tvm_narcost.errors import CompileError

__all__ = ["LAYOUTS", "REWRITE_NAMES", "Variant", "neighbours", "variant_of"]

LAYOUTS = ("NCHW", "NHWC")
REWRITE_NAMES = (
    "fold_batch_norm",
    "fuse_transpose_matmul",
    "adjust_matmul_order",
    "expand_matmul_of_sum",
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

    def __str__(self) -> str:
        """Layout and rewrites, joined by plus signs."""
        return "+".join([self.layout, *self.rewrites])


def variant_of(profile: HardwareProfile) -> Variant:
    """The variant that a profile's plans were measured in: its options ``layout`` and ``rewrites``, comma-separated.

    Raises:
        CompileError: an option has a value that no variant has.
    """
    options = dict(profile.runtime.options)
    rewrites = tuple(name.strip() for name in options.get("rewrites", "").split(",") if name.strip())
    return Variant(options.get("layout", "NCHW"), rewrites)


def neighbours(variant: Variant) -> tuple[Variant, ...]:
    """The variant itself, then what is one step from it: another layout, or one rewrite more."""
    layouts = [Variant(layout, variant.rewrites) for layout in LAYOUTS if layout != variant.layout]
    more = [
        Variant(variant.layout, (*variant.rewrites, name)) for name in REWRITE_NAMES if name not in variant.rewrites
    ]
    return (variant, *layouts, *more)
