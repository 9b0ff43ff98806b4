"""What a pool is made with, read from its files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from radsynth.common.hashing import sha256_file, sha256_json
from radsynth.common.registry import find
from radsynth.pools.kind import Given
from radsynth.pools.writing import model_hash


def read_given(
    entry: Mapping[str, Any],
    labels: Sequence[str],
    generators: Mapping[str, Mapping[str, Any]],
    models: Mapping[str, str | Path],
    pools: Mapping[str, str | Path],
    classifiers: Mapping[str, str | Path],
    datasets: Mapping[str, str | Path],
) -> Given:
    """Return what the pool ``entry`` of the configuration is given.

    ``generators``: ``family`` and ``sampler`` of each that it needs; ``models``: their folders; ``pools`` and
    ``datasets``: manifests; ``classifiers``: files of trained models.
    """
    families = {name: find("families", generator["family"], name).load() for name, generator in generators.items()}
    hashes = [model_hash(folder) for folder in models.values()]
    hashes += [sha256_file(file) for files in (pools, classifiers, datasets) for file in files.values()]
    return Given(
        entry,
        labels,
        {name: families[name].load(folder) for name, folder in models.items()},
        {name: dict(generator["sampler"]) for name, generator in generators.items()},
        *({name: Path(file) for name, file in files.items()} for files in (pools, classifiers, datasets)),
        hashes[0] if len(hashes) == 1 else sha256_json(hashes),
    )
