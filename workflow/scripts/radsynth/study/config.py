"""One study: the configuration with all defaults, checked, and the names and seeds of its jobs."""

from typing import Any

from radsynth.cohorts.cohorts_section import check_cohorts, count_learnt, fill_scenarios, held_back_fraction
from radsynth.common.errors import UserError
from radsynth.common.expecting import check_names, expect
from radsynth.common.schema import read_schema, validated
from radsynth.common.seeds import derive_seed
from radsynth.data.datasets_section import check_datasets, fill_datasets
from radsynth.generators.generators_section import check_generators, check_images_of_generators, fill_generators
from radsynth.generators.options import pretraining_options
from radsynth.pools.kind import Needs
from radsynth.pools.pools_section import fill_pools, most_images, read_needs
from radsynth.privacy.attacks_section import check_attacks, fill_attacks
from radsynth.quality.quality_section import check_quality, fill_quality
from radsynth.report.arms import CONTROL, Arms
from radsynth.report.report_section import check_report, fill_paper
from radsynth.study import provenance
from radsynth.tasks.tasks_section import check_tasks, fill_mixes

# Sections whose names are those of files and jobs.
NAMED = ("labels", "datasets", "samplings", "scenarios", "generators", "pools", "mixes", "classifiers", "attacks")
# Each gives its section the defaults that depend on other keys.
FILLED = (
    *(fill_paper, fill_datasets, fill_scenarios, fill_generators, fill_pools, fill_mixes, fill_quality, fill_attacks),
)


class Study:
    """The resolved configuration and what follows from it: units, pools, test sets, seeds.

    ``config`` has the keys of workflow/schemas/config, all present. Every room fills in and checks its own section.
    Raises UserError, in one line that begins with the key, for anything that is wrong.
    """

    def __init__(self, raw: dict[str, Any]):
        config = validated(raw, read_schema("config"))
        self.config = config
        self.labels: list[str] = config["labels"]
        config.setdefault("positive_label", self.labels[-1])
        for fill in FILLED:
            fill(config)
        self._check()

    def __getitem__(self, key: str) -> Any:
        return self.config[key]

    def _check(self) -> None:
        config = self.config
        for key in NAMED:
            check_names(config[key], key)
        check_names([config["study"]], "study")
        for key, names, taken in [("labels", self.labels, "joint"), ("scenarios", config["scenarios"], "order")]:
            if taken in names:
                raise UserError(f"{key}: {taken} has a meaning of its own in names of jobs, expected another")
        expect(config["positive_label"], self.labels, "positive_label")
        check_quality(config)
        check_attacks(config)
        check_datasets(config)
        check_cohorts(config)
        check_images_of_generators(config)
        #: What every pool is made with, by its name.
        self.needs: dict[str, Needs] = read_needs(config)
        check_report(config)
        check_tasks(config)
        provenance.check_closure(config, self.needs, lambda: most_images(config, self.needs))
        images = {name: [self._count_images(name, unit) for unit in self.units(name)] for name in config["generators"]}
        check_generators(config, images)

    # What follows

    def seed(self, *parts: str | int, bits: int = 63) -> int:
        """Return the seed of a job from the study seed and the job's named parts."""
        return derive_seed(self["seed"], *parts, bits=bits)

    def unit(self, generator: str, label: str) -> str:
        """Return the unit (a label, or ``joint``) whose model makes the images of ``label``."""
        return label if self["generators"][generator]["per"] == "label" else "joint"

    def units(self, generator: str) -> list[str]:
        """Return all units of a generator: those of the labels of the pools that it makes."""
        pools = [pool for pool, needs in self.needs.items() if generator in needs.models]
        made = {label for pool in pools for label in self.pool_labels(pool)}
        labels = [label for label in self.labels if label in made or not made]
        return list(dict.fromkeys(self.unit(generator, label) for label in labels))

    def unit_labels(self, unit: str) -> list[str]:
        """Return the labels that a unit's model serves."""
        return self.labels if unit == "joint" else [unit]

    def _count_images(self, generator: str, unit: str) -> int:
        """Return how many images of a unit the cohorts of a generator have."""
        learnt = count_learnt(self.config, self["generators"][generator]["train_on"])
        return sum(learnt[label] for label in self.unit_labels(unit))

    def pretraining(self, generator: str, unit: str) -> dict[str, Any]:
        """Return the options of the training of a unit that comes before those on cohorts."""
        return pretraining_options(
            self["generators"][generator], self["image_size"], self._count_images(generator, unit)
        )

    def pretrained(self) -> dict[str, str]:
        """Return the dataset that each generator is pretrained on, of those that are."""
        found = {name: generator["pretrain_on"] for name, generator in self["generators"].items()}
        return {name: dataset for name, dataset in found.items() if dataset is not None}

    def datasets_seen(self) -> list[str]:
        """Return the datasets that are not studied and that pools know."""
        return provenance.datasets_seen(self.config, self.needs)

    def pool_labels(self, pool: str) -> list[str]:
        """Return the labels of which a pool is made: those that a mix adds somewhere or that a pool made of it has.

        All if it is in none.
        """
        return provenance.pool_labels(self.config, self.needs, pool)

    def pool_scenario(self, pool: str) -> str:
        """Return the scenario whose training images a pool knows."""
        return provenance.cohort_of(self.config, self.needs, pool)

    def conditional_pools(self) -> list[str]:
        """Return the pools of which something is asked that images of a label can differ in, or the label itself.

        A generator behind them heeds attributes or lesions, or makes the images of all labels.
        """
        return [pool for pool in self["pools"] if provenance.is_conditional(self.config, self.needs, pool)]

    def withholder(self, pool: str) -> str | None:
        """Return the generator whose model tells which training images a pool does not know, if any were withheld."""
        return provenance.withholder(self.config, self.needs, pool)

    def has_own_controls(self, pool: str) -> bool:
        """Return whether the quality of a pool cannot be held against the controls of all pools of its cohort."""
        return self.withholder(pool) is not None or self["pools"][pool]["size"] != self["pool_size"]

    def judges(self) -> list[str]:
        """Return the classifiers that are evaluated; the others only steer pools."""
        return [name for name, classifier in self["classifiers"].items() if classifier["role"] == "judges"]

    def steering(self) -> list[tuple[str, str]]:
        """Return classifier and scenario of the trainings, one per cohort, that only steer pools."""
        needed = [(name, self.pool_scenario(pool)) for pool, needs in self.needs.items() for name in needs.classifiers]
        return [(name, scenario) for name, scenario in dict.fromkeys(needed) if name not in self.judges()]

    def learner(self, classifier: str) -> dict[str, Any]:
        """Return what a classifier is trained with, whatever it is trained for."""
        return {key: value for key, value in self["classifiers"][classifier].items() if key != "role"}

    def datasets(self, role: str) -> list[str]:
        """Return the names of the datasets of a role: ``study``, ``external_test``, ``pools`` or ``pretrain``."""
        return [name for name, dataset in self["datasets"].items() if dataset["role"] == role]

    def test_sets(self, scenario: str) -> list[str]:
        """Return the names of a scenario's own test sets."""
        test = self["scenarios"][scenario]["test"]
        return [f"test_{k}" for k in range(1, 1 + (1 if test == "rest" else test["sets"]))]

    def has_common_test(self) -> bool:
        """Return whether samplings of several methods are to be compared, which only a test set of both allows."""
        arms = Arms(self["mixes"], samplings=self["samplings"])
        methods = [arms.method(sampling) for sampling in self["samplings"]]
        return any(method != methods[0] for method in methods)

    def real_test_sets(self, scenario: str) -> list[str]:
        """Return the names of a scenario's own test sets, of that common to all samplings, and of the external ones."""
        return [
            *self.test_sets(scenario),
            *(["common"] if self.has_common_test() else []),
            *(f"external_{dataset}" for dataset in self.datasets("external_test")),
        ]

    def held_back(self) -> float | None:
        """Return which part of the training images cohorts hold back for validation, if any."""
        return held_back_fraction(self.config)

    def longest_prefix(self, label: str) -> int:
        """Return how many images of ``label`` the largest training cohort takes."""
        return max(scenario["train"][label] for scenario in self["scenarios"].values())

    def generator_scenarios(self) -> list[str]:
        """Return the scenarios whose training cohorts teach a generator, or a classifier that steers a pool."""
        return provenance.scenarios_seen(self.config, self.needs)

    def spent(self) -> dict[str, int]:
        """Return, by label, how long a prefix of the order the makers of this study's pools have seen."""
        return {
            label: max((provenance.prefix(self.config, label, of) for of in self.generator_scenarios()), default=0)
            for label in self.labels
        }

    def controls(self, scenario: str) -> dict[str, str]:
        """Return the matched control of every mix with pools: ``matched_MIX``, after the first of those it serves."""
        if not self["matched_controls"]:
            return {}
        return {mix: CONTROL + mixes[0] for mixes in self.alike(scenario) for mix in mixes}

    def alike(self, scenario: str) -> list[list[str]]:
        """Return the mixes with pools, those together that differ in their pools alone."""
        return provenance.alike(self.config, self.needs, scenario)

    def arms(self, scenario: str) -> list[str]:
        """Return the names of all that is trained in a scenario: the mixes and the matched controls."""
        return [*self["mixes"], *dict.fromkeys(self.controls(scenario).values())]

    def arm(self, scenario: str, name: str) -> dict[str, Any]:
        """Return what a classifier's training must know about a mix or a matched control.

        ``mix`` (of a control: the one that it matches) and ``augmented``, the labels whose pools it adds; ``steps_of``,
        both of the mix whose number of steps it takes, or None; ``known``, of a control alone, by label the scenario
        from whose training images it draws.
        """
        matched = {control: mix for mix, control in reversed(self.controls(scenario).items())}
        mix = matched.get(name, name)
        timed = self["mixes"][mix].get("steps", {}).get("match")
        return {
            "mix": self["mixes"][mix],
            "augmented": self.mix_labels(scenario, mix),
            "steps_of": timed and [self["mixes"][timed], self.mix_labels(scenario, timed)],
            "known": provenance.known(self.config, self.needs, scenario, mix) if name in matched else None,
        }

    def mix_labels(self, scenario: str, mix: str) -> list[str]:
        """Return the labels whose pools a mix adds: those of the scenario, or all if there are no real images."""
        return provenance.mix_labels(self.config, scenario, mix)

    def mix_pools(self, scenario: str, mix: str) -> list[tuple[str, str]]:
        """Return (pool, label) of all pools that a mix adds in a scenario; a matched control adds none."""
        return provenance.mix_pools(self.config, scenario, mix)

    def facts(self) -> dict[str, Any]:
        """Return what a reader of the results must know about the study, as flat values."""
        config = self.config
        return {
            "study": config["study"],
            "seed": config["seed"],
            "image_size": config["image_size"],
            "labels": ", ".join(self.labels),
            "positive_label": config["positive_label"],
            "task": config["task"],
            "pool_size": config["pool_size"],
            "runs": config["runs"],
            "validation": config["validation"],
            "validation_fraction": config["validation_fraction"],
            "samplings": config["samplings"],
            "mixes": config["mixes"],
            "controls": {scenario: self.controls(scenario) for scenario in config["scenarios"]},
            "alike": {scenario: self.alike(scenario) for scenario in config["scenarios"]},
            "generators": "; ".join(
                f"{name}: {g['family']}, preset {g['preset']}"
                + (f", pretrained on {g['pretrain_on']}" if g["pretrain_on"] is not None else "")
                + (f", selection {g['selection']['method']}" if g["selection"]["method"] != "last" else "")
                for name, g in config["generators"].items()
            ),
            **({"pretrained": self.pretrained()} if self.pretrained() else {}),
            "datasets": "; ".join(f"{name}: {config['datasets'][name]['source']}" for name in self.datasets("study")),
        }
