"""narcost report: the page says what was predicted, loads nothing and believes no name."""

import dataclasses
import re
from html.parser import HTMLParser
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

import tvm_narcost
from hardware_profiles import load_profile
from tests.cli.test_predict import KERNELS, PREDICTION, FakePredictor
from tvm_narcost.api import NetworkPrediction
from tvm_narcost.cli.main import main
from tvm_narcost.cli.report_page import report_page

NASTY = "<script>alert(1)</script>\"onmouseover='x'"


class Page(HTMLParser):
    """Tags with their attributes, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def widths(self) -> list[float]:
        """Shares of the kernels in the order in which they run."""
        styles = [str(attributes.get("style", "")) for _, attributes in self.tags]
        return [float(found[1]) for style in styles if (found := re.match(r"flex: ([\d.]+) 1 0", style))]


def page_of(*predictions: NetworkPrediction, measured_ms: float | None = None, doubts: str = "") -> Page:
    every = len(predictions)
    return Page(report_page(predictions, [measured_ms] * every, [doubts] * every, command="narcost report", made="now"))


def test_the_page_says_what_was_predicted_of_each_profile() -> None:
    other = dataclasses.replace(PREDICTION, profile="other.tvm", latency_ms=99.0, interval_ms=(90.0, 110.0))
    page = page_of(PREDICTION, other)
    for words in ("net.onnx", "box.onnxruntime", "12.35", "11.00 - 14.00", "other.tvm", "99.00", "90.00 - 110.0"):
        assert words in page.text
    assert "4.09 GFLOPs, 25.00 M parameters" in page.text


def test_a_measurement_and_a_doubt_are_shown_where_there_are_any() -> None:
    plain, told = page_of(PREDICTION), page_of(PREDICTION, measured_ms=13.37, doubts="unlike any network in training")
    assert "Trust this less" not in plain.text
    assert "Trust this less: unlike any network in training." in told.text
    assert "13.37" in told.text
    assert ("measured" in [tag[1].get("class") for tag in told.tags]) and "red line" not in plain.text


def test_kernels_are_as_wide_as_their_share_in_the_order_in_which_they_run() -> None:
    assert page_of(PREDICTION).widths() == pytest.approx([kernel.share for kernel in KERNELS], abs=1e-6)


def test_a_long_network_has_a_page_of_bounded_size() -> None:
    many = [dataclasses.replace(kernel, share=kernel.share / 400) for kernel in KERNELS * 400]
    names = [dataclasses.replace(kernel, name="n" * 10_000) for kernel in many]
    html = report_page([dataclasses.replace(PREDICTION, kernels=tuple(names))], [None], [""], command="", made="")
    widths = Page(html).widths()
    assert len(widths) == 400
    assert sum(widths) == pytest.approx(1.0, abs=1e-3)
    assert len(html) < 250_000
    assert "9960 more kernels" in Page(html).text


def test_names_of_the_file_are_text_and_nothing_is_loaded() -> None:
    kernel = dataclasses.replace(KERNELS[3], name=NASTY, op=NASTY, category=NASTY, share=1.0)
    page = page_of(dataclasses.replace(PREDICTION, model=NASTY, kernels=(kernel,), notes=(NASTY,)), doubts=NASTY)
    assert "script" not in {tag for tag, _ in page.tags}
    names = {name for _, attributes in page.tags for name in attributes}
    assert names.isdisjoint({"onmouseover", "src", "href"})
    policy = [attributes["content"] for _, attributes in page.tags if attributes.get("http-equiv")]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'"]
    assert page.text.count(NASTY) >= 4


def test_a_network_without_kernels_has_a_page() -> None:
    empty = dataclasses.replace(PREDICTION, kernels=(), tokens=0, latency_ms=0.0, interval_ms=(0.0, 0.0))
    assert page_of(empty).widths() == []


def test_the_verb_writes_the_page_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []

    def load(profile: str) -> FakePredictor:
        asked.append(profile)
        return FakePredictor(dataclasses.replace(PREDICTION, profile=profile))

    monkeypatch.setattr(tvm_narcost, "load", load, raising=False)
    out = tmp_path / "page.html"
    words = ["report", "net.onnx", "--out", str(out)]
    assert main([*words, "--profile", "a.tvm", "--profile", "b.tvm", "--profile", "a.tvm"]) == 0
    assert asked == ["a.tvm", "b.tvm"]
    assert capsys.readouterr().out == f"wrote {out}: net.onnx on a.tvm, b.tvm\n"
    before = out.read_text()
    assert main(words) == 2
    assert "exists already" in capsys.readouterr().err
    assert (out.read_text(), asked) == (before, ["a.tvm", "b.tvm"])
    assert main([*words, "--force"]) == 0
    assert "epyc-zen5.onnxruntime" in out.read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


def test_a_model_that_cannot_be_read_leaves_no_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "net.onnx").write_bytes(b"\xff\xff\xff")
    out = tmp_path / "page.html"
    assert main(["report", str(tmp_path / "net.onnx"), "--out", str(out)]) == 2
    assert "net.onnx" in capsys.readouterr().err
    assert not out.exists()
    assert main(["report", "net.onnx", "--out", str(tmp_path / "none" / "page.html")]) == 2
    assert "no folder" in capsys.readouterr().err


def test_a_real_network_is_predicted(tmp_path: Path) -> None:
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, 8, 8])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, ["batch", 3, 8, 8])
    graph = helper.make_graph(
        [helper.make_node("Sigmoid", ["image"], ["out"], name="gate & more")], "net", [image], [out]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, tmp_path / "net.onnx")
    words = ["report", str(tmp_path / "net.onnx"), "--shape", "image=2x3x8x8", "--out", str(tmp_path / "page.html")]
    assert main(words) == 0
    page = Page((tmp_path / "page.html").read_text())
    predicted = tvm_narcost.load(load_profile("epyc-zen5.onnxruntime").id).predict(
        model, shapes={"image": (2, 3, 8, 8)}
    )
    assert f"{predicted.latency_ms:.3f}" in page.text
    assert "gate & more" in page.text
