"""The families of generators, found by name. Importable without torch."""

import importlib

from radsynth.common.errors import UserError

FAMILIES = {
    "ddpm": "radsynth.generators.ddpm:DDPM",
    "pggan": "radsynth.generators.pggan:PGGAN",
}


def family_module(family: str) -> str:
    """Return the dotted name of a family's module."""
    if family not in FAMILIES:
        raise UserError(f"family: unknown family {family!r}, expected one of {', '.join(FAMILIES)}")
    return FAMILIES[family].split(":")[0]


def load_family(family: str) -> type:
    """Import a family's module and return its class, a subclass of ``base.Generator``."""
    module = importlib.import_module(family_module(family))
    return getattr(module, FAMILIES[family].split(":")[1])
