"""Candidates whose times follow a formula of their tokens, so that a ranker can learn them and be wrong."""

import numpy as np

from tvm_narcost.tokens.store_tokens import CONTEXT_WIDTH, WIDTH, StoreTokens
from tvm_narcost.training.schedules import MeasuredSchedules


def formula_schedules(workloads: int, candidates: int, seed: int = 0) -> MeasuredSchedules:
    """Up to three stores each; the first three columns say how long a store takes, the last is a bound of no use."""
    random = np.random.default_rng(seed)
    counts = random.integers(1, 4, workloads * candidates)
    values = random.normal(size=(counts.sum(), WIDTH)).astype(np.float32)
    values[:, -1] = 3.0
    seconds = np.exp(0.8 * values[:, 0] - 0.5 * values[:, 1] * (values[:, 2] > 0))
    latency_us = np.add.reduceat(seconds, np.cumsum(counts) - counts).astype(np.float64)
    workload = np.repeat(np.arange(workloads), candidates)
    latency_us *= np.exp(random.normal(size=workloads))[workload]
    context = random.normal(size=(len(counts), CONTEXT_WIDTH)).astype(np.float32)
    names = tuple(f"workload-{index}" for index in range(workloads))
    return MeasuredSchedules(StoreTokens(values, context, counts), latency_us, workload, names)
