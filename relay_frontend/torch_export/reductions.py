"""Reductions, extrema and sorting."""

from math import prod

from relay_frontend.graph import Edge, TensorType
from relay_frontend.torch_export.call import NOT_MAPPED, Converter, Edges, TorchCall

__all__ = ["REDUCTIONS"]


def _reduce(op: str) -> Converter:
    """Over named axes, or over all; truth values are counted as integers."""

    def convert(call: TorchCall) -> Edge:
        data = call.cast(call.tensor("self"), call.output.dtype)
        return call.add(op, (data,), call.output, axes=call.axes("dim"), keepdims=int(call.flag("keepdim")))

    return convert


def _extremum(reduce: str, arg: str) -> Converter:
    """Maximum and minimum: of everything, or along an axis with the place."""

    def convert(call: TorchCall) -> Edges | Edge:
        data = call.tensor("self")
        if call.argument("dim") is None:
            return call.add(reduce, (data,), call.output, axes=call.axes("dim"), keepdims=0)
        axis, kept = call.axis("dim"), int(call.flag("keepdim"))
        value = call.add(reduce, (data,), call.output, axes=(axis,), keepdims=kept)
        place = call.add(arg, (data,), TensorType(call.output.shape, "int64"), axis=axis, keepdims=kept)
        return value, place

    return convert


def _arg(op: str) -> Converter:
    """The place of an extremum, of the flattened input where no axis is named."""

    def convert(call: TorchCall) -> Edge:
        data = call.tensor("self")
        if call.argument("dim") is not None:
            return call.add(op, (data,), call.output, axis=call.axis("dim"), keepdims=int(call.flag("keepdim")))
        flat = call.reshape(data, (prod(call.type_of(data).shape),))
        return call.add(op, (flat,), call.output, axis=0, keepdims=0)

    return convert


def _truth(negate: bool) -> Converter:
    """any, and all as none of the contrary."""

    def convert(call: TorchCall) -> Edge:
        data = call.cast(call.tensor("self"), "bool")
        if negate:
            data = call.add("Not", (data,), call.type_of(data))
        made = TensorType(call.output.shape, "int64")
        count = call.add("ReduceSum", (call.cast(data, "int64"),), made, axes=call.axes("dim"),
                         keepdims=int(call.flag("keepdim")))  # fmt: skip
        found = call.add("Greater", (count, call.scalar("int64")), call.output)
        return call.add("Not", (found,), call.output) if negate else found

    return convert


def _moments(call: TorchCall, *, root: bool) -> Edge:
    """The mean of the squared distance from the mean, corrected for the degrees of freedom."""
    data, axes, made = call.tensor("self"), call.axes("dim"), call.output
    kind, kept = call.type_of(data), int(call.flag("keepdim"))
    everything = len(axes) == len(kind.shape)
    centre = TensorType(
        () if everything else tuple(1 if axis in axes else extent for axis, extent in enumerate(kind.shape)), kind.dtype
    )
    mean = call.add("ReduceMean", (data,), centre, axes=axes, keepdims=int(not everything))
    distance = call.add("Sub", (data, mean), kind)
    square = call.add("Mul", (distance, distance), kind)
    found = call.add("ReduceMean", (square,), made, axes=axes, keepdims=kept)
    if call.argument("correction", 1) != 0 and call.flag("unbiased", True):
        for op in ("Mul", "Div"):
            found = call.add(op, (found, call.scalar(made.dtype)), made)
    return call.add("Sqrt", (found,), made) if root else found


def _moment(*, root: bool, mean: bool = False) -> Converter:
    def convert(call: TorchCall) -> Edges:
        extra: Edges = ()
        if mean:
            axes, kept = call.axes("dim"), int(call.flag("keepdim"))
            extra = (call.add("ReduceMean", (call.tensor("self"),), call.output, axes=axes, keepdims=kept),)
        return (_moments(call, root=root), *extra)

    return convert


def _cumulative(op: str) -> Converter:
    def convert(call: TorchCall) -> Edge:
        data = call.cast(call.tensor("self"), call.output.dtype)
        return call.add(op, (data,), call.output, axis=call.axis("dim"))

    return convert


def _topk(call: TorchCall) -> Edges:
    largest, ordered = int(call.flag("largest", True)), int(call.flag("sorted", True))
    return call.add_all("TopK", (call.tensor("self"),), _with_places(call), axis=call.axis("dim", -1),
                        k=call.integer("k"), largest=largest, sorted=ordered)  # fmt: skip


def _sort(call: TorchCall) -> Edges | None:
    kind = call.kind("self")
    if not kind.shape:
        return NOT_MAPPED
    axis, largest = call.axis("dim", -1), int(call.flag("descending"))
    return call.add_all("TopK", (call.tensor("self"),), (kind, TensorType(kind.shape, "int64")), axis=axis,
                        k=kind.shape[axis], largest=largest, sorted=1)  # fmt: skip


def _with_places(call: TorchCall) -> tuple[TensorType, TensorType]:
    return call.output, TensorType(call.output.shape, "int64")


def _argsort(call: TorchCall) -> Edge | None:
    found = _sort(call)
    return None if found is None else found[1]


REDUCTIONS: dict[str, Converter] = {
    "sum": _reduce("ReduceSum"), "mean": _reduce("ReduceMean"), "amax": _reduce("ReduceMax"),
    "amin": _reduce("ReduceMin"), "prod": _reduce("ReduceProd"), "logsumexp": _reduce("ReduceLogSumExp"),
    "max": _extremum("ReduceMax", "ArgMax"), "min": _extremum("ReduceMin", "ArgMin"),
    "argmax": _arg("ArgMax"), "argmin": _arg("ArgMin"), "any": _truth(False), "all": _truth(True),
    "var": _moment(root=False), "std": _moment(root=True), "var_mean": _moment(root=False, mean=True),
    "std_mean": _moment(root=True, mean=True), "cumsum": _cumulative("CumSum"), "cumprod": _cumulative("CumProd"),
    "topk": _topk, "sort": _sort, "argsort": _argsort,
}  # fmt: skip
