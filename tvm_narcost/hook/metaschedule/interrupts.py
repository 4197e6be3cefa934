"""Ctrl-C while TVM runs: what Python raises inside of TVM's callbacks leaves them as another error."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["Interrupt", "until_interrupted"]


class Interrupt:
    """Whether it came."""

    came = False


@contextmanager
def until_interrupted() -> Iterator[Interrupt]:
    """Run the body until it ends or Ctrl-C comes, which the yielded object then says; other errors pass through.

    Where Ctrl-C is ignored, as in a background job, and in other threads than the main one it is left as it is.
    """
    found = Interrupt()
    former = signal.getsignal(signal.SIGINT)
    handles = threading.current_thread() is threading.main_thread() and former is not signal.SIG_IGN

    def note(number: int, frame: FrameType | None) -> None:
        found.came = True
        raise KeyboardInterrupt

    if handles:
        signal.signal(signal.SIGINT, note)
    try:
        yield found
    except KeyboardInterrupt:
        found.came = True
    except Exception:
        if not found.came:
            raise
    finally:
        if handles:
            signal.signal(signal.SIGINT, former)
