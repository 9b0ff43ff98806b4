"""What a pool is made with, read from its files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from radsynth.common.hashing import sha256_file, sha256_json
from radsynth.common.models import model_hash
from radsynth.common.registry import find
from radsynth.pools.kind import Given
from radsynth.tasks.learner import learner_class


def read_given(
    entry: Mapping[str, Any],
    labels: Sequence[str],
    generators: Mapping[str, Mapping[str, Any]],
    models: Mapping[str, str | Path],
    pools: Mapping[str, str | Path],
    classifiers: Mapping[str, str | Path],
    datasets: Mapping[str, str | Path],
    files: Sequence[str | Path] = (),
    *,
    architectures: Mapping[str, str],
    threads: int = 1,
) -> Given:
    """Return what the pool ``entry`` of the configuration is given.

    ``generators``: ``family`` and ``sampler`` of each that it needs; ``models``: their folders; ``pools`` and
    ``datasets``: manifests; ``classifiers``: folders of trained learners, of these ``architectures``; ``files``: paths
    of the user's own. A generator computes in the same process: those in Keras do so with torch.
    """
    families = {name: find("families", generator["family"], name).load() for name, generator in generators.items()}
    hashes = [model_hash(folder) for folder in models.values()]
    hashes += [sha256_file(file) for file in [*pools.values(), *datasets.values(), *files]]
    learners = {}
    for name, folder in classifiers.items():
        learner = learner_class(architectures[name])
        learner.prepare(threads, "torch")
        learners[name] = learner.load(folder)
        hashes.append(sha256_file(Path(folder) / learner.weights_name))
    return Given(
        entry,
        labels,
        {name: families[name].load(folder) for name, folder in models.items()},
        {name: dict(generator["sampler"]) for name, generator in generators.items()},
        {name: Path(file) for name, file in pools.items()},
        learners,
        {name: Path(file) for name, file in datasets.items()},
        [Path(file) for file in files],
        hashes[0] if len(hashes) == 1 else sha256_json(hashes),
    )
