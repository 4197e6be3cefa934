"""PlanTimes: how the plans of one graph compare by PlanCosts, kernel by kernel.

A kernel of one operator takes the same in every plan, and a fused one a multiple of what its operators take apart:
errors of what an operator takes are in all plans alike, and what is left is what fusing it gains or loses.
"""

import numpy as np
from numpy.typing import NDArray

from hardware_profiles import HardwareProfile
from relay_frontend.graph import OpGraph
from relay_frontend.plan import FusionPlan
from tvm_narcost.models.plan_costs import PlanCosts
from tvm_narcost.tokens.fused import fused_row
from tvm_narcost.tokens.work import PlanWork

__all__ = ["PlanTimes"]


class PlanTimes:
    """Compares plans of one graph; a fused kernel is looked at once, whatever plan it is in."""

    def __init__(self, graph: OpGraph, profile: HardwareProfile, costs: PlanCosts) -> None:
        """Nothing is compared yet."""
        self._graph = graph
        self._costs = costs
        self._work = PlanWork(graph, profile)
        apart = FusionPlan(graph, tuple((index,) for index in range(len(graph.nodes))), "none")
        self._apart = self._work.of(apart)
        self._apart_us = costs.kernels_us(self._apart)
        self._ratios: dict[tuple[int, ...], float] = {}

    def by_cost_us(self, plan: FusionPlan) -> NDArray[np.float64]:
        """Time of each kernel by what its work costs, [kernels]."""
        return self._costs.kernels_us(self._work.of(plan))

    def kernels_us(self, plan: FusionPlan) -> NDArray[np.float64]:
        """Time of each kernel by its operators' apart and what it gains by fusing them, [kernels]."""
        if self._costs.gains is None:
            return self.by_cost_us(plan)
        self._learn_ratios(plan)
        return np.array(
            [self._ratios.get(members, 1.0) * self._apart_us[list(members)].sum() for members in plan.kernels]
        )

    def fused_rows(self, plan: FusionPlan) -> dict[tuple[int, ...], NDArray[np.float64]]:
        """The row of FUSED of each kernel of several operators that was not asked about before."""
        new = [place for place, members in enumerate(plan.kernels) if len(members) > 1 and members not in self._ratios]
        work = self._work.of(plan) if new else self._apart
        costs = self._costs.vector
        return {
            plan.kernels[place]: fused_row(
                self._graph, plan.kernels[place], work[place], self._apart[list(plan.kernels[place])].sum(axis=0), costs
            )
            for place in new
        }

    def _learn_ratios(self, plan: FusionPlan) -> None:
        rows = self.fused_rows(plan)
        if rows:
            ratios = np.exp(self._costs.log_ratios(np.stack(list(rows.values()))))
            self._ratios |= dict(zip(rows, ratios.tolist(), strict=True))
