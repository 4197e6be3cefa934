"""The process that builds and runs candidates for measuring.py: a server that forks a child for each of them.

The server imports TVM once and does nothing else with it, so a child starts in milliseconds, clean, and takes nobody
with it when its candidate crashes. Run as ``python -m tvm_narcost.hook.metaschedule.measuring_worker FD``; parent and
server exchange JSON over the socket of that number::

    parent                                      server
                                          <-    {"kind": "ready"}
    {"kind": "build", "timeout_s": ..} ->
                                          <-    {"artifact": PATH, "seconds": ..}  or  {"error": TEXT, "seconds": ..}
    {"kind": "run", "timeout_s": ..}   ->
                                          <-    {"run_secs": [..], "seconds": ..}  or  {"error": TEXT, "seconds": ..}
"""

import contextlib
import json
import math
import os
import resource
import signal
import sys
import tempfile
import time
from multiprocessing.connection import Connection, Pipe, wait
from typing import Any, NoReturn

__all__ = ["fastest_half", "main"]

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    """Serve the parent until it hangs up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides what it means
    parent = Connection(int(sys.argv[1]))
    # tvm_ffi imports torch wherever it is installed; neither building nor running a candidate needs it.
    sys.modules["torch"] = None  # type: ignore[assignment]
    import tvm  # noqa: F401

    try:
        _send(parent, {"kind": "ready"})
        while True:
            request = json.loads(parent.recv_bytes())
            _send(parent, _in_child(request, parent))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the parent is done, or was killed


def _in_child(request: dict[str, Any], parent: Connection) -> dict[str, Any]:
    """What a child of its own answers to ``request``, or how it ended."""
    started = time.perf_counter()
    receiving, sending = Pipe(duplex=False)
    child = os.fork()
    if child == 0:
        receiving.close()
        parent.close()
        _work(request, sending)
    sending.close()
    ready = wait([receiving, parent], timeout=request["timeout_s"])
    answer: dict[str, Any] | None = None
    if receiving in ready:
        with contextlib.suppress(EOFError, ConnectionResetError):  # it died before it had an answer
            answer = json.loads(receiving.recv_bytes())
    receiving.close()
    if not ready or parent in ready:
        _kill(child)
    _, status = os.waitpid(child, 0)
    if parent in ready:
        raise EOFError  # the protocol lets the parent speak only when answered: it is gone
    if not ready:
        answer = {"error": f"{request['kind']}: no answer within {request['timeout_s']} s, killed"}
    elif answer is None:
        answer = {"error": f"{request['kind']}: {_ended(status)}"}
    return {**answer, "seconds": time.perf_counter() - started}


def _kill(child: int) -> None:
    """End a child and the linker that it may have started."""
    for kill in (os.killpg, os.kill):
        try:
            kill(child, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue  # it has no group of its own yet, or has ended


def _ended(status: int) -> str:
    if os.WIFSIGNALED(status):
        return f"crashed with {signal.Signals(os.WTERMSIG(status)).name}"
    return f"ended with exit status {os.waitstatus_to_exitcode(status)} and no answer"


def _work(request: dict[str, Any], sending: Connection) -> NoReturn:
    """Answer one request and end, without what the interpreter does at its end."""
    os.setpgid(0, 0)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    try:
        _limit_memory(request["memory_bytes"])
        answer = _build(request) if request["kind"] == "build" else _run(request)
    except MemoryError:
        answer = {"error": f"{request['kind']}: more than {request['memory_bytes']} bytes of memory"}
    except Exception as error:  # whatever a candidate brings about is a fact about the candidate
        answer = {"error": f"{request['kind']}: {type(error).__name__}: {error}"}
    _send(sending, answer)
    os._exit(0)


def _limit_memory(limit_bytes: int) -> None:
    """Let this process grow by ``limit_bytes``, and be the first that the kernel ends when memory is short."""
    with open("/proc/self/statm") as file:
        held_bytes = int(file.read().split()[0]) * _PAGE_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (held_bytes + limit_bytes, held_bytes + limit_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")


def _build(request: dict[str, Any]) -> dict[str, Any]:
    """Compile a module into a shared library, in a folder of its own: TVM's callback removes that folder."""
    import tvm
    from tvm.s_tir.transform import RemoveWeightLayoutRewriteBlock

    module = RemoveWeightLayoutRewriteBlock(skip_tensor_rewrite=True)(tvm.ir.load_json(request["module"]))
    built = tvm.driver.build(module, target=tvm.target.Target(request["target"]))
    artifact = os.path.join(tempfile.mkdtemp(prefix="candidate-", dir=request["folder"]), "candidate.so")
    built.export_library(artifact)
    return {"artifact": artifact}


def _run(request: dict[str, Any]) -> dict[str, Any]:
    """Time a library's function on random arguments: warm, in samples of at least ``sample_s``."""
    import tvm

    from tvm_narcost.hook.thread_pool import use_threads

    use_threads(request["threads"])
    loaded = tvm.runtime.load_module(request["artifact"])
    device = tvm.cpu()
    fill = tvm.get_global_func("tvm.contrib.random.random_fill_for_measure")
    arguments = []
    for dtype, shape in request["arguments"]:
        tensor = tvm.runtime.empty(shape, dtype, device)
        fill(tensor)
        arguments.append(tensor)
    if request["real_time"]:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))

    def seconds(calls: int, samples: int) -> list[float]:
        timed = loaded.time_evaluator("main", device, number=calls, repeat=samples)
        return [float(sample) for sample in timed(*arguments).results]

    once_s = min(first := seconds(1, 2))  # time_evaluator makes a call of its own before it starts the clock
    if once_s >= request["budget_s"]:
        return {"run_secs": fastest_half(first)}
    calls = max(1, math.ceil(request["sample_s"] / max(once_s, 1e-9)))
    affordable = int(request["budget_s"] / (calls * once_s + 1e-9))
    samples = max(request["min_samples"], min(request["max_samples"], affordable))
    return {"run_secs": fastest_half(seconds(calls, samples))}


def fastest_half(samples: list[float]) -> list[float]:
    """The faster half of the samples, ascending.

    A kernel of one thread is only ever slowed by what else runs on the machine, and MetaSchedule takes the mean.
    """
    return sorted(samples)[: (len(samples) + 1) // 2]


def _send(connection: Connection, message: dict[str, Any]) -> None:
    connection.send_bytes(json.dumps(message).encode())


if __name__ == "__main__":
    main()
