"""A module in several variants, as many as differ."""

import logging
from collections.abc import Sequence

import tvm

from hardware_profiles import HardwareProfile
from tvm_narcost.hook.prepare import PreparedModule, prepare
from tvm_narcost.hook.variant import Variant

__all__ = ["prepare_others", "prepare_variants"]

_LOG = logging.getLogger(__name__)


def prepare_variants(
    module: tvm.IRModule, profile: HardwareProfile, variants: Sequence[Variant]
) -> tuple[PreparedModule, ...]:
    """Prepare a module in the first of the variants, which must work, and in the others as :func:`prepare_others`.

    Raises:
        CompileError, FrontendError: the first cannot be prepared.
    """
    first = prepare(module, profile, variant=variants[0])
    return first, *prepare_others(first, module, profile, variants[1:])


def prepare_others(
    first: PreparedModule, module: tvm.IRModule, profile: HardwareProfile, variants: Sequence[Variant]
) -> tuple[PreparedModule, ...]:
    """Prepare a module in other variants; those that write it as ``first`` or an earlier one does are left out.

    A variant that TVM cannot make of the module is left out too, with a warning.

    Args:
        first: the module in a variant, by whose name the others go as well.
        module: as :func:`tvm_narcost.hook.prepare.prepare` takes it.
        profile: names the target.
        variants: the others.
    """
    name = first.graph.name
    found = {first.graph.structural_hash(): first}
    for variant in variants:
        try:
            prepared = prepare(module, profile, variant=variant, name=name)
        except Exception as error:  # a rewrite of TVM's raises what it likes
            _LOG.warning("%s cannot be written as %s, which is left out: %s", name, variant, error)
            continue
        found.setdefault(prepared.graph.structural_hash(), prepared)
    _, *others = found.values()
    return tuple(others)
