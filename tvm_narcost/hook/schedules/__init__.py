"""Schedules for x86 CPUs: dlight rules whose tiles follow from the HardwareProfile."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tvm_narcost.hook.schedules.apply import cpu_rules, schedule

__all__ = ["cpu_rules", "schedule"]


def __getattr__(name: str) -> Any:
    """Import the schedules when they are first asked for: they bring TVM with them."""
    if name in __all__:
        from tvm_narcost.hook.schedules import apply

        return getattr(apply, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
