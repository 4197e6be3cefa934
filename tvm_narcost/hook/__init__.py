"""Everything that touches TVM's compilation."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tvm_narcost.hook.metaschedule.cost_model import NarFormerCostModel

__all__ = ["NarFormerCostModel"]


def __getattr__(name: str) -> Any:
    """Import the cost model when it is first asked for: it brings TVM and torch with it."""
    if name == "NarFormerCostModel":
        from tvm_narcost.hook.metaschedule.cost_model import NarFormerCostModel

        return NarFormerCostModel
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
