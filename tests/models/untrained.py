"""An artifact's worth of small networks that nobody trained."""

import numpy as np
import torch

from tests.training.analytic import PROFILE, examples
from tvm_narcost.models.artifact import FORMAT_VERSION, ArtifactFacts
from tvm_narcost.models.interval import IntervalModel
from tvm_narcost.models.kernel_ensemble import KernelEnsemble
from tvm_narcost.models.narformer import NarFormer
from tvm_narcost.models.narformer_config import NarFormerConfig
from tvm_narcost.models.narformer_latency import NarFormerLatency
from tvm_narcost.models.training_kernels import fit_training_kernels
from tvm_narcost.tokens import default

__all__ = ["INTERVAL", "untrained_narformer"]

_SMALL = NarFormerConfig(output="kernels", token_width=default.WIDTH, model_width=8, heads=2, encoder_blocks=1)

INTERVAL = IntervalModel(
    coverage=0.9,
    intercept=-2.5,
    weights={"slack": 0.5, "disagreement": 0.25, "concentration": 0.0, "far_share": 1.0},
    error_range=(0.01, 0.5),
    quantile=2.0,
)


def untrained_narformer(profile_id: str = PROFILE.id) -> NarFormerLatency:
    """Two members that know the operators and the sizes of the families plain and separable."""
    known = examples(("plain", "separable"), 10)
    torch.manual_seed(0)
    networks = [NarFormer(_SMALL).eval() for _ in range(2)]
    for network in networks:
        network.standardise(torch.from_numpy(np.concatenate([example.tokens for example in known])))
    ensemble = KernelEnsemble(tuple(network.trained() for network in networks), None)
    kernels = fit_training_kernels([(example.operators, example.tokens) for example in known])
    facts = ArtifactFacts(
        format_version=FORMAT_VERSION,
        kind="narformer",
        schema=default.NAME,
        schema_version=default.VERSION,
        profile=profile_id,
        config=NarFormerLatency.config_facts(ensemble),
        dataset={"digest": "0" * 64, "networks": 20},
        metrics={"families_held_out_mape": 5.0},
        interval=INTERVAL,
        distance_limits=kernels.limits,
        command="narcost train",
        narcost_version="0",
        created="2026-01-01T00:00:00+00:00",
    )
    return NarFormerLatency(ensemble, kernels, facts)
