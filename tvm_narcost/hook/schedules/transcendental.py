"""Functions that a CPU has no vector instruction for, written as arithmetic that it has.

LLVM calls the scalar function of the C library for each lane. What stands here instead is a polynomial or a ratio of
two after a reduction of the argument: accurate to about 1e-6 relative (erf and tanh: of one), right for overflow and
underflow. Coefficients: Cephes (expf, logf, atanf) and Eigen (ptanh_float, perf_float).
"""

import math
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

_LOG = (
    7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1,
    2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
)  # fmt: skip
_LEAST_NORMAL, _MANTISSA_BITS = 1.17549435e-38, 23
_HALF_ROOT = 0.707106781186547524
_ATAN = (8.05374449538e-2, -1.38776856032e-1, 1.99777106478e-1, -3.33329491539e-1)
_ATAN_PARTS = (0.4142135623730950, 2.414213562373095)  # tan(pi / 8), tan(3 pi / 8)


def as_arithmetic(function: tirx.PrimFunc) -> tirx.PrimFunc:
    """``function`` with exp, log, tanh, erf, atan, sigmoid and powers of float32 computed by arithmetic alone."""
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


def _clamped(variable: Any, low: float, high: float, make: Callable[[Any], Any]) -> Any:
    """An expression of the nearest value within bounds; what is no number stays none, unlike with min and max."""
    most, least = _constant(high), _constant(low)
    below = tirx.Select(variable > most, most, variable)
    return _let(below, lambda bounded: _let(tirx.Select(bounded < least, least, bounded), make))


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
    inside = _clamped(x, low, high, scaled)
    zero, infinite = _constant(0.0), tirx.infinity("float32")
    return tirx.Select(x < _constant(low), zero, tirx.Select(x > _constant(high), infinite, inside))


def _sigmoid(x: Any) -> Any:
    return _constant(1.0) / (_constant(1.0) + _let(_constant(0.0) - x, _exp))


def _log(x: Any) -> Any:
    is_small = x < _constant(_LEAST_NORMAL)
    scaled = tirx.Select(is_small, x * _constant(2.0**_MANTISSA_BITS), x)
    shift = tirx.Select(is_small, _constant(-float(_MANTISSA_BITS)), _constant(0.0))

    def parts(bits: Any) -> Any:
        power = tirx.Cast("float32", (bits >> _MANTISSA_BITS) - 126) + shift
        mantissa = tirx.reinterpret("float32", (bits & 0x007FFFFF) | 0x3F000000)  # from a half to one
        return _let(mantissa, lambda m: _let(power, lambda e: _log_of_parts(m, e)))

    variable = tirx.Var("bits", "int32")
    inside = tirx.Let(variable, tirx.reinterpret("int32", scaled), parts(variable))
    infinite = tirx.infinity("float32")
    outside = tirx.Select(x == _constant(0.0), _constant(0.0) - infinite, infinite - infinite)
    return tirx.Select(x > _constant(0.0), tirx.Select(x < infinite, inside, infinite), outside)


def _log_of_parts(mantissa: Any, power: Any) -> Any:
    is_low = mantissa < _constant(_HALF_ROOT)
    rest = tirx.Select(is_low, mantissa + mantissa, mantissa) - _constant(1.0)
    e = tirx.Select(is_low, power - _constant(1.0), power)

    def total(z: Any) -> Any:
        square = z * z
        small = _polynomial(z, _LOG) * square * z + e * _constant(_LN2_LOW) - _constant(0.5) * square
        return z + small + e * _constant(_LN2_HIGH)

    return _let(rest, total)


def _atan(x: Any) -> Any:
    def of_size(size: Any) -> Any:
        low, high = map(_constant, _ATAN_PARTS)
        zero, one = _constant(0.0), _constant(1.0)
        above = tirx.Select(size > high, zero - one, tirx.Select(size > low, size - one, size))
        below = tirx.Select(size > high, size, tirx.Select(size > low, size + one, one))
        turned = tirx.Select(size > high, _constant(math.pi / 2), tirx.Select(size > low, _constant(math.pi / 4), zero))
        angle = _let(above / below, lambda r: turned + (_let(r * r, lambda z: _polynomial(z, _ATAN) * z) * r + r))
        return _let(angle, lambda a: tirx.Select(x < zero, zero - a, a))

    return _let(tirx.abs(x), of_size)


def _odd(bound: float, ratio: tuple[Sequence[float], Sequence[float]]) -> Callable[[Any], Any]:
    """An odd function, constant beyond the bound: x times a ratio of polynomials in the square of x."""

    def make(x: Any) -> Any:
        def inside(clamped: Any) -> Any:
            return _let(
                clamped * clamped,
                lambda square: clamped * _polynomial(square, ratio[0]) / _polynomial(square, ratio[1]),
            )

        return _clamped(x, -bound, bound, inside)

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
    "tirx.atan": _atan,
    "tirx.exp": _exp,
    "tirx.log": _log,
    "tirx.sigmoid": _sigmoid,
    "tirx.tanh": _odd(_TANH_RANGE, _TANH),
    "tirx.erf": _odd(_ERF_RANGE, _ERF),
}
