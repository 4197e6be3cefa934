"""The same module through torch.export and through torch's own ONNX exporter is the same network."""

import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from relay_frontend import InvalidGraphError, TensorType, from_torch, load_graph
from relay_frontend.costs import graph_cost
from relay_frontend.graph import OpGraph
from relay_frontend.onnx import from_onnx
from relay_frontend.passes import canonicalize

# torch's own code warns of its own code.
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(600)]


class Call(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: torch.Tensor) -> Any:
        return self.function(*inputs)


class Residual(nn.Module):
    """A block of ResNet with a projection."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(8, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(inplace=True),
            nn.Conv2d(16, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16),
        )  # fmt: skip
        self.skip = nn.Sequential(nn.Conv2d(8, 16, 1, 2, bias=False), nn.BatchNorm2d(16))
        self.head = nn.Linear(16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.relu(self.body(x) + self.skip(x))
        return self.head(F.max_pool2d(y, 3, 2, 1).mean((2, 3)))  # type: ignore[no-any-return]


class Inverted(nn.Module):
    """A block of MobileNetV3: expand, depthwise, squeeze and excite, project."""

    def __init__(self) -> None:
        super().__init__()
        self.expand = nn.Sequential(nn.Conv2d(8, 24, 1, bias=False), nn.BatchNorm2d(24), nn.Hardswish())
        self.depthwise = nn.Sequential(nn.Conv2d(24, 24, 5, 1, 2, groups=24), nn.BatchNorm2d(24), nn.ReLU6())
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(24, 8, 1), nn.ReLU(), nn.Conv2d(8, 24, 1), nn.Hardsigmoid()
        )
        self.project = nn.Sequential(nn.Conv2d(24, 8, 1, bias=False), nn.BatchNorm2d(8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.depthwise(self.expand(x))
        return x + self.project(y * self.gate(y))  # type: ignore[no-any-return]


class Encoder(nn.Module):
    """A layer of a transformer's encoder."""

    def __init__(self, width: int = 16, heads: int = 2) -> None:
        super().__init__()
        self.heads = heads
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.feed = nn.Sequential(nn.Linear(width, 32), nn.GELU(), nn.Dropout(0.1), nn.Linear(32, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, length, width = x.shape
        qkv = self.qkv(self.first(x)).reshape(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(*qkv.unbind(0))
        x = x + self.out(y.transpose(1, 2).reshape(batch, length, width))
        return x + self.feed(self.second(x))  # type: ignore[no-any-return]


class Text(nn.Module):
    """Embedding, two layers of LSTM that go both ways, the last step's classes."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(50, 8)
        self.layers = nn.LSTM(8, 6, 2, batch_first=True, bidirectional=True)
        self.head = nn.Linear(12, 3)

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        return F.log_softmax(self.head(self.layers(self.table(words))[0][:, -1]), -1)


def activations(x: torch.Tensor) -> Any:
    return (
        F.gelu(x), F.gelu(x, approximate="tanh"), F.silu(x), F.mish(x), F.elu(x), F.selu(x), F.celu(x), F.glu(x),
        F.leaky_relu(x, 0.2), F.softplus(x), F.softplus(x, 2), F.hardtanh(x), F.logsigmoid(x), F.threshold(x, 0, 0),
    )  # fmt: skip


def arithmetic(x: torch.Tensor, y: torch.Tensor) -> Any:
    return (
        x * 2, 1 - x, torch.add(x, y, alpha=3), x**2, 2**y, x.rsqrt(), x.clamp(0, 1), x.clamp(min=0.5), x.remainder(2),
        torch.where(x > 0, y, x), x.masked_fill(y > 1, -1e9), torch.atan2(x, y), torch.maximum(x, y), x.log1p(),
        torch.addcmul(x, x, y, value=0.5), x != 3, x.fmod(2), x.argmax(1) * 0.5, ~(x > 4), torch.div(x, 5),
    )  # fmt: skip


def reductions(x: torch.Tensor) -> Any:
    return (
        x.mean((1, 2)), x.sum(), x.amax(1, keepdim=True), *x.max(2), x.argmin(0), x.prod(1), x.logsumexp(1), x.var(-1),
        x.std((0, 2)), (x > 0).any(1), (x > 1).all(2), x.cumsum(1), *x.topk(2), x.sort(1)[0], x.norm(dim=1),
        F.softmax(x, 1), F.cosine_similarity(x, x * 2, 1),
    )  # fmt: skip


def movement(x: torch.Tensor) -> Any:
    return (
        x.transpose(1, 2), x.flatten(1), x.flatten(0, 1), x[:, 1:], x[:, 0], torch.cat([x, x], 1), x.unsqueeze(1),
        torch.stack([x, x], -1), x.expand(3, 4, 6), x.repeat(2, 1, 1), x.roll(1, 1), x.flip(2), x.split([1, 3], 1),
        x.tril(1), x[:, torch.tensor([0, 2])], x.repeat_interleave(2, 1), x.squeeze(0), x.unbind(1), x.reshape(2, 12),
        torch.gather(x, 1, x.argmax(1, keepdim=True)),
    )  # fmt: skip


def images(x: torch.Tensor) -> Any:
    return (
        F.interpolate(x, scale_factor=2), F.interpolate(x, (12, 12), mode="bilinear"), F.avg_pool2d(x, 3, 2, 1),
        F.interpolate(x, scale_factor=2, mode="bicubic"), F.pixel_shuffle(x, 2), F.pixel_unshuffle(x, 2),
        F.pad(x, (1, 2, 3, 4)), F.pad(x, (1, 1, 1, 1), mode="reflect"), F.adaptive_avg_pool2d(x, 4),
        F.max_pool2d(x, 3, 2, 1, ceil_mode=True), F.avg_pool2d(x, 2, count_include_pad=False), F.instance_norm(x),
    )  # fmt: skip


def attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor) -> Any:
    return (
        F.scaled_dot_product_attention(q, k, v, attn_mask=mask),
        F.scaled_dot_product_attention(q, k, v, scale=0.3),
        torch.einsum("bhqd,bhkd->bhqk", q, k),
        torch.baddbmm(q.squeeze(0), k.squeeze(0), v.squeeze(0), alpha=0.5, beta=2),
        q @ k.transpose(-1, -2),
    )


def causal(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


R = torch.rand
NETWORKS: dict[str, tuple[nn.Module, tuple[torch.Tensor, ...]]] = {
    "residual": (Residual(), (R(2, 8, 16, 16),)),
    "inverted": (Inverted(), (R(1, 8, 14, 14),)),
    "encoder": (Encoder(), (R(1, 5, 16),)),
    "text": (Text(), (torch.ones(2, 5, dtype=torch.int64),)),
    "gru": (nn.GRU(4, 6, batch_first=True), (R(1, 5, 4),)),
    "signal": (
        nn.Sequential(nn.Conv1d(4, 8, 3, padding="same"), nn.GroupNorm(2, 8), nn.ConvTranspose1d(8, 4, 3, 2, 1, 1)),
        (R(1, 4, 16),),
    ),
    "volume": (nn.Sequential(nn.Conv3d(2, 4, 3), nn.MaxPool3d(2), nn.AvgPool3d(3), nn.PReLU(4)), (R(1, 2, 8, 8, 8),)),
    "linear": (nn.Sequential(nn.Linear(8, 6, bias=False), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 2)), (R(3, 8),)),
    "activations": (Call(activations), (R(2, 8),)),
    "arithmetic": (Call(arithmetic), (R(2, 8), R(2, 8))),
    "reductions": (Call(reductions), (R(1, 4, 6),)),
    "movement": (Call(movement), (R(1, 4, 6),)),
    "images": (Call(images), (R(1, 4, 8, 8),)),
    "attention": (Call(attention), (R(1, 2, 8, 8), R(1, 2, 8, 8), R(1, 2, 8, 8), R(1, 1, 8, 8))),
    "causal": (Call(causal), (R(1, 2, 5, 8), R(1, 2, 5, 8), R(1, 2, 5, 8))),
}


def through_onnx(module: nn.Module, inputs: tuple[torch.Tensor, ...], path: Path) -> OpGraph:
    """By torch's own exporter; the newer one needs packages that are not here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module, inputs, path, dynamo=False, opset_version=20)
    return canonicalize(from_onnx(onnx.load(path)))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_module_is_the_same_network_live_from_a_file_and_as_onnx(name: str, tmp_path: Path) -> None:
    module, inputs = NETWORKS[name]
    module.eval()
    live, exported = from_torch(module, inputs), through_onnx(module, inputs, tmp_path / "net.onnx")
    torch.export.save(torch.export.export(module, inputs), tmp_path / "net.pt2")

    assert Counter(node.op for node in live.nodes) == Counter(node.op for node in exported.nodes)
    ours, theirs = graph_cost(live), graph_cost(exported)
    assert (ours.flops, ours.parameters) == (theirs.flops, theirs.parameters)
    assert live.structural_hash() == exported.structural_hash()
    assert load_graph(tmp_path / "net.pt2").structural_hash() == live.structural_hash()


def test_a_module_stays_as_it_was_and_is_read_as_at_inference() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5))
    module[1].eval()
    graph = from_torch(module, (R(1, 3, 8, 8),), name="net")

    assert [node.op for node in graph.nodes] == ["Conv"]
    assert [part.training for part in module.modules()] == [True, True, False, True]
    assert (graph.name, graph.inputs) == ("net", (("input", TensorType((1, 3, 8, 8), "float32")),))


def test_a_program_with_dynamic_dimensions_is_refused_with_their_names(tmp_path: Path) -> None:
    from relay_frontend import DynamicShapeError

    shapes = {"input": {0: torch.export.Dim("batch", min=2, max=8)}}
    program = torch.export.export(nn.Linear(4, 2), (R(3, 4),), dynamic_shapes=shapes)
    torch.export.save(program, tmp_path / "net.pt2")

    with pytest.raises(DynamicShapeError, match=r"'input' has \[s\d+, 4\].*without dynamic_shapes"):
        load_graph(tmp_path / "net.pt2")


def test_a_module_that_cannot_be_exported_says_why() -> None:
    def branch(x: torch.Tensor) -> torch.Tensor:
        return x.sin() if x.sum() > 0 else x.cos()

    with pytest.raises(InvalidGraphError, match="torch.export cannot capture Call"):
        from_torch(Call(branch), (R(4),))
    with pytest.raises(InvalidGraphError, match="expected a torch.nn.Module"):
        from_torch(lambda x: x, (R(4),))  # type: ignore[arg-type]
