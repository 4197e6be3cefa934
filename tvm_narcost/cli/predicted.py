"""What `predict` and `report` ask: a prediction of a model, why to trust it less, and what a database has of it."""

import statistics
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from relay_frontend.errors import FrontendError
from tvm_narcost.errors import NarcostError

if TYPE_CHECKING:
    from tvm_narcost.api import NetworkPrediction, NetworkPredictor
    from tvm_narcost.database.store import LatencyDatabase

__all__ = ["doubts_of", "existing_database", "measured_ms_of", "predict_model"]


def predict_model(predictor: "NetworkPredictor", model: str, shapes: dict[str, tuple[int, ...]]) -> "NetworkPrediction":
    """Predict one model; an error names the file, since there may be many."""
    try:
        return predictor.predict(model, shapes=shapes)
    except (FrontendError, NarcostError) as error:
        if model in str(error):
            raise
        raise type(error)(f"{model}: {error}") from error


def doubts_of(prediction: "NetworkPrediction") -> str:
    """Why a prediction deserves less trust; empty when nothing speaks against it."""
    doubts = []
    if prediction.unknown_operators:
        doubts.append(f"unknown operators {', '.join(prediction.unknown_operators)}")
    if prediction.out_of_distribution:
        doubts.append("unlike any network in training")
    return ", ".join(doubts)


def existing_database(url: str | None) -> "AbstractContextManager[LatencyDatabase | None]":
    """The database to look at; None when the user named none and has none.

    Raises:
        DatabaseError: the one named is not there. Opening would make an empty one, and predict writes nothing.
    """
    from tvm_narcost.database import database_is_there, open_database

    if url is None and not database_is_there(url):
        return nullcontext()
    return open_database(url, create=False)


def measured_ms_of(database: "LatencyDatabase | None", prediction: "NetworkPrediction") -> float | None:
    """Median latency that the database has of this very network on this profile, milliseconds."""
    measurement = database.latest(prediction.graph_hash, prediction.profile) if database else None
    return None if measurement is None else statistics.median(measurement.samples_us) / 1e3
