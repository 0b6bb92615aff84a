"""The code of another processor: libraries choose theirs by the processor, unless variables say otherwise.

The same packages compute the same bits on two processors once they are told to use the same code: OPENBLAS_CORETYPE
names OpenBLAS's kernels, NPY_DISABLE_CPU_FEATURES what numpy must not use, XLA_FLAGS for what JAX compiles; they are
read when the library is loaded. A newer processor can do what an older one did, not the other way round.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

__all__ = ["same_kernels"]

_KERNELS = "OPENBLAS_CORETYPE"
_DISABLED = "NPY_DISABLE_CPU_FEATURES"
_XLA = "XLA_FLAGS"
#: What numpy calls the first extension of a generation, and the last one before it as XLA's option names it.
_BEFORE = {"X86_V3": "SSE4_2", "AVX2": "AVX", "X86_V4": "AVX2", "AVX512F": "AVX2"}
#: OpenBLAS's kernels for x86-64 by what they need: SSE3, SSE4, AVX, AVX2, AVX-512, bfloat16, AMX.
_NEED = {
    kernel: need
    for need, kernels in enumerate(
        (
            ("prescott", "core2", "barcelona"),
            ("penryn", "dunnington", "nehalem", "bobcat"),
            ("sandybridge",),
            ("haswell", "zen"),
            ("skylakex",),
            ("cooperlake",),
            ("sapphirerapids",),
        )
    )
    for kernel in kernels
}


def same_kernels(there: Mapping[str, str | None], here: Mapping[str, str | None]) -> dict[str, str]:
    """The environment variables under which this machine computes by the code that another one used.

    Args:
        there: `blas`, `simd` and `machine` of the fingerprint of the other one (see
            `optcore_bench.environment.fingerprint`); what is left out is taken to be the same.
        here: those of this one.

    Returns:
        The variables and their values; empty if nothing differs, or nothing can be chosen.

    >>> same_kernels(
    ...     {"blas": "openblas 0.3.30 Haswell", "simd": "X86_V3"},
    ...     {"blas": "openblas 0.3.30 SkylakeX", "simd": "X86_V3 X86_V4"},
    ... )
    {'OPENBLAS_CORETYPE': 'Haswell', 'NPY_DISABLE_CPU_FEATURES': 'X86_V4', 'XLA_FLAGS': '--xla_cpu_max_isa=AVX2'}
    """
    if there.get("machine") != here.get("machine"):
        return {}
    found = {}
    if kernel := _kernel(there.get("blas"), here.get("blas")):
        found[_KERNELS] = kernel
    if disabled := _unknown_there(there.get("simd"), here.get("simd")):
        found[_DISABLED] = _added(_DISABLED, *disabled)
        if limits := [_BEFORE[name] for name in disabled if name in _BEFORE]:
            found[_XLA] = _added(_XLA, f"--xla_cpu_max_isa={limits[0]}")
    return found


def _added(variable: str, *words: str) -> str:
    return " ".join([*os.environ.get(variable, "").split(), *words])


def _kernel(there: str | None, here: str | None) -> str | None:
    """OpenBLAS's kernels of there, if they are others that run here too."""
    wanted, used = _kernels_of(there), _kernels_of(here)
    if len(wanted) != 1 or len(used) != 1 or wanted == used:
        return None
    (kernel,), (other,) = wanted, used
    need, limit = _NEED.get(kernel.lower()), _NEED.get(other.lower())
    return kernel if need is not None and limit is not None and need <= limit else None


def _kernels_of(blas: str | None) -> set[str]:
    """Of a text such as "openblas 0.3.30 Haswell, openblas 0.3.31 Haswell": {"Haswell"}."""
    words = [entry.split() for entry in (blas or "").split(", ")]
    return {entry[2] for entry in words if len(entry) == 3 and entry[0] == "openblas"}


def _unknown_there(there: str | None, here: str | None) -> list[str]:
    """SIMD extensions of here that numpy did not find there, if it has all that it found there."""
    if there is None or here is None:
        return []
    known, used = (text.split() if "baseline" not in text else [] for text in (there, here))
    return [name for name in used if name not in known] if set(known) <= set(used) else []
