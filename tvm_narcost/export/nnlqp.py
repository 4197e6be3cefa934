"""Measured zoo networks as an NNLQP data set: ``gt.txt`` and ``onnx/FAMILY/FAMILY-SEED.onnx``.

As in NNLQP's own (github.com/ModelTC/NNLQP, README): fields and order of gt.txt, paths relative to it, milliseconds in
six digits, ONNX files without weights. What cannot be theirs:

- families are the zoo's, not their ten; operator sets are the zoo's (mostly 13 to 17, theirs 9);
- the latency is the median of our samples; how theirs were averaged is not published;
- the platform is 1, the only one of the file; in their files 1 is one of their devices;
- the split is by graph hash, a tenth of the networks for testing; how theirs was drawn is not published.
"""

import itertools
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from relay_frontend.errors import FrontendError
from tvm_narcost.database.records import LatencyRecord
from tvm_narcost.errors import DatabaseError, NarcostError
from tvm_narcost.export.folder import ExportFolder
from tvm_narcost.export.ground_truth import GroundTruth, Stage, read_ground_truth
from tvm_narcost.export.weightless import declare_weights
from tvm_narcost.zoo import generate

if TYPE_CHECKING:
    import onnx

__all__ = ["GROUND_TRUTH", "LeftOut", "NnlqpReport", "export_nnlqp"]

GROUND_TRUTH = "gt.txt"
_PLATFORM = 1
_TEST_OF_1000 = 100


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A network that the data set does not have, and why."""

    family: str
    name: str
    reason: str


@dataclass(slots=True)
class NnlqpReport:
    """What an export did.

    Attributes:
        written: ONNX files that are new.
        kept: ONNX files that a former export had written.
        left_out: networks that the data set does not have.
    """

    written: int = 0
    kept: int = 0
    left_out: list[LeftOut] = field(default_factory=list)


class _LeftOutError(Exception):
    """One network cannot be exported; the message is the reason."""


def export_nnlqp(records: Iterable[LatencyRecord], folder: ExportFolder) -> NnlqpReport:
    """Generate each network anew, see that it is the one that was measured, and write file and line.

    Stopped, it goes on where it was: files that are there and are right stay, and lines keep their graph ids.

    Args:
        records: of one profile.
        folder: where to.

    Raises:
        DatabaseError: the folder holds a gt.txt that is none, or a link out of it.
    """
    report = NnlqpReport()
    truths: dict[str, GroundTruth] = {}
    ids = _former_ids(folder)
    unused = itertools.count(max(map(int, ids.values()), default=0) + 1)
    for record in records:
        try:
            path, model = _network(record)
            if path in truths:
                raise _LeftOutError("another measurement, under another plan, is there already")
            batch = _batch(model)
            is_new = _write_model(model, record.measurement.graph_hash, path, folder)
        except _LeftOutError as error:
            report.left_out.append(LeftOut(record.family, record.name, str(error)))
            continue
        report.written += is_new
        report.kept += not is_new
        truths[path] = GroundTruth(
            graph_id=ids[path] if path in ids else f"{next(unused):05}",
            onnx_path=path,
            batch=batch,
            latency_ms=median(record.measurement.samples_us) / 1e3,
            model_type=path.split("/")[1],
            platform=_PLATFORM,
            stage=_stage(record.measurement.graph_hash),
        )
    lines = sorted(truths.values(), key=lambda truth: truth.graph_id)
    folder.write(GROUND_TRUTH, "".join(f"{truth.to_line()}\n" for truth in lines).encode())
    folder.write_marker({
        "finished": True,
        "networks": len(lines),
        "latency": "median of the end-to-end samples, milliseconds",
        "left_out": [asdict(found) for found in report.left_out],
    })  # fmt: skip
    return report


def _former_ids(folder: ExportFolder) -> dict[str, str]:
    """Path -> graph id, of the gt.txt that is there."""
    path = folder.path(GROUND_TRUTH)
    former = read_ground_truth(path) if path.is_file() else []
    strange = [truth.graph_id for truth in former if not (truth.graph_id.isascii() and truth.graph_id.isdigit())]
    if strange:
        raise DatabaseError(f"{str(path)!r}: graph ids {strange[:5]}, expected numbers; give another folder")
    return {truth.onnx_path: truth.graph_id for truth in former}


def _network(record: LatencyRecord) -> "tuple[str, onnx.ModelProto]":
    """Path and model of a stable zoo network, made from its source alone: names take no part in paths."""
    if record.measurement.verdict != "stable":
        raise _LeftOutError(f"{record.measurement.verdict}: {record.measurement.reason}")
    if "sha256" in record.source:
        raise _LeftOutError("a file of the user's own: the database does not hold it")
    family, seed = record.source.get("zoo"), record.source.get("seed")
    if not (
        isinstance(family, str)
        and isinstance(seed, int)
        and not isinstance(seed, bool)
        and abs(seed) < 2**63  # a file name holds no number of a thousand digits
        and len(record.source) == 2
    ):
        raise _LeftOutError(f"source {dict(record.source)!r}, expected a zoo family and a seed")
    try:
        return f"onnx/{family}/{family}-{seed}.onnx", generate(family, seed)
    except NarcostError as error:  # an unknown family among them, whatever its name would do to a path
        raise _LeftOutError(str(error)) from error


def _batch(model: "onnx.ModelProto") -> int:
    """The first dimension of all inputs and outputs, which a reader of NNLQP's sets to the batch size of the line."""
    stored = {tensor.name for tensor in model.graph.initializer}
    values = [value for value in (*model.graph.input, *model.graph.output) if value.name not in stored]
    shapes = [[found.dim_value for found in value.type.tensor_type.shape.dim] for value in values]
    first = {shape[0] if shape else 0 for shape in shapes}
    if len(first) != 1 or 0 in first:
        raise _LeftOutError(f"first dimensions of inputs and outputs are {sorted(first)}, expected one batch size")
    return int(first.pop())


def _write_model(model: "onnx.ModelProto", graph_hash: str, path: str, folder: ExportFolder) -> bool:
    """Write the file unless it is there; whether it was written."""
    target = folder.path(path)
    if target.is_file() and not target.is_symlink() and _hash_of_file(target) == graph_hash:
        return False
    stripped = declare_weights(model)
    found = _structural_hash(stripped)
    if found != graph_hash:
        raise _LeftOutError(
            f"the zoo of this narcost makes another network: hash {found[:12]}, measured was {graph_hash[:12]}"
        )
    folder.write(path, stripped.SerializeToString(deterministic=True))
    return True


def _hash_of_file(path: Path) -> str | None:
    """Of the graph in a file; None where it cannot be read."""
    from relay_frontend.onnx import load_model

    try:
        return _structural_hash(load_model(path, weights=False))
    except FrontendError:
        return None


def _structural_hash(model: "onnx.ModelProto") -> str:
    from relay_frontend.onnx import from_onnx
    from relay_frontend.passes import canonicalize

    return canonicalize(from_onnx(model)).structural_hash()


def _stage(graph_hash: str) -> Stage:
    return "test" if int(graph_hash[:8], 16) % 1000 < _TEST_OF_1000 else "train"
