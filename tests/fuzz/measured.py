"""Reads files one by one, each in a process of its own that is measured: what came of it, in which time and memory.

``python -m tests.fuzz.measured < PATHS`` prints a line of JSON for each path: its ``outcome`` (``graph``, the name of
the error, or ``killed``), ``message``, ``seconds`` of CPU, ``peak_mb`` of memory, and ``opened``, the files that were
opened. A process that takes too much is killed, so that a file cannot harm the machine that tries it.
"""

import json
import os
import resource
import signal
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

__all__ = ["MOST_CPU_SECONDS", "MOST_MEMORY_MB", "read_measured"]

MOST_CPU_SECONDS = 20
MOST_MEMORY_MB = 1500
_MOST_WALL_SECONDS = 300  # a reader that waits for a pipe takes no CPU


def read_measured(path: Path) -> dict[str, Any]:
    """Read one file in a process of its own and say how that went."""
    receiver, sender = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(receiver)
        os.write(sender, json.dumps(_read(path)).encode())
        os._exit(0)
    os.close(sender)
    with os.fdopen(receiver, "rb") as pipe:
        answer = pipe.read()
    _, status, used = os.wait4(child, 0)
    found = {"outcome": "killed", "message": f"status {status}", "opened": []}
    if answer and status == 0:
        found = json.loads(answer)
    return {**found, "path": str(path), "seconds": used.ru_utime + used.ru_stime, "peak_mb": used.ru_maxrss / 1024}


def _read(path: Path) -> dict[str, Any]:
    from relay_frontend import FrontendError, load_graph

    resource.setrlimit(resource.RLIMIT_CPU, (MOST_CPU_SECONDS, MOST_CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_DATA, (MOST_MEMORY_MB * 2**20,) * 2)
    signal.alarm(_MOST_WALL_SECONDS)
    opened: list[str] = []
    sys.addaudithook(lambda event, arguments: opened.append(str(arguments[0])) if event == "open" else None)
    try:
        load_graph(path).structural_hash()
        outcome, message = "graph", ""
    except FrontendError as error:
        outcome, message = type(error).__name__, str(error)
    except BaseException as error:  # whatever it is, it is told
        outcome, message = f"crash: {type(error).__name__}", str(error)
    return {"outcome": outcome, "message": message[:500], "opened": opened[:20]}


def _main(lines: Iterable[str]) -> None:
    import relay_frontend.onnx  # noqa: F401  # once, not in every child

    for line in lines:
        print(json.dumps(read_measured(Path(line.rstrip("\n")))), flush=True)


if __name__ == "__main__":
    _main(sys.stdin)
