"""The kinds of pools, found by name. Importable without torch."""

from importlib import import_module

from radsynth.common.errors import UserError
from radsynth.pools.kind import PoolKind

KINDS = {
    "sampled": "radsynth.pools.sampled:Sampled",
}


def kind_module(kind: str, where: str = "kind") -> str:
    """Return the dotted name of a kind's module; UserError, beginning with the key ``where``, for an unknown one."""
    if kind not in KINDS:
        raise UserError(f"{where}: unknown kind {kind!r}, expected one of {', '.join(KINDS)}")
    return KINDS[kind].split(":")[0]


def load_kind(kind: str, where: str = "kind") -> type[PoolKind]:
    """Import a kind's module and return its class."""
    return getattr(import_module(kind_module(kind, where)), KINDS[kind].split(":")[1])
