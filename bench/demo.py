"""The demo: predict three real networks, then measure them right here."""

from contextlib import suppress

import tvm_narcost
from bench.light import compare, table
from hardware_profiles import load_profile
from tvm_narcost.api import NetworkPredictor
from tvm_narcost.cli.options import DEFAULT_PROFILE
from tvm_narcost.errors import ArtifactError
from tvm_narcost.measure.calibrate import CALIBRATION_NETWORKS
from tvm_narcost.measure.device import profiles_of_this_device

_NETWORKS = ("resnet50", "squeezenet", "densenet121")


def main() -> None:
    """Calibrate, predict, measure, print."""
    own = _of_this_device()
    predictor = own or tvm_narcost.load(DEFAULT_PROFILE)
    print(f"profile {predictor.profile.id}: {predictor.profile.device.cpu_model}, {predictor.profile.runtime.name}")
    if own is None:
        print("no profile is of this device: another one's is taken, and scaled")
    predictor = predictor.calibrated()
    names = ", ".join(f"{family} {seed}" for family, seed in CALIBRATION_NETWORKS)
    print(f"three small zoo networks timed here ({names}): every prediction is scaled by {predictor.calibration:.3f}")
    print("milliseconds, batch 1; none of these networks was in training; measured after they were predicted\n")
    print(table(compare(_NETWORKS, predictor)))


def _of_this_device() -> NetworkPredictor | None:
    """The first that was trained for a profile of this machine."""
    for profile in profiles_of_this_device(load_profile(DEFAULT_PROFILE)):
        with suppress(ArtifactError):  # a profile of the user's own that nothing was trained for yet
            return tvm_narcost.load(profile.id)
    return None


if __name__ == "__main__":
    main()
