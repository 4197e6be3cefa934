"""Values of a function whose layouts are being rewritten: where each is, and in which order of axes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tvm import relax

from tvm_narcost.hook.bindings import Emitter, substitute, tensors_of

__all__ = ["IMAGE", "TOKENS", "LayoutViews", "Order", "View", "spread"]

Order = tuple[int, ...]

IMAGE: Order = (0, 2, 3, 1)
"""Of NCHW, what NHWC has first, second ..."""

TOKENS: Order = (0, 2, 1)
"""Of channels times pixels, channels last."""


def spread(rank: int) -> Order:
    """The order of an image whose channels are split into groups: spatial axes before them."""
    return (0, rank - 2, rank - 1, *range(1, rank - 2))


@dataclass(frozen=True, slots=True)
class View:
    """A value of the new function; its axis ``i`` is axis ``order[i]`` of the old one."""

    value: Any
    order: Order

    @property
    def plain(self) -> bool:
        """Whether its axes are in the old order."""
        return self.order == tuple(range(len(self.order)))

    def places(self, axes: Sequence[int]) -> list[int]:
        """Where axes of the old value are."""
        return [self.order.index(axis % len(self.order)) for axis in axes]


class LayoutViews:
    """The views of the old function's values so far; one use."""

    def __init__(self) -> None:
        self.views: dict[relax.Var, View] = {}  # those that are not plain
        self.fields: dict[relax.Var, Order] = {}  # order of the fields of a tuple
        self.made: dict[tuple[relax.Var, Order], Any] = {}

    def of(self, emitter: Emitter, value: Any) -> View | None:
        """The view of a tensor; None of what has no known rank."""
        if value in self.views:
            return self.views[value]
        kind = getattr(value, "ty", None)
        if not isinstance(kind, relax.TensorType) or kind.ndim < 0:
            return None
        return View(emitter.read(value), tuple(range(kind.ndim)))

    def plain(self, emitter: Emitter, value: Any) -> Any:
        """A tensor as the old function has it."""
        return self.ordered(emitter, value, tuple(range(value.ty.ndim))) if value in self.views else emitter.read(value)

    def plain_all(self, emitter: Emitter, value: Any) -> Any:
        """A call, a tuple or a variable that reads everything as the old function has it."""
        values = {item: self.plain(emitter, item) for item in tensors_of(value) if isinstance(item, relax.Var)}
        return substitute(value, values)

    def ordered(self, emitter: Emitter, value: Any, order: Order) -> Any:
        """A tensor with its axes in some order; permuted once, however often it is read so."""
        view = self.of(emitter, value)
        if view is None or view.order == order:
            return emitter.read(value) if view is None else view.value
        if (value, order) not in self.made:
            extents = [int(extent) for extent in value.ty.shape.values]
            wide = [axis for axis in order if extents[axis] != 1]
            if wide == [axis for axis in view.order if extents[axis] != 1]:  # nothing moves
                permuted = relax.op.reshape(view.value, [extents[axis] for axis in order])
            else:
                permuted = relax.op.permute_dims(view.value, view.places(order))
            self.made[value, order] = emitter.emit(permuted)
        return self.made[value, order]
