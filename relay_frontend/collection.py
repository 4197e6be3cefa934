"""Garbage collection while a model is read or planned."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["collection_paused"]


@contextmanager
def collection_paused() -> Iterator[None]:
    """Python's cyclic garbage collector is off inside, and as it was before outside; a decorator too.

    What a reader makes stays until the graph is there. Of an ONNX model nothing cyclic is left behind, of the other
    formats a few objects a node, which can wait. The collector looks for them in all objects that there are each time
    that their number has grown by a quarter: at 20,000 nodes that took almost as long as the reading. Memory is freed
    as ever when the last reference goes.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
