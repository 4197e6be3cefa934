"""Ctrl-C ends what it meets, also where TVM makes another error of it; other errors are not taken for it."""

import signal

import pytest

pytest.importorskip("tvm")

import tvm_ffi

from tvm_narcost.hook.metaschedule.interrupts import until_interrupted


@pytest.fixture(autouse=True)
def _heard() -> None:
    """pytest may run in the background, where Ctrl-C is ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_ctrl_c_in_a_callback_of_tvm() -> None:
    def callback() -> None:
        signal.raise_signal(signal.SIGINT)

    with until_interrupted() as interrupt:
        tvm_ffi.convert(callback)()
    assert interrupt.came
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_that_has_become_another_error() -> None:
    with until_interrupted() as interrupt:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt as error:
            raise RuntimeError("as TVM reports it") from error
    assert interrupt.came


def test_other_errors_pass_through() -> None:
    with pytest.raises(RuntimeError, match="no such candidate"), until_interrupted():
        raise RuntimeError("no such candidate")


def test_nothing_came() -> None:
    with until_interrupted() as interrupt:
        pass
    assert not interrupt.came


def test_ctrl_c_that_is_ignored_stays_so() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with until_interrupted() as interrupt:
        signal.raise_signal(signal.SIGINT)
    assert not interrupt.came
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
