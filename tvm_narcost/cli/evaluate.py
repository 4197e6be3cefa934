"""narcost evaluate: how far predictions are from what was measured, a family at a time."""

import argparse
import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from tvm_narcost.cli.measured import add_measured_arguments, read_measured
from tvm_narcost.cli.tables import aligned
from tvm_narcost.cli.training import tell
from tvm_narcost.errors import TrainingError

if TYPE_CHECKING:
    from hardware_profiles import HardwareProfile
    from tvm_narcost.training.examples import Example
    from tvm_narcost.training.metrics import Metrics

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the verb takes."""
    parser.epilog = (
        "Without --leave-one-family-out the profile's trained artifact is judged on all measured networks, "
        "those that it was trained on too if they are among them."
    )
    add_measured_arguments(parser)
    parser.add_argument(
        "--leave-one-family-out", action="store_true", help="train anew without each family, judge on that family"
    )
    parser.add_argument("--families", metavar="NAME[,NAME]", help="families to judge on (default: all measured)")
    parser.add_argument(
        "--predictor",
        metavar="NAME",
        help="with --leave-one-family-out: narformer, narformer_paper, narformer_v2, nnlp, nn_former, kernel_sum, "
        "roofline, flops_bytes, flops (default: narformer)",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the training (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(args: argparse.Namespace) -> int:
    """Judge, and print a row a family."""
    from hardware_profiles import load_profile

    if args.predictor is not None and not args.leave_one_family_out:
        raise TrainingError(
            f"--predictor {args.predictor}: without --leave-one-family-out the profile's artifact is judged; "
            "give both, or neither"
        )
    profile = load_profile(args.profile)
    examples = read_measured(args, profile)
    families = args.families.split(",") if args.families else sorted({example.family for example in examples})
    judge = _leave_one_out if args.leave_one_family_out else _judge_artifact
    figures = judge(args, examples, families, profile)
    if args.json:
        print(json.dumps({family: asdict(metrics) for family, metrics in figures.items()}, indent=1))
        return 0
    header = ["family", "networks", "MAPE %", "within 5 %", "within 10 %", "RMSE ms", "Kendall's tau"]
    rows = [
        [family, str(m.networks), f"{m.mape:.1f}", f"{m.acc_5:.0f} %", f"{m.acc_10:.0f} %", f"{m.rmse_ms:.2f}",
         f"{m.kendall_tau:.3f}"]
        for family, m in figures.items()
    ]  # fmt: skip
    print(aligned([header, *rows]))
    return 0


def _leave_one_out(
    args: argparse.Namespace, examples: "list[Example]", families: list[str], profile: "HardwareProfile"
) -> "dict[str, Metrics]":
    from tvm_narcost.training.evaluate import PREDICTORS, leave_one_family_out

    predictor = args.predictor or "narformer"
    if predictor not in PREDICTORS:
        raise TrainingError(f"predictor {predictor!r}: unknown, expected one of {sorted(PREDICTORS)}")
    figures = {}
    for family in families:
        tell(f"{predictor} without {family}")
        figures[family] = leave_one_family_out(examples, predictor, family, args.seed, profile).metrics
    return figures


def _judge_artifact(
    args: argparse.Namespace, examples: "list[Example]", families: list[str], profile: "HardwareProfile"
) -> "dict[str, Metrics]":
    from tvm_narcost.api import load
    from tvm_narcost.training.evaluate import measured_ms
    from tvm_narcost.training.metrics import compute_metrics

    model = load(args.profile).model
    figures = {}
    for family in families:
        chosen = [example for example in examples if example.family == family]
        if not chosen:
            raise TrainingError(f"family {family!r}: no stable measurement, expected one of the measured families")
        predicted = [model.predict([example.graph], [example.plan], profile)[0].latency_ms for example in chosen]
        figures[family] = compute_metrics(predicted, measured_ms(chosen))
    return figures
