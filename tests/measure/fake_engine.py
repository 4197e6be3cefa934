"""An engine that needs no runtime, for the tests of collect.py; the worker process imports it by name.

``seed`` says what happens: 100 crashes the process, 101 hangs, 102 cannot be read, 103 cannot be run, 104 has a defect;
200 and above give the network of ``seed - 200`` again.
"""

import os
import signal
import time

from hardware_profiles import HardwareProfile
from relay_frontend.errors import UnsupportedOperatorError
from relay_frontend.graph import GRAPH_INPUT, Edge, OpGraph, OpNode, TensorType
from relay_frontend.plan import FusionPlan
from tvm_narcost.database import PROTOCOL_VERSION, KernelTime, Measurement
from tvm_narcost.errors import MeasurementError, RuntimeMissingError
from tvm_narcost.measure.sources import Source, ZooSource


class FakeEngine:
    def __init__(self, profile: HardwareProfile) -> None:
        self._profile = profile

    def build(self, source: Source) -> tuple[int, OpGraph]:
        assert isinstance(source, ZooSource)
        if source.seed == 102:
            raise UnsupportedOperatorError("operator Foo")
        return source.seed, chain(source.seed % 100 if source.seed >= 200 else source.seed, source.family)

    def measure(self, model: int, graph: OpGraph) -> tuple[FusionPlan, Measurement]:
        if model == 100:
            os.kill(os.getpid(), signal.SIGSEGV)
        if model == 101:
            time.sleep(60)
        if model == 103:
            raise MeasurementError("out of memory")
        if model == 104:
            raise ZeroDivisionError("of all things")
        time.sleep(self._profile.protocol.budget_s)
        return measured(graph, self._profile.id)

    def measure_plans(
        self, model: int, graph: OpGraph, count: int, known: frozenset[str]
    ) -> list[tuple[FusionPlan, Measurement]]:
        """The default first, timed twice; then one plan a way to cut the chain in two."""
        if model == 103:
            raise MeasurementError("out of memory")
        nodes = len(graph.nodes)
        cuts = [(*range(nodes),)], *([(*range(cut),), (*range(cut, nodes),)] for cut in range(1, nodes))
        plans = [FusionPlan(graph, tuple(kernels), "tvm") for kernels in cuts][:count]
        new = [plan for plan in plans if plan.plan_hash() not in known]
        if not new:
            return []
        return [(plan, timed(plan, self._profile.id)) for plan in [plans[0], plans[0], *new[plans[0] in new :]]]


def chain(length: int, family: str = "f") -> OpGraph:
    """``length`` + 1 Relus one after another, on a width that the family's name decides."""
    kind = TensorType((1, 8 + len(family)), "float32")
    nodes = tuple(OpNode("Relu", (Edge(GRAPH_INPUT) if i == 0 else Edge(i - 1),), (kind,)) for i in range(length + 1))
    return OpGraph(f"{family}-{length}", nodes, (("x", kind),), (), (Edge(length),))


def measured(graph: OpGraph, profile_id: str, first_us: float = 10.0) -> tuple[FusionPlan, Measurement]:
    """A plan of one kernel a node, and a measurement that belongs to it."""
    plan = FusionPlan(graph, tuple((index,) for index in range(len(graph.nodes))), "rules")
    return plan, timed(plan, profile_id, first_us)


def timed(plan: FusionPlan, profile_id: str, first_us: float = 10.0) -> Measurement:
    return Measurement(
        graph_hash=plan.graph.structural_hash(),
        plan_hash=plan.plan_hash(),
        profile_id=profile_id,
        samples_us=(first_us, 11.25, 10.5),
        reference_us=(1.0, 1.5, 1.25),
        kernels=tuple(KernelTime(index, (1.0 + index, 2.0)) for index in range(len(plan.kernels))),
        fingerprint=(("cpu_model", "test"), ("load_average", f"{first_us}")),
        protocol_version=PROTOCOL_VERSION,
        verdict="stable",
        reason="",
        measured_at="2026-01-01T00:00:00+00:00",
    )


def make_fake_engine(profile: HardwareProfile) -> FakeEngine:
    return FakeEngine(profile)


def make_missing_engine(profile: HardwareProfile) -> FakeEngine:
    raise RuntimeMissingError(f"{profile.id}: no such runtime")


def make_dead_engine(profile: HardwareProfile) -> FakeEngine:
    os._exit(3)


def make_profile(budget_s: float = 0.0) -> HardwareProfile:
    """A profile of no real device."""
    from hardware_profiles import DeviceFacts, MeasurementProtocol, RuntimeFacts

    device = DeviceFacts("test", "test", (), 1, 32, 1, 1, 1, (("float32", 1.0),), (("memory", 1.0),), 1.0)
    return HardwareProfile(
        "test.fake", device, RuntimeFacts("fake", "1", 1, "rules"), MeasurementProtocol(budget_s=budget_s)
    )
