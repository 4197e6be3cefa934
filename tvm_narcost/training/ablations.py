"""Ablations of the default NAR-Former: one thing of it is changed at a time, all else stays (the paper's Table 5)."""

import dataclasses
from collections.abc import Mapping, Sequence

from hardware_profiles import HardwareProfile
from tvm_narcost.models.kernel_ensemble import KernelEnsemble
from tvm_narcost.tokens import default
from tvm_narcost.training.ensemble import ensemble_us
from tvm_narcost.training.evaluate import Predictor, network_ms
from tvm_narcost.training.examples import Example
from tvm_narcost.training.loop import DEFAULT_CONFIG, TrainingSettings, train_network
from tvm_narcost.training.splits import Split

__all__ = ["ABLATIONS"]

_HEAD = len(default.OPERATORS) + len(default.CATEGORIES) + len(default.ACTIVATIONS)
_COLUMN = {name: _HEAD + index for index, name in enumerate(default.QUANTITIES)}
_CONTEXT = (
    "inputs", "outputs", "consumers", "input_age_kernels", "input_age_bytes", "oldest_age_kernels", "oldest_age_bytes",
    "from_graph_input", "network_footprint_l3",
)  # fmt: skip
_PAPER_LIKE = (  # what the paper's tokens tell of a node: its operator, attributes and output shape
    "batch", "in_channels", "out_channels", "out_h", "out_w", "kernel_h", "kernel_w", "stride_h", "stride_w", "group",
)  # fmt: skip


def _variant(
    *,
    config: Mapping[str, object] = {},
    settings: Mapping[str, object] = {},
    blank: Sequence[int] = (),
    members: int = 1,
) -> Predictor:
    """The default NAR-Former with some of its config or settings replaced, and token columns set to zero."""

    def predict(split: Split[Example], profile: HardwareProfile, seed: int) -> list[float]:
        train, test = _blanked(split.train, blank), _blanked(split.test, blank)
        changed = dataclasses.replace(DEFAULT_CONFIG, **config)  # type: ignore[arg-type]  # checked by the config
        chosen = dataclasses.replace(TrainingSettings(), **settings)  # type: ignore[arg-type]
        networks = [train_network(train, chosen, seed + 100 * member, config=changed) for member in range(members)]
        return network_ms(ensemble_us(KernelEnsemble(tuple(network.trained() for network in networks), None), test))

    return predict


def _blanked(examples: Sequence[Example], columns: Sequence[int]) -> list[Example]:
    if not columns:
        return list(examples)
    changed = []
    for example in examples:
        tokens = example.tokens.copy()
        tokens[:, columns] = 0.0
        changed.append(dataclasses.replace(example, tokens=tokens))
    return changed


def _other_quantities(kept: Sequence[str]) -> list[int]:
    unknown = set(kept) - set(_COLUMN)
    if unknown:
        raise KeyError(
            f"{sorted(unknown)}: no such columns of schema {default.NAME}, expected some of {sorted(_COLUMN)}"
        )
    return [column for name, column in _COLUMN.items() if name not in kept]


ABLATIONS: Mapping[str, Predictor] = {
    "default": _variant(),
    "topology concatenated": _variant(config={"topology": "concat"}),
    "topology added": _variant(config={"topology": "add"}),
    "pooling in stages": _variant(config={"pooling": "fusion"}),
    "no pooled vector": _variant(config={"pooling": "none"}),
    "with sequence-ranking loss": _variant(settings={"ranking_weight": 0.1}),
    "no kernel labels": _variant(settings={"token_weight": 0.0}),
    "no context columns": _variant(blank=[_COLUMN[name] for name in _CONTEXT]),
    "operator and shape tokens": _variant(blank=_other_quantities(_PAPER_LIKE)),
    "three members": _variant(members=3),
}
"""Name -> predictor, as in evaluate.PREDICTORS. The default leaves topology out and pools by the mean."""
