"""narcost: how long a network will take on a device, before it runs there."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tvm_narcost.api import NetworkPrediction, NetworkPredictor, load
    from tvm_narcost.hook.pipeline import rank_fusions

__all__ = ["NetworkPrediction", "NetworkPredictor", "__version__", "load", "rank_fusions"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import the predictor, or the hook into TVM, when it is first asked for: they bring torch and TVM with them."""
    if name in ("NetworkPrediction", "NetworkPredictor", "load"):
        from tvm_narcost import api

        return getattr(api, name)
    if name == "rank_fusions":
        from tvm_narcost.hook import pipeline

        return pipeline.rank_fusions
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
