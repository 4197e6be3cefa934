"""What every runtime does with what it timed: names, the row, the doubt, the errors."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from statistics import median

import onnx

from hardware_profiles import HardwareProfile
from relay_frontend.errors import FrontendError
from relay_frontend.plan import FusionPlan
from tvm_narcost.database.measurement import PROTOCOL_VERSION, KernelTime, Measurement
from tvm_narcost.errors import MeasurementError
from tvm_narcost.measure.protocol import Samples

__all__ = ["measured", "name_nodes", "one_line", "runtime_errors", "why_inconsistent"]

_SUM_TOLERANCE = 0.25


def name_nodes(model: onnx.ModelProto, spell: Callable[[str], str] = str) -> None:
    """Give every node of ``model`` a name of its own: its name as ``spell`` has it, its operator where it has none."""
    used: Counter[str] = Counter()
    for node in model.graph.node:
        name = spell(node.name) or node.op_type
        used[name] += 1
        node.name = name if used[name] == 1 else f"{name}__{used[name]}"


def measured(
    plan: FusionPlan,
    profile: HardwareProfile,
    graph_hash: str,
    samples: Samples,
    kernels: Sequence[KernelTime],
    facts: tuple[tuple[str, str], ...],
    doubt: str = "",
) -> Measurement:
    """The row of one network, measured now.

    ``doubt`` is why its samples are not to be trusted though they agree; with it the measurement is noisy.
    """
    reason = samples.reason or doubt
    return Measurement(
        graph_hash=graph_hash,
        plan_hash=plan.plan_hash(),
        profile_id=profile.id,
        samples_us=samples.samples_us,
        reference_us=samples.reference_us,
        kernels=tuple(kernels),
        fingerprint=facts,
        protocol_version=PROTOCOL_VERSION,
        verdict="noisy" if reason else "stable",
        reason=reason,
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def why_inconsistent(total_us: float, samples: Samples, kernels: int, subject: str) -> str:
    """Empty when the kernels add up to the network; else one of the two was disturbed.

    Args:
        total_us: of all kernels, microseconds.
        samples: of the network.
        kernels: how many; each of their times may be off by a microsecond, for runtimes report whole ones.
        subject: what was added up, for the message.
    """
    end_to_end_us = median(samples.samples_us)
    if abs(total_us - end_to_end_us) <= _SUM_TOLERANCE * end_to_end_us + kernels:
        return ""
    return (
        f"{subject} add up to {total_us:.0f} us, expected about the {end_to_end_us:.0f} us of the network: "
        "something disturbed one of the two"
    )


@contextmanager
def runtime_errors(runtime: str, network: str, verb: str) -> Iterator[None]:
    """Turn whatever a runtime raises into a MeasurementError; none of them has a base class for all of it."""
    try:
        yield
    except (FrontendError, MeasurementError):
        raise
    except Exception as error:
        raise MeasurementError(f"{runtime} could not {verb} {network!r}: {one_line(error)}") from error


def one_line(error: Exception) -> str:
    """The start of its message on one line; its class where it has none."""
    return " ".join(str(error).split())[:300] or type(error).__name__
