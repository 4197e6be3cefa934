"""The ``default`` NAR-Former as a LatencyModel: plans in, milliseconds with their breakdown out."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hardware_profiles import HardwareProfile
from relay_frontend.graph import OpGraph
from relay_frontend.plan import FusionPlan
from tvm_narcost.errors import ArtifactError
from tvm_narcost.models.artifact import ArtifactFacts, read_artifact, write_artifact
from tvm_narcost.models.narformer import NarFormer, NarFormerConfig
from tvm_narcost.predictor import Prediction
from tvm_narcost.tokens import default
from tvm_narcost.tokens.facts import KernelFacts, kernel_facts
from tvm_narcost.tokens.roofline import roofline
from tvm_narcost.tokens.sequence import TokenBatch, pad_tokens

__all__ = ["NarFormerLatency"]

_WHOLE = ("mean", "scale")  # what tokens are standardised with is stored in full precision
_FOREIGN_SHARE = 0.05  # of the predicted time in kernels unlike training, above which a network is flagged


@dataclass(frozen=True)
class NarFormerLatency:
    """Several NAR-Formers that were trained alike from different seeds; their mean logarithm is the prediction."""

    networks: tuple[NarFormer, ...]
    facts: ArtifactFacts

    def predict(
        self, graphs: Sequence[OpGraph], plans: Sequence[FusionPlan], profile: HardwareProfile
    ) -> list[Prediction]:
        """See :class:`tvm_narcost.predictor.LatencyModel`; ``graphs`` are not needed."""
        if not plans:
            return []
        described = [kernel_facts(plan) for plan in plans]
        tokens = [default.encode_kernels(facts, profile).values for facts in described]
        logs = self._log_efficiency(pad_tokens(tokens)) if any(map(len, tokens)) else np.zeros((len(plans), 0))
        return [
            self._prediction(plan, facts, values, roofline(facts, profile).yardstick_us * np.exp(log[: len(values)]))
            for plan, facts, values, log in zip(plans, described, tokens, logs, strict=True)
        ]

    def _log_efficiency(self, batch: TokenBatch) -> NDArray[np.float64]:
        tokens, mask = torch.from_numpy(batch.values), torch.from_numpy(batch.mask)
        with torch.inference_mode():
            total = sum((network(tokens, mask) for network in self.networks), start=torch.zeros(()))
        mean: NDArray[np.float64] = (total / len(self.networks)).double().numpy()
        return mean

    def _prediction(
        self, plan: FusionPlan, facts: KernelFacts, tokens: NDArray[np.float32], kernels_us: NDArray[np.float64]
    ) -> Prediction:
        latency_ms = float(kernels_us.sum()) / 1e3
        spread = math.exp(self.facts.interval_log_ratio)
        unknown = tuple(sorted(set(facts.ops) - set(self.facts.operators_seen)))
        foreign = self._foreign(tokens)
        share = float(kernels_us[foreign].sum() / kernels_us.sum()) if len(kernels_us) else 0.0
        return Prediction(
            latency_ms=latency_ms,
            interval_ms=(latency_ms / spread, latency_ms * spread),
            kernels_ms=tuple(float(value) / 1e3 for value in kernels_us),
            planner=plan.planner,
            out_of_distribution=bool(unknown) or share > _FOREIGN_SHARE,
            unknown_operators=unknown,
        )

    def _foreign(self, tokens: NDArray[np.float32]) -> NDArray[np.bool_]:
        """[kernels] true where a kernel's token leaves the range that training saw."""
        low, high = (np.array(limit, np.float32) for limit in self.facts.token_limits)
        # Columns are logarithms to base 2 or flags: half a unit more than training saw is 40 % more of a quantity.
        outside: NDArray[np.bool_] = np.any((tokens < low - 0.5) | (tokens > high + 0.5), axis=1)
        return outside

    def save(self, folder: Path) -> None:
        """Write the artifact; weights in half precision, which moves a prediction by about a thousandth."""
        weights = {
            f"{member}.{name}": value.numpy() if name in _WHOLE else value.half().numpy()
            for member, network in enumerate(self.networks)
            for name, value in network.state_dict().items()
        }
        write_artifact(folder, self.facts, weights)

    @classmethod
    def open(cls, folder: Path) -> "NarFormerLatency":
        """Read an artifact.

        Raises:
            ArtifactError: missing, corrupt, of another schema, or weights that do not fit the config.
        """
        facts, weights = read_artifact(folder)
        if (facts.kind, facts.schema, facts.schema_version) != ("narformer", default.NAME, default.VERSION):
            raise ArtifactError(
                f"artifact {folder}: {facts.kind} on schema {facts.schema} {facts.schema_version}, "
                f"expected narformer on {default.NAME} {default.VERSION}; train it again or install its narcost"
            )
        try:
            networks = _build(facts, weights)
        except (KeyError, TypeError, ValueError, RuntimeError, OverflowError) as error:
            reason = " ".join(str(error).split())
            raise ArtifactError(
                f"artifact {folder}: weights do not fit its config ({reason}); copy or train it again"
            ) from error
        return cls(networks, facts)

    @staticmethod
    def config_facts(config: NarFormerConfig, members: int) -> dict[str, object]:
        """The config as an artifact keeps it, and as JSON gives it back."""
        return {**asdict(config), "fusion_queries": list(config.fusion_queries), "members": members}


def _build(facts: ArtifactFacts, weights: Mapping[str, NDArray[Any]]) -> tuple[NarFormer, ...]:
    """The networks of an artifact; any of a dozen exceptions when its parts do not belong together."""
    sizes = {**facts.config, "fusion_queries": tuple(facts.config["fusion_queries"])}
    members = sizes.pop("members")
    states: dict[str, dict[str, torch.Tensor]] = {}
    for name, value in weights.items():
        prefix, _, own_name = name.partition(".")
        expected = np.float32 if own_name in _WHOLE else np.float16
        if value.dtype != expected:
            raise ValueError(f"{name} is {value.dtype}, expected {np.dtype(expected)}")
        states.setdefault(prefix, {})[own_name] = torch.from_numpy(value.astype(np.float32))
    if set(states) != set(map(str, range(len(states)))) or len(states) != members:
        raise ValueError(f"weights of members {sorted(states)}, expected {members}")
    config = NarFormerConfig(**sizes)
    width = len(facts.token_limits[0])
    if not config.output == "kernels" or not config.token_width == width == default.WIDTH:
        raise ValueError(
            f"{config.output} from tokens {config.token_width} wide with limits {width} wide, expected kernels from "
            f"tokens {default.WIDTH} wide"
        )
    # Sizes out of a corrupt file must not allocate what the file has no weights for.
    blocks = config.encoder_blocks + 3 * len(config.fusion_queries)
    fewest = blocks * (4 + 2 * config.feed_forward_ratio) * config.model_width**2
    networks = []
    for member in range(members):
        state = states[str(member)]
        if sum(value.numel() for value in state.values()) < fewest:
            raise ValueError(f"member {member} has fewer than {fewest} weights")
        network = NarFormer(config)
        network.load_state_dict(state)
        if not bool((network.scale > 0).all()):
            raise ValueError(f"member {member}: scale is not positive")
        networks.append(network.eval())
    return tuple(networks)
