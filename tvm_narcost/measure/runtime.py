"""Runtime: the interface that every runtime that can be planned for and measured has."""

from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Protocol, cast, runtime_checkable

import onnx

from hardware_profiles import HardwareProfile
from relay_frontend.plan import FusionPlan
from tvm_narcost.database.measurement import Measurement
from tvm_narcost.errors import MeasurementError, RuntimeMissingError
from tvm_narcost.fusion.legality import FusionSpace

__all__ = ["PlanRuntime", "PlannableNetwork", "Runtime", "plan_runtime", "runtime_for"]


class Runtime(Protocol):
    """Tells which kernels a network becomes, and how long they and the whole network take."""

    def plan(self, model: onnx.ModelProto, profile: HardwareProfile) -> FusionPlan:
        """The kernels that this runtime runs for ``model``, in its own rewritten graph; nothing is timed.

        Raises:
            MeasurementError: the runtime cannot build the network.
        """
        ...

    def measure(
        self, model: onnx.ModelProto, profile: HardwareProfile, *, graph_hash: str
    ) -> tuple[FusionPlan, Measurement]:
        """Time ``model`` end to end, and each kernel of its plan inside the running network.

        Args:
            model: the network; every input shape is static.
            profile: threads, options and timing protocol.
            graph_hash: ``OpGraph.structural_hash()`` of the network as read from its file; goes into the row.

        Raises:
            MeasurementError: the runtime cannot build or run the network, or its kernels cannot be told apart.
        """
        ...


class PlannableNetwork(Protocol):
    """A network as a runtime has prepared it, to be run under any plan."""

    @property
    def variant(self) -> str:
        """How it is written: its layout, and the rewrites that were applied."""
        ...

    @property
    def space(self) -> FusionSpace:
        """Its operators, and what can be fused."""
        ...

    def neighbours(self) -> Sequence["PlannableNetwork"]:
        """The same network written in other ways, as many as differ: in another layout, or with one rewrite more."""
        ...

    def measure(self, plans: Sequence[FusionPlan]) -> Sequence[tuple[FusionPlan, Measurement]]:
        """Time plans over ``space.graph`` end to end, interleaved; see :meth:`PlanRuntime.measure_plans`.

        Raises:
            MeasurementError: none of them can be built.
        """
        ...


@runtime_checkable
class PlanRuntime(Protocol):
    """A runtime that runs a network under whatever plan it is given."""

    def plannable(self, model: onnx.ModelProto, profile: HardwareProfile) -> PlannableNetwork:
        """Prepare a network for any plan; nothing is compiled.

        Raises:
            NarcostError: the profile's settings or the network do not allow that.
        """
        ...

    def measure_plans(
        self,
        model: onnx.ModelProto,
        profile: HardwareProfile,
        *,
        graph_hash: str,
        count: int,
        known: frozenset[str] = frozenset(),
    ) -> Sequence[tuple[FusionPlan, Measurement]]:
        """Time ``model`` under several plans, interleaved, so that a drift of the machine meets all of them alike.

        Args:
            model: the network; every input shape is static.
            profile: threads, options and timing protocol.
            graph_hash: of the network as read from its file.
            count: how many plans to draw: the runtime's default, none fused, and random legal ones; the same model
                and count give the same plans.
            known: hashes of plans that are not to be measured again; the default is, beside any new one.

        Returns:
            One measurement a plan, before them a second one of the default (what noise there is); nothing where all
            plans are known. A plan that cannot be built is a failed measurement.

        Raises:
            MeasurementError: the runtime cannot build or run the network at all.
        """
        ...


def plan_runtime(runtime: object, profile: HardwareProfile) -> PlanRuntime:
    """``runtime``, if it runs any plan.

    Raises:
        MeasurementError: it does not.
    """
    if isinstance(runtime, PlanRuntime):
        return runtime
    raise MeasurementError(
        f"profile {profile.id!r}: {profile.runtime.name} runs the plan that it makes itself, expected a runtime that "
        "takes others (tvm): choose another --profile, or ask for no other plans"
    )


# runtime's name in a profile -> (module it needs, what to give to pip, our module, our class)
_RUNTIMES = {
    "onnxruntime": ("onnxruntime", "onnxruntime", "tvm_narcost.measure.runtimes.onnxruntime", "OnnxRuntime"),
    "openvino": ("openvino", "openvino", "tvm_narcost.measure.runtimes.openvino", "OpenVino"),
    "tvm": (
        "tvm",
        "apache-tvm==0.27.0.post1 'apache-tvm-ffi<0.1.15' cloudpickle tornado",
        "tvm_narcost.measure.runtimes.tvm",
        "TvmRuntime",
    ),
}


def runtime_for(profile: HardwareProfile) -> Runtime:
    """The runtime that ``profile`` names; its package is imported only now.

    Raises:
        RuntimeMissingError: narcost knows no such runtime, or its package is not installed.
    """
    name = profile.runtime.name
    if name not in _RUNTIMES:
        raise RuntimeMissingError(
            f"profile {profile.id!r} names runtime {name!r}, expected one of {', '.join(sorted(_RUNTIMES))}: "
            "correct [runtime] name in the profile"
        )
    package, requirement, module, attribute = _RUNTIMES[name]
    if find_spec(package) is None:
        raise RuntimeMissingError(
            f"profile {profile.id!r} needs {package}, which is not installed: run pip install {requirement}"
        )
    return cast(Runtime, getattr(import_module(module), attribute)())
