"""A PrimFunc as the calls that it was made of: one as LegalizeOps wrote it, several where FuseTIR joined them."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from relay_frontend.graph import TensorType
from relay_frontend.relax.objects import kind_of
from relay_frontend.relax.stages import Buffer, Program, Stage, UnrecoverableError, loads_of
from relay_frontend.relax.types import evaluate

__all__ = ["Segment", "base_name", "segments_of", "split_fused_name"]


@dataclass(frozen=True, slots=True)
class Segment:
    """What one call of a single operator computes.

    Attributes:
        name: of the PrimFunc that computed it, without its number; empty where FuseTIR's name does not tell.
        stages: in order.
        inputs: buffers that it reads. As the call has them where the PrimFunc is its own, else in the order of use.
        outputs: buffers that it writes for others.
        types: of every buffer that it touches.
        alone: whether the PrimFunc is its own.
    """

    name: str
    stages: tuple[Stage, ...]
    inputs: tuple[Buffer, ...]
    outputs: tuple[Buffer, ...]
    types: Mapping[Buffer, TensorType]
    alone: bool

    @property
    def input_types(self) -> tuple[TensorType, ...]:
        """The types of the inputs."""
        return tuple(self.types[buffer] for buffer in self.inputs)

    @property
    def output_types(self) -> tuple[TensorType, ...]:
        """The types of the outputs."""
        return tuple(self.types[buffer] for buffer in self.outputs)


def base_name(name: str) -> str:
    """``conv2d`` of ``conv2d12``: TVM numbers the functions of a module that would have one name."""
    return name.rstrip("0123456789")


def segments_of(
    name: str, program: Program, inputs: Sequence[TensorType], outputs: Sequence[TensorType], known: Collection[str]
) -> tuple[Segment, ...]:
    """The calls of a PrimFunc, in order; those whose results nobody reads are left out.

    Args:
        name: of the PrimFunc.
        program: its stages.
        inputs: types of the tensors that it is called with.
        outputs: types of its results.
        known: names of PrimFuncs of single operators.

    Raises:
        UnrecoverableError: its parameters are not these, or a buffer has no fixed shape.
    """
    if len(program.parameters) < len(inputs) + len(outputs):
        raise UnrecoverableError(f"{len(program.parameters)} parameters for {len(inputs)} inputs")
    read, written = program.parameters[: len(inputs)], program.parameters[len(inputs) : len(inputs) + len(outputs)]
    types = _types(program, dict(zip((*read, *written), (*inputs, *outputs), strict=True)))
    if not name.startswith("fused_"):
        return (Segment(base_name(name), program.stages, tuple(read), tuple(written), types, True),)
    groups = _drop_unread(_cut(program.stages, written), written)
    names = split_fused_name(name.removeprefix("fused_"), len(groups), known)
    return tuple(
        Segment(part, stages, tuple(_reads(stages)), _outputs(stages, written), types, False)
        for part, stages in zip(names, groups, strict=True)
    )


def split_fused_name(name: str, count: int, known: Collection[str]) -> tuple[str, ...]:
    """The names of ``count`` PrimFuncs in ``conv2d1_add_relu1``; empty ones where there is no one way to read it.

    A long name is cut off by TVM and ends in a hash.
    """
    words = name.split("_")
    ways: list[list[tuple[str, ...]]] = [[()]]  # ways to read the first n words, two at most
    for end in range(1, len(words) + 1):
        found: list[tuple[str, ...]] = []
        for start in range(max(0, end - _MOST_WORDS), end):
            word = "_".join(words[start:end])
            part = word if word in known else base_name(word)
            if part in known:
                found += [(*way, part) for way in ways[start]]
        ways.append(found[:_MOST_WAYS])
    fitting = {way for way in ways[-1] if len(way) == count}
    return fitting.pop() if len(fitting) == 1 else ("",) * count


_MOST_WORDS = 6  # of one name, as adaptive_avg_pool2d has three
_MOST_WAYS = 8


def _cut(stages: Sequence[Stage], written: Sequence[Buffer]) -> list[tuple[Stage, ...]]:
    """FuseTIR calls what one call hands to the next ``..._intermediate``."""
    groups: list[tuple[Stage, ...]] = []
    current: list[Stage] = []
    for stage in stages:
        current.append(stage)
        if _is_handed_on(stage.stores[0][0], written):
            if groups and len(current) == 1 and _splits(groups[-1][-1], stage):
                current[:0] = groups.pop()
            groups.append(tuple(current))
            current = []
    if current:
        raise UnrecoverableError("a last stage that writes no output")
    return groups


def _splits(before: Stage, stage: Stage) -> bool:
    """Whether both are parts of the same tensor, as the results of split are."""
    if before.name != stage.name or not stage.name.startswith("T_split"):
        return False
    first, second = loads_of(before.value), loads_of(stage.value)
    return len(first) == len(second) == 1 and first[0].buffer == second[0].buffer


def _is_handed_on(buffer: Buffer, written: Sequence[Buffer]) -> bool:
    return buffer in written or re.search(r"_intermediate(_\d+)*$", str(buffer.name)) is not None


def _drop_unread(groups: list[tuple[Stage, ...]], written: Sequence[Buffer]) -> list[tuple[Stage, ...]]:
    needed = set(written)
    kept = []
    for stages in reversed(groups):
        if needed.intersection(stage.stores[0][0] for stage in stages):
            kept.append(stages)
            needed.update(_reads(stages))
    return kept[::-1]


def _reads(stages: Sequence[Stage]) -> Iterator[Buffer]:
    """Buffers that are read and not written, each once."""
    own = {buffer for stage in stages for buffer, _, _ in stage.stores}
    seen = set(own)
    for stage in stages:
        for _, _, value in stage.stores:
            for load in loads_of(value):
                if load.buffer not in seen:
                    seen.add(load.buffer)
                    yield load.buffer


def _outputs(stages: Sequence[Stage], written: Sequence[Buffer]) -> tuple[Buffer, ...]:
    return tuple(buffer for stage in stages for buffer, _, _ in stage.stores if _is_handed_on(buffer, written))


def _types(program: Program, given: dict[Buffer, TensorType]) -> dict[Buffer, TensorType]:
    """Types of every buffer; symbolic extents follow from those that are given."""
    known: dict[Any, int] = {}
    for buffer, kind in given.items():
        for extent, value in zip(_shape(buffer), kind.shape, strict=False):
            if kind_of(extent) in ("SizeVar", "Var"):
                known[extent] = value
    types = dict(given)
    for stage in program.stages:
        for buffer, _, _ in stage.stores:
            if buffer not in types:
                extents = [evaluate(extent, known) for extent in _shape(buffer)]
                if None in extents:
                    raise UnrecoverableError(f"buffer {buffer.name} has no fixed shape")
                dtype = buffer.ty.dtype
                types[buffer] = TensorType(
                    tuple(extent for extent in extents if extent is not None), str(getattr(dtype, "dtype", dtype))
                )
    return types


def _shape(buffer: Buffer) -> tuple[Any, ...]:
    if kind_of(getattr(buffer, "ty", None)) != "BufferType":
        raise UnrecoverableError("a parameter that is no buffer")
    return tuple(buffer.ty.shape)
