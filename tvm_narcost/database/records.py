"""What goes into the database and what comes out of it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from relay_frontend.graph import OpGraph
from relay_frontend.plan import FusionPlan
from tvm_narcost.database.measurement import Measurement

__all__ = ["LatencyRecord", "NetworkRecord", "source_key"]


def source_key(source: Mapping[str, Any]) -> str:
    """The canonical text of a source document: equal for equal documents, whatever the order of their keys."""
    return json.dumps(source, sort_keys=True, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class NetworkRecord:
    """A network and where it came from.

    Attributes:
        family: zoo family, or ``file`` for a model of the user's own.
        name: for people; takes no part in any look-up.
        source: how to get it again, plain JSON, e.g. ``{"zoo": "resnet", "seed": 7}``.
        graph: the network as read; None when it could not be built (its measurement is ``failed`` then).
    """

    family: str
    name: str
    source: Mapping[str, Any] = field(hash=False)
    graph: OpGraph | None


@dataclass(frozen=True, slots=True)
class LatencyRecord:
    """One network, the plan that its runtime ran, and how long that took.

    Attributes:
        graph: the network as read from its file.
        plan: what ran, over the runtime's own rewritten graph.
        measurement: the newest stable one of this graph and plan on its profile; the newest noisy one where none is.
        family: zoo family, or ``file``.
        name: for people.
        source: how to get the network again, plain JSON.
        earlier: the stable ones that ``measurement`` supersedes, oldest first: how far measurements agree.
    """

    graph: OpGraph
    plan: FusionPlan
    measurement: Measurement
    family: str
    name: str
    source: Mapping[str, Any] = field(default_factory=dict, hash=False)
    earlier: tuple[Measurement, ...] = ()
