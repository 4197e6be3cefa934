"""An artifact's worth of small networks that nobody trained."""

import numpy as np
import torch

from tests.training.analytic import PROFILE, examples
from tvm_narcost.models.artifact import FORMAT_VERSION, ArtifactFacts
from tvm_narcost.models.narformer import NarFormer, NarFormerConfig
from tvm_narcost.models.narformer_latency import NarFormerLatency
from tvm_narcost.tokens import default

__all__ = ["untrained_narformer"]

_SMALL = NarFormerConfig(output="kernels", token_width=default.WIDTH, model_width=8, heads=2, encoder_blocks=1)


def untrained_narformer(profile_id: str = PROFILE.id) -> NarFormerLatency:
    """Two members that know the operators and the sizes of the families plain and separable."""
    tokens = np.concatenate([example.tokens for example in examples(("plain", "separable"), 10)])
    torch.manual_seed(0)
    networks = tuple(NarFormer(_SMALL).eval() for _ in range(2))
    for network in networks:
        network.standardise(torch.from_numpy(tokens))
    facts = ArtifactFacts(
        format_version=FORMAT_VERSION,
        kind="narformer",
        schema=default.NAME,
        schema_version=default.VERSION,
        profile=profile_id,
        config=NarFormerLatency.config_facts(_SMALL, 2),
        dataset={"digest": "0" * 64, "networks": 20},
        metrics={"families_held_out_mape": 5.0},
        interval_log_ratio=0.2,
        operators_seen=("Conv", "Relu"),
        token_limits=(tuple(map(float, tokens.min(axis=0))), tuple(map(float, tokens.max(axis=0)))),
        command="narcost train",
        narcost_version="0",
        created="2026-01-01T00:00:00+00:00",
    )
    return NarFormerLatency(networks, facts)
