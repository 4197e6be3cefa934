"""MetaSchedule's own loggers, as a process has them that has not tuned yet."""

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def fresh_logger() -> Iterator[None]:
    """Take away what an earlier tuning in this process left: TVM sets no loggers up over a handler without name."""
    logger = logging.getLogger("tvm.s_tir.meta_schedule")
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
    logger.propagate = True  # to one that keeps its records to itself pytest adds handlers without a name
    yield
