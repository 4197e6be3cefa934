"""The process that builds and times networks for collect.py, so that a crash of the runtime ends only itself.

Parent and worker exchange JSON over a pipe::

    parent                      worker
                          <-    {"kind": "ready"}  or  {"kind": "missing", "reason": ...}
    {"kind": "build", ..} ->
                          <-    {"kind": "built", "graph": ...}  or  {"kind": "failed", "reason": ...}
    {"kind": "measure"}   ->    (or "drop": a network of this structure has been measured; with "plans": K,
                                "known": [plan hashes] up to K plans that are not among those)
                          <-    {"kind": "measured", "pairs": [{"plan": ..., "measurement": ...}]}  or  "failed"
"""

import json
import multiprocessing
import os
import signal
import tempfile
import threading
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

from hardware_profiles import HardwareProfile
from relay_frontend.errors import FrontendError
from relay_frontend.graph import OpGraph
from relay_frontend.plan import FusionPlan
from tvm_narcost.database.measurement import Measurement
from tvm_narcost.errors import NarcostError, RuntimeMissingError
from tvm_narcost.measure.shapes import bind_shapes
from tvm_narcost.measure.sources import FileSource, Source, source_from_document

__all__ = ["Engine", "EngineMaker", "end_with_parent", "receive", "runtime_engine", "send", "work"]


class Engine(Protocol):
    """Builds networks and times them; the tests have one that needs no runtime."""

    def build(self, source: Source) -> tuple[Any, OpGraph]:
        """The model in the runtime's own format, and its graph as read.

        Raises:
            NarcostError: the zoo cannot make it.
            FrontendError: the reader cannot read it.
        """
        ...

    def measure(self, model: Any, graph: OpGraph) -> tuple[FusionPlan, Measurement]:
        """Time it.

        Raises:
            NarcostError: the runtime cannot build or run it.
        """
        ...

    def measure_plans(
        self, model: Any, graph: OpGraph, count: int, known: frozenset[str]
    ) -> Sequence[tuple[FusionPlan, Measurement]]:
        """Time it under several plans; see :class:`tvm_narcost.measure.runtime.PlanRuntime`.

        Raises:
            NarcostError: the runtime has but one plan, or cannot build or run the network.
        """
        ...


EngineMaker = Callable[[HardwareProfile], Engine]


class _RuntimeEngine:
    def __init__(self, profile: HardwareProfile) -> None:
        from tvm_narcost.measure.runtime import runtime_for

        self._profile = profile
        self._runtime = runtime_for(profile)

    def build(self, source: Source) -> tuple[Any, OpGraph]:
        from relay_frontend.onnx import from_onnx, load_model
        from relay_frontend.passes import canonicalize

        if isinstance(source, FileSource):
            shapes = dict(source.shapes)
            model = load_model(Path(source.path))
            graph = from_onnx(model, shapes=shapes, name=source.name)
            return bind_shapes(model, shapes), canonicalize(graph)
        model = _generate(source.family, source.seed)
        return model, canonicalize(from_onnx(model, name=source.name))

    def measure(self, model: Any, graph: OpGraph) -> tuple[FusionPlan, Measurement]:
        return self._runtime.measure(model, self._profile, graph_hash=graph.structural_hash())

    def measure_plans(
        self, model: Any, graph: OpGraph, count: int, known: frozenset[str]
    ) -> Sequence[tuple[FusionPlan, Measurement]]:
        from tvm_narcost.measure.runtime import plan_runtime

        runtime = plan_runtime(self._runtime, self._profile)
        return runtime.measure_plans(model, self._profile, graph_hash=graph.structural_hash(), count=count, known=known)


def runtime_engine(profile: HardwareProfile) -> Engine:
    """The engine of the runtime that ``profile`` names.

    Raises:
        RuntimeMissingError: it is not installed.
    """
    return _RuntimeEngine(profile)


def work(connection: Connection, profile: HardwareProfile, make_engine: EngineMaker, scratch: str) -> None:
    """Serve the parent until it hangs up. Runs in a process of its own.

    ``scratch`` is a folder for whatever the runtime leaves behind when it is killed; the parent removes it.
    """
    tempfile.tempdir = scratch
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides what it means
    end_with_parent()
    try:
        engine = make_engine(profile)
    except RuntimeMissingError as error:
        send(connection, {"kind": "missing", "reason": str(error)})
        return
    send(connection, {"kind": "ready"})
    try:
        while True:
            _serve(connection, engine, receive(connection))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the parent is done


def _serve(connection: Connection, engine: Engine, request: dict[str, Any]) -> None:
    try:
        model, graph = engine.build(source_from_document(request["source"], request["path"]))
        send(connection, {"kind": "built", "graph": graph.to_json()})
        wanted = receive(connection)
        if wanted["kind"] == "drop":
            return
        if "plans" in wanted:
            pairs = engine.measure_plans(model, graph, wanted["plans"], frozenset(wanted["known"]))
        else:
            pairs = [engine.measure(model, graph)]
        documents = [{"plan": plan.to_json(), "measurement": measurement.to_json()} for plan, measurement in pairs]
        answer = {"kind": "measured", "pairs": documents}
    except (NarcostError, FrontendError) as error:
        answer = {"kind": "failed", "reason": f"{type(error).__name__}: {error}"}
    except (EOFError, BrokenPipeError, ConnectionResetError):
        raise
    except Exception as error:  # a defect met by one network of thousands: note it and go on with the others
        answer = {"kind": "failed", "reason": f"unexpected {type(error).__name__}: {error}"}
    send(connection, answer)


def end_with_parent() -> None:
    """From now on this process ends with the one that started it, also where that is killed."""
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)  # the parent was killed; a worker that goes on timing would disturb whatever runs next


def send(connection: Connection, message: dict[str, Any]) -> None:
    """Send one message."""
    connection.send_bytes(json.dumps(message).encode())


def receive(connection: Connection) -> dict[str, Any]:
    """Wait for one message.

    Raises:
        EOFError: the other side is gone.
    """
    message: dict[str, Any] = json.loads(connection.recv_bytes())
    return message


def _generate(family: str, seed: int) -> Any:
    from tvm_narcost.zoo import generate

    return generate(family, seed)
