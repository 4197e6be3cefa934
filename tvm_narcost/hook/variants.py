"""A module in several variants, as many as differ."""

import logging
from collections.abc import Sequence

import tvm

from hardware_profiles import HardwareProfile
from tvm_narcost.hook.prepare import PreparedModule, prepare
from tvm_narcost.hook.variant import Variant

__all__ = ["prepare_variants"]

_LOG = logging.getLogger(__name__)


def prepare_variants(
    module: tvm.IRModule, profile: HardwareProfile, variants: Sequence[Variant], *, name: str = "main"
) -> tuple[PreparedModule, ...]:
    """Prepare a module in each variant; those that write it as an earlier one does are left out.

    A variant after the first that TVM cannot make of the module is left out too, with a warning.

    Args:
        module: as :func:`tvm_narcost.hook.prepare.prepare` takes it.
        profile: names the target.
        variants: the first is the one that must work.
        name: of the graphs.

    Raises:
        CompileError, FrontendError: the first cannot be prepared.
    """
    first, *others = variants
    found = {(prepared := prepare(module, profile, variant=first, name=name)).graph.structural_hash(): prepared}
    for variant in others:
        try:
            prepared = prepare(module, profile, variant=variant, name=name)
        except Exception as error:  # a rewrite of TVM's raises what it likes
            _LOG.warning("%s cannot be written as %s, which is left out: %s", name, variant, error)
            continue
        found.setdefault(prepared.graph.structural_hash(), prepared)
    return tuple(found.values())
