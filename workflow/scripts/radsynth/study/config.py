"""One study: the configuration with all defaults, checked, and the names and seeds of its jobs."""

import json
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from radsynth.common.errors import UserError
from radsynth.common.schema import read_schema, validated
from radsynth.common.seeds import derive_seed
from radsynth.report.arms import CONTROL, CORRECTED, Arms

#: Names that Windows keeps for devices, with any suffix.
DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))}


def check_names(names: Iterable[str], where: str) -> None:
    """Raise UserError for names that some file systems do not keep apart, or keep for themselves."""
    seen: dict[str, str] = {}
    for name in names:
        if name.lower() in DEVICES:
            raise UserError(f"{where}: {name} is the name of a device on some systems, expected another")
        if name.lower() in seen:
            raise UserError(
                f"{where}: {seen[name.lower()]} and {name} differ in case alone, which some file systems do not tell "
                "apart; expected another name for one of them"
            )
        seen[name.lower()] = name


class Study:
    """The resolved configuration and what follows from it: units, pools, test sets, seeds.

    ``config`` has the keys of workflow/schemas/config.schema.yaml, all present. Raises UserError, in one line that
    begins with the key, for anything that is wrong.
    """

    def __init__(self, raw: dict[str, Any]):
        config = validated(raw, read_schema("config"))
        self.config = config
        self.labels: list[str] = config["labels"]
        self._fill_defaults()
        self._check()

    def __getitem__(self, key: str) -> Any:
        return self.config[key]

    # Defaults that depend on other keys

    def _fill_defaults(self) -> None:
        from radsynth.generators.options import resolve_options, resolve_sampler, resolve_selection
        from radsynth.tasks.learner import check_task, resolve_classifier
        from radsynth.tasks.task import make_task

        config = self.config
        config.setdefault("positive_label", self.labels[-1])
        config["paper"].setdefault("version", config["study"])
        config["quality"].setdefault("domain_classifier", next(iter(config["classifiers"])))
        first_scenario = next(iter(config["scenarios"]))
        for name, dataset in config["datasets"].items():
            dataset.setdefault("path", f"resources/raw/{name}")
            config["datasets"][name] = self._with_source_options(name, dataset)
        for scenario in config["scenarios"].values():
            scenario.setdefault("augment_labels", list(self.labels))
            if isinstance(scenario["test"], dict):
                scenario["test"].setdefault("sets", 1)
        for name, generator in config["generators"].items():
            where = f"generators.{name}"
            generator.setdefault("train_on", first_scenario)
            generator["options"] = resolve_options(
                generator["family"], generator["preset"], generator["options"], where
            )
            generator["sampler"] = resolve_sampler(
                generator["family"], generator["preset"], generator["sampler"], where
            )
            generator["selection"] = resolve_selection(generator["selection"], where)
        if "mixes" not in config:
            config["mixes"] = {"baseline": {"real": True, "pools": {}}} | {
                name: {"real": True, "pools": {name: config["pool_size"]}} for name in config["generators"]
            }
        task = make_task(config["task"], self.labels, config["positive_label"])
        for name, classifier in config["classifiers"].items():
            resolved = resolve_classifier(classifier, config["image_size"], f"classifiers.{name}")
            check_task(resolved, task, f"classifiers.{name}")
            config["classifiers"][name] = resolved

    @staticmethod
    def _with_source_options(name: str, dataset: dict[str, Any]) -> dict[str, Any]:
        sources = read_schema("sources")
        if dataset["source"] not in sources:
            raise UserError(
                f"datasets.{name}.source: unknown source {dataset['source']!r}, expected one of {', '.join(sources)}"
            )
        common = read_schema("config")["properties"]["datasets"]["additionalProperties"]
        own = sources[dataset["source"]]
        schema = {
            "type": "object",
            "additionalProperties": False,
            "required": own.get("required", []),
            "properties": common["properties"] | own.get("properties", {}),
        }
        return validated(dataset, schema, f"datasets.{name}")

    # Checks across keys

    def _check(self) -> None:
        from radsynth.cohorts.held_back import check_train
        from radsynth.data.patients import check_patient_pattern
        from radsynth.data.vindr_tables import check_classes
        from radsynth.generators.limits import check_generator, check_selection

        config = self.config
        for key in ("labels", "datasets", "samplings", "scenarios", "generators", "mixes", "classifiers"):
            check_names(config[key], key)
        check_names([config["study"]], "study")
        for key, names, taken in [("labels", self.labels, "joint"), ("scenarios", config["scenarios"], "order")]:
            if taken in names:
                raise UserError(f"{key}: {taken} has a meaning of its own in names of jobs, expected another")
        self._expect(config["positive_label"], self.labels, "positive_label")
        self._check_extractors()
        for name, dataset in config["datasets"].items():
            self._check_image_counts(name, dataset)
            address = urlsplit(dataset.get("base_url", ""))
            # Without a scheme the login is taken for one, or for a part of the path.
            if address.query or "@" in (address.netloc or address.path):
                raise UserError(
                    f"datasets.{name}.base_url: holds a login or a token, which would stand in logs and results; "
                    "give it as the source's documentation says, in the environment"
                )
            if "patient_pattern" in dataset:
                check_patient_pattern(dataset["patient_pattern"], f"datasets.{name}.patient_pattern")
            if dataset["source"] == "vindr_mammo":
                check_classes(dataset["classes"], self.labels, f"datasets.{name}.classes")
        for name, scenario in config["scenarios"].items():
            where = f"scenarios.{name}"
            self._expect_all_labels(scenario["train"], f"{where}.train")
            for label in self.labels:
                count = scenario["train"][label]
                check_train(count, config["validation"], config["validation_fraction"], f"{where}.train.{label}")
            if scenario["test"] != "rest":
                self._expect_all_labels(scenario["test"]["counts"], f"{where}.test.counts")
            for label in scenario["augment_labels"]:
                self._expect(label, self.labels, f"{where}.augment_labels")
        for name, generator in config["generators"].items():
            self._expect(generator["train_on"], config["scenarios"], f"generators.{name}.train_on")
            check_generator(generator, config["image_size"], f"generators.{name}")
            learnt = self._learnt_by_generators(generator["train_on"])
            images = [sum(learnt[label] for label in self.unit_labels(unit)) for unit in self.units(name)]
            check_selection(generator, config["image_size"], images, f"generators.{name}")
        for name, mix in config["mixes"].items():
            where = f"mixes.{name}"
            if name == CORRECTED or name.startswith(CONTROL):
                raise UserError(f"{where}: this name is kept for an arm that is made by itself, expected another")
            if not mix["real"] and not mix["pools"]:
                raise UserError(f"{where}: neither real images nor a pool, expected at least one of them")
            for generator, count in mix["pools"].items():
                self._expect(generator, config["generators"], f"{where}.pools")
                if count > config["pool_size"]:
                    raise UserError(
                        f"{where}.pools.{generator}: {count} images asked, but pool_size is {config['pool_size']}"
                    )
            if "steps" in mix:
                matched = mix["steps"]["match"]
                self._expect(matched, config["mixes"], f"{where}.steps.match")
                if "steps" in config["mixes"][matched]:
                    raise UserError(f"{where}.steps.match: {matched} takes its steps from another mix itself")
        baseline = config["mixes"]["baseline"]
        if not baseline["real"] or baseline["pools"] or set(baseline) - {"real", "pools"}:
            raise UserError("mixes.baseline: expected {real: true} and nothing else, all mixes are compared with it")
        if len(config["compare"]) == 1:
            raise UserError(f"compare: {config['compare'][0]} alone, expected two names")
        for classifier in config["experts"]:
            self._expect(classifier, config["classifiers"], "experts")
        if not self.datasets("study"):
            raise UserError("datasets: all are external_test, expected at least one with role: study")

    def _learnt_by_generators(self, scenario: str) -> dict[str, int]:
        """Return, by label, how many images of a scenario teach a generator, where patients have one image each."""
        from radsynth.cohorts.held_back import held_back_by_patients

        fraction = self.held_back() or 0
        train = self["scenarios"][scenario]["train"]
        return {label: train[label] - held_back_by_patients(train[label], fraction) for label in self.labels}

    def _check_extractors(self) -> None:
        from radsynth.common.registry import KINDS

        config = self.config
        early = [name for name, entry in KINDS["extractors"].items() if not entry.per_cohort]

        def expect_early(extractor: str, where: str) -> None:
            if extractor in KINDS["extractors"] and extractor not in early:
                raise UserError(f"{where}: {extractor} exists only after the cohort, expected {' or '.join(early)}")
            self._expect(extractor, early, where)

        expect_early(config["diversity_extractor"], "diversity_extractor")
        self._expect(config["quality"]["domain_classifier"], config["classifiers"], "quality.domain_classifier")
        for extractor in config["quality"]["extractors"]:
            self._expect(extractor, KINDS["extractors"], "quality.extractors")
        if config["quality"]["inception_score"] and not any(
            name.startswith("inception") for name in config["quality"]["extractors"]
        ):
            raise UserError("quality.inception_score: true needs an Inception extractor in quality.extractors")
        for name, generator in config["generators"].items():
            if generator["selection"]["method"] == "kid":
                expect_early(generator["selection"]["extractor"], f"generators.{name}.selection.extractor")
        for name, sampling in config["samplings"].items():
            if sampling["method"] == "k_center_greedy":
                if "extractor" not in sampling:
                    raise UserError(
                        f"samplings.{name}.extractor: missing, k_center_greedy needs one of {', '.join(early)}"
                    )
                expect_early(sampling["extractor"], f"samplings.{name}.extractor")
            elif "extractor" in sampling:
                raise UserError(f"samplings.{name}.extractor: {sampling['method']} sampling uses no extractor")

    def _check_image_counts(self, name: str, dataset: dict[str, Any]) -> None:
        """Compare scenarios with a dataset whose size is configured (phantoms); others are counted when prepared."""
        images = dataset.get("images") if dataset["source"] == "phantom" else None
        if images is None:
            return
        self._expect_all_labels(images, f"datasets.{name}.images")
        if dataset["role"] != "study":
            return
        for key, scenario in self["scenarios"].items():
            for label, count in scenario["train"].items():
                if label in images and count >= images[label]:
                    raise UserError(
                        f"scenarios.{key}.train.{label}: {count} images asked, "
                        f"but datasets.{name} has {images[label]}, of which some must be left for testing"
                    )

    @staticmethod
    def _expect(value: str, known: Any, where: str) -> None:
        if value not in known:
            raise UserError(f"{where}: unknown name {value!r}, expected one of {', '.join(known) or '(none defined)'}")

    def _expect_all_labels(self, counts: dict[str, int], where: str) -> None:
        for label in counts:
            self._expect(label, self.labels, where)
        for label in self.labels:
            if label not in counts:
                raise UserError(f"{where}.{label}: missing, every label needs a number of images")

    # What follows

    def seed(self, *parts: str | int, bits: int = 63) -> int:
        """Return the seed of a job from the study seed and the job's named parts."""
        return derive_seed(self["seed"], *parts, bits=bits)

    def unit(self, generator: str, label: str) -> str:
        """Return the unit (a label, or ``joint``) whose model makes the images of ``label``."""
        return label if self["generators"][generator]["per"] == "label" else "joint"

    def units(self, generator: str) -> list[str]:
        """Return all units of a generator."""
        return list(dict.fromkeys(self.unit(generator, label) for label in self.pool_labels(generator)))

    def unit_labels(self, unit: str) -> list[str]:
        """Return the labels that a unit's model serves."""
        return self.labels if unit == "joint" else [unit]

    def pool_labels(self, generator: str) -> list[str]:
        """Return the labels of which a generator makes pools: those that a mix adds somewhere, all if it is in none."""
        used = {
            label
            for scenario in self["scenarios"]
            for mix in self["mixes"]
            for name, label in self.mix_pools(scenario, mix)
            if name == generator
        }
        return [label for label in self.labels if label in used or not used]

    def datasets(self, role: str) -> list[str]:
        """Return the names of the datasets of a role: ``study`` or ``external_test``."""
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
        return self["validation_fraction"] if self["validation"] == "patients" else None

    def evaluated_on(self, scenario: str, mix: str, classifier: str) -> list[str]:
        """Return the names of all test sets of a classifier on a mix; synthetic ones for experts on the baseline."""
        judges = mix == "baseline" and classifier in self["experts"]
        return [
            *self.real_test_sets(scenario),
            *(f"synthetic_{generator}" for generator in self["generators"] if judges),
        ]

    def longest_prefix(self, label: str) -> int:
        """Return how many images of ``label`` the largest training cohort takes."""
        return max(scenario["train"][label] for scenario in self["scenarios"].values())

    def generator_scenarios(self) -> list[str]:
        """Return the scenarios whose training cohorts teach a generator."""
        return list(dict.fromkeys(generator["train_on"] for generator in self["generators"].values()))

    def spent(self) -> dict[str, int]:
        """Return, by label, how long a prefix of the order the generators of this study have seen."""
        return {
            label: max((self["scenarios"][name]["train"][label] for name in self.generator_scenarios()), default=0)
            for label in self.labels
        }

    def controls(self, scenario: str) -> dict[str, str]:
        """Return the matched control of every mix with pools: ``matched_MIX``, after the first of those it serves."""
        if not self["matched_controls"]:
            return {}
        return {mix: CONTROL + mixes[0] for mixes in self.alike(scenario) for mix in mixes}

    def alike(self, scenario: str) -> list[list[str]]:
        """Return the mixes with pools, those together that differ in their generators alone.

        They have as many real and synthetic images of each label, are trained in the same way, and have learnt,
        directly or through a generator, from the same real images: one control serves them.
        """
        groups: dict[str, list[str]] = {}
        for name, mix in self["mixes"].items():
            if mix["pools"]:
                known = {label: self._prefix(label, of) for label, of in self._known(scenario, name).items()}
                rest = {key: value for key, value in mix.items() if key != "pools"}
                key = [rest, sum(mix["pools"].values()), self.mix_labels(scenario, name), known]
                groups.setdefault(json.dumps(key, sort_keys=True), []).append(name)
        return list(groups.values())

    def _prefix(self, label: str, scenario: str) -> int:
        return self["scenarios"][scenario]["train"][label]

    def _known(self, scenario: str, mix: str) -> dict[str, str]:
        """Return, by label, the scenario whose training images hold all real ones that a mix has learnt from.

        That is its own, or one that taught a generator of its pools and takes a longer prefix of the label's order.
        """
        entry = self["mixes"][mix]
        scenarios: dict[str, list[str]] = {label: [scenario] if entry["real"] else [] for label in self.labels}
        for generator, label in self.mix_pools(scenario, mix):
            for taught in self.unit_labels(self.unit(generator, label)):
                scenarios[taught].append(self["generators"][generator]["train_on"])
        return {
            label: max(names, key=lambda name, label=label: self._prefix(label, name))
            for label, names in scenarios.items()
        }

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
            "known": self._known(scenario, mix) if name in matched else None,
        }

    def mix_labels(self, scenario: str, mix: str) -> list[str]:
        """Return the labels whose pools a mix adds: those of the scenario, or all if there are no real images."""
        augmented = self["scenarios"][scenario]["augment_labels"] if self["mixes"][mix]["real"] else self.labels
        return [label for label in self.labels if label in augmented]

    def mix_pools(self, scenario: str, mix: str) -> list[tuple[str, str]]:
        """Return the (generator, label) pools that a mix adds in a scenario; a matched control adds none."""
        if mix not in self["mixes"]:
            return []
        labels = self.mix_labels(scenario, mix)
        return [(generator, label) for generator in self["mixes"][mix]["pools"] for label in labels]

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
                + (f", selection {g['selection']['method']}" if g["selection"]["method"] != "last" else "")
                for name, g in config["generators"].items()
            ),
            "datasets": "; ".join(f"{name}: {config['datasets'][name]['source']}" for name in self.datasets("study")),
        }
