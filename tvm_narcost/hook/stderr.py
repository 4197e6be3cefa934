"""TVM's C++ code writes advice to authors of kernels to file descriptor 2, hundreds of lines; here it is kept quiet."""

import contextlib
import os
import sys
from collections.abc import Iterator

__all__ = ["silent_stderr"]


@contextlib.contextmanager
def silent_stderr() -> Iterator[None]:
    """Without what is written to file descriptor 2 by code that knows nothing of ``sys.stderr``.

    What Python writes to ``sys.stderr`` meanwhile goes nowhere as well, unless it is redirected elsewhere.
    """
    sys.stderr.flush()
    saved = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        sys.stderr.flush()
        os.dup2(saved, 2)
        os.close(saved)
