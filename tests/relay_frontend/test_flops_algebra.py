"""FLOPs of transforms, linear algebra, losses, boxes and states, by hand."""

from math import log2

import pytest

from relay_frontend.graph import TensorType
from tests.relay_frontend.test_costs_operators import Shape, cost, int64


def real_transform(extent: int) -> float:
    return 2.5 * extent * log2(extent)


@pytest.mark.parametrize(
    ("given", "made", "attributes", "flops"),
    [
        # 3 signals of 8 pairs, each 5 x 8 x 3
        ((3, 8, 2), (3, 8, 2), {"axis": 1}, 3 * 120),
        ((3, 8, 1), (3, 8, 2), {"axis": 1}, 3 * 60),
        ((3, 8, 1), (3, 5, 2), {"axis": 1, "onesided": 1}, 3 * 60),
        ((3, 5, 2), (3, 8, 1), {"axis": 1, "onesided": 1, "inverse": 1}, 3 * 60),
        ((4, 16, 3, 2), (4, 16, 3, 2), {"axis": 1}, 12 * 320),
        ((3, 8, 2), (3, 4, 2), {"axis": 1, "dft_length": 4}, 3 * 40),
        ((3, 16, 2), (3, 16, 2), {}, 3 * 320),  # the axis before the pair, where none is named
        ((3, 1, 2), (3, 1, 2), {"axis": 1}, 0),
    ],
)
def test_fourier_transform(given: Shape, made: Shape, attributes: dict[str, int], flops: int) -> None:
    assert cost("DFT", [given], [made], **attributes).flops == flops


def test_short_time_transform_weighs_each_frame_and_transforms_it() -> None:
    # 2 signals, 15 frames of 16; 9 bins
    scalar = int64()
    plain = cost("STFT", [(2, 128, 1), scalar], [(2, 15, 9, 2)], onesided=1, frame_length=16)
    weighed = cost("STFT", [(2, 128, 1), scalar, (16,)], [(2, 15, 9, 2)], onesided=1)
    whole = cost("STFT", [(2, 128, 2), scalar, (16,)], [(2, 15, 16, 2)], onesided=0)

    assert plain.flops == 30 * 160
    assert weighed.flops == 30 * (160 + 16)
    assert whole.flops == 30 * (320 + 32)


def test_real_transforms_of_one_and_two_axes() -> None:
    assert cost("Rfft", [(3, 4, 8)], [(3, 4, 5, 2)], signal_ndim=1).flops == 12 * 60
    assert cost("Rfft", [(3, 4, 8)], [(3, 4, 5, 2)], signal_ndim=2).flops == 3 * real_transform(32)
    assert cost("Irfft", [(3, 5, 2)], [(3, 8)], signal_ndim=1).flops == 3 * 60


def test_dense_linear_algebra() -> None:
    assert cost("Det", [(5, 6, 6)], [(5,)]).flops == 5 * (144 + 6)
    assert cost("Inverse", [(5, 6, 6)], [(5, 6, 6)]).flops == 5 * 2 * 216


def test_losses_count_targets_and_the_softmax() -> None:
    assert cost("NegativeLogLikelihoodLoss", [(4, 10, 7), int64(4, 7)], [()]).flops == 28
    assert cost("SoftmaxCrossEntropyLoss", [(4, 10, 7), int64(4, 7)], [()]).flops == 5 * 280 + 28


def test_suppression_compares_every_box_with_those_chosen() -> None:
    shapes = [(2, 100, 4), (2, 3, 100)]
    assert cost("NonMaxSuppression", [*shapes], [int64(5, 3)], max_output_boxes_per_class=7).flops == (
        600 + 13 * 6 * 100 * 7
    )
    assert cost("NonMaxSuppression", [*shapes], [int64(5, 3)]).flops == 600 + 13 * 6 * 100 * 100


def test_sorting_and_reading_once() -> None:
    assert cost("Unique", [(64,)], [(9,)]).flops == 64 * 6
    assert cost("Unique", [(16, 4)], [(9, 4)], axis=0).flops == 64 * 4
    assert cost("NonZero", [(6, 7)], [int64(2, 3)]).flops == 42
    assert cost("IsAllFinite", [(6, 7), (5,)], [TensorType((), "bool")]).flops == 47


def test_a_grid_of_places_is_a_product_with_theta() -> None:
    assert cost("AffineGrid", [(2, 2, 3), int64(4)], [(2, 5, 6, 2)]).flops == 2 * 3 * 120
    assert cost("AffineGrid", [(2, 3, 4), int64(5)], [(2, 4, 5, 6, 3)]).flops == 2 * 4 * 720


def test_a_fused_activation_of_group_norm_counts() -> None:
    assert cost("GroupNorm", [(2, 4, 4, 8), (8,), (8,)], [(2, 4, 4, 8)], activation=0).flops == 7 * 256
    assert cost("GroupNorm", [(2, 4, 4, 8), (8,), (8,)], [(2, 4, 4, 8)], activation=1).flops == 8 * 256
    assert cost("SkipGroupNorm", [(2, 4, 4, 8), (8,), (8,)], [(2, 4, 4, 8)], activation=1).flops == 9 * 256


@pytest.mark.parametrize(("rule", "each"), [("linear", 2), ("gated", 3), ("delta", 4), ("gated_delta", 5)])
def test_linear_attention_updates_a_state_a_key_head_and_reads_it_a_query_head(rule: str, each: int) -> None:
    # 2 x 5 steps; 4 query heads and 2 key heads of 4; values of 6
    counted = cost(
        "LinearAttention", [(2, 5, 16), (2, 5, 8), (2, 5, 12)], [(2, 5, 24)],
        q_num_heads=4, kv_num_heads=2, update_rule=rule,
    )  # fmt: skip

    assert counted.flops == 10 * 4 * 6 * (each * 2 + 2 * 4)


def test_keys_that_are_handed_on_say_how_wide_a_packed_query_is() -> None:
    # one step of 2 heads of 4 over 6 keys, queries, keys and values in one
    present = (3, 2, 6, 4)
    counted = cost("DecoderMaskedMultiHeadAttention", [(3, 1, 24), present, present], [(3, 1, 8), present, present],
                   num_heads=2)  # fmt: skip

    assert counted.flops == 2 * 3 * 6 * (8 + 8) + 5 * 3 * 2 * 6


def test_rotation_counts_what_is_rotated_and_reads_as_much_of_its_tables() -> None:
    whole = cost("RotaryEmbedding", [(2, 4, 3, 8), (5000, 4), (5000, 4), int64(2, 3)], [(2, 4, 3, 8)])
    assert whole.flops == 3 * 192
    assert whole.input_bytes == 3 * 4 * 192 + 48

    part = {"rotary_embedding_dim": 4}
    assert cost("RotaryEmbedding", [(2, 4, 3, 8), (50, 2), (50, 2)], [(2, 4, 3, 8)], **part).flops == 3 * 96
    assert cost("RotaryEmbedding", [(2, 3, 32), (50, 2), (50, 2)], [(2, 3, 32)], num_heads=4, **part).flops == 3 * 96
