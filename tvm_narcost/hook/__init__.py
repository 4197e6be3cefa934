"""Everything that touches TVM's compilation.

The names below are imported when they are first asked for: they bring TVM with them, and some torch. What they are
made of is in modules of its own: prepare, default_groups, grouping, schedules, lower.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tvm_narcost.hook.metaschedule.cost_model import NarFormerCostModel
    from tvm_narcost.hook.metaschedule.own_schedules import open_schedules
    from tvm_narcost.hook.pipeline import rank_fusions, rank_variants, register
    from tvm_narcost.hook.variant import Variant

__all__ = ["NarFormerCostModel", "Variant", "open_schedules", "rank_fusions", "rank_variants", "register"]

_MODULES = {
    "NarFormerCostModel": "metaschedule.cost_model",
    "Variant": "variant",
    "open_schedules": "metaschedule.own_schedules",
    "rank_fusions": "pipeline",
    "rank_variants": "pipeline",
    "register": "pipeline",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
