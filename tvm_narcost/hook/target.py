"""The TVM target of a profile."""

import tvm

from hardware_profiles import HardwareProfile
from tvm_narcost.errors import CompileError

__all__ = ["target_of"]


def target_of(profile: HardwareProfile) -> tvm.target.Target:
    """The target that a profile names.

    Raises:
        CompileError: it names none, none that this TVM knows, or one of another kind than llvm.
    """
    named = profile.runtime.tvm_target
    try:
        target = tvm.target.Target(named)
    except Exception as error:  # TVM raises what it likes
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = lines[-1] if lines else type(error).__name__
        raise CompileError(
            f"profile {profile.id!r} has tvm_target {named!r} ({reason}), expected llvm or a JSON document such as "
            '{"kind": "llvm", "mcpu": "znver5"}: correct [runtime] tvm_target, or name a profile of runtime tvm'
        ) from error
    if target.kind.name != "llvm":
        raise CompileError(
            f"profile {profile.id!r} has TVM target {target}, which is compiled by another pipeline, expected one of "
            "kind llvm"
        )
    return target
