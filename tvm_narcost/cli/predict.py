"""narcost predict: the latency of networks on a device, before they run there."""

import argparse
import dataclasses
import json
import sys
from typing import TYPE_CHECKING, Any

from relay_frontend.errors import UnsupportedOperatorError
from tvm_narcost.cli.options import add_existing_database, add_profile, add_shapes, unique_shapes
from tvm_narcost.cli.predicted import doubts_of, existing_database, measured_ms_of, predict_model
from tvm_narcost.cli.tables import aligned, milliseconds, scaled
from tvm_narcost.errors import NarcostError

if TYPE_CHECKING:
    from hardware_profiles import HardwareProfile
    from tvm_narcost.api import NetworkPrediction

__all__ = ["add_arguments", "run"]

BREAKDOWN_KERNELS = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the verb takes."""
    parser.add_argument("models", nargs="+", metavar="MODEL", help="model file")
    add_profile(parser)
    add_shapes(parser)
    parser.add_argument("--breakdown", action="store_true", help="show what each kernel takes")
    parser.add_argument(
        "--calibrate",
        action="store_true",
        help="time three small networks here first, and scale the profile by them",
    )
    parser.add_argument(
        "--strict", action="store_true", help="refuse a network with unknown operators, or unlike any in training"
    )
    add_existing_database(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON document: an array, one object a model")


def run(args: argparse.Namespace) -> int:
    """Predict every model and print the predictions."""
    import tvm_narcost

    shapes = unique_shapes(args.shapes)
    with existing_database(args.database) as database:
        predictor = tvm_narcost.load(args.profile)
        if args.calibrate:
            _note_another_device(predictor.profile)
            predictor = predictor.calibrated()
        predictions = [predict_model(predictor, model, shapes) for model in args.models]
        if args.strict:
            _refuse_the_unfamiliar(predictions)
        measured_ms = [measured_ms_of(database, prediction) for prediction in predictions]
    if args.json:
        rows = [_document(*pair, args.breakdown) for pair in zip(predictions, measured_ms, strict=True)]
        print(json.dumps(rows, indent=2, allow_nan=False))
    else:
        print(_summary(predictions, measured_ms))
        if args.breakdown:
            for prediction in predictions:
                print(f"\n{_breakdown(prediction)}")
    return 0


def _note_another_device(profile: "HardwareProfile") -> None:
    """Say that one factor makes no other device of a profile's, and which profiles are of this machine."""
    from tvm_narcost.measure.device import device_differences, profiles_of_this_device

    found = device_differences(profile)
    if found:
        own = [one.id for one in profiles_of_this_device(profile)]
        better = f"--profile {' or '.join(own)}" if own else "`narcost profiles probe`, `profile` and `adapt` make one"
        print(
            f"narcost: note: this machine is another device than that of {profile.id} ({'; '.join(found)}): one factor "
            f"scales all networks alike; for one of its own: {better}",
            file=sys.stderr,
        )


def _refuse_the_unfamiliar(predictions: "list[NetworkPrediction]") -> None:
    offenders = [f"{model} ({why})" for model, why in _doubted(predictions)]
    if offenders:
        unknown = any(prediction.unknown_operators for prediction in predictions)
        raise (UnsupportedOperatorError if unknown else NarcostError)(
            f"--strict: {'; '.join(offenders)}; expected networks like those in training; leave out --strict to see "
            "the predictions all the same, or train on such networks with `narcost profile` and `narcost train`"
        )


def _doubted(predictions: "list[NetworkPrediction]") -> list[tuple[str, str]]:
    """(model, why to trust it less) of each prediction that there is a reason for."""
    doubts = [(prediction.model, doubts_of(prediction)) for prediction in predictions]
    return [(model, why) for model, why in doubts if why]


def _document(prediction: "NetworkPrediction", measured_ms: float | None, with_kernels: bool) -> dict[str, Any]:
    document = dataclasses.asdict(prediction)
    kernels = document.pop("kernels")
    document["measured_ms"] = measured_ms
    if with_kernels:
        document["kernels"] = kernels
    return document


def _summary(predictions: "list[NetworkPrediction]", measured_ms: list[float | None]) -> str:
    first = predictions[0]
    header = f"profile {first.profile}, kernels planned by {first.planner}"
    if first.calibration != 1.0:
        header += f", scaled by {first.calibration:.3f} to this machine"
    columns = ["model", "predicted ms", "interval ms", "kernel sum ms", "roofline ms", "FLOPs"]
    rows = [
        [
            prediction.model,
            milliseconds(prediction.latency_ms),
            " - ".join(milliseconds(end) for end in prediction.interval_ms),
            milliseconds(prediction.kernel_sum_ms),
            milliseconds(prediction.roofline_ms),
            scaled(prediction.flops),
        ]
        for prediction in predictions
    ]
    if any(value is not None for value in measured_ms):
        columns.insert(2, "measured ms")
        for row, value in zip(rows, measured_ms, strict=True):
            row.insert(2, milliseconds(value))
    notes = [f"note: {model}: {why}" for model, why in _doubted(predictions)]
    notes += [f"note: {prediction.model}: {note}" for prediction in predictions for note in prediction.notes]
    return "\n".join([header, "", aligned([columns, *rows]), *notes])


def _breakdown(prediction: "NetworkPrediction") -> str:
    """The kernels that take the most time, and the rest in one line."""
    kernels = sorted(prediction.kernels, key=lambda kernel: kernel.share, reverse=True)
    rows = [["share", "ms", "FLOPs", "operator", "kernel"]]
    for kernel in kernels[:BREAKDOWN_KERNELS]:
        share, kernel_ms = f"{kernel.share:.1%}", milliseconds(kernel.predicted_ms)
        rows.append([share, kernel_ms, scaled(kernel.flops), kernel.op, kernel.name])
    rest = kernels[BREAKDOWN_KERNELS:]
    if rest:
        share = f"{sum(kernel.share for kernel in rest):.1%}"
        rest_ms = milliseconds(sum(kernel.predicted_ms for kernel in rest))
        rows.append([share, rest_ms, scaled(sum(kernel.flops for kernel in rest)), "", f"{len(rest)} more kernels"])
    return f"{prediction.model}: {len(kernels)} kernels\n" + aligned(rows, left=(3, 4))
