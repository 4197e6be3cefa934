"""What the tests of schedules share: small kernels, machines, and a comparison with the code that nobody scheduled."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import tvm
from tvm import te, tirx, topi

from hardware_profiles import HardwareProfile
from tests.hook.modules import Array, numbers, profile
from tvm_narcost.hook.schedules.apply import cpu_rules
from tvm_narcost.hook.schedules.packing import CONSTANTS, PACKED, Packing

AVX2 = profile()
AVX512 = replace(AVX2, device=replace(AVX2.device, isa=("avx2", "avx512f"), vector_bytes=64))
TARGET = tvm.target.Target("llvm")


def threads(count: int, facts: HardwareProfile = AVX2) -> HardwareProfile:
    return replace(facts, runtime=replace(facts.runtime, threads=count))


def kernel(operation: Any, *shapes: Sequence[int], more: Any = None) -> tirx.PrimFunc:
    """A PrimFunc of an operation on float32 inputs; ``more`` is computed from its result."""
    inputs = [te.placeholder(shape, name=f"input{at}") for at, shape in enumerate(shapes)]
    output = operation(*inputs)
    outputs = output if isinstance(output, list) else [output]
    return te.create_prim_func([*inputs, *(outputs if more is None else [more(output)])])


def by_rules(function: tirx.PrimFunc, facts: HardwareProfile, constants: Sequence[int] = ()) -> Any:
    """The first rule's schedule of a PrimFunc, some of whose parameters are constant; None where no rule applies."""
    marked = function.with_attr(CONSTANTS, list(constants))
    found = (rule.apply(marked, TARGET, False) for rule in cpu_rules(facts))
    schedule = next((schedule for schedule in found if schedule is not None), None)
    return None if schedule is None else schedule.mod["main"]


def run(function: tirx.PrimFunc, inputs: Sequence[Array]) -> Array:
    """Compile one PrimFunc and run it; what it writes last is returned."""
    main = function.without_attr("global_symbol").with_attr("global_symbol", "main")
    library = tvm.compile(tvm.IRModule({"main": main}), TARGET)
    output = np.full([int(extent) for extent in function.params[-1].ty.shape], np.nan, np.float32)
    tensors = [tvm.runtime.tensor(array) for array in (*inputs, output)]
    library["main"](*tensors)
    return np.asarray(tensors[-1].numpy())


def inputs_of(function: tirx.PrimFunc) -> list[Array]:
    shapes = [[int(extent) for extent in parameter.ty.shape] for parameter in function.params[:-1]]
    return [numbers(*shape, seed=seed) for seed, shape in enumerate(shapes)]


def packed(function: tirx.PrimFunc, inputs: Sequence[Array]) -> list[Array]:
    """The inputs as a scheduled PrimFunc wants them."""
    layouts = {int(at): Packing(*map(int, facts)) for at, facts in function.attrs.get(PACKED, {}).items()}
    return [layouts[at].apply(item) if at in layouts else item for at, item in enumerate(inputs)]


def check(function: tirx.PrimFunc, facts: HardwareProfile, constants: Sequence[int] = ()) -> tirx.PrimFunc:
    """Schedule a PrimFunc and compare what it computes with what it computed; returns the scheduled one."""
    scheduled = by_rules(function, facts, constants)
    assert scheduled is not None
    inputs = inputs_of(function)
    np.testing.assert_allclose(run(scheduled, packed(scheduled, inputs)), run(function, inputs), rtol=2e-5, atol=2e-5)
    return scheduled


def vector_widths(function: tirx.PrimFunc) -> set[int]:
    """The extents of the vectorised loops."""
    return {int(width) for width in re.findall(r"T\.vectorized\((?:T\.int64\()?(\d+)", function.script())}


def conv2d(strides: int = 1, padding: int = 0, groups: int = 1, layout: tuple[str, str] = ("NHWC", "HWIO")) -> Any:
    """A convolution, as LegalizeOps writes it."""
    return lambda data, weight: topi.nn.conv(data, weight, strides, padding, 1, groups, *layout)


def biased(result: Any) -> Any:
    """The result plus its last row, squared: an epilogue that reads more than the tile."""
    return te.compute(result.shape, lambda *index: tirx.max(result(*index) * result(*index) - 0.5, 0.0), name="biased")
