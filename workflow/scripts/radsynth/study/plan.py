"""Where the results of a study lie, what rules read that depends on the configuration, and what targets ask for.

Free of Snakemake. ``wildcards`` are those of a job: values by name, as items and as attributes, in the order of its
output's path.
"""

import re
from collections.abc import Callable, Collection, Iterable
from itertools import product
from typing import Any

from radsynth.common.code import LIBRARY, code_hash
from radsynth.common.registry import KINDS, LPIPS_WEIGHTS, find
from radsynth.report import chapter
from radsynth.study.config import Study

# The names of things, as they stand in the paths of results, logs and benchmarks alike.
COHORT = "{dataset}/{sampling}/{scenario}"
MODEL = f"{COHORT}/{{generator}}/{{unit}}"
PRETRAINED = "{pretraining}/{generator}/{unit}"
POOL = f"{COHORT}/{{pool}}/{{label}}"
CLASSIFIER = f"{COHORT}/{{mix}}/{{classifier}}/run_{{run}}"
ATTACK = f"{POOL}/{{attack}}"
# A pool of all its labels.
POOLS = f"{COHORT}/{{pool}}"
JUDGEMENT = f"{CLASSIFIER}/synthetic/{{pool}}"

WEIGHTS_FOLDER = "resources/weights"


def code(script: str, *modules: str) -> str:
    """Return the content hash of a rule's script and of the library modules behind it."""
    return code_hash(LIBRARY.parent / f"{script}.py", *modules)


def filled(pattern: str, **values: Any) -> list[str]:
    """Return a pattern for every combination of the values that it names, the last one varying first.

    ``values`` are a string or several by name; what the pattern does not name changes nothing, and wildcards without
    values stay.
    """
    used = {name: [found] if isinstance(found, str) else found for name, found in values.items()}
    used = {name: found for name, found in used.items() if f"{{{name}}}" in pattern}
    paths = []
    for combination in product(*used.values()):
        path = pattern
        for name, value in zip(used, combination, strict=True):
            path = path.replace(f"{{{name}}}", str(value))
        paths.append(path)
    return paths


def one_of(names: Iterable[str]) -> str:
    """Return a regular expression of some names, and of nothing that can be one if there are none."""
    return "|".join(map(re.escape, names)) or "none"


def weights_path(file: str | None) -> str | list[str]:
    """Return where a file of published weights lies, nothing if none is needed."""
    return f"{WEIGHTS_FOLDER}/{file}" if file else []


class Plan:
    """The paths of a study's results, inputs that depend on its configuration, and its targets.

    Attributes in lower case are paths with wildcards, below ``results``.
    """

    def __init__(self, study: Study):
        self.study = study
        self.from_archive: bool = study["paper"]["source"] == "archive"
        self.results = f"results/{study['study']}"
        if self.from_archive:  # a place of its own: a study of that name may have been built here
            self.results = f"{self.results}/archive/{study['paper']['version']}"
        # Datasets that run through the study, and those that are only test sets of the others.
        self.datasets, self.external = study.datasets("study"), study.datasets("external_test")
        self.samplings, self.scenarios = study["samplings"], study["scenarios"]
        self.generators, self.pools, self.classifiers = study["generators"], study["pools"], study["classifiers"]
        self.runs = range(1, study["runs"] + 1)
        self._place()

    def _place(self) -> None:
        results = self.results
        self.data = f"{results}/data/{{dataset}}"
        self.repeats = f"{self.data}/repeats/{{elsewhere}}.csv"
        self.sampling = f"{results}/cohorts/{{dataset}}/{{sampling}}"
        self.cohort = f"{results}/cohorts/{COHORT}"
        self.model = f"{results}/generators/{MODEL}"
        self.pretrained = f"{results}/generators/pretrained/{PRETRAINED}"
        self.pool = f"{results}/pools/{POOL}"
        self.comparison = f"{results}/pools/{COHORT}/comparison_{{label}}"
        self.classifier = f"{results}/classifiers/{CLASSIFIER}"
        self.judgement = f"{results}/classifiers/{JUDGEMENT}"
        self.real_features = f"{results}/features/{{extractor}}/real/{{dataset}}.npz"
        self.diversity_features = self.real_features.replace("{extractor}", self.study["diversity_extractor"])
        self.cohort_features = f"{results}/features/{{extractor}}/cohorts/{COHORT}/real.npz"  # extractors per cohort
        self.pool_features = f"{results}/features/{{extractor}}/pools/{POOL}.npz"
        self.pairs_real = f"{results}/features/pairs/real/{COHORT}/{{label}}.npz"
        self.pairs_pool = f"{results}/features/pairs/pools/{POOL}.npz"
        self.quality = f"{results}/quality/{POOL}.json"
        self.nearest = f"{results}/quality/{POOL}_nearest.csv"
        # {own} is empty, or /POOL for one of another size, or one whose makers do not know all images of the cohort.
        self.quality_controls = f"{results}/quality/{COHORT}{{own}}/controls_{{label}}.json"
        self.fidelity = f"{results}/fidelity/{POOLS}.json"
        self.attack = f"{results}/privacy/{ATTACK}.json"
        self.archive = f"resources/paper_cache/{self.study['paper']['version']}"
        self.draw_from(chapter.tidy_tables())

    def draw_from(self, told: Collection[str]) -> None:
        """Take the tidy tables that there are: what tables, figures and words chapters can draw from them."""
        self.metrics = chapter.tidy_tables(told)
        self.tables, self.figures = list(chapter.tables(told)), list(chapter.figures(told))
        folder = self.archive if self.from_archive else f"{self.results}/metrics"
        self.numbers = {name: f"{folder}/{name}.csv" for name in self.metrics}
        self.shown = {name: path for name, path in self.numbers.items() if self.metrics[name].drawn}

    def log(self, rule: str, names: str = "") -> str:
        """Return the log file of a rule's job; ``names`` is the pattern of what tells its jobs apart."""
        return f"{self.results}/logs/{rule}{names and '/' + names}.log"

    def cost(self, rule: str, names: str = "") -> str:
        """Return the benchmark file of a rule's job, as ``log``."""
        return f"{self.results}/benchmarks/{rule}{names and '/' + names}.tsv"

    def constraints(self) -> dict[str, str]:
        """Return a regular expression for every wildcard."""
        study = self.study
        return {
            "dataset": one_of(study["datasets"]),
            "external": one_of(self.external),
            "elsewhere": one_of(study.datasets_seen()),
            "pretraining": one_of(study.datasets("pretrain")),
            "sampling": one_of(self.samplings),
            "scenario": one_of(self.scenarios),
            "generator": one_of(self.generators),
            "pool": one_of(self.pools),
            "own": f"(?:/(?:{one_of(filter(study.has_own_controls, self.pools))}))?",
            "label": one_of(study.labels),
            "unit": one_of([*study.labels, "joint"]),
            "mix": one_of([mix for scenario in self.scenarios for mix in study.arms(scenario)]),
            "classifier": one_of(self.classifiers),
            "attack": one_of(study["attacks"]),
            "extractor": one_of([name for name, entry in KINDS["extractors"].items() if not entry.per_cohort]),
            "run": r"\d+",
        }

    # Seeds

    def seed(self, *purpose: str) -> Callable[[Any], int]:
        """Return the function of a job's wildcards that gives its seed: all of them count."""
        return lambda wildcards: self.study.seed(*purpose, *wildcards)

    def run_seed(self, purpose: str) -> Callable[[Any], int]:
        """Return the function of wildcards that gives a classifier's run a 32-bit seed, which all mixes share."""

        def seed(wildcards: Any) -> int:
            cohort = (wildcards.dataset, wildcards.sampling, wildcards.scenario)
            return self.study.seed(purpose, *cohort, wildcards.classifier, int(wildcards.run), bits=32)

        return seed

    # What holds of a generator

    def withholds(self, generator: str) -> bool:
        """Return whether some images of its cohort are withheld from a generator's training."""
        return self.generators[generator]["selection"]["method"] == "kid"

    def is_selected(self, generator: str) -> bool:
        """Return whether a generator's model is chosen among several of its training."""
        return self.generators[generator]["selection"]["method"] != "last"

    def model_folder(self, generator: str) -> str:
        """Return the pattern of the model that makes a generator's images: that of the last step, or the selected."""
        return f"{self.model}/{'selected' if self.is_selected(generator) else 'model'}"

    def family_module(self, generator: str) -> str:
        """Return the dotted name of the module of a generator's family."""
        return find("families", self.generators[generator]["family"], "family").module

    def family_code(self, script: str) -> Callable[[Any], str]:
        """Return the function of wildcards that gives the code hash of a script that runs a generator's family."""
        return lambda wildcards: code(script, self.family_module(wildcards.generator))

    def judged(self, mix: str, classifier: str) -> list[str]:
        """Return the pools that a classifier on a mix judges: an expert on the baseline, all."""
        return list(self.pools) if mix == "baseline" and classifier in self.study["experts"] else []

    # What several rules read

    def pool_file(self, wildcards: Any, pool: str, label: str, file: str) -> str:
        """Return a file of a pool for a label under the wildcards' dataset and sampling."""
        return f"{self.pool}/{file}".format(
            dataset=wildcards.dataset,
            sampling=wildcards.sampling,
            scenario=self.study.pool_scenario(pool),
            pool=pool,
            label=label,
        )

    def seen_images(self, wildcards: Any) -> list[str]:
        """Return the tables of all images that the scenario's classifiers or makers of pools learn or validate on."""
        scenarios = dict.fromkeys([wildcards.scenario, *self.study.generator_scenarios()])
        return [f"{self.sampling}/{scenario}/{file}.csv" for scenario in scenarios for file in ("train", "validation")]

    def extractor_weights(self, wildcards: Any) -> str | list[str]:
        """Return the weights file that an extractor needs, if any."""
        return weights_path(KINDS["extractors"][wildcards.extractor].needs_weights)

    def pair_weights(self) -> str | list[str]:
        """Return the weights file that the pair similarities of the study need, if any."""
        return weights_path(LPIPS_WEIGHTS if "lpips" in self.study["quality"]["diversity"] else None)

    def quality_features_real(self, wildcards: Any) -> list[str]:
        """Return the features of the real images, a file per extractor of the quality in their order."""
        return [
            (self.cohort_features if KINDS["extractors"][extractor].per_cohort else self.real_features).format(
                extractor=extractor, **wildcards
            )
            for extractor in self.study["quality"]["extractors"]
        ]

    def quality_controls_of(self, wildcards: Any) -> str:
        """Return the controls of a pool: those of its cohort, or its own (see ``Study.has_own_controls``)."""
        own = f"/{wildcards.pool}" if self.study.has_own_controls(wildcards.pool) else ""
        return self.quality_controls.format(own=own, **wildcards)

    def controlled_size(self, wildcards: Any) -> int:
        """Return how many images of a pool controls stand for."""
        return self.pools[wildcards.own[1:]]["size"] if wildcards.own else self.study["pool_size"]

    def withholding_model(self, wildcards: Any) -> str | list[str]:
        """Return the model, of a label, that tells which images were withheld from all makers of a pool, if any."""
        pool = wildcards.get("pool") or wildcards.own.removeprefix("/")
        generator = self.study.withholder(pool) if pool else None
        if generator is None:
            return []
        return self.model_folder(generator).format(**{**wildcards, "generator": generator, "unit": wildcards.label})

    # A pattern for everything of a kind

    def every(self, pattern: str, **names: Any) -> list[str]:
        """Return the pattern for every combination of dataset, sampling and the names given."""
        return filled(pattern, dataset=self.datasets, sampling=self.samplings, **names)

    def per_pool(self, pattern: str) -> list[str]:
        """Return the pattern for the scenario, name and label of every pool."""
        return [
            path
            for pool in self.pools
            for label in self.study.pool_labels(pool)
            for path in self.every(pattern, scenario=self.study.pool_scenario(pool), pool=pool, label=label)
        ]

    def per_model(self, pattern: str, generators: Iterable[str] | None = None) -> list[str]:
        """Return the pattern for the scenario, generator and unit of every model, or of those of some generators."""
        return [
            path
            for name in (self.generators if generators is None else generators)
            for path in self.every(
                pattern, scenario=self.generators[name]["train_on"], generator=name, unit=self.study.units(name)
            )
        ]

    def per_pretraining(self, pattern: str) -> list[str]:
        """Return the pattern for every model that a generator's trainings begin from."""
        return [
            path
            for name, dataset in self.study.pretrained().items()
            for path in filled(pattern, pretraining=dataset, generator=name, unit=self.study.units(name))
        ]

    def per_classifier(self, pattern: str) -> list[str]:
        """Return the pattern for every run of every classifier, and of the pools that it judges.

        ``{judged}`` becomes the empty string, then ``synthetic/POOL/`` for each of these.
        """
        return [
            path
            for scenario, classifier in product(self.scenarios, self.study.judges())
            for mix in self.study.arms(scenario)
            for path in self.every(
                pattern,
                scenario=scenario,
                mix=mix,
                classifier=classifier,
                run=self.runs,
                judged=["", *(f"synthetic/{name}/" for name in self.judged(mix, classifier))],
            )
        ]

    # What the targets ask for

    def data_targets(self) -> list[str]:
        """Return what is known of the data once they are prepared."""
        return filled(f"{self.data}/{{file}}", dataset=self.study["datasets"], file=["integrity.md", "samples.png"])

    def cohort_summaries(self) -> list[str]:
        """Return what describes the images of cohorts and of their test sets."""
        files = [
            "summary",
            *(["common"] if self.study.has_common_test() else []),
            *(f"external_{dataset}" for dataset in self.external),
        ]
        return self.every(f"{self.cohort}/{{file}}.json", scenario=self.scenarios, file=files)

    def cohort_targets(self) -> list[str]:
        """Return the cohorts, checked and described."""
        return [*self.every(f"{self.cohort}/gates.json", scenario=self.scenarios), *self.cohort_summaries()]

    def generator_targets(self) -> list[str]:
        """Return the models that make images."""
        return [path for name in self.generators for path in self.per_model(self.model_folder(name), [name])]

    def pretrained_targets(self) -> list[str]:
        """Return the models that others begin from."""
        return self.per_pretraining(f"{self.pretrained}/model")

    def pool_targets(self) -> list[str]:
        """Return the manifests of the pools."""
        return self.per_pool(f"{self.pool}/manifest.csv")

    def picture_targets(self) -> list[str]:
        """Return the pictures of pools and of originals beside them."""
        return self.per_pool(f"{self.pool}/grid.png") + list(dict.fromkeys(self.per_pool(f"{self.comparison}.png")))

    def quality_targets(self) -> list[str]:
        """Return the quality of the pools."""
        return self.per_pool(self.quality)

    def fidelity_targets(self) -> list[str]:
        """Return how well the pools show what was asked of them, of those of which something was."""
        return self._per_conditional_pool(self.fidelity)

    def _per_conditional_pool(self, pattern: str) -> list[str]:
        return [
            path
            for pool in self.study.conditional_pools()
            for path in self.every(pattern, scenario=self.study.pool_scenario(pool), pool=pool)
        ]

    def neighbour_targets(self) -> list[str]:
        """Return the pictures of the images that are nearest to training images."""
        return self.per_pool(f"{self.pool}/neighbours.png")

    def attack_targets(self) -> list[str]:
        """Return how well each attack does on every pool."""
        return [
            path for of_pool in self.per_pool(self.attack) for path in filled(of_pool, attack=self.study["attacks"])
        ]

    def evaluation_targets(self, file: str = "evaluation.json") -> list[str]:
        """Return a file of every evaluation: on the real test sets, and of experts on each pool."""
        return self.per_classifier(f"{self.classifier}/{{judged}}{file}")

    def kept_classifier_targets(self) -> list[str]:
        """Return the trained classifiers, if they are kept."""
        return self.per_classifier(f"{self.classifier}/model") if self.study["keep_classifiers"] else []

    def cost_targets(self) -> list[str]:
        """Return the benchmark files of the jobs that cost something."""
        return [
            *self.per_pretraining(self.cost("pretrain_generator", PRETRAINED)),
            *self.per_model(self.cost("train_generator", MODEL)),
            *self.per_model(self.cost("select_model", MODEL), filter(self.is_selected, self.generators)),
            *self.per_pool(self.cost("write_pool", POOL)),
            *self.per_pool(self.cost("pool_quality", POOL)),
            *self._per_conditional_pool(self.cost("condition_fidelity", POOLS)),
            *self.per_classifier(self.cost("train_classifier", CLASSIFIER)),
            *self.per_classifier(self.cost("evaluate", CLASSIFIER)),
            *self.every(
                self.cost("judge", JUDGEMENT),
                scenario=self.scenarios,
                mix="baseline",
                classifier=self.study["experts"],
                run=self.runs,
                pool=self.pools,
            ),
        ]

    def analysis_targets(self) -> list[str]:
        """Return the words, tables and figures."""
        tables = filled(f"{self.results}/tables/{{table}}.{{format}}", table=self.tables, format=["csv", "md", "tex"])
        charts = filled(f"{self.results}/figures/{{figure}}.{{format}}", figure=self.figures, format=["pdf", "png"])
        return [f"{self.results}/summary.md", *tables, *charts]

    def all_targets(self) -> list[str]:
        """Return all that a study ends in."""
        if self.from_archive:
            return self.analysis_targets()
        return [
            *(*self.analysis_targets(), *self.data_targets(), *self.picture_targets(), *self.neighbour_targets()),
            *(f"{self.results}/suspects.png", *self.kept_classifier_targets()),
        ]
