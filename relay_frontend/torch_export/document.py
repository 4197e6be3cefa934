"""The JSON of an exported program to an :class:`AtenProgram`; nothing in it is taken on trust."""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from relay_frontend.errors import InvalidGraphError, UnsupportedOperatorError
from relay_frontend.graph import TensorType
from relay_frontend.limits import Clock, Limits
from relay_frontend.torch_export.program import Argument, AtenCall, AtenProgram, OpenType, Ref, ValueType

__all__ = ["program_of_document"]

_MAJOR_VERSIONS = range(1, 9)  # of torch's export schema: torch 2.1 to 2.13

_DTYPES = {
    1: "uint8", 2: "int8", 3: "int16", 4: "int32", 5: "int64", 6: "float16", 7: "float32", 8: "float64",
    10: "complex64", 11: "complex128", 12: "bool", 13: "bfloat16", 28: "uint16", 29: "float8e4m3fn", 30: "float8e5m2",
    31: "float8e4m3fnuz", 32: "float8e5m2fnuz", 33: "float8e8m0", 34: "uint32", 35: "uint64",
}  # fmt: skip
_SYMBOL = re.compile(r"Symbol\('(\w+)'[^()]*\)")  # torch writes expressions as sympy's constructors
_NAMED_INFINITY = {"Infinity": math.inf, "-Infinity": -math.inf}


def program_of_document(document: Mapping[str, Any], limits: Limits, clock: Clock) -> AtenProgram:
    """The program that ``document`` describes.

    Raises:
        InvalidGraphError: a field is missing or of the wrong kind, or a number is out of range.
        UnsupportedOperatorError: of a schema that is newer than this reader.
        LimitError: too many nodes, too large a tensor, nested too deep, or too little time.
    """
    version = _field(_field(document, "schema_version", dict, "the document"), "major", int, "schema_version")
    if version not in _MAJOR_VERSIONS:
        raise UnsupportedOperatorError(
            f"the program is of export schema {version}, expected {_MAJOR_VERSIONS[0]} to {_MAJOR_VERSIONS[-1]}: save "
            "it with a torch that narcost knows, or export it to ONNX"
        )
    module = _field(document, "graph_module", dict, "the document")
    graph = _field(module, "graph", dict, "graph_module")
    signature = _field(module, "signature", dict, "graph_module")
    specs = [_spec(spec, "input spec") for spec in _field(signature, "input_specs", list, "signature")]
    results = [_spec(spec, "output spec") for spec in _field(signature, "output_specs", list, "signature")]
    written = {str(spec.get("buffer_name")) for kind, spec in results if kind == "buffer_mutation"}
    inputs: list[str] = []
    parameters: dict[str, str] = {}
    for kind, spec in specs:
        for name in _tensor_names(spec.get("arg"), f"input spec {kind}"):
            if kind == "user_input" or (kind == "buffer" and str(spec.get("buffer_name")) in written):
                inputs.append(name)
            elif kind in _PARAMETER_NAMES:
                parameters[name] = str(spec.get(_PARAMETER_NAMES[kind], name))
    outputs = [name for kind, spec in results for name in _tensor_names(spec.get("arg"), f"output spec {kind}")]
    return _Graph(graph, limits, clock, 0).program(tuple(inputs), parameters, tuple(outputs))


_PARAMETER_NAMES = {"parameter": "parameter_name", "buffer": "buffer_name", "tensor_constant": "tensor_constant_name"}


class _Graph:
    """One graph of the document, the outermost or one that a higher-order operator holds."""

    def __init__(self, document: Mapping[str, Any], limits: Limits, clock: Clock, depth: int) -> None:
        limits.check_nesting(depth, "a graph of the program")
        self.document, self.limits, self.clock, self.depth = document, limits, clock, depth
        self.calls: list[AtenCall] = []

    def program(self, inputs: tuple[str, ...], parameters: Mapping[str, str], outputs: tuple[str, ...]) -> AtenProgram:
        """All of it."""
        nodes = _field(self.document, "nodes", list, "graph")
        self.limits.check_nodes(len(nodes), "the program")
        values = _field(self.document, "tensor_values", dict, "graph")
        types = {name: self._type(value, f"value {name!r}") for name, value in values.items()}
        calls = tuple(self._call(node, index) for index, node in enumerate(nodes))
        return AtenProgram(calls, types, inputs, parameters, outputs)

    def _type(self, value: object, what: str) -> ValueType:
        self.clock.check("the program's types")
        number = _field(_record(value, what), "dtype", int, what)
        if number not in _DTYPES:
            raise InvalidGraphError(
                f"{what} has dtype {number}, expected one of {sorted(_DTYPES)}: is the file damaged?"
            )
        dims = [_extent(entry, what) for entry in _field(_record(value, what), "sizes", list, what)]
        shape = tuple(dim for dim in dims if isinstance(dim, int))
        self.limits.check_shape(shape, what)
        self.limits.check_shape((0,) * len(dims), what)  # rank, of open dimensions too
        return TensorType(shape, _DTYPES[number]) if len(shape) == len(dims) else OpenType(tuple(dims), _DTYPES[number])

    def _call(self, node: object, index: int) -> AtenCall:
        self.clock.check("the program's calls")
        what = f"node {index}"
        record = _record(node, what)
        target = _field(record, "target", str, what).removeprefix("torch.ops.")
        what = f"{target} (node {index})"
        body: AtenProgram | None = None
        arguments: dict[str, Argument] = {}
        for place, entry in enumerate(_field(record, "inputs", list, what)):
            kind, value = _tagged(_field(_record(entry, what), "arg", dict, what), what)
            name = str(_record(entry, what).get("name") or place)
            if kind == "as_graph":
                body = self._body(value, what) if body is None else body
                continue
            arguments[name if name not in arguments else f"{name}.{place}"] = _argument(kind, value, what)
        outputs = [name for entry in _field(record, "outputs", list, what) for name in _output_names(entry, what)]
        return AtenCall(target, str(record.get("name") or index), arguments, tuple(outputs), body)

    def _body(self, value: object, what: str) -> AtenProgram:
        """The graph that a higher-order operator holds; of several only the first is of use to a reader."""
        graph = _field(_record(value, what), "graph", dict, what)
        inner = _Graph(graph, self.limits, self.clock, self.depth + 1)
        ends = [
            tuple(name for entry in _field(graph, end, list, what) for name in _output_names(entry, what) if name)
            for end in ("inputs", "outputs")
        ]
        return inner.program(ends[0], {}, ends[1])


def _record(value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidGraphError(f"{what} is {_print(value)}, expected an object: is the file damaged?")
    return value


def _field(record: Mapping[str, Any], name: str, kind: type, what: str) -> Any:
    value = record.get(name)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise InvalidGraphError(
            f"{what} has {name}={_print(value)}, expected a value of type {kind.__name__}: is the file damaged?"
        )
    return value


def _print(value: object) -> str:
    text = repr(value) if isinstance(value, str | int | float | None) else type(value).__name__
    return text if len(text) < 60 else f"{text[:56]} ..."


def _tagged(value: object, what: str) -> tuple[str, Any]:
    """The one field of a union: (tag, value); old writers leave the others in, as null."""
    fields = [(tag, inner) for tag, inner in _record(value, what).items() if inner is not None]
    if len(fields) != 1:
        raise InvalidGraphError(f"{what} holds {len(fields)} alternatives, expected one: is the file damaged?")
    return fields[0]


def _spec(value: object, what: str) -> tuple[str, dict[str, Any]]:
    kind, spec = _tagged(value, what)
    return kind, _record(spec, f"{what} {kind}")


def _integer(value: object, what: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not -(2**63) <= value < 2**64:
        raise InvalidGraphError(f"{what} has {_print(value)}, expected an integer of 64 bits: is the file damaged?")
    return value


def _number(value: object, what: str) -> float:
    if isinstance(value, str) and value in _NAMED_INFINITY:
        return _NAMED_INFINITY[value]
    if isinstance(value, float) and not math.isnan(value):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return float(_integer(value, what))
    raise InvalidGraphError(f"{what} has {_print(value)}, expected a number: is the file damaged?")


def _extent(entry: object, what: str) -> int | str:
    """A number, or the expression of a dimension that has none."""
    kind, value = _tagged(entry, what)
    if kind == "as_int":
        return _integer(value, what)
    text = _field(_record(value, what), "expr_str", str, what)[:400]
    return _SYMBOL.sub(r"\1", text)[:40]


def _tensor_names(value: object, what: str) -> Iterator[str]:
    """The tensors of an argument: one, several, or none where it is a number or nothing."""
    record = _record(value if value is not None else {}, what)
    if "name" in record:  # parameters and buffers name their tensor without a tag
        yield _field(record, "name", str, what)
    elif record:
        yield from (name for name in _output_names(record, what) if name)


def _output_names(entry: object, what: str) -> Iterator[str | None]:
    kind, value = _tagged(entry, what)
    if kind in ("as_tensor", "as_optional_tensor"):
        record = _record(value, what)
        if "as_none" in record:
            yield None
        else:
            yield _field(_record(record.get("as_tensor", record), what), "name", str, what)
    elif kind in ("as_tensors", "as_optional_tensors"):
        for item in _list(value, what):
            yield from _output_names({"as_tensor": item}, what)
    else:
        yield None


def _list(value: object, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise InvalidGraphError(f"{what} has {_print(value)}, expected a list: is the file damaged?")
    return value


def _argument(kind: str, value: object, what: str) -> Argument:
    if kind in ("as_tensor", "as_optional_tensor", "as_tensors", "as_optional_tensors"):
        names = [None if name is None else Ref(name) for name in _output_names({kind: value}, what)]
        return tuple(names) if kind.endswith("s") else names[0]
    if kind in _SCALARS:
        return _SCALARS[kind](value, what)
    if kind in _SYMBOLS:
        tag, inner = _tagged(value, what)
        return Ref(_text(inner, what)) if tag == "as_name" else _argument(tag, inner, what)
    if kind.endswith("s") and kind[:-1] in (*_SCALARS, *_SYMBOLS):
        return tuple(_argument(kind[:-1], item, what) for item in _list(value, what))
    if kind == "as_scalar_type":
        return _DTYPES.get(_integer(value, what), "unknown")
    return None  # a device, a layout, a memory format, an object: no bearing on what is computed


def _text(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise InvalidGraphError(f"{what} has {_print(value)}, expected text: is the file damaged?")
    return value


def _flag(value: object, what: str) -> bool:
    if not isinstance(value, bool):
        raise InvalidGraphError(f"{what} has {_print(value)}, expected true or false: is the file damaged?")
    return value


_SCALARS: dict[str, Callable[[object, str], Argument]] = {
    "as_int": _integer,
    "as_float": _number,
    "as_string": _text,
    "as_bool": _flag,
}
_SYMBOLS = ("as_sym_int", "as_sym_float", "as_sym_bool")
