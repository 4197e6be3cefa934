"""Relay's text to a Program, by lark's LALR parser and the grammar in relay.lark.

The parser has no recursion and reports each rule as soon as it is complete, so that what a statement names is known
before the next one is read, and deep brackets cost no stack. astext writes the type of each expression in a comment
behind it; the parser has seen that comment when it reports the expression.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

from lark import Lark, Token, Transformer, v_args
from lark.exceptions import LarkError, UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from relay_frontend.errors import FrontendError, InvalidGraphError, ModelFileError
from relay_frontend.limits import Clock, Limits
from relay_frontend.relay.json_reader import Metadata
from relay_frontend.relay.program import (
    Constant,
    Expression,
    Function,
    OpenType,
    Parameter,
    Plain,
    Program,
    RelayType,
    TupleOf,
    make_tuple,
)

__all__ = ["read_text_program"]

_SAID = re.compile(r"/\*\s*ty=(.*?)(?:\s+span=(\S*))?\s*\*/", re.DOTALL)
_PLACE = re.compile(r"(?:@@\S*)?:\d+:\d+$")
_NUMBER = re.compile(r"(-?(?:inf|nan|[\d.]+(?:e[+-]?\d+)?))([fiu]?)(\d*)")


def read_text_program(text: str, section: Metadata, limits: Limits, clock: Clock, what: str) -> Program:
    """Every function of a module; a lone ``fn`` is ``main``.

    Args:
        text: of the module, without its metadata section.
        section: the metadata section; empty without one.
        limits: how much it may ask for.
        clock: time for the whole file.
        what: its name, for messages.

    Raises:
        ModelFileError: it is no Relay text, or truncated.
        FrontendError: what it says is wrong, or too much.
    """
    reader = _Reader(section, limits, clock)
    try:
        _parser(_Adapter(reader), "module", {"COMMENT": reader.comment}).parse(text)
    except UnexpectedInput as error:
        raise ModelFileError(_explain(error, text, what)) from error
    except FrontendError:
        raise
    except LarkError as error:  # raised by a rule of the adapter
        cause = error.__context__
        raise cause if isinstance(cause, FrontendError) else ModelFileError(f"{what}: {str(error)[:120]}") from error
    return Program(reader.functions)


def _explain(error: UnexpectedInput, text: str, what: str) -> str:
    where = f"line {error.line} column {error.column}"
    if isinstance(error, UnexpectedToken):
        got = "the end" if error.token.type == "$END" else repr(str(error.token)[:30])
        wanted = ", ".join(sorted(error.accepts or error.expected)[:8])
        return f"{what} has {got} at {where}, expected {wanted}: it is no Relay text 0.0.5, or is truncated"
    got = repr(text[error.pos_in_stream or 0 :][:20]) if isinstance(error, UnexpectedCharacters) else "nothing more"
    return f"{what} has {got} at {where}, expected Relay text 0.0.5 as astext prints it"


@cache
def _grammar() -> str:
    return resources.files(__package__).joinpath("relay.lark").read_text(encoding="utf-8")


def _parser(adapter: Any, start: str, callbacks: Mapping[str, Callable[[Token], Token]]) -> Lark:
    return Lark(
        _grammar(), parser="lalr", lexer="contextual", start=start, transformer=adapter,
        lexer_callbacks=dict(callbacks),
        maybe_placeholders=False, propagate_positions=False,
    )  # fmt: skip


@dataclass(slots=True)
class _Scope:
    """A function that is being read."""

    parameters: list[Parameter] = field(default_factory=list)
    body: list[Expression] = field(default_factory=list)
    places: dict[str, int] = field(default_factory=dict)
    primitive: bool = False


@dataclass(slots=True)
class _Reader:
    """What has been read so far; the rules of the grammar end up here."""

    section: Metadata
    limits: Limits
    clock: Clock
    functions: dict[str, Function] = field(default_factory=dict)
    scopes: list[_Scope] = field(default_factory=list)
    said: str = ""  # the comment that was read last
    types: dict[str, RelayType] = field(default_factory=dict)
    type_parser: Lark | None = None
    calls: int = 0

    def comment(self, token: Token) -> Token:
        """Keep a comment that says a type for the expression before it."""
        self.said = str(token) if token.startswith(("/* ty=", "/*ty=")) else self.said
        return token

    def take_said(self) -> tuple[RelayType, str]:
        """The type and the source's name in the comment behind an expression."""
        text, self.said = self.said, ""
        found = _SAID.match(text)
        if found is None:
            return None, ""
        written, span = found.groups()
        if written not in self.types:
            self.types[written] = self._parse_type(written)
        return self.types[written], _PLACE.sub("", span or "")

    def _parse_type(self, written: str) -> RelayType:
        if self.type_parser is None:
            self.type_parser = _parser(_Types(self.limits), "type", {})
        try:
            found = self.type_parser.parse(written)
        except LarkError:
            return None  # a comment may say anything
        return found if isinstance(found, OpenType | TupleOf) else None

    def scope(self) -> _Scope:
        """The function around."""
        if not self.scopes:
            raise InvalidGraphError("an expression stands outside of all functions, expected def @main(...) {...}")
        return self.scopes[-1]

    def open_function(self, items: list[Any]) -> None:
        """Parameters and attributes of a function whose body follows."""
        self.limits.check_nesting(len(self.scopes) + 1, "a function")
        self.said = ""
        scope = _Scope()
        self.scopes.append(scope)
        for item in items:
            if isinstance(item, Parameter):
                place = self.add(Expression("parameter", index=len(scope.parameters), kind=item.kind, name=item.name))
                scope.places["%" + item.name] = place
                scope.parameters.append(item)
            elif isinstance(item, _Attribute) and item.name == "Primitive":
                scope.primitive = item.value == 1

    def close_function(self, name: str, result: int) -> Function:
        """The function whose body has been read."""
        scope = self.scopes.pop()
        self.said = ""
        return Function(name, tuple(scope.parameters), tuple(scope.body), result, scope.primitive)

    def add(self, expression: Expression) -> int:
        """Its place in the body."""
        body = self.scope().body
        body.append(expression)
        if len(body) % 256 == 0:
            self.clock.check("the module")
        return len(body) - 1

    def count_call(self) -> None:
        """Hold the number of calls against the limits."""
        self.calls += 1
        self.limits.check_nodes(self.calls, "the module")

    def bind(self, name: str, place: int) -> None:
        """Give a value a name."""
        self.scope().places[name] = place

    def find(self, name: str) -> int:
        """The value of a name."""
        place = self.scope().places.get(name)
        if place is None:
            outer = any(name in scope.places for scope in self.scopes)
            raise InvalidGraphError(
                f"{name} is {'defined in another function' if outer else 'not defined before it is read'}, expected a "
                "parameter or a statement of the function that reads it"
            )
        return place


@dataclass(frozen=True, slots=True)
class _Attribute:
    name: str
    value: Plain


@v_args(inline=True)
class _Types(Transformer[Token, Any]):
    """Rules of types and of attribute values."""

    def __init__(self, limits: Limits) -> None:
        super().__init__()
        self._limits = limits

    def number(self, token: Token) -> int | float:
        return _number(token)[0]

    def text(self, token: Token) -> str:
        return str(token)[1:-1].replace('\\"', '"').replace("\\\\", "\\")

    def truth(self, token: Token) -> bool:
        return str(token) == "True"

    def nothing(self) -> None:
        return None

    def open(self, *_: Token) -> str:
        return "?"

    def list(self, *items: Plain) -> Plain:
        return tuple(items)

    def type(self, found: RelayType) -> RelayType:
        return found

    def tensor_type(self, *items: int | str | Token) -> RelayType:
        *extents, dtype = items
        if any(isinstance(item, float) for item in extents):
            raise InvalidGraphError(f"a tensor type has extents {extents[:8]}, expected integers")
        shape = tuple(None if item == "?" else int(item) for item in extents)
        self._limits.check_shape([extent or 0 for extent in shape], "a tensor type")
        return OpenType(shape, str(dtype))

    def scalar_type(self, name: Token, *arguments: RelayType) -> RelayType:
        return None if arguments or not name.rstrip("0123456789").islower() else OpenType((), str(name))

    def tuple_type(self, *fields: RelayType) -> RelayType:
        known = [item for item in fields if item is not None]
        return make_tuple(known, self._limits, "types") if len(known) == len(fields) else None

    def function_type(self, *_: RelayType) -> RelayType:
        return None


@v_args(inline=True)
class _Adapter(_Types):
    """Rules of expressions: each gives its place in the body."""

    def __init__(self, reader: _Reader) -> None:
        super().__init__(reader.limits)
        self._reader = reader

    def version(self, name: Token, value: Token) -> None:
        if name == "version" and value != '"0.0.5"':
            raise ModelFileError(f"the text is version {value}, expected 0.0.5: save the module as JSON instead")

    def parameter(self, name: Token, kind: RelayType = None) -> Parameter:
        said, _ = self._reader.take_said()
        return Parameter(str(name)[1:], said if kind is None else kind)

    def head(self, *items: Any) -> None:
        self._reader.open_function(list(items))

    def type_parameters(self, *_: Token) -> None:
        return None

    def definition(self, name: Token, *parts: int | None) -> None:
        reader, place = self._reader, _last_place(parts)
        if str(name)[1:] in reader.functions:
            raise InvalidGraphError(f"function {name} is defined twice, expected names to be unique")
        reader.functions[str(name)[1:]] = reader.close_function(str(name)[1:], place)

    def function(self, *parts: int | None) -> "int | Function":
        reader = self._reader
        found = reader.close_function("fn", _last_place(parts))
        return reader.add(Expression("function", held=found)) if reader.scopes else found

    def closed(self, found: Function) -> None:
        self._reader.functions["main"] = found

    def block(self, *parts: int | None) -> int:
        return _last_place(parts)

    def binding(self, name: Token, place: int) -> None:
        self._reader.bind(str(name), place)

    def let(self, name: Token, *parts: Any) -> None:
        self._reader.bind(str(name), _last_place(parts))

    def local(self, name: Token) -> int:
        self._reader.said = ""
        return self._reader.find(str(name))

    def global_function(self, name: Token) -> int:
        return self._reader.add(Expression("global", op=str(name)[1:]))

    def item(self, place: int, index: Token) -> int:
        kind, name = self._reader.take_said()
        value = _number(index)[0]
        if not isinstance(value, int):
            raise InvalidGraphError(f"field {index} of a tuple is read, expected an integer")
        return self._reader.add(Expression("item", (place,), kind=kind, index=value, name=name))

    def literal(self, token: Token) -> int:
        self._reader.said = ""
        if token in ("True", "False"):
            held = Constant(OpenType((), "bool"), (int(token == "True"),))
        else:
            value, dtype = _number(token)
            held = Constant(OpenType((), dtype), (value,))
        return self._reader.add(Expression("constant", kind=held.kind, held=held))

    def metadata(self, kind: Token, index: Token) -> "int | dict[str, Plain]":
        """A constant, or the attributes of the call that it stands in."""
        reader, listed = self._reader, self._reader.section.get(str(kind), [])
        said, name = reader.take_said()
        place = _number(index)[0]
        if isinstance(place, int) and 0 <= place < len(listed):
            held = listed[place]
        elif kind == "relay.Constant" and isinstance(said, OpenType) and not listed:
            held = Constant(said)
        else:
            raise ModelFileError(
                f"meta[{kind}][{index}] is read, expected one of {len(listed)} in a metadata section, or a comment "
                "with its type: print the module with astext(show_meta_data=True)"
            )
        if isinstance(held, Constant):
            return reader.add(Expression("constant", kind=held.kind, held=held, name=name))
        return held

    def tuple(self, *places: int) -> int:
        kind, name = self._reader.take_said()
        return self._reader.add(Expression("tuple", places, kind=kind, name=name))

    def attribute(self, name: Token, value: Plain) -> _Attribute:
        return _Attribute(str(name), value)

    def operator(self, name: Token, *arguments: "int | _Attribute | dict[str, Plain]") -> int:
        operands, attributes = _apart(arguments)
        kind, span = self._reader.take_said()
        self._reader.count_call()
        return self._reader.add(Expression("call", operands, str(name), attributes, kind, name=span))

    def invocation(self, callee: int, *arguments: "int | _Attribute | dict[str, Plain]") -> int:
        operands, _ = _apart(arguments)
        kind, span = self._reader.take_said()
        self._reader.count_call()
        return self._reader.add(Expression("invoke", (callee, *operands), kind=kind, name=span))


def _last_place(parts: tuple[Any, ...]) -> int:
    """The value of a block, which comes last; statements and types before it are None or types."""
    place = parts[-1]
    if not isinstance(place, int):
        raise InvalidGraphError("a function has no result, expected an expression at the end of its block")
    return place


def _apart(arguments: "tuple[int | _Attribute | dict[str, Plain], ...]") -> tuple[tuple[int, ...], dict[str, Plain]]:
    """The operands, and the attributes: named one by one, or all together from the metadata section."""
    operands: list[int] = []
    attributes: dict[str, Plain] = {}
    for item in arguments:
        if isinstance(item, _Attribute):
            attributes[item.name] = item.value
        elif isinstance(item, dict):
            attributes.update(item)
        else:
            operands.append(item)
    return tuple(operands), attributes


def _number(token: str) -> tuple[int | float, str]:
    """Value and dtype: ``1`` is int32, ``1f`` float32, ``1f16`` float16, ``1i64`` int64, ``1.5`` float64."""
    found = _NUMBER.fullmatch(token)
    digits, letter, bits = found.groups() if found else ("", "", "")
    if len(digits) > 40:
        raise InvalidGraphError(f"number {token[:20]}... has {len(digits)} digits, expected at most 40")
    if letter in ("i", "u") or (not letter and digits.lstrip("-").isdecimal()):
        return int(float(digits)), {"i": "int", "u": "uint", "": "int"}[letter] + (bits or "32")
    return float(digits), f"float{bits or ('32' if letter else '64')}"
