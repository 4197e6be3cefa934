"""The field's graph networks as predictors of an evaluation: encode, train, predict.

Each takes as many steps as one core takes in about four minutes on networks of 160 operators, however many networks
there are: with fewer of them it sees each more often.
"""

from collections.abc import Callable, Sequence

from hardware_profiles import HardwareProfile
from tvm_narcost.models.graph_network import GraphNetwork
from tvm_narcost.models.narformer_v2 import NarFormerV2, NarFormerV2Config
from tvm_narcost.models.nn_former import NnFormer, NnFormerConfig
from tvm_narcost.models.nnlp import Nnlp, NnlpConfig
from tvm_narcost.tokens.graph_features import GraphFeatures, encode_features
from tvm_narcost.training.examples import Example
from tvm_narcost.training.graph_loop import GraphSettings, train_graph_network
from tvm_narcost.training.splits import Split

__all__ = ["predict_narformer_v2", "predict_nn_former", "predict_nnlp"]


def predict_nnlp(split: Split[Example], profile: HardwareProfile, seed: int) -> list[float]:
    """Latencies of the test part in milliseconds, by an NNLP trained on the rest."""
    return _predict(lambda: Nnlp(NnlpConfig()), split, steps=2800, seed=seed)


def predict_narformer_v2(split: Split[Example], profile: HardwareProfile, seed: int) -> list[float]:
    """Latencies of the test part in milliseconds, by a NAR-Former V2 trained on the rest."""
    return _predict(lambda: NarFormerV2(NarFormerV2Config()), split, steps=1500, seed=seed)


def predict_nn_former(split: Split[Example], profile: HardwareProfile, seed: int) -> list[float]:
    """Latencies of the test part in milliseconds, by an NN-Former trained on the rest."""
    return _predict(lambda: NnFormer(NnFormerConfig()), split, steps=1500, seed=seed)


def _predict(build: Callable[[], GraphNetwork], split: Split[Example], *, steps: int, seed: int) -> list[float]:
    steps_an_epoch = -(-len(split.train) // GraphSettings().batch)
    settings = GraphSettings(epochs=-(-steps // steps_an_epoch))
    model = train_graph_network(build, _encoded(split.train), _encoded(split.validation), settings, seed)
    return model.latencies_ms([features for features, _ in _encoded(split.test)])


def _encoded(examples: Sequence[Example]) -> list[tuple[GraphFeatures, float]]:
    return [(encode_features(example.graph), example.latency_us / 1e3) for example in examples]
