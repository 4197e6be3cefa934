"""Times of the functions that TVM's virtual machine calls, and the kernels of a plan that they belong to."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

from hardware_profiles import MeasurementProtocol
from tvm_narcost.database.measurement import KernelTime
from tvm_narcost.errors import MeasurementError

__all__ = ["Trace", "kernel_times", "take_traces"]

_VIEW = "vm.builtin.reshape"  # what a reshape becomes that need not copy

Trace = list[tuple[int, str, bool]]
"""Of one run: nanoseconds, function's name, whether before the call."""


def take_traces(machine: Any, entry: str, feed: Sequence[Any], protocol: MeasurementProtocol) -> list[Trace]:
    """Run under the instrument: once to warm up, then ``profiled_runs`` times or until the budget is spent.

    Args:
        machine: gets the instrument for good.
        entry: the function to run.
        feed: its arguments.
        protocol: the numbers.
    """
    trace: Trace = []
    clock, record = time.perf_counter_ns, trace.append

    def instrument(function: object, symbol: str, before: bool, result: object, *arguments: object) -> int:
        record((clock(), symbol, before))
        return 0  # go on

    machine.set_instrument(instrument)
    run = machine[entry]
    traces: list[Trace] = []
    started = clock()
    for count in range(1 + protocol.profiled_runs):
        trace.clear()
        run(*feed)
        spent = clock() - started >= protocol.budget_s * 1e9
        if count or spent:
            traces.append(list(trace))
        if spent:
            break
    return traces


def kernel_times(
    traces: Sequence[Trace], calls: Sequence[tuple[str, int | None]], kernels: int, network: str
) -> tuple[KernelTime, ...]:
    """The samples of each kernel of a plan.

    Args:
        traces: what the instrument saw, one a run.
        calls: functions that the network calls, in order, and the kernel of each; see ``RelaxPlan``.
        kernels: how many kernels the plan has.
        network: its name, for messages.

    Raises:
        MeasurementError: a run called other functions, or in another order.
    """
    samples: list[list[float]] = [[] for _ in range(kernels)]
    known = {symbol for symbol, _ in calls} | {_VIEW}
    for trace in traces:
        expected = iter(calls)
        for symbol, duration_us in _durations(trace, known):
            # Calls that stand for no operator may have been folded away, or made into nothing by a later pass.
            for wanted, kernel in expected:
                if symbol in (wanted, _VIEW):
                    break
                if kernel is not None:
                    raise MeasurementError(_mismatch(network, symbol, wanted))
            else:
                raise MeasurementError(_mismatch(network, symbol, "no more"))
            if kernel is not None:
                samples[kernel].append(duration_us)
        left = [wanted for wanted, kernel in expected if kernel is not None]
        if left:
            raise MeasurementError(_mismatch(network, "no more", left[0]))
    return tuple(KernelTime(kernel, tuple(found)) for kernel, found in enumerate(samples))


def _mismatch(network: str, got: str, expected: str) -> str:
    return (
        f"TVM runs {got} in {network!r} where its plan has {expected}, expected the kernels in the plan's order: this "
        "version of TVM has another default pipeline, install the one that the profile names"
    )


def _durations(trace: Trace, known: set[str]) -> Iterator[tuple[str, float]]:
    """(name, microseconds) of each call of a known function; calls do not nest."""
    started = 0
    for moment, symbol, before in trace:
        if symbol not in known:
            continue
        if before:
            started = moment
        else:
            yield symbol, (moment - started) / 1e3
