"""The kernels held out are there, of all kinds, and of networks that no training of schedules uses."""

import pytest

pytest.importorskip("tvm")

from bench.facts import LIGHT_NETWORKS
from bench.tuning_workloads import HELD_OUT, held_out_workloads
from hardware_profiles import load_profile
from tvm_narcost.hook.metaschedule.workloads import KINDS, TRAINING_NETWORKS


def test_each_is_found_in_its_network() -> None:
    found = held_out_workloads(load_profile("epyc-zen5.tvm"))
    assert list(found) == [one.short for one in HELD_OUT]
    assert len(found) >= 12
    # A dilated convolution is in no network of those, and no reduction alone takes long enough.
    assert {one.kind for one in found.values()} == set(KINDS) - {"conv_dilated", "reduce"}


def test_no_training_network_is_among_their_networks() -> None:
    networks = {one.network for one in HELD_OUT}
    families = {network.partition("/")[0] for network in networks if network not in LIGHT_NETWORKS}
    assert not families & {source.family for source in TRAINING_NETWORKS}
