"""Images as one generator draws them, each as its condition asks."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from radsynth.common.errors import UserError
from radsynth.common.sets import Batch, Conditions
from radsynth.pools.kind import Given, Needs, PoolKind

#: Ways to get conditions that the generator knows; else they are read from a file of the user's own.
KNOWN = ("fresh", "train")


class Sampled(PoolKind):
    """Image i depends on (seed, i, its condition, the sampler) alone, as generators promise."""

    @staticmethod
    def needs(entry: Mapping[str, Any]) -> Needs:
        files = () if entry["conditions"] in KNOWN else (entry["conditions"],)
        return Needs(models=(entry["generator"],), files=files)

    @staticmethod
    def check(entry: Mapping[str, Any], where: str) -> None:
        if entry["conditions"] not in KNOWN and not entry["conditions"].endswith(".csv"):
            raise UserError(f"{where}.conditions: {entry['conditions']!r}, expected {', '.join(KNOWN)} or a CSV file")

    def conditions(self, given: Given, label: str, size: int, seed: int) -> Conditions:
        generator, kind = given.models[given.entry["generator"]], given.entry["conditions"]
        if kind in KNOWN:
            return generator.conditions(label, size, seed, kind)
        from radsynth.pools.asked import read_conditions

        conditions = read_conditions(given.files[0], label, size)
        generator.check_conditions(conditions.rows, str(given.files[0]))
        return conditions

    def draw(self, given: Given, indices: Sequence[int], conditions: Conditions, seed: int) -> Iterator[Batch]:
        name = given.entry["generator"]
        generator = given.models[name]
        yield from generator.sample(indices, seed, conditions, given.samplers[name])
        self.device = generator.device
