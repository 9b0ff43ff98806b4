import re
import sys
from itertools import product
from pathlib import Path

from snakemake.exceptions import WorkflowError

SCRIPTS = Path(str(workflow.current_basedir)).parent / "scripts"
sys.path.insert(0, str(SCRIPTS))

from radsynth.common.code import code_hash
from radsynth.common.errors import UserError
from radsynth.common.weights import read_registry
from radsynth.config.study import Study
from radsynth.data.registry import SOURCES
from radsynth.features.registry import EXTRACTORS
from radsynth.generators.registry import family_module

try:
    STUDY = Study(config)
except UserError as error:
    raise WorkflowError(f"configuration: {error}") from None

R = f"results/{STUDY['study']}"
LABELS = STUDY.labels
DATASETS, SAMPLINGS, SCENARIOS = STUDY["datasets"], STUDY["samplings"], STUDY["scenarios"]
GENERATORS, MIXES, CLASSIFIERS = STUDY["generators"], STUDY["mixes"], STUDY["classifiers"]
RUNS = range(1, STUDY["runs"] + 1)
FROM_ARCHIVE = STUDY["paper"]["source"] == "archive"
WEIGHTS = read_registry(SCRIPTS.parents[1] / "resources/weights.yaml")

# Paths, written once. {{...}} are wildcards.
DATA = f"{R}/data/{{dataset}}"
FEATURES = f"{R}/features/{{extractor}}"
SAMPLING = f"{R}/cohorts/{{dataset}}/{{sampling}}"
COHORT = f"{SAMPLING}/{{scenario}}"
MODEL = f"{R}/generators/{{dataset}}/{{sampling}}/{{scenario}}/{{generator}}/{{unit}}"
POOL = f"{R}/pools/{{dataset}}/{{sampling}}/{{scenario}}/{{generator}}/{{label}}"
QUALITY = f"{R}/quality/{{dataset}}/{{sampling}}/{{scenario}}/{{generator}}/{{label}}.json"
CLASSIFIER = f"{R}/classifiers/{{dataset}}/{{sampling}}/{{scenario}}/{{mix}}/{{classifier}}/run_{{run}}"
LOGS, COSTS = f"{R}/logs", f"{R}/benchmarks"


def one_of(names):
    return "|".join(map(re.escape, names)) or "none"


wildcard_constraints:
    dataset=one_of(DATASETS),
    sampling=one_of(SAMPLINGS),
    scenario=one_of(SCENARIOS),
    generator=one_of(GENERATORS),
    label=one_of(LABELS),
    unit=one_of([*LABELS, "joint"]),
    mix=one_of(MIXES),
    classifier=one_of(CLASSIFIERS),
    extractor=one_of(EXTRACTORS),
    run=r"\d+",
    testset=r"test_\d+",


def code(script, *modules):
    """Return the content hash of a rule's script and the library modules behind it."""
    return code_hash(SCRIPTS / f"{script}.py", *modules)


def module_of(entry):
    """Return the module of a registry entry written as module:Class."""
    return entry.split(":")[0]


def generator_code(script, generator):
    """Return the code hash of a rule that runs one generator's family."""
    return code(script, family_module(GENERATORS[generator]["family"]))


def run_seed(purpose, wildcards):
    """Return a 32-bit seed of a classifier run that all mixes share."""
    parts = (wildcards.dataset, wildcards.sampling, wildcards.scenario, wildcards.classifier, int(wildcards.run))
    return STUDY.seed(purpose, *parts, bits=32)


def memory(megabytes):
    """Return a mem_mb function that asks for half as much again at each further attempt."""
    return lambda wildcards, attempt: int(megabytes * (1 + 0.5 * (attempt - 1)))


def trained_scenario(generator):
    return GENERATORS[generator]["train_on"]


def pool_path(wildcards, generator, label, file):
    """Return a file of the pool that a generator made for a label under the wildcards' dataset and sampling."""
    return f"{POOL}/{file}".format(
        dataset=wildcards.dataset,
        sampling=wildcards.sampling,
        scenario=trained_scenario(generator),
        generator=generator,
        label=label,
    )


def every(pattern, **names):
    """Return the pattern for every combination of dataset, sampling and the names given."""
    return expand(pattern, dataset=DATASETS, sampling=SAMPLINGS, **names)


def per_pool(pattern):
    """Return the pattern for the scenario, generator and label of every pool."""
    return [
        path
        for generator, label in product(GENERATORS, LABELS)
        for path in every(pattern, scenario=trained_scenario(generator), generator=generator, label=label)
    ]


def per_model(pattern):
    """Return the pattern for the scenario, generator and unit of every model."""
    return [
        path
        for generator in GENERATORS
        for path in every(
            pattern, scenario=trained_scenario(generator), generator=generator, unit=STUDY.units(generator)
        )
    ]


def per_classifier(pattern):
    """Return the pattern for every run of every classifier, with the test sets of its scenario if it has any."""
    return [
        path
        for scenario in SCENARIOS
        for path in every(
            pattern,
            scenario=scenario,
            mix=MIXES,
            classifier=CLASSIFIERS,
            run=RUNS,
            testset=STUDY.test_sets(scenario),
        )
    ]


# What the target rules ask for.


def data_targets():
    return expand(f"{DATA}/integrity.md", dataset=DATASETS)


def cohort_targets():
    return every(f"{COHORT}/gates.json", scenario=SCENARIOS) + every(f"{COHORT}/summary.json", scenario=SCENARIOS)


def generator_targets():
    return per_model(f"{MODEL}/model")


def pool_targets():
    return per_pool(f"{POOL}/manifest.csv")


def picture_targets():
    scenarios = STUDY.generator_scenarios()
    pattern = f"{R}/pools/{{dataset}}/{{sampling}}/{{scenario}}/comparison_{{label}}.png"
    return per_pool(f"{POOL}/grid.png") + every(pattern, scenario=scenarios, label=LABELS)


def quality_targets():
    return per_pool(QUALITY)


def evaluation_targets():
    return per_classifier(f"{CLASSIFIER}/{{testset}}.json")


def cost_targets():
    """Return the benchmark files of the jobs that cost something."""
    return [
        *per_model(f"{COSTS}/train_generator/{{dataset}}_{{sampling}}_{{scenario}}_{{generator}}_{{unit}}.tsv"),
        *per_pool(f"{COSTS}/write_pool/{{dataset}}_{{sampling}}_{{scenario}}_{{generator}}_{{label}}.tsv"),
        *per_pool(f"{COSTS}/pool_quality/{{dataset}}_{{sampling}}_{{scenario}}_{{generator}}_{{label}}.tsv"),
        *per_classifier(
            f"{COSTS}/train_classifier/{{dataset}}_{{sampling}}_{{scenario}}_{{mix}}_{{classifier}}_{{run}}.tsv"
        ),
    ]


def analysis_targets():
    tables = expand(f"{R}/tables/{{table}}.{{format}}", table=TABLES, format=["csv", "md", "tex"])
    charts = expand(f"{R}/figures/{{figure}}.{{format}}", figure=FIGURES, format=["pdf", "png"])
    return [f"{R}/summary.md", *tables, *charts]
