"""The losses, by hand."""

import math

import pytest
import torch
from torch import Tensor

from tvm_narcost.training.losses import kernel_loss, paper_loss, plan_differences, sequence_ranking

YARDSTICK_US = torch.tensor([[2.0, 8.0, 1.0], [4.0, 1.0, 1.0]])
KERNELS_US = torch.tensor([[3.0, 20.0, 0.0], [9.0, 0.0, 0.0]])
MASK = torch.tensor([[True, True, False], [True, False, False]])


def exact_logs() -> Tensor:
    return torch.where(MASK, torch.log(KERNELS_US.clamp_min(1e-6) / YARDSTICK_US), torch.zeros(()))


def test_right_times_cost_nothing_whatever_lies_at_padding() -> None:
    logs = exact_logs()
    logs[~MASK] = 3.0
    assert float(kernel_loss(logs, YARDSTICK_US, KERNELS_US, MASK, 1.0)) == pytest.approx(0.0, abs=1e-6)


def test_times_off_by_a_factor_cost_its_logarithm() -> None:
    loss = kernel_loss(exact_logs() + math.log(2.0), YARDSTICK_US, KERNELS_US, MASK, 0.0)
    # Beyond 5 % the smooth loss is the absolute error less half of that.
    assert float(loss) == pytest.approx(math.log(2.0) - 0.025, abs=1e-5)
    assert float(kernel_loss(exact_logs() - 0.01, YARDSTICK_US, KERNELS_US, MASK, 0.0)) == pytest.approx(
        0.01**2 / (2 * 0.05), rel=1e-2
    )


def test_kernel_that_takes_more_of_the_time_weighs_more() -> None:
    """The network's sum alone does not tell kernels apart; the kernels' term does, by their shares."""
    losses = []
    for kernel in (0, 1):
        logs = exact_logs()
        logs[0, kernel] += 0.5
        with_kernels = kernel_loss(logs, YARDSTICK_US, KERNELS_US, MASK, 1.0)
        losses.append(float(with_kernels - kernel_loss(logs, YARDSTICK_US, KERNELS_US, MASK, 0.0)))
    small, large = losses
    assert large > 2 * small > 0


def test_two_errors_that_cancel_in_the_sum_still_cost() -> None:
    logs = exact_logs()
    logs[0, 0] = math.log(8.0 / 2.0)  # 5 us too much
    logs[0, 1] = math.log(15.0 / 8.0)  # 5 us too little
    assert float(kernel_loss(logs, YARDSTICK_US, KERNELS_US, MASK, 0.0)) == pytest.approx(0.0, abs=1e-6)
    assert float(kernel_loss(logs, YARDSTICK_US, KERNELS_US, MASK, 1.0)) > 0.05


def test_gradient_does_not_reach_padding() -> None:
    logs = torch.zeros(2, 3, requires_grad=True)
    kernel_loss(logs, YARDSTICK_US, KERNELS_US, MASK, 1.0).backward()
    assert logs.grad is not None
    assert (logs.grad[~MASK] == 0).all()
    assert (logs.grad[MASK] != 0).all()


def test_paper_loss_by_hand() -> None:
    predicted, measured = torch.tensor([1.0, 4.0, 2.0]), torch.tensor([2.0, 2.0, 5.0])
    torch.manual_seed(5)
    order = torch.randperm(3)
    torch.manual_seed(5)
    loss = float(paper_loss(predicted, measured, 0.1))
    squares = (1 + 4 + 9) / 3
    error = [-1.0, 2.0, -3.0]  # a difference of differences is a difference of errors
    ranking = sum(abs(error[other] - error[own]) for own, other in enumerate(order.tolist())) / 3
    assert ranking > 0
    assert loss == pytest.approx(squares + 0.1 * ranking, rel=1e-6)


def test_paper_loss_of_a_constant_offset_has_no_ranking_part() -> None:
    measured = torch.tensor([2.0, 2.0, 5.0])
    assert float(paper_loss(measured + 3.0, measured, 0.1)) == pytest.approx(9.0)


def test_sequence_ranking_sees_wrong_differences_but_no_common_factor() -> None:
    torch.manual_seed(0)
    measured = torch.linspace(1.0, 3.0, 16)
    assert float(sequence_ranking(measured + 0.7, measured)) == pytest.approx(0.0, abs=1e-6)
    assert float(sequence_ranking(measured.flip(0), measured)) > 0.3


def test_the_kernel_loss_takes_ranking_in() -> None:
    logs = exact_logs()
    logs[0] += 0.5  # one network of the batch is too slow, the other right
    torch.manual_seed(1)  # a pairing that is no identity
    with_ranking = kernel_loss(logs, YARDSTICK_US, KERNELS_US, MASK, 0.0, 0.1)
    assert float(with_ranking) >= float(kernel_loss(logs, YARDSTICK_US, KERNELS_US, MASK, 0.0))


def test_ratios_between_plans_of_one_network_count() -> None:
    measured = torch.tensor([1.0, 2.0, 5.0, 7.0])
    networks = torch.tensor([0, 0, 1, 1])
    assert plan_differences(measured + torch.tensor([0.5, 0.5, -1.0, -1.0]), measured, networks) == 0
    off = plan_differences(measured + torch.tensor([0.3, 0.0, 0.0, 0.0]), measured, networks)
    assert off == pytest.approx((0.3 - 0.025) / 2)  # one of two pairs, linear beyond 5 %
    alone = torch.tensor([0, 1, -1, -1])  # networks that were cropped are in no pair
    assert plan_differences(torch.zeros(4), measured, alone) == 0


def test_kernel_loss_adds_the_differences() -> None:
    yardstick = torch.ones(2, 1)
    measured = torch.tensor([[1.0], [2.0]])
    logs, mask = torch.zeros(2, 1), torch.ones(2, 1, dtype=torch.bool)
    plain = kernel_loss(logs, yardstick, measured, mask, 1.0)
    both = kernel_loss(logs, yardstick, measured, mask, 1.0, networks=torch.zeros(2), difference_weight=2.0)
    assert both - plain == pytest.approx(2 * (math.log(2) - 0.025))
