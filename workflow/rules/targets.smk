from radsynth.report import chapter

COHORT_SUMMARIES = [
    "summary",
    *(["common"] if STUDY.has_common_test() else []),
    *(f"external_{dataset}" for dataset in EXTERNAL),
]
ARCHIVE = f"resources/paper_cache/{STUDY['paper']['version']}"
if FROM_ARCHIVE:
    from radsynth.report.archive import archived_tables

    # Before anything is planned: Snakemake says less clearly what is missing, and not at all what has changed since.
    try:
        TOLD = archived_tables(ARCHIVE)
    except UserError as error:
        raise WorkflowError(f"paper: {error}") from None
else:
    TOLD = list(chapter.tidy_tables())
# What the chapters own; of an archive that was made before some of them, the others.
METRICS, TABLES, FIGURES = (of(TOLD) for of in (chapter.tidy_tables, chapter.tables, chapter.figures))
NUMBERS = {name: f"{ARCHIVE if FROM_ARCHIVE else f'{R}/metrics'}/{name}.csv" for name in METRICS}

# What tables, figures and words are drawn from.
SHOWN = {name: path for name, path in NUMBERS.items() if METRICS[name].drawn}

COMPARED = f"{R}/compare/{'--'.join(STUDY['compare'])}"


def compared_metrics(name):
    """Return the metrics and the configuration of a study that is here, else of the archive of that name."""
    results = Path(f"results/{name}/metrics")
    built = results.is_dir() or (name == STUDY["study"] and not FROM_ARCHIVE)
    folder = results if built else Path(f"resources/paper_cache/{name}")
    tables = ("study", "cohorts", "classification", "quality", "comparisons", "verdicts")
    return [f"{folder}/{file}" for file in [*(f"{table}.csv" for table in tables), "config.yaml"]]


def every(pattern, **names):
    """Return the pattern for every combination of dataset, sampling and the names given."""
    return expand(pattern, dataset=DATASETS, sampling=SAMPLINGS, **names)


def per_pool(pattern):
    """Return the pattern for the scenario, name and label of every pool."""
    return [
        path
        for pool in STUDY["pools"]
        for label in STUDY.pool_labels(pool)
        for path in every(pattern, scenario=STUDY.pool_scenario(pool), pool=pool, label=label)
    ]


def per_model(pattern, generators=GENERATORS):
    """Return the pattern for the scenario, generator and unit of every model, or of those of some generators."""
    return [
        path
        for generator in generators
        for path in every(
            pattern, scenario=trained_scenario(generator), generator=generator, unit=STUDY.units(generator)
        )
    ]


def per_classifier(pattern):
    """Return the pattern for every run of every classifier, with the test sets of its scenario if it has any."""
    return [
        path
        for scenario, classifier in product(SCENARIOS, STUDY.judges())
        for mix in STUDY.arms(scenario)
        for path in every(
            pattern,
            scenario=scenario,
            mix=mix,
            classifier=classifier,
            run=RUNS,
            testset=STUDY.evaluated_on(scenario, mix, classifier),
        )
    ]


# What the target rules ask for.


def data_targets():
    return expand(f"{DATA}/{{file}}", dataset=STUDY["datasets"], file=["integrity.md", "samples.png"])


def cohort_targets():
    return every(f"{COHORT}/{{file}}.json", scenario=SCENARIOS, file=["gates", *COHORT_SUMMARIES])


def generator_targets():
    return [path for generator in GENERATORS for path in per_model(model_folder(generator), [generator])]


def pool_targets():
    return per_pool(f"{POOL}/manifest.csv")


def picture_targets():
    comparisons = per_pool(f"{R}/pools/{{dataset}}/{{sampling}}/{{scenario}}/comparison_{{label}}.png")
    return per_pool(f"{POOL}/grid.png") + list(dict.fromkeys(comparisons))


def quality_targets():
    return per_pool(QUALITY)


def neighbour_targets():
    return per_pool(f"{POOL}/neighbours.png")


def suspect_targets():
    return [f"{R}/suspects.png"]


def evaluation_targets():
    return per_classifier(f"{CLASSIFIER}/{{testset}}.json")


def kept_classifier_targets():
    """Return the trained classifiers, if they are kept."""
    return per_classifier(f"{CLASSIFIER}/model") if STUDY["keep_classifiers"] else []


def cost_targets():
    """Return the benchmark files of the jobs that cost something."""
    return [
        *per_model(f"{COSTS}/train_generator/{{dataset}}_{{sampling}}_{{scenario}}_{{generator}}_{{unit}}.tsv"),
        *per_model(
            f"{COSTS}/select_model/{{dataset}}_{{sampling}}_{{scenario}}_{{generator}}_{{unit}}.tsv",
            [generator for generator in GENERATORS if is_selected(generator)],
        ),
        *per_pool(f"{COSTS}/write_pool/{{dataset}}_{{sampling}}_{{scenario}}_{{pool}}_{{label}}.tsv"),
        *per_pool(f"{COSTS}/pool_quality/{{dataset}}_{{sampling}}_{{scenario}}_{{pool}}_{{label}}.tsv"),
        *per_classifier(
            f"{COSTS}/train_classifier/{{dataset}}_{{sampling}}_{{scenario}}_{{mix}}_{{classifier}}_{{run}}.tsv"
        ),
        *per_classifier(f"{COSTS}/evaluate/{{dataset}}_{{sampling}}_{{scenario}}_{{mix}}_{{classifier}}_{{run}}.tsv"),
        *every(
            f"{COSTS}/judge/{{dataset}}_{{sampling}}_{{scenario}}_baseline_{{classifier}}_{{run}}_{{pool}}.tsv",
            scenario=SCENARIOS,
            classifier=STUDY["experts"],
            run=RUNS,
            pool=STUDY["pools"],
        ),
    ]


def analysis_targets():
    tables = expand(f"{R}/tables/{{table}}.{{format}}", table=TABLES, format=["csv", "md", "tex"])
    charts = expand(f"{R}/figures/{{figure}}.{{format}}", figure=FIGURES, format=["pdf", "png"])
    return [f"{R}/summary.md", *tables, *charts]
