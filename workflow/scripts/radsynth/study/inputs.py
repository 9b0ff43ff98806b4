"""What single rules read and are told, where that depends on the configuration and on the wildcards of a job."""

from pathlib import Path
from typing import Any

from radsynth.common import made
from radsynth.common.registry import KINDS, Entry, ExtractorEntry, find
from radsynth.data.downloads import looked_for
from radsynth.data.listing import fingerprint
from radsynth.privacy.attacks_section import access_of, attacked_extractor
from radsynth.study.plan import Plan, code, filled, weights_path
from radsynth.study.portable import local_hash, portable
from radsynth.tasks.learner import learner_class, weights_file


class Inputs:
    """Functions of ``wildcards``, and of a job's other files, for the rules of the same order."""

    def __init__(self, plan: Plan):
        self.plan, self.study = plan, plan.study

    # Data

    def download_record(self, wildcards: Any) -> str | list[str]:
        """Return the record of a dataset's download, if its source can fetch it."""
        downloadable = KINDS["sources"][self.study["datasets"][wildcards.dataset]["source"]].downloadable
        return f"{self.plan.data}/download.json".format(**wildcards) if downloadable else []

    def dataset_entry(self, wildcards: Any) -> dict[str, Any]:
        """Return a dataset's entry of the configuration; of what may name patients only a hash, for reports show it."""
        dataset = self.study["datasets"][wildcards.dataset]
        return portable(dataset) | {"left_out": local_hash(dataset)}

    def source_code(self, wildcards: Any, script: str) -> str:
        """Return the code hash of a script that reads a dataset's source."""
        return code(script, KINDS["sources"][self.study["datasets"][wildcards.dataset]["source"]].module)

    # Functions of wildcards alone: Snakemake does not compare what depends on a job's files with what it was.

    def raw_looked_for(self, wildcards: Any, manifest: str) -> str:
        """Return what tells that raw files must be looked for again; ``manifest`` is where the prepared ones stand."""
        dataset = self.study["datasets"][wildcards.dataset]
        record = Path(manifest.format(**wildcards)).with_name("download.json")
        return looked_for(dataset, record, Path(manifest.format(**wildcards)).is_file())

    def raw_fingerprint(self, wildcards: Any, manifest: str) -> str:
        """Return what tells that raw files were added, replaced or taken away since they were prepared.

        Once that is done they are not needed any more: where none is left, it is what it was then.
        """
        dataset = self.study["datasets"][wildcards.dataset]
        found = fingerprint(dataset["path"], dataset.get("masks"))
        return found or made.recorded_param(manifest.format(**wildcards), "raw") or ""

    # Cohorts

    def test_split(self, wildcards: Any) -> str | None:
        """Return the published split that a dataset keeps for testing, if any."""
        return self.study["datasets"][wildcards.dataset].get("test_split")

    def order_features(self, wildcards: Any) -> str | list[str]:
        """Return the features that a sampling measures distances in, if it does."""
        extractor = self.plan.samplings[wildcards.sampling].get("extractor")
        return self.plan.real_features.format(dataset=wildcards.dataset, extractor=extractor) if extractor else []

    def seen_by_any(self, wildcards: Any) -> list[str]:
        """Return the tables of all images that a scenario's classifier or a generator has seen in any sampling."""
        return [
            path
            for pattern in self.plan.seen_images(wildcards)
            for path in filled(pattern, sampling=self.plan.samplings, dataset=wildcards.dataset)
        ]

    def repeats_of(self, dataset: str) -> list[str]:
        """Return the tables of a dataset's images that repeat one of a dataset which pools know besides the cohorts."""
        return filled(self.plan.repeats, dataset=dataset, elsewhere=self.study.datasets_seen())

    # Features and quality

    def extractor_code(self, wildcards: Any) -> str:
        """Return the code hash of an extractor's features."""
        return code("features", KINDS["extractors"][wildcards.extractor].module)

    def reference_of(self, wildcards: Any) -> str | list[str]:
        """Return the features of the real images for an extractor that is fitted to them."""
        return self.plan.real_features.format(**wildcards) if KINDS["extractors"][wildcards.extractor].fitted else []

    def quality_features_pool(self, wildcards: Any) -> list[str]:
        """Return the features of a pool, a file per extractor of the quality in their order."""
        extractors = self.study["quality"]["extractors"]
        return [self.plan.pool_features.format(extractor=extractor, **wildcards) for extractor in extractors]

    def labelled_features(self, wildcards: Any) -> list[str]:
        """Return the features of a pool by the first extractor of the quality, a file per label."""
        pattern = self.plan.pool_features.replace("{extractor}", self.study["quality"]["extractors"][0])
        return [pattern.format(label=label, **wildcards) for label in self.study.pool_labels(wildcards.pool)]

    def labelled_files(self, wildcards: Any, file: str) -> list[str]:
        """Return a file of the wildcards' pool for each of its labels."""
        labels = self.study.pool_labels(wildcards.pool)
        return [self.plan.pool_file(wildcards, wildcards.pool, label, file) for label in labels]

    # Generators and pools

    def start(self, wildcards: Any) -> str | list[str]:
        """Return the model that a generator's training begins from, if any."""
        dataset = self.plan.generators[wildcards.generator]["pretrain_on"]
        if dataset is None:
            return []
        names = {"pretraining": dataset, "generator": wildcards.generator, "unit": wildcards.unit}
        return f"{self.plan.pretrained}/model".format(**names)

    def kept_models(self, wildcards: Any) -> dict[str, Any]:
        """Return what of a generator's selection its training depends on: the steps after which it keeps its model."""
        selection = self.plan.generators[wildcards.generator]["selection"]
        return {key: selection[key] for key in ("method", "step", "checkpoints", "first") if key in selection}

    def withholding(self, wildcards: Any) -> dict[str, Any]:
        """Return which of its training images a generator does not learn from: share, gates and seed, or nothing.

        Generators of one cohort with the same share withhold the same images.
        """
        if not self.plan.withholds(wildcards.generator):
            return {}
        selection = self.plan.generators[wildcards.generator]["selection"]
        names = (wildcards.dataset, wildcards.sampling, wildcards.scenario, wildcards.unit)
        seed = self.study.seed("withhold", *names)
        return {"share": selection["withhold"], "gates": self.study["gates"], "seed": seed}

    def _selection_extractor(self, wildcards: Any) -> ExtractorEntry | None:
        name = self.plan.generators[wildcards.generator]["selection"].get("extractor")
        return KINDS["extractors"][name] if name else None

    def generator_weights(self, wildcards: Any) -> str | list[str]:
        """Return the weights file that the training of a generator needs, if any."""
        generator = self.plan.generators[wildcards.generator]
        return weights_path(find("families", generator["family"], "family").load().needs_weights(generator["options"]))

    def selection_weights(self, wildcards: Any) -> str | list[str]:
        """Return the weights file that the extractor of a generator's selection needs, if any."""
        extractor = self._selection_extractor(wildcards)
        return weights_path(extractor.needs_weights if extractor else None)

    def selection_code(self, wildcards: Any) -> str:
        """Return the code hash of the selection of a generator's model."""
        extractor = self._selection_extractor(wildcards)
        family = self.plan.family_module(wildcards.generator)
        return code("select_model", family, *([extractor.module] if extractor else []))

    # What a pool is made from follows from its needs alone.

    def models_of_pool(self, wildcards: Any) -> list[str]:
        """Return the models, of a label, of the generators that a pool needs."""
        return [
            self.plan.model_folder(generator).format(
                **{**wildcards, "generator": generator, "unit": self.study.unit(generator, wildcards.label)}
            )
            for generator in self.study.needs[wildcards.pool].models
        ]

    def parents_of_pool(self, wildcards: Any, file: str) -> list[str]:
        """Return a file of every pool that a pool needs, of the same label."""
        parents = self.study.needs[wildcards.pool].pools
        return [self.plan.pool_file(wildcards, parent, wildcards.label, file) for parent in parents]

    def classifiers_of_pool(self, wildcards: Any) -> list[str]:
        """Return the classifiers that a pool needs: run 1 on the real training images of its cohort."""
        return [
            f"{self.plan.classifier}/model".format(
                **{**wildcards, "mix": "baseline", "classifier": classifier, "run": 1}
            )
            for classifier in self.study.needs[wildcards.pool].classifiers
        ]

    def datasets_of_pool(self, wildcards: Any, file: str) -> list[str]:
        """Return a file of every dataset that a pool needs."""
        datasets = self.study.needs[wildcards.pool].datasets
        return [f"{self.plan.data}/{file}".format(dataset=dataset) for dataset in datasets]

    def generators_of_pool(self, wildcards: Any) -> dict[str, dict[str, Any]]:
        """Return family and sampler of the generators that a pool needs, with the pool's own guidance if it has one."""
        own = {key: value for key, value in self.plan.pools[wildcards.pool].items() if key == "guidance"}
        found = {name: self.plan.generators[name] for name in self.study.needs[wildcards.pool].models}
        return {name: {"family": one["family"], "sampler": one["sampler"] | own} for name, one in found.items()}

    def architectures_of_pool(self, wildcards: Any) -> dict[str, str]:
        """Return the architecture of the classifiers that a pool needs."""
        names = self.study.needs[wildcards.pool].classifiers
        return {name: self.plan.classifiers[name]["architecture"] for name in names}

    def pool_code(self, wildcards: Any) -> str:
        """Return the code hash of a pool's kind and of the generators and classifiers that it needs."""
        families = (generator["family"] for generator in self.generators_of_pool(wildcards).values())
        learners = self.architectures_of_pool(wildcards).values()
        named = [("pools", self.plan.pools[wildcards.pool]["kind"])]
        named += [("families", name) for name in dict.fromkeys(families)]
        named += [("learners", name) for name in dict.fromkeys(learners)]
        return code("write_pool", *(find(kind, name, kind).module for kind, name in named))

    def compared_pools(self, wildcards: Any) -> list[str]:
        """Return the pools of the wildcards' label whose makers learnt from the wildcards' scenario."""
        return [
            pool
            for pool in self.plan.pools
            if self.study.pool_scenario(pool) == wildcards.scenario and wildcards.label in self.study.pool_labels(pool)
        ]

    # Attacks

    def _attack(self, wildcards: Any) -> Entry:
        return find("attacks", self.study["attacks"][wildcards.attack]["kind"], "attacks")

    def _attacked_generators(self, wildcards: Any) -> tuple[str, ...]:
        """Return the generator that an attack reads: the first that the pool needs, none without such access."""
        access = access_of(self.study.config, wildcards.attack)
        return self.study.needs[wildcards.pool].models[:1] if access == "model" else ()

    def attacked_model(self, wildcards: Any) -> list[str]:
        """Return the model that an attack reads, if it reads one."""
        return self.models_of_pool(wildcards)[: len(self._attacked_generators(wildcards))]

    def attacked_family(self, wildcards: Any) -> str | None:
        """Return the family of the model that an attack reads, None if it reads none."""
        families = [self.plan.generators[name]["family"] for name in self._attacked_generators(wildcards)]
        return next(iter(families), None)

    def attacked_features(self, wildcards: Any, pattern: str) -> str | list[str]:
        """Return the features that an attack reads of reals or of a pool, if it reads any."""
        if access_of(self.study.config, wildcards.attack) != "features":
            return []
        return pattern.format(extractor=attacked_extractor(self.study.config), **wildcards)

    def attack_code(self, wildcards: Any) -> str:
        """Return the code hash of an attack and of the family of the generator that it reads."""
        families = map(self.plan.family_module, self._attacked_generators(wildcards))
        return code("attack", self._attack(wildcards).module, *families)

    # Classifiers

    def test_tables(self) -> dict[str, str]:
        """Return the tables of the real images that classifiers are tested on, and the data folder that each lists."""
        return {
            "tests": self.plan.data,
            **({"common": self.plan.data} if self.study.has_common_test() else {}),
            **{f"external_{name}": f"{self.plan.results}/data/{name}" for name in self.plan.external},
        }

    def classifier_weights(self, wildcards: Any) -> str | list[str]:
        """Return the weights file that a classifier starts from, if any."""
        return weights_path(weights_file(self.plan.classifiers[wildcards.classifier]))

    def environment_of(self, classifier: str) -> str:
        """Return the environment file of a classifier's framework, as rules name it."""
        by_backend = learner_class(self.plan.classifiers[classifier]["architecture"]).environment
        return f"../envs/{by_backend[self.study['keras_backend']]}.yaml"

    def learner_environment(self, wildcards: Any) -> str:
        """Return the environment file of the wildcards' classifier."""
        return self.environment_of(wildcards.classifier)

    def learner_code(self, script: str, classifier: str) -> str:
        """Return the code hash of a script that loads a classifier and the task that it learns."""
        learner = find("learners", self.plan.classifiers[classifier]["architecture"], "classifiers")
        return code(script, learner.module, find("tasks", self.study["task"], "task").module)

    def known_scenarios(self, wildcards: Any) -> list[str]:
        """Return the scenarios from whose training images a matched control draws; none for other mixes."""
        known = self.study.arm(wildcards.scenario, wildcards.mix)["known"]
        return sorted(set(known.values())) if known else []

    def mixed_files(self, wildcards: Any, file: str) -> list[str]:
        """Return a file of every pool that a mix adds."""
        pools = self.study.mix_pools(wildcards.scenario, wildcards.mix)
        return [self.plan.pool_file(wildcards, pool, label, file) for pool, label in pools]

    def domain_classifier(self) -> str:
        """Return the classifier behind the extractor ``domain``: of its cohort, it has seen what generators have."""
        name = self.study["quality"]["domain_classifier"]
        return filled(self.plan.classifier, mix="baseline", classifier=name, run="1")[0]

    # Analysis

    def compared_metrics(self, name: str, there: bool) -> list[str]:
        """Return the metrics and the configuration of a study whose results are ``there``, else of its archive."""
        built = there or (name == self.study["study"] and not self.plan.from_archive)
        folder = f"results/{name}/metrics" if built else f"resources/paper_cache/{name}"
        tables = ("study", "cohorts", "classification", "quality", "comparisons", "verdicts")
        return [f"{folder}/{file}" for file in [*(f"{table}.csv" for table in tables), "config.yaml"]]
