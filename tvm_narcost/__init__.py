"""narcost: how long a network will take on a device, before it runs there."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tvm_narcost.api import NetworkPrediction, NetworkPredictor, load

__all__ = ["NetworkPrediction", "NetworkPredictor", "__version__", "load"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import the predictor when it is first asked for: it brings torch with it."""
    if name in ("NetworkPrediction", "NetworkPredictor", "load"):
        from tvm_narcost import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
