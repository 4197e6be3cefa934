"""The demo: predict three real networks, then measure them right here."""

import tvm_narcost
from bench.light import compare, table
from tvm_narcost.cli.options import DEFAULT_PROFILE
from tvm_narcost.measure.calibrate import CALIBRATION_NETWORKS
from tvm_narcost.measure.device import profiles_of_this_device

_NETWORKS = ("resnet50", "squeezenet", "densenet121")


def main() -> None:
    """Calibrate, predict, measure, print."""
    own = [profile.id for profile in profiles_of_this_device() if profile.id.endswith(".onnxruntime")]
    predictor = tvm_narcost.load(own[0] if own else DEFAULT_PROFILE)
    print(f"profile {predictor.profile.id}: {predictor.profile.device.cpu_model}, {predictor.profile.runtime.name}")
    if not own:
        print("no profile is of this device: another one's is taken, and scaled")
    predictor = predictor.calibrated()
    names = ", ".join(f"{family} {seed}" for family, seed in CALIBRATION_NETWORKS)
    print(f"three small zoo networks timed here ({names}): every prediction is scaled by {predictor.calibration:.3f}")
    print("milliseconds, batch 1; none of these networks was in training; measured after they were predicted\n")
    print(table(compare(_NETWORKS, predictor)))


if __name__ == "__main__":
    main()
