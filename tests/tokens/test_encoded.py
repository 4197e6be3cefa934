"""Plans of one graph encoded together are encoded as each by itself."""

import dataclasses

import numpy as np
import pytest

from hardware_profiles import HardwareProfile, load_profile
from relay_frontend.plan import FusionPlan
from tests.tokens.sketch import Sketch, unit_plan
from tvm_narcost.tokens.encoded import PlanEncoder, encode_plan

PROFILE = load_profile("epyc-zen5.onnxruntime")
INLINING = dataclasses.replace(PROFILE, runtime=dataclasses.replace(PROFILE.runtime, name="tvm"))


@pytest.mark.parametrize("profile", [PROFILE, INLINING], ids=["calling", "inlining"])
def test_what_kernels_share_does_not_change_their_tokens(profile: HardwareProfile) -> None:
    sketch = Sketch((1, 16, 8, 8))
    sketch.conv(sketch.conv(sketch.input(), 16, 3), 16, 1)
    graph = sketch.done()
    assert len(graph.nodes) == 2
    encoder = PlanEncoder(graph, profile)
    for plan in (unit_plan(graph), FusionPlan(graph, ((0, 1),), "all"), unit_plan(graph)):
        alone, shared = encode_plan(plan, profile), encoder.encode(plan)
        assert shared.operators == alone.operators
        np.testing.assert_array_equal(shared.tokens, alone.tokens)
        np.testing.assert_array_equal(shared.yardstick_us, alone.yardstick_us)
