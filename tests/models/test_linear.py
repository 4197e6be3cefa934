"""Linear: values and gradients of nn.Linear, for every shape that takes another way."""

import pytest
import torch
from torch import Tensor, nn

from tvm_narcost.models.linear import Linear, padded_rows


def layers(entering: int, leaving: int, bias: bool = True) -> tuple[nn.Linear, Linear]:
    """Two layers drawn from one seed."""
    torch.manual_seed(3)
    expected = nn.Linear(entering, leaving, bias=bias)
    torch.manual_seed(3)
    return expected, Linear(entering, leaving, bias=bias)


def test_parameters_are_those_of_torch() -> None:
    expected, got = layers(24, 40)
    assert expected.state_dict().keys() == got.state_dict().keys()
    assert all(torch.equal(value, got.state_dict()[name]) for name, value in expected.state_dict().items())


@pytest.mark.parametrize(
    ("shape", "leaving", "bias"),
    [
        ((64, 64), 128, True),
        ((77, 64), 128, False),  # padded
        ((3, 70, 64), 128, True),  # batched and padded
        ((5, 64), 128, True),  # too few rows
        ((70, 64), 1, True),  # too few outputs
        ((70, 40), 128, True),  # inputs of an odd width
        ((0, 64), 128, True),
    ],
)
def test_values_and_gradients_agree_to_rounding(shape: tuple[int, ...], leaving: int, bias: bool) -> None:
    results = []
    for layer in layers(shape[-1], leaving, bias):
        torch.manual_seed(4)
        x = torch.randn(shape, requires_grad=True)
        out = layer(x)
        (out * torch.randn(out.shape)).sum().backward()
        gradients = [parameter.grad for parameter in layer.parameters() if parameter.grad is not None]
        results.append([out, x.grad, *gradients])
    assert len(results[0]) == len(results[1]) == 3 + bias
    for expected, got in zip(*results, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)


def test_a_view_that_is_not_contiguous_is_read_as_it_stands() -> None:
    expected, got = layers(64, 128)
    x: Tensor = torch.randn(64, 80).t()
    torch.testing.assert_close(got(x), expected(x), rtol=1e-5, atol=1e-5)


def test_double_precision_stays_double() -> None:
    layer = Linear(64, 128).double()
    assert layer(torch.randn(64, 64).double()).dtype == torch.float64


def test_the_same_input_gives_the_same_bits() -> None:
    _, layer = layers(64, 128)
    x = torch.randn(70, 64)
    assert torch.equal(layer(x), layer(x.clone()))


def test_few_counts_of_rows_are_computed_and_little_is_padded() -> None:
    counts = {padded_rows(rows) for rows in range(16, 4096)}
    assert len(counts) < 140
    assert all(rows <= padded_rows(rows) <= max(1.125 * rows + 1, rows + 15) for rows in range(16, 4096))
    assert padded_rows(24 * 64) == 24 * 64
