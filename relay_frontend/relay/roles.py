"""Which parameters of a Relay function are weights: the module does not say.

An importer writes the network's inputs as parameters beside the weights, all alike. What an operator reads where only
weights are (the second operand of a convolution or a product, the vectors of a normalisation) is a weight; so is
everything after the first such parameter, since importers put inputs first, unless an operator reads it as data. Before
it, the first parameter and those of integers are inputs, as are all where no parameter is a weight.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from relay_frontend.graph import TensorType
from relay_frontend.relay.program import Expression, Function, OpenType, RelayType

__all__ = ["find_inputs"]

_DATA_AND_WEIGHT = [
    "nn.conv1d",
    "nn.conv2d",
    "nn.conv3d",
    "nn.conv1d_transpose",
    "nn.conv2d_transpose",
    "nn.conv3d_transpose",
    "nn.dense",
    "nn.matmul",
    "nn.batch_matmul",
    "nn.contrib_conv2d_NCHWc",
    "nn.contrib_depthwise_conv2d_NCHWc",
    "nn.contrib_dense_pack",
    "qnn.conv2d",
    "qnn.dense",
    "nn.contrib_conv2d_winograd_without_weight_transform",
]
_SLOTS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(_DATA_AND_WEIGHT, ("data", "weight")),
    "nn.batch_norm": ("data", "weight", "weight", "weight", "weight"),
    "nn.bias_add": ("data", "weight"),
    "nn.group_norm": ("data", "weight", "weight"),
    "nn.instance_norm": ("data", "weight", "weight"),
    "nn.layer_norm": ("data", "weight", "weight"),
    "nn.prelu": ("data", "weight"),
    "take": ("weight", "index"),
}
# Operators whose result is their first input in other clothes.
_PASSES_ON = frozenset(
    [
        "broadcast_to",
        "cast",
        "copy",
        "expand_dims",
        "layout_transform",
        "negative",
        "reshape",
        "squeeze",
        "transpose",
        "nn.contrib_conv2d_winograd_weight_transform",
        "annotation.stop_fusion",
    ]
)
_INTEGERS = {"int32", "int64", "bool", "uint8"}

Roles = tuple[frozenset[str], ...]


def find_inputs(function: Function, functions: Mapping[str, Function], named: Collection[str]) -> tuple[bool, ...]:
    """For each parameter whether it is an input of the network.

    Args:
        function: the network.
        functions: all of the module, for those that it calls.
        named: parameters that the user calls inputs.
    """
    roles = _Finder(functions).roles(function)
    weights = [index for index, found in enumerate(roles) if "weight" in found]
    if not weights:
        return (True,) * len(roles)

    def is_input(index: int) -> bool:
        parameter, found = function.parameters[index], roles[index]
        if parameter.name in named:
            return True
        if "weight" in found:
            return False
        if "data" in found:
            return True
        return index < weights[0] and (index == 0 or "index" in found or _is_integer(parameter.kind))

    return tuple(map(is_input, range(len(roles))))


def _is_integer(kind: RelayType) -> bool:
    return isinstance(kind, OpenType | TensorType) and kind.dtype in _INTEGERS


@dataclass(slots=True)
class _Finder:
    functions: Mapping[str, Function]
    known: dict[Function, Roles] = field(default_factory=dict)

    def roles(self, function: Function) -> Roles:
        """How a function uses each of its parameters; of one that calls itself nothing is known."""
        if function not in self.known:
            self.known[function] = (frozenset(),) * len(function.parameters)
            found: list[set[str]] = [set() for _ in function.body]
            for place in range(len(function.body) - 1, -1, -1):
                self._hand_down(function.body, place, found)
            result: list[frozenset[str]] = [frozenset()] * len(function.parameters)
            for place, expression in enumerate(function.body):
                if expression.form == "parameter" and expression.index < len(result):
                    result[expression.index] = frozenset(found[place])
            self.known[function] = tuple(result)
        return self.known[function]

    def _hand_down(self, body: tuple[Expression, ...], place: int, found: list[set[str]]) -> None:
        expression = body[place]
        if expression.form == "call":
            for operand, role in zip(expression.operands, _SLOTS.get(expression.op, ()), strict=False):
                found[operand].add(role)
            if expression.op in _PASSES_ON and expression.operands:
                found[expression.operands[0]] |= found[place]
        elif expression.form == "invoke":
            callee = self._callee(body[expression.operands[0]])
            if callee is not None:
                for operand, roles in zip(expression.operands[1:], self.roles(callee), strict=False):
                    found[operand] |= roles
                if _only_passes_on(callee) and len(expression.operands) > 1:
                    found[expression.operands[1]] |= found[place]

    def _callee(self, expression: Expression) -> Function | None:
        if expression.form == "global":
            return self.functions.get(expression.op)
        return expression.held if isinstance(expression.held, Function) else None


def _only_passes_on(function: Function) -> bool:
    calls = [expression for expression in function.body if expression.form != "parameter"]
    return all(expression.form == "call" and expression.op in _PASSES_ON for expression in calls)
