"""Images as one generator draws them, each for its label alone."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from radsynth.common.sets import Batch, Conditions
from radsynth.pools.kind import Given, Needs, PoolKind


class Sampled(PoolKind):
    """Image i depends on (seed, i, its condition, the sampler) alone, as generators promise."""

    @staticmethod
    def needs(entry: Mapping[str, Any]) -> Needs:
        return Needs(models=(entry["generator"],))

    def draw(self, given: Given, indices: Sequence[int], conditions: Conditions, seed: int) -> Iterator[Batch]:
        name = given.entry["generator"]
        generator = given.models[name]
        yield from generator.sample(indices, seed, conditions, given.samplers[name])
        self.device = generator.device
