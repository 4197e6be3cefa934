"""Functions that a CPU has no vector instruction for, written as arithmetic that it has.

LLVM calls the scalar function of the C library for each lane. What stands here instead is a polynomial or a ratio of
two after a reduction of the argument: accurate to about 1e-6 relative (erf and tanh: of one), right for overflow and
underflow. Coefficients: Cephes (expf) and Eigen (ptanh_float, perf_float).
"""

from collections.abc import Callable, Sequence
from typing import Any

import tvm
import tvm_ffi
from tvm import tirx

__all__ = ["as_arithmetic"]

_LOG2_E = 1.44269504088896341
_LN2_HIGH, _LN2_LOW = 0.693359375, -2.12194440e-4
_EXP = (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)
_EXP_RANGE = (-87.33654, 88.72283)  # beyond: zero, as nothing smaller is normal, and infinity
_TANH_RANGE = 7.90531110763549805
_TANH = (
    (-2.76076847742355e-16, 2.00018790482477e-13, -8.60467152213735e-11, 5.12229709037114e-08, 1.48572235717979e-05,
     6.37261928875436e-04, 4.89352455891786e-03),
    (1.19825839466702e-06, 1.18534705686654e-04, 2.26843463243900e-03, 4.89352518554385e-03),
)  # fmt: skip
_ERF_RANGE = 4.0
_ERF = (
    (-2.72614225801306e-10, 2.77068142495902e-08, -2.10102402082508e-06, -5.69250639462346e-05, -7.34990630326855e-04,
     -2.95459980854025e-03, -1.60960333262415e-02),
    (-1.45660718464996e-05, -2.13374055278905e-04, -1.68282697438203e-03, -7.37332916720468e-03, -1.42647390514189e-02),
)  # fmt: skip


def as_arithmetic(function: tirx.PrimFunc) -> tirx.PrimFunc:
    """``function`` with exp, tanh, erf, sigmoid and powers of float32 computed by arithmetic alone."""
    return function.with_body(tvm_ffi.structural_map(function.body, (tvm.ir.Call, _rewritten)))


def _rewritten(call: Any) -> Any:
    if not isinstance(call.op, tvm.ir.Op) or str(call.ty.dtype) != "float32":
        return call
    if call.op.name == "tirx.pow":
        return _power(call)
    make = _FUNCTIONS.get(call.op.name)
    return call if make is None else _let(call.args[0], make)


def _let(value: Any, make: Callable[[Any], Any]) -> Any:
    """An expression of a value that is computed once."""
    variable = tirx.Var("t", "float32")
    return tirx.Let(variable, value, make(variable))


def _constant(value: float) -> Any:
    return tirx.FloatImm("float32", value)


def _polynomial(variable: Any, coefficients: Sequence[float]) -> Any:
    """Horner's rule; the highest power first."""
    total = _constant(coefficients[0])
    for coefficient in coefficients[1:]:
        total = total * variable + _constant(coefficient)
    return total


def _clamped(variable: Any, low: float, high: float) -> Any:
    return tirx.max(tirx.min(variable, _constant(high)), _constant(low))


def _exp(x: Any) -> Any:
    def scaled(clamped: Any) -> Any:
        def reduced(power: Any) -> Any:
            rest = clamped - power * _constant(_LN2_HIGH) - power * _constant(_LN2_LOW)
            # Half of the power of two, which may itself be more than the greatest number.
            half = tirx.reinterpret(
                "float32", (tirx.Cast("int32", power) + tirx.IntImm("int32", 126)) << tirx.IntImm("int32", 23)
            )
            return _let(rest, lambda r: (_polynomial(r, _EXP) * (r * r) + r + _constant(1.0)) * half * _constant(2.0))

        return _let(tirx.floor(clamped * _constant(_LOG2_E) + _constant(0.5)), reduced)

    low, high = _EXP_RANGE
    inside = _let(_clamped(x, low, high), scaled)
    zero, infinite = _constant(0.0), tirx.infinity("float32")
    return tirx.Select(x < _constant(low), zero, tirx.Select(x > _constant(high), infinite, inside))


def _sigmoid(x: Any) -> Any:
    return _constant(1.0) / (_constant(1.0) + _let(_constant(0.0) - x, _exp))


def _odd(bound: float, ratio: tuple[Sequence[float], Sequence[float]]) -> Callable[[Any], Any]:
    """An odd function, constant beyond the bound: x times a ratio of polynomials in the square of x."""

    def make(x: Any) -> Any:
        def inside(clamped: Any) -> Any:
            return _let(
                clamped * clamped,
                lambda square: clamped * _polynomial(square, ratio[0]) / _polynomial(square, ratio[1]),
            )

        return _let(_clamped(x, -bound, bound), inside)

    return make


def _power(call: Any) -> Any:
    """Powers whose exponent is a small multiple of a quarter, as products of square roots."""
    base, exponent = call.args
    if not isinstance(exponent, tirx.FloatImm):
        return call
    quarters = float(exponent.value) * 4
    if quarters != int(quarters) or not 1 <= abs(quarters) <= 16:
        return call

    def make(x: Any) -> Any:
        whole, rest = divmod(int(abs(quarters)), 4)
        factors = [x] * whole
        if rest & 2:
            factors.append(tirx.sqrt(x))
        if rest & 1:
            factors.append(tirx.sqrt(tirx.sqrt(x)))
        product = factors[0]
        for factor in factors[1:]:
            product = product * factor
        return product if quarters > 0 else _constant(1.0) / product

    return _let(base, make)


_FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "tirx.exp": _exp,
    "tirx.sigmoid": _sigmoid,
    "tirx.tanh": _odd(_TANH_RANGE, _TANH),
    "tirx.erf": _odd(_ERF_RANGE, _ERF),
}
