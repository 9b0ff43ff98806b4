"""What is compared with what: every mix with its references, the generators and the samplings with each other."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from radsynth.report.tidy import BASELINE

# The baseline with its outputs corrected for the class frequencies of the test set: nothing is trained for it.
CORRECTED = "baseline_corrected"
# How the names of matched controls begin.
CONTROL = "matched_"

# The questions of comparisons.csv. The first three are about mixes of real and synthetic images: the references that
# such a mix must all beat to help.
AGAINST_BASELINE, AGAINST_CONTROL, AGAINST_CORRECTED = "baseline", "control", "corrected"
REFERENCES = (AGAINST_BASELINE, AGAINST_CONTROL, AGAINST_CORRECTED)
# Between mixes that differ in their generators alone; between samplings, on the test set that they share; and all
# other mixes, synthetic images alone and the references themselves against their own.
GENERATORS, SAMPLINGS, OTHER = "generators", "samplings", "other"

# What a comparison says, and what is said of a mix of real and synthetic images.
ABOVE, BELOW, UNDECIDED = "above", "below", "undecided"
HELPS, HURTS = "helps", "hurts"
NO_MORE_THAN_TRAINING = "no more than longer training does"
NO_WORSE_THAN_TRAINING = "no worse than longer training does"
NO_MORE_THAN_THRESHOLD = "no more than a shifted threshold does"
NO_CONTROL = "above the baseline, without a control"


@dataclass(frozen=True)
class Arms:
    """The mixes of a study, the matched control of each that has one, those that differ in their generators alone.

    ``mixes`` and ``samplings`` are those of the configuration; ``controls`` is {scenario: {mix: its control}},
    ``alike`` {scenario: lists of mixes}.
    """

    mixes: Mapping[str, Mapping[str, Any]]
    controls: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    alike: Mapping[str, Iterable[Iterable[str]]] = field(default_factory=dict)
    samplings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> "Arms":
        """Return the arms that the facts of a study tell (study.csv, in which they stand as JSON)."""
        values = (facts.get(key, {}) for key in ("mixes", "controls", "alike", "samplings"))
        return cls(*(json.loads(value) if isinstance(value, str) else value for value in values))

    def method(self, sampling: str) -> Any:
        """Return what replicates of a sampling have in common."""
        return {key: value for key, value in self.samplings[sampling].items() if key != "replicate"}

    def augmented(self) -> list[str]:
        """Return the mixes of real and synthetic images: those of which it is asked whether they help."""
        return [name for name, mix in self.mixes.items() if mix["real"] and mix["pools"]]

    def in_order(self, names: Iterable[str]) -> list[str]:
        """Return distinct mixes as they stand in tables and figures: the baselines, then each control behind its mixes.

        Mixes stand in the order of the configuration.
        """
        places: dict[str, float] = {name: index for index, name in enumerate(self.mixes)}
        for controls in self.controls.values():
            for mix, control in controls.items():
                places[control] = max(places.get(control, 0), places[mix] + 0.5)
        places |= {BASELINE: -2, CORRECTED: -1}
        return sorted(dict.fromkeys(names), key=lambda name: places.get(name, len(places)))

    def describe(self, mix: str, scenario: str) -> str:
        """Return what a mix is, in words, where its name does not say it."""
        if mix == CORRECTED:
            return "baseline, outputs corrected for the class frequencies of the test set"
        matched = [name for name, control in self.controls.get(scenario, {}).items() if control == mix]
        return f"real images, as many steps and of each class as many as {' and '.join(matched)}" if matched else ""

    def comparisons(self, scenario: str) -> list[tuple[str, str, str]]:
        """Return question, mix and reference of every comparison within a scenario."""
        augmented, controls = self.augmented(), self.controls.get(scenario, {})
        found = []
        for mix in self.mixes:
            if mix == BASELINE:
                continue
            helps = mix in augmented
            found.append((AGAINST_BASELINE if helps else OTHER, mix, BASELINE))
            if mix in controls:
                found.append((AGAINST_CONTROL if helps else OTHER, mix, controls[mix]))
            if helps:
                found.append((AGAINST_CORRECTED, mix, CORRECTED))
        found += [(OTHER, control, BASELINE) for control in dict.fromkeys(controls.values())]
        found.append((OTHER, CORRECTED, BASELINE))
        for mixes in self.alike.get(scenario, []):
            found += [(GENERATORS, *pair) for pair in combinations((mix for mix in mixes if mix in augmented), 2)]
        return found
