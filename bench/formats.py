"""What can be read of each format: a table whose every cell comes of reading a small file of that format.

``python -m bench.formats`` writes the table of docs/formats.md anew; with --check nothing is written, and a table that
is out of date ends the program with status 1. The files are those of the tests.
"""

import argparse
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto, helper

from relay_frontend.costs import graph_cost
from relay_frontend.errors import FrontendError
from relay_frontend.load import load_graph, load_module
from relay_frontend.relax.spelling import UnifySpellingPass
from tests.relay_frontend.relax_fixture import FOLDER, network
from tests.relay_frontend.relay_fixture import unpack
from tests.relay_frontend.torch_documents import document, node, save_document, tensor
from tvm_narcost.zoo import generate

__all__ = ["FORMATS", "fill"]

_PAGE = Path(__file__).parent.parent / "docs" / "formats.md"
_BLOCK = re.compile(r"(<!-- table: formats -->\n).*?(<!-- end -->)", re.DOTALL)
_FRAMEWORKS = ("torch", "tvm")

Content = Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class Samples:
    """Files of one format.

    Attributes:
        suffix: of the files.
        plain: a network.
        straight: the same network in ONNX.
        fused: a module that a compiler has fused; None of a format that has no such.
        unknown: a network with an operator ``mystery``.
    """

    suffix: str
    plain: Content
    straight: Callable[[], onnx.ModelProto]
    fused: Content | None
    unknown: Content


def _relu_of(op: str, domain: str) -> onnx.ModelProto:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, 8)) for name in "xy")
    graph = helper.make_graph([helper.make_node(op, ["x"], ["y"], domain=domain)], "net", [x], [y])
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid("own", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def _relu_pt2(target: str) -> bytes:
    kind = tensor(1, 8)
    content = document([node(target, {"self": "x"}, "y")], {"x": kind, "y": kind})
    with tempfile.TemporaryDirectory() as folder:
        return save_document(Path(folder) / "net.pt2", content).read_bytes()


def _relay(name: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return unpack(name, Path(folder)).read_bytes()


def _relax(name: str) -> bytes:
    return (FOLDER / f"{name}.json").read_bytes()


FORMATS: Mapping[str, Samples] = {
    "ONNX (`.onnx`)": Samples(
        ".onnx", lambda: network().SerializeToString(), network, None,
        lambda: _relu_of("mystery", "own").SerializeToString(),
    ),
    "Relay, TVM 0.8 to 0.19 (`.json`)": Samples(
        ".json", lambda: _relay("squeezenet-3.json"), lambda: generate("squeezenet", 3),
        lambda: _relay("squeezenet-3.fused.json"),
        lambda: _relay("squeezenet-3.json").replace(b'"nn.global_avg_pool2d"', b'"mystery"'),
    ),
    "Relay text (`.txt`, `.relay`)": Samples(
        ".txt", lambda: _relay("squeezenet-3.txt"), lambda: generate("squeezenet", 3),
        lambda: _relay("squeezenet-3.fused.txt"),
        lambda: _relay("squeezenet-3.txt").replace(b"nn.global_avg_pool2d(", b"mystery("),
    ),
    "Relax, TVM 0.27 (`.json`)": Samples(
        ".json", lambda: _relax("high"), network, lambda: _relax("kernels"),
        lambda: _relax("high").replace(b'"relax.nn.softmax"', b'"mystery"'),
    ),
    "Relax, TVM 0.26, FuseTIR (`.json`)": Samples(
        ".json", lambda: _relax("kernels_0_26"), network, lambda: _relax("kernels_0_26"),
        lambda: _relax("kernels_0_26").replace(b'"softmax"', b'"mystery"'),
    ),
    "torch.export (`.pt2`)": Samples(
        ".pt2", lambda: _relu_pt2("relu"), lambda: _relu_of("Relu", ""), None,
        lambda: _relu_pt2("torch.ops.own.mystery.default"),
    ),
}  # fmt: skip


@contextmanager
def _written(content: bytes, suffix: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"net{suffix}"
        path.write_bytes(content)
        yield path


@contextmanager
def _without_frameworks() -> Iterator[None]:
    """Importing them fails, as where they are not installed."""
    hidden: dict[str, Any] = {name: sys.modules.get(name) for name in _FRAMEWORKS}
    sys.modules.update(dict.fromkeys(_FRAMEWORKS))  # type: ignore[arg-type]  # None: there is no such module
    try:
        yield
    finally:
        for name, module in hidden.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


def _is_read_alone(samples: Samples) -> str:
    with _written(samples.plain(), samples.suffix) as path, _without_frameworks():
        try:
            return "yes" if load_graph(path).nodes else "no"
        except ImportError:
            return "no"


def _is_same(samples: Samples) -> str:
    with _written(samples.plain(), samples.suffix) as path:
        found = UnifySpellingPass()(load_graph(path))
    with _written(samples.straight().SerializeToString(), ".onnx") as path:
        straight = UnifySpellingPass()(load_graph(path))
    if found.structural_hash() == straight.structural_hash():
        return "yes"
    return "FLOPs only" if graph_cost(found).flops == graph_cost(straight).flops else "no"


def _kernels(samples: Samples) -> str:
    if samples.fused is None:
        return "the format has none"
    with _written(samples.fused(), samples.suffix) as path:
        plan = load_module(path)[1]
    return "no" if plan is None else f"yes ({len(plan.kernels)} of {len(plan.graph.nodes)} operators)"


def _unknown(samples: Samples) -> str:
    with _written(samples.unknown(), samples.suffix) as path:
        try:
            unknown = graph_cost(load_graph(path), strict=False).unknown_operators
        except FrontendError as error:
            return f"no ({type(error).__name__})"
    return "yes" if len(unknown) == 1 and "mystery" in unknown[0] else "no"


_FEATURES: Mapping[str, Callable[[Samples], str]] = {
    "read where neither TVM nor torch is installed": _is_read_alone,
    "same graph as the network's ONNX file": _is_same,
    "kernels of a fused module": _kernels,
    "unknown operator kept": _unknown,
}


def fill(text: str) -> str:
    """The page with its table made anew."""
    lines = [["format", *_FEATURES], ["---"] * (len(_FEATURES) + 1)]
    lines += [[name, *(feature(samples) for feature in _FEATURES.values())] for name, samples in FORMATS.items()]
    table = "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
    return _BLOCK.sub(lambda match: match[1] + table + match[2], text)


def _main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; status 1 if the table is out of date")
    args = parser.parse_args()
    text = _PAGE.read_text()
    filled = fill(text)
    if args.check:
        return int(filled != text)
    _PAGE.write_text(filled)
    return 0


if __name__ == "__main__":
    raise SystemExit(_main())
