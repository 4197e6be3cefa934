"""Linear is torch's layer, whichever library multiplies."""

import pytest
import torch
from torch import nn

from tvm_narcost.models.linear import Linear


def _pair(inputs: int, outputs: int) -> tuple[Linear, nn.Linear]:
    torch.manual_seed(0)
    ours = Linear(inputs, outputs)
    torch.manual_seed(0)
    return ours, nn.Linear(inputs, outputs)


@pytest.mark.parametrize("shape", [(64,), (3, 64), (16, 64), (2, 33, 64), (1, 241, 64), (0, 64)])
@pytest.mark.parametrize("outputs", [1, 16, 96])
def test_inference_gives_what_torch_gives(shape: tuple[int, ...], outputs: int) -> None:
    ours, theirs = _pair(64, outputs)
    x = torch.randn(shape)
    with torch.inference_mode():
        torch.testing.assert_close(ours(x), theirs(x), rtol=1e-5, atol=1e-5)


def test_rows_need_not_lie_one_after_another() -> None:
    ours, theirs = _pair(64, 32)
    x = torch.randn(2, 40, 256)[..., 64:128]
    with torch.inference_mode():
        torch.testing.assert_close(ours(x), theirs(x), rtol=1e-5, atol=1e-5)


def test_gradients_and_double_precision_are_torchs_own() -> None:
    ours, theirs = _pair(64, 32)
    x = torch.randn(40, 64)
    ours(x).square().sum().backward()
    theirs(x).square().sum().backward()
    assert ours.weight.grad is not None and theirs.weight.grad is not None
    assert torch.equal(ours.weight.grad, theirs.weight.grad)
    with torch.inference_mode():
        assert torch.equal(ours.double()(x.double()), theirs.double()(x.double()))


def test_inference_takes_onednn_and_training_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[int] = []
    real = torch.ops.mkldnn._linear_pointwise

    def counting(rows: torch.Tensor, *rest: object) -> torch.Tensor:
        called.append(len(rows))
        out: torch.Tensor = real(rows, *rest)
        return out

    monkeypatch.setattr(torch.ops.mkldnn, "_linear_pointwise", counting)
    layer = Linear(64, 32)
    layer(torch.randn(40, 64))
    assert not called
    if torch.backends.mkldnn.is_available():
        with torch.inference_mode():
            layer(torch.randn(40, 64))
        assert called == [40]
