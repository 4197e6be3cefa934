"""narcost rank, over a network and a model that need no TVM."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hardware_profiles import HardwareProfile
from relay_frontend.graph import OpGraph
from relay_frontend.plan import FusionPlan
from tests.fusion.networks import network, space_of
from tvm_narcost.cli import rank as verb
from tvm_narcost.cli.main import main
from tvm_narcost.fusion.legality import FusionSpace
from tvm_narcost.models import plan_models
from tvm_narcost.models.constant import ConstantModel
from tvm_narcost.predictor import Prediction

BLOCKS = 3
LAYERS = [
    op for block in range(BLOCKS) for op in (("Relu", 3 * block), ("Transpose", 3 * block + 1), ("Conv", 3 * block + 2))
]
SPACE = space_of(network(("Conv",), *LAYERS))
"""TVM makes (Conv, Relu), (Transpose), three times, and (Conv)."""


SHORTER = space_of(network(("Conv",), *LAYERS[:-3]))


class Calls:
    """0.5 ms a call and 1 ms an operator."""

    def predict(
        self, graphs: Sequence[OpGraph], plans: Sequence[FusionPlan], profile: HardwareProfile
    ) -> list[Prediction]:
        times = [[0.5 + len(members) for members in plan.kernels] for plan in plans]
        return [Prediction.of_point(sum(found), plan.planner, found) for plan, found in zip(plans, times, strict=True)]


@dataclasses.dataclass
class FakeNetwork:
    """Takes 2 ms a kernel, and cannot be built without fusion."""

    space: FusionSpace = SPACE
    variant: str = "NHWC"

    def neighbours(self) -> list["FakeNetwork"]:
        return [FakeNetwork(SHORTER, "NHWC+shorter")]

    def measure(self, plans: Sequence[FusionPlan]) -> list[tuple[FusionPlan, Any]]:
        rows = [(plan, SimpleNamespace(samples_us=(1e6, 2e3 * len(plan.kernels), 1.0))) for plan in plans]
        return [
            (plan, SimpleNamespace(samples_us=())) if plan.planner == "none" else row
            for plan, row in zip(plans, rows, strict=True)
        ]


@pytest.fixture
def _faked(monkeypatch: pytest.MonkeyPatch) -> None:
    models = SimpleNamespace(narformer=Calls(), kernel_sum=Calls(), flops=ConstantModel(9.0), costs=None)
    monkeypatch.setattr(plan_models, "open_plan_models", lambda profile_id: models)
    monkeypatch.setattr(verb, "_open_network", lambda model, shapes, profile: FakeNetwork())


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["rank", "net.onnx", *arguments]) == 0
    return capsys.readouterr().out


@pytest.mark.usefixtures("_faked")
def test_json_has_the_fastest_first_and_the_default_among_them(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(printed(capsys, "--json", "--top", "1"))
    assert (found["model"], found["profile"], len(found["operators"])) == ("net.onnx", "epyc-zen5.tvm", 3 * BLOCKS + 1)
    assert found["operators"][1] == "Relu Relu1"
    best, default = found["plans"]
    assert (best["chosen"], best["default"], default["chosen"], default["default"]) == (True, False, False, True)
    # as many kernels as convolutions, against one more for each transpose
    assert (best["kernels"], default["kernels"]) == (BLOCKS + 1, 2 * BLOCKS + 1)
    assert best["predicted_ms"] == best["kernel_sum_ms"] == 10 + 0.5 * (BLOCKS + 1)
    assert (best["flops_ms"], best["measured_ms"], default["planner"]) == (9.0, None, "tvm")
    assert sorted(index for members in best["groups"] for index in members) == list(range(10))
    why = found["explanation"]
    assert why["saved_ms"] == pytest.approx(default["predicted_ms"] - best["predicted_ms"])
    assert sum(change["saved_ms"] for change in why["changes"]) + why["elsewhere_ms"] == pytest.approx(1.5)
    assert sum(len(change["joined"]) - len(change["cut"]) for change in why["changes"]) == BLOCKS


@pytest.mark.usefixtures("_faked")
def test_of_several_ways_to_write_it_the_fastest_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(printed(capsys, "--variants", "--json"))
    own, shorter = found["variants"]
    assert (own["variant"], own["operators"], own["chosen"]) == ("NHWC", 3 * BLOCKS + 1, False)
    assert (shorter["variant"], shorter["operators"], shorter["chosen"]) == ("NHWC+shorter", 3 * BLOCKS - 2, True)
    assert own["predicted_ms"] > shorter["predicted_ms"] <= shorter["default_ms"]
    assert len(found["operators"]) == 3 * BLOCKS - 2
    text = printed(capsys, "--variants")
    assert [line.split()[-1] for line in text.splitlines() if line.startswith("NHWC+shorter")] == ["chosen"]
    assert [variant["chosen"] for variant in json.loads(printed(capsys, "--json"))["variants"]] == [True]


@pytest.mark.usefixtures("_faked")
def test_measured_plans_have_their_median_and_those_that_failed_none(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(printed(capsys, "--json", "--measure", "--top", "1000", "--candidates", "60"))
    assert len(found["plans"]) == found["candidates"] <= 60
    for plan in found["plans"]:
        assert plan["measured_ms"] == (None if plan["planner"] == "none" else 2.0 * plan["kernels"])


@pytest.mark.usefixtures("_faked")
def test_the_table_and_the_reasons_below_it(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, "--top", "2").splitlines()
    assert lines[0].startswith("net.onnx on epyc-zen5.tvm: 10 operators, ")
    assert "measured ms" not in lines[2]
    assert lines[3].split()[-1] == "chosen"
    (default,) = (line for line in lines if line.endswith("default"))
    assert default.split() == ["tvm", "7", "13.50", "+0.0%", "13.50", "9.000", "default"]
    assert any(
        line.startswith("The chosen plan is predicted to save 1.500 ms of the default's (11.1%)") for line in lines
    )
    changes = [line.split() for line in lines if "join " in line]
    assert sum(int(places) for _, places, *_ in changes) == BLOCKS


@pytest.mark.usefixtures("_faked")
def test_the_default_may_be_kept(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    models = SimpleNamespace(narformer=ConstantModel(1.0), kernel_sum=None, flops=None, costs=None)
    monkeypatch.setattr(plan_models, "open_plan_models", lambda profile_id: models)
    out = printed(capsys, "--top", "1")
    assert "default, chosen" in out
    assert "TVM's default is kept" in out


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["rank", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    return captured.err


def test_a_runtime_that_makes_its_own_plans_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = str(tmp_path / "net.onnx")
    assert "choose another --profile" in refused(capsys, path, "--profile", "epyc-zen5.onnxruntime")


def test_a_profile_without_an_artifact_says_how_to_get_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tvm_narcost.models.folders._ARTIFACTS", tmp_path)
    monkeypatch.setattr(verb, "_open_network", lambda model, shapes, profile: FakeNetwork())
    message = refused(capsys, "net.onnx")
    assert "narcost profile --plans" in message
    assert "narcost train --profile epyc-zen5.tvm" in message


def test_other_formats_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert "rank_fusions(module, target, profile)" in refused(capsys, "net.pt2")


def test_a_missing_runtime_says_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tvm_narcost.measure.runtime.find_spec", lambda package: None)
    assert "needs tvm, which is not installed: run pip install" in refused(capsys, str(tmp_path / "net.onnx"))
