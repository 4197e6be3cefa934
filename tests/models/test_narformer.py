"""NarFormer: shapes, padding, seeds, fusion stages, depth token, head."""

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tvm_narcost.models.narformer import FusionStage, NarFormer
from tvm_narcost.models.narformer_config import NarFormerConfig
from tvm_narcost.models.narformer_paper import PAPER_CONFIG, PAPER_NARROW_CONFIG

KERNELS = NarFormerConfig(output="kernels", token_width=12, model_width=16, heads=4, encoder_blocks=2)
NETWORK = NarFormerConfig(
    output="network", token_width=12, model_width=16, heads=4, encoder_blocks=2, static_width=48, depth_token=True
)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def built(config: NarFormerConfig, seed: int = 0) -> NarFormer:
    torch.manual_seed(seed)
    network = NarFormer(config).eval()
    network.standardise(torch.randn(50, config.token_width) * 3 + 1)
    return network


def forward(network: NarFormer, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
    """Run a network with a static feature and depth codes where it takes them; the same ones for every call."""
    config, batch = network.config, len(tokens)
    mask = torch.ones(tokens.shape[:2], dtype=torch.bool) if mask is None else mask
    depth_code = torch.linspace(-1, 1, config.token_width).expand(batch, -1) if config.depth_token else None
    static = torch.linspace(-1, 1, config.static_width).expand(batch, -1) if config.static_width else None
    with torch.inference_mode():
        output: Tensor = network(tokens, mask, depth_code, static)
    return output


@pytest.mark.parametrize(("config", "shape"), [(KERNELS, (3, 7)), (NETWORK, (3,))])
def test_one_value_a_token_or_one_a_network(config: NarFormerConfig, shape: tuple[int, ...]) -> None:
    output = forward(built(config), torch.randn(3, 7, 12))
    assert output.shape == shape
    assert output.unique().numel() == output.numel()


@pytest.mark.parametrize("config", [KERNELS, NETWORK])
@pytest.mark.parametrize("length", [1, 5, 9])
def test_padding_does_not_change_a_network(config: NarFormerConfig, length: int) -> None:
    network = built(config)
    tokens = torch.randn(2, 9, 12)
    mask = torch.ones(2, 9, dtype=torch.bool)
    mask[0, length:] = False
    tokens[0, length:] = 1e3  # whatever lies at padding takes no part
    alone = forward(network, tokens[:1, :length])[0]
    padded = forward(network, tokens, mask)[0]
    if config.output == "kernels":
        padded = padded[:length]
    torch.testing.assert_close(padded, alone, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("config", [KERNELS, NETWORK])
def test_prediction_is_deterministic_and_training_is_not(config: NarFormerConfig) -> None:
    network, tokens = built(config), torch.randn(2, 6, 12)
    assert torch.equal(forward(network, tokens), forward(network, tokens))
    network.train()
    assert not torch.equal(forward(network, tokens), forward(network, tokens))


def test_the_seed_decides_the_weights() -> None:
    first, again, other = (built(KERNELS, seed).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["embed.weight"], other["embed.weight"])


def test_kernels_know_where_they_are_by_their_tokens_alone() -> None:
    """Attention has no order of its own: permuted tokens give permuted values."""
    network, tokens, order = built(KERNELS), torch.randn(1, 6, 12), torch.tensor([3, 0, 5, 1, 4, 2])
    torch.testing.assert_close(
        forward(network, tokens[:, order]), forward(network, tokens)[:, order], atol=1e-5, rtol=1e-4
    )


def test_a_kernel_sees_the_others() -> None:
    network, tokens = built(KERNELS), torch.randn(1, 6, 12)
    changed = tokens.clone()
    changed[0, 5] += 1.0
    assert (forward(network, changed)[0, :5] != forward(network, tokens)[0, :5]).all()


@pytest.mark.parametrize("config", [KERNELS, NETWORK])
def test_fusion_stages_ask_with_four_two_and_one_queries(config: NarFormerConfig) -> None:
    """Each stage aggregates what the one before gave, then fuses in the tokens again (paper, section 3.3)."""
    network = built(config)
    seen: list[tuple[int, int]] = []

    def note(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        x, _, memory = inputs
        seen.append((x.shape[1], memory.shape[1]))

    for stage in network.stages:
        assert isinstance(stage, FusionStage)
        stage.aggregate.register_forward_pre_hook(note)
        stage.fuse.register_forward_pre_hook(note)
    forward(network, torch.randn(2, 7, 12))
    tokens = 7 + int(config.depth_token)
    assert seen == [(4, tokens), (4, tokens), (2, 4), (2, tokens), (1, 2), (1, tokens)]


def test_depth_token_is_the_last_one_and_not_negative() -> None:
    network = built(NETWORK)
    entered: list[Tensor] = []
    network.blocks[0].register_forward_pre_hook(lambda module, inputs: entered.append(inputs[0]))
    forward(network, torch.randn(2, 7, 12))
    assert entered[0].shape == (2, 8, 16)
    last, before = entered[0][:, -1], entered[0][:, :-1]
    assert (last >= 0).all()
    assert (last > 0).any()
    assert (before < 0).any()


def test_depth_and_static_feature_take_part() -> None:
    network, tokens, mask = built(NETWORK), torch.randn(1, 5, 12), torch.ones(1, 5, dtype=torch.bool)
    depth_code, static = torch.randn(1, 12), torch.randn(1, 48)
    with torch.inference_mode():
        values = {float(network(tokens, mask, depth_code + i, static + j)) for i in (0.0, 1.0) for j in (0.0, 1.0)}
    assert len(values) == 4


@pytest.mark.parametrize(
    ("config", "widths"),
    [
        (PAPER_CONFIG, [960 + 256, 608, 304, 152, 1]),
        (PAPER_NARROW_CONFIG, [96 + 256, 176, 88, 44, 1]),
        (NETWORK, [64, 32, 16, 8, 1]),
    ],
)
def test_head_halves_its_width_and_ends_without_activation(config: NarFormerConfig, widths: list[int]) -> None:
    # One block is enough to see the head, and the paper's whole model takes seconds to make.
    network = NarFormer(dataclasses.replace(config, encoder_blocks=1, fusion_queries=(1,)))
    assert isinstance(network.head, nn.Sequential)
    linear = [layer for layer in network.head if isinstance(layer, nn.Linear)]
    assert [linear[0].in_features, *(layer.out_features for layer in linear)] == widths
    assert isinstance(network.head[-1], nn.Linear)


def test_paper_tokens_enter_as_they_are() -> None:
    wide = NarFormer(dataclasses.replace(PAPER_CONFIG, encoder_blocks=1, fusion_queries=(1,)))
    assert isinstance(wide.embed, nn.Identity)
    assert (PAPER_CONFIG.encoder_blocks, PAPER_CONFIG.fusion_queries) == (6, (4, 2, 1))
    assert PAPER_CONFIG.model_width // PAPER_CONFIG.heads == 32


def test_standardise_gives_columns_of_mean_0_and_deviation_1() -> None:
    network = NarFormer(KERNELS)
    tokens = torch.randn(400, 12) * torch.arange(1, 13) + 5
    tokens[:, 3] = 7.0
    network.standardise(tokens)
    standard = (tokens - network.mean) / network.scale
    torch.testing.assert_close(standard.mean(dim=0), torch.zeros(12), atol=1e-4, rtol=0)
    expected = torch.ones(12)
    expected[3] = 0.0  # a column that never varied in training
    torch.testing.assert_close(standard.std(dim=0), expected, atol=1e-4, rtol=0)


def test_quantity_far_beyond_training_is_cut_off() -> None:
    network, tokens = built(KERNELS), torch.zeros(1, 2, 12)
    tokens[0, 0, 0] = 1e4
    further = tokens.clone()
    further[0, 0, 0] = 1e8
    assert torch.equal(forward(network, tokens), forward(network, further))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"output": "layers"}, "'layers'"),
        ({"heads": 3}, "multiple of heads 3"),
        ({"heads": 0}, "heads 0"),
        ({"model_width": 10**9}, "model_width 1000000000"),
        ({"encoder_blocks": 10**9, "token_width": 0}, "token_width 0, encoder_blocks 1000000000"),
        ({"feed_forward_ratio": -1}, "feed_forward_ratio -1"),
        ({"fusion_queries": ()}, "fusion_queries"),
        ({"fusion_queries": (4, 2)}, "last one with 1 query"),
        ({"fusion_queries": (10**9, 1)}, "fusion_queries"),
        ({"dropout": 1.0}, "dropout 1.0, expected a share"),
    ],
)
def test_impossible_sizes_are_refused(change: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        dataclasses.replace(KERNELS, **change)


def coded(topology: str, pooling: str = "fusion") -> NarFormer:
    options: dict[str, Any] = {"topology_width": 4, "topology": topology, "pooling": pooling}
    return built(dataclasses.replace(KERNELS, **options))


@pytest.mark.parametrize(("topology", "moves"), [("concat", True), ("add", True), ("none", False)])
def test_topology_codes_are_seen_unless_they_are_left_out(topology: str, moves: bool) -> None:
    tokens = torch.randn(1, 5, 12)
    moved = tokens.clone()
    moved[..., -4:] += 1.0
    network = coded(topology)
    assert bool((forward(network, tokens) != forward(network, moved)).any()) is moves


def test_an_added_topology_code_is_the_sum_with_the_first_columns() -> None:
    network = coded("add")
    network.mean.zero_()
    network.scale.fill_(1.0)
    tokens = torch.randn(1, 5, 12).clamp(-3, 3)
    swapped = tokens.clone()
    swapped[..., :4], swapped[..., -4:] = tokens[..., -4:], tokens[..., :4]
    assert torch.allclose(forward(network, tokens), forward(network, swapped), atol=1e-6)


@pytest.mark.parametrize("pooling", ["fusion", "mean", "none"])
def test_padding_does_not_change_a_network_whatever_is_pooled(pooling: str) -> None:
    network, tokens = coded("concat", pooling), torch.randn(1, 9, 12)
    mask = torch.arange(9)[None] < 5
    assert torch.allclose(forward(network, tokens, mask)[:, :5], forward(network, tokens[:, :5]), atol=1e-5)


@pytest.mark.parametrize(
    "options", [{"topology": "sum"}, {"pooling": "max"}, {"topology_width": 7}, {"topology_width": -1}]
)
def test_unknown_topology_or_pooling_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected"):
        dataclasses.replace(KERNELS, **options)


def test_the_paper_output_takes_no_other_pooling() -> None:
    with pytest.raises(ValueError, match="pooling"):
        dataclasses.replace(NETWORK, pooling="mean")
