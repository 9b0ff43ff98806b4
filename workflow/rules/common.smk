import os
import re
import sys
from collections import defaultdict
from itertools import product
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger
from snakemake.persistence import PersistenceBase
from snakemake.settings.types import DeploymentMethod, RerunTrigger

SCRIPTS = Path(str(workflow.current_basedir)).parent / "scripts"
sys.path.insert(0, str(SCRIPTS))

from radsynth.common import made
from radsynth.common.code import code_hash
from radsynth.common.errors import UserError
from radsynth.common.hashing import sha256_file
from radsynth.common.registry import KINDS, LPIPS_WEIGHTS, find
from radsynth.common.weights import read_registry
from radsynth.study.configfiles import check_file
from radsynth.study.portable import local_hash, portable
from radsynth.study.config import Study
from radsynth.data.listing import fingerprint
from radsynth.data.downloads import looked_for
from radsynth.tasks.learner import learner_class, weights_file

try:
    for path in workflow.overwrite_configfiles or [Path(workflow.basedir) / "config/config.yaml"]:
        check_file(path)
    STUDY = Study(config)
    # With all defaults, for scripts that look their dataset up.
    config["datasets"] = STUDY["datasets"]
except UserError as error:
    raise WorkflowError(f"configuration: {error}") from None

# Snakemake hands on the name of a variable that is not set, and a cluster would refuse job after job.
for name, resource in (workflow.resource_settings.default_resources or {}).items():
    variable = re.fullmatch(r"\$\{?(\w+)\}?", str(resource.raw))
    if variable and not os.environ.get(variable[1]):
        raise WorkflowError(
            f"profile: default-resources.{name}: {variable[1]} is not set, expected `export {variable[1]}=...`"
        )

FROM_ARCHIVE = STUDY["paper"]["source"] == "archive"
R = f"results/{STUDY['study']}"
if FROM_ARCHIVE:  # a place of its own: a study of that name may have been built here
    R = f"{R}/archive/{STUDY['paper']['version']}"
LABELS = STUDY.labels
# Datasets that run through the study, and those that are only test sets of the others.
DATASETS, EXTERNAL = STUDY.datasets("study"), STUDY.datasets("external_test")
SAMPLINGS, SCENARIOS = STUDY["samplings"], STUDY["scenarios"]
GENERATORS, CLASSIFIERS = STUDY["generators"], STUDY["classifiers"]
RUNS = range(1, STUDY["runs"] + 1)
PUBLISHED = sorted(str(path) for path in Path("resources/published").glob("*.csv"))
WEIGHTS = read_registry(SCRIPTS.parents[1] / "resources/weights.yaml")

# Paths, written once. {{...}} are wildcards.
DATA = f"{R}/data/{{dataset}}"
FEATURES = f"{R}/features/{{extractor}}"
REAL_FEATURES = f"{FEATURES}/real/{{dataset}}.npz"
DIVERSITY_FEATURES = REAL_FEATURES.replace("{extractor}", STUDY["diversity_extractor"])
COHORT_FEATURES = f"{FEATURES}/cohorts/{{dataset}}/{{sampling}}/{{scenario}}/real.npz"  # extractors per cohort
POOL_FEATURES = f"{FEATURES}/pools/{{dataset}}/{{sampling}}/{{scenario}}/{{pool}}/{{label}}.npz"
# Shared by all studies; no rule's output, for its content depends on what has run before.
FEATURE_CACHE = "results/.features"
SAMPLING = f"{R}/cohorts/{{dataset}}/{{sampling}}"
COHORT = f"{SAMPLING}/{{scenario}}"
MODEL = f"{R}/generators/{{dataset}}/{{sampling}}/{{scenario}}/{{generator}}/{{unit}}"
POOL = f"{R}/pools/{{dataset}}/{{sampling}}/{{scenario}}/{{pool}}/{{label}}"
QUALITY = f"{R}/quality/{{dataset}}/{{sampling}}/{{scenario}}/{{pool}}/{{label}}.json"
# {own} is empty, or /POOL for one of another size, or one whose makers do not know all images of the cohort.
QUALITY_CONTROLS = f"{R}/quality/{{dataset}}/{{sampling}}/{{scenario}}{{own}}/controls_{{label}}.json"
PAIRS_REAL = f"{R}/features/pairs/real/{{dataset}}/{{sampling}}/{{scenario}}/{{label}}.npz"
PAIRS_POOL = f"{R}/features/pairs/pools/{{dataset}}/{{sampling}}/{{scenario}}/{{pool}}/{{label}}.npz"
CLASSIFIER = f"{R}/classifiers/{{dataset}}/{{sampling}}/{{scenario}}/{{mix}}/{{classifier}}/run_{{run}}"
LOGS, COSTS = f"{R}/logs", f"{R}/benchmarks"


def asked_to_delete():
    """Return whether the command deletes what a study has made: not the weights and archives that studies share."""
    return any(argument.startswith("--delete-a") for argument in sys.argv)  # options may be shortened


def seen_written(persistence, path):
    """Return whether Snakemake's record of a file is of the file that is there, or no file is.

    Or whether Snakemake was killed with the job that writes it, of which it has kept a mark.
    """
    record = persistence.metadata(path)
    return (
        not os.path.lexists(path)
        or (record is not None and (os.path.isdir(path) or abs(os.stat(path).st_mtime - record.endtime) < 1))
        or bool(persistence._filter_incomplete_keys([path]))
    )


def made_otherwise(persistence, job):
    """Return what differs between a job and the one that made its results, if Snakemake does not compare these itself.

    It cannot where it knows nothing of them, and is not to without `params` among its `--rerun-triggers`, which is
    how results are kept when their code has changed, but not when they are to be others.
    """
    known = all(seen_written(persistence, path) for path in job.output)
    compares = RerunTrigger.PARAMS in workflow.rerun_triggers
    if known and compares:
        return []
    found = made.differences(job.rule.name, dict(job.params.items()), job.input, job.output)
    passed = [*([made.NO_RECORD] if known else []), *([] if compares else [made.OTHER_CODE])]
    return [difference for difference in found if difference not in passed]


def has_metadata(persistence, job, asked=PersistenceBase.has_metadata):
    """Stop before Snakemake takes results that it has no record of for those of the configuration.

    It asks this of every job whose results are there and not too old. Only the whole plan tells what has to go.
    """
    if workflow.is_main_process and not asked_to_delete() and made_otherwise(persistence, job):
        dag = persistence.dag
        jobs = [other for level in dag.toposorted() for other in sorted(level, key=str)]
        stale = {other: found for other in jobs if (found := made_otherwise(persistence, other))}
        # What follows has to go as well: Snakemake makes nothing anew for which all that needs it is there.
        follow = set(dag.bfs(dag.depending, *stale))
        there = {other: list(filter(os.path.lexists, other.output)) for other in jobs}
        raise WorkflowError(
            str(
                made.stop(
                    {path: (other.rule.name, found) for other, found in stale.items() for path in there[other]},
                    [path for other in jobs if other in follow for path in there[other]],
                    [path for other in jobs if other not in follow for path in there[other]],
                )
            )
        )
    return asked(persistence, job)


PersistenceBase.has_metadata = has_metadata


def one_of(names):
    return "|".join(map(re.escape, names)) or "none"


def withholds(generator):
    """Return whether some images of its cohort are withheld from a generator's training."""
    return GENERATORS[generator]["selection"]["method"] == "kid"


wildcard_constraints:
    dataset=one_of(STUDY["datasets"]),
    external=one_of(EXTERNAL),
    sampling=one_of(SAMPLINGS),
    scenario=one_of(SCENARIOS),
    generator=one_of(GENERATORS),
    pool=one_of(STUDY["pools"]),
    own=f"(?:/(?:{one_of(filter(STUDY.has_own_controls, STUDY['pools']))}))?",
    label=one_of(LABELS),
    unit=one_of([*LABELS, "joint"]),
    mix=one_of([mix for scenario in SCENARIOS for mix in STUDY.arms(scenario)]),
    classifier=one_of(CLASSIFIERS),
    extractor=one_of([name for name, entry in KINDS["extractors"].items() if not entry.per_cohort]),
    run=r"\d+",


def at(pattern, scenario):
    """Return the pattern with its scenario filled in."""
    return pattern.replace("{scenario}", scenario)


def code(script, *modules):
    """Return the content hash of a rule's script and the library modules behind it."""
    return code_hash(SCRIPTS / f"{script}.py", *modules)


def generator_code(script, generator):
    """Return the code hash of a rule that runs one generator's family."""
    return code(script, find("families", GENERATORS[generator]["family"], "family").module)


def run_seed(purpose, wildcards):
    """Return a 32-bit seed of a classifier run that all mixes share."""
    parts = (wildcards.dataset, wildcards.sampling, wildcards.scenario, wildcards.classifier, int(wildcards.run))
    return STUDY.seed(purpose, *parts, bits=32)


def images_in(tables):
    """Return how many images tables list; none while they are not there, but Snakemake asks again before a job runs."""
    count = 0
    for table in tables:
        if Path(table).is_file():
            with open(table, "rb") as lines:
                count += max(sum(1 for _ in lines) - 1, 0)
    return count


def named(input, names):
    """Return the files of a job's inputs of some names."""
    return [file for name in names for file in ([input[name]] if isinstance(input[name], str) else input[name])]


def memory(megabytes, per_image=0, *tables):
    """Return a mem_mb function that asks for half as much again at each further attempt.

    ``per_image`` is what each image adds that the job's inputs of the names ``tables`` list.
    """
    if not tables:
        return lambda wildcards, attempt: int(megabytes * (1 + 0.5 * (attempt - 1)))
    return lambda wildcards, input, attempt: int(
        (megabytes + per_image * images_in(named(input, tables))) * (1 + 0.5 * (attempt - 1))
    )


def minutes(base, *tables, per_image=0, per_pair=0):
    """Return a runtime function that grows with the images in the job's inputs ``tables``, or with their pairs."""

    def runtime(wildcards, input):
        count = images_in(named(input, tables))
        return int(base + per_image * count + per_pair * count**2)

    return runtime


def asked_memory():
    """Return by rule how many megabytes its first attempt asks for, while no image has been counted."""
    given = {"input": defaultdict(list), "threads": min(32, os.cpu_count()), "attempt": 1}
    jobs = [entry for entry in workflow.rules if entry.output]
    return {entry.name: entry.resources["mem_mb"].evaluate(None, **given).value for entry in jobs}


def asked_to_check():
    """Return whether the command is `snakemake check`, not as a dry run; Snakemake tells its targets only later."""
    return "check" in sys.argv and not workflow.output_settings.dryrun


def withholding(wildcards):
    """Return which of its training images a generator does not learn from: share, gates and seed, or nothing.

    Generators of one cohort with the same share withhold the same images.
    """
    if not withholds(wildcards.generator):
        return {}
    selection = GENERATORS[wildcards.generator]["selection"]
    names = (wildcards.dataset, wildcards.sampling, wildcards.scenario, wildcards.unit)
    return {"share": selection["withhold"], "gates": STUDY["gates"], "seed": STUDY.seed("withhold", *names)}


def kept_models(wildcards):
    """Return what of a generator's selection its training depends on: the steps after which it keeps its model."""
    selection = GENERATORS[wildcards.generator]["selection"]
    return {key: selection[key] for key in ("method", "step", "checkpoints", "first") if key in selection}


def is_selected(generator):
    """Return whether a generator's model is chosen among several of its training."""
    return GENERATORS[generator]["selection"]["method"] != "last"


def trained_scenario(generator):
    return GENERATORS[generator]["train_on"]


def compared_pools(wildcards):
    """Return the pools of the wildcards' label whose makers learnt from the wildcards' scenario."""
    return [
        pool
        for pool in STUDY["pools"]
        if STUDY.pool_scenario(pool) == wildcards.scenario and wildcards.label in STUDY.pool_labels(pool)
    ]


def pool_path(wildcards, pool, label, file):
    """Return a file of a pool for a label under the wildcards' dataset and sampling."""
    return f"{POOL}/{file}".format(
        dataset=wildcards.dataset,
        sampling=wildcards.sampling,
        scenario=STUDY.pool_scenario(pool),
        pool=pool,
        label=label,
    )


def test_split(wildcards):
    """Return the published split that a dataset keeps for testing, if any."""
    return STUDY["datasets"][wildcards.dataset].get("test_split")


# What rules read, where that depends on the configuration.


def download_record(wildcards):
    """Return the record of a dataset's download, if its source can fetch it."""
    downloadable = KINDS["sources"][STUDY["datasets"][wildcards.dataset]["source"]].downloadable
    return f"{DATA}/download.json".format(dataset=wildcards.dataset) if downloadable else []


def dataset_entry(wildcards):
    """Return a dataset's entry of the configuration; of what may name patients only a hash, for reports show it."""
    dataset = STUDY["datasets"][wildcards.dataset]
    return portable(dataset) | {"left_out": local_hash(dataset)}


def raw_fingerprint(wildcards):
    """Return what tells that raw files were added, replaced or taken away since they were prepared.

    Once that is done they are not needed any more: where none is left, it is what it was then.
    """
    dataset = STUDY["datasets"][wildcards.dataset]
    found = fingerprint(dataset["path"], dataset.get("masks"))
    return found or made.recorded_param(f"{DATA}/manifest.csv".format(**wildcards), "raw") or ""


def raw_looked_for(wildcards):
    """Return what tells that raw files must be looked for again."""
    dataset = STUDY["datasets"][wildcards.dataset]
    return looked_for(dataset, download_record(wildcards), Path(f"{DATA}/manifest.csv".format(**wildcards)).is_file())


def weights_of(wildcards):
    """Return the weights file that an extractor needs, if any."""
    file = KINDS["extractors"][wildcards.extractor].needs_weights
    return f"resources/weights/{file}" if file else []


def pair_weights(wildcards):
    """Return the weights file that the pair similarities of the study need, if any."""
    return f"resources/weights/{LPIPS_WEIGHTS}" if "lpips" in STUDY["quality"]["diversity"] else []


def classifier_weights(wildcards):
    """Return the weights file that a classifier starts from, if any."""
    file = weights_file(CLASSIFIERS[wildcards.classifier])
    return f"resources/weights/{file}" if file else []


def environment_of(classifier):
    """Return the environment of a classifier's framework."""
    by_backend = learner_class(CLASSIFIERS[classifier]["architecture"]).environment
    return f"../envs/{by_backend[STUDY['keras_backend']]}.yaml"


def learner_environment(wildcards):
    return environment_of(wildcards.classifier)


def learner_code(script, classifier):
    """Return the code behind a rule that loads a classifier and the task that it learns."""
    learner = find("learners", CLASSIFIERS[classifier]["architecture"], "classifiers")
    return code(script, learner.module, find("tasks", STUDY["task"], "task").module)


def reference_of(wildcards):
    """Return the features of the real images for an extractor that is fitted to them."""
    if not KINDS["extractors"][wildcards.extractor].fitted:
        return []
    return REAL_FEATURES.format(**wildcards)


def extractor_code(wildcards):
    return code("features", KINDS["extractors"][wildcards.extractor].module)


def quality_features_real(wildcards):
    """Return the features of the real images, a file per extractor of the quality in their order."""
    return [
        (COHORT_FEATURES if KINDS["extractors"][extractor].per_cohort else REAL_FEATURES).format(
            extractor=extractor, **wildcards
        )
        for extractor in STUDY["quality"]["extractors"]
    ]


def quality_features_pool(wildcards):
    """Return the features of a pool, a file per extractor of the quality in their order."""
    return [POOL_FEATURES.format(extractor=extractor, **wildcards) for extractor in STUDY["quality"]["extractors"]]


def quality_controls_of(wildcards):
    """Return the controls of a pool: those of all pools of its cohort, or its own (see ``Study.has_own_controls``)."""
    own = os.sep + wildcards.pool if STUDY.has_own_controls(wildcards.pool) else ""
    return QUALITY_CONTROLS.format(own=own, **wildcards)


def withholding_model(wildcards):
    """Return the model, of a label, that tells which images were withheld from all makers of a pool, if any were."""
    pool = wildcards.get("pool") or wildcards.own.removeprefix("/")
    generator = STUDY.withholder(pool) if pool else None
    if generator is None:
        return []
    return model_folder(generator).format(**{**wildcards, "generator": generator, "unit": wildcards.label})


def seen_images(wildcards):
    """Return the tables of all images that classifiers or makers of pools learn or validate on, those of the wildcards' scenario first."""
    scenarios = dict.fromkeys([wildcards.scenario, *STUDY.generator_scenarios()])
    return [f"{SAMPLING}/{scenario}/{file}.csv" for scenario in scenarios for file in ("train", "validation")]


def order_features(wildcards):
    """Return the features that a sampling measures distances in, if it does."""
    extractor = SAMPLINGS[wildcards.sampling].get("extractor")
    return REAL_FEATURES.format(dataset=wildcards.dataset, extractor=extractor) if extractor else []


def model_folder(generator):
    """Return the pattern of the model that makes a generator's images: that of the last step, or the selected one."""
    return f"{MODEL}/{'selected' if is_selected(generator) else 'model'}"


# What a pool is made from follows from its needs alone.


def models_of_pool(wildcards):
    """Return the models, of a label, of the generators that a pool needs."""
    return [
        model_folder(generator).format(
            **{**wildcards, "generator": generator, "unit": STUDY.unit(generator, wildcards.label)}
        )
        for generator in STUDY.needs[wildcards.pool].models
    ]


def parents_of_pool(wildcards, file):
    """Return a file of every pool that a pool needs, of the same label."""
    return [pool_path(wildcards, parent, wildcards.label, file) for parent in STUDY.needs[wildcards.pool].pools]


def classifiers_of_pool(wildcards):
    """Return the classifiers that a pool needs: run 1 on the real training images of its cohort."""
    return [
        f"{CLASSIFIER}/model".format(**{**wildcards, "mix": "baseline", "classifier": classifier, "run": 1})
        for classifier in STUDY.needs[wildcards.pool].classifiers
    ]


def datasets_of_pool(wildcards, file):
    """Return a file of every dataset that a pool needs."""
    return [f"{DATA}/{file}".format(dataset=dataset) for dataset in STUDY.needs[wildcards.pool].datasets]


def generators_of_pool(wildcards):
    """Return family and sampler of the generators that a pool needs."""
    names = STUDY.needs[wildcards.pool].models
    return {name: {key: GENERATORS[name][key] for key in ("family", "sampler")} for name in names}


def architectures_of_pool(wildcards):
    """Return the architecture of the classifiers that a pool needs."""
    return {name: CLASSIFIERS[name]["architecture"] for name in STUDY.needs[wildcards.pool].classifiers}


def pool_code(wildcards):
    """Return the code hash of a pool's kind and of the generators and classifiers that it needs."""
    families = dict.fromkeys(GENERATORS[name]["family"] for name in STUDY.needs[wildcards.pool].models)
    learners = dict.fromkeys(architectures_of_pool(wildcards).values())
    named = [("pools", STUDY["pools"][wildcards.pool]["kind"]), *product(["families"], families)]
    named += product(["learners"], learners)
    return code("write_pool", *(find(kind, name, kind).module for kind, name in named))


def selection_weights(wildcards):
    """Return the weights file that the extractor of a generator's selection needs, if any."""
    extractor = GENERATORS[wildcards.generator]["selection"].get("extractor")
    file = KINDS["extractors"][extractor].needs_weights if extractor else None
    return f"resources/weights/{file}" if file else []


def selection_code(wildcards):
    generator = GENERATORS[wildcards.generator]
    extractor = generator["selection"].get("extractor")
    modules = [KINDS["extractors"][extractor].module] if extractor else []
    return code("select_model", find("families", generator["family"], "family").module, *modules)


def known_scenarios(wildcards):
    """Return the scenarios from whose training images a matched control draws; none for other mixes."""
    known = STUDY.arm(wildcards.scenario, wildcards.mix)["known"]
    return sorted(set(known.values())) if known else []


def pool_files(wildcards, file):
    """Return a file of the wildcards' pool for each of its labels."""
    return [pool_path(wildcards, wildcards.pool, label, file) for label in STUDY.pool_labels(wildcards.pool)]


def shows_patients(path, **place):
    """Return a picture of real images, which stands in the report only where the configuration says so."""
    return report(path, **place) if STUDY["report"]["real_images"] else path


def reported(path, name, subcategory):
    """Return a result as it stands in the report, with the caption of its name."""
    return report(
        path, caption=f"../report/{name}.rst", category="4 Results", subcategory=subcategory, labels={"shows": name}
    )
