localrules:
    metrics,


# What both hold of the study. What is done with the results, and where and whether they are kept, does not change them.
UNCHANGED_BY = ("paper", "compare", "report", "keep_classifiers", "require_gpu")
COLLECTED = {
    "study": STUDY.facts(),
    "config": {
        **{key: value for key, value in STUDY.config.items() if key not in UNCHANGED_BY},
        "datasets": {name: portable(dataset) for name, dataset in STUDY["datasets"].items()},
    },
    "code": code("collect", *chapter.modules("rows")),
}


rule collect:
    """Collect all results into tidy tables, with intervals and tests."""
    input:
        integrity=expand(f"{DATA}/integrity.json", dataset=STUDY["datasets"]),
        summaries=every(f"{COHORT}/{{file}}.json", scenario=SCENARIOS, file=COHORT_SUMMARIES),
        quality=quality_targets(),
        evaluations=evaluation_targets(),
        predictions=[path.removesuffix("json") + "csv" for path in evaluation_targets()],
        models=generator_targets(),
        pools=pool_targets(),
        trainings=per_classifier(f"{CLASSIFIER}/training.json"),
        benchmarks=cost_targets(),
    output:
        tables=temp(directory(f"{R}/collected")),
    log:
        f"{LOGS}/collect.log",
    benchmark:
        f"{COSTS}/collect.tsv"
    conda:
        "../envs/analysis.yaml"
    threads: 2
    resources:
        mem_mb=memory(4000),
        runtime=60,
    params:
        **COLLECTED,
        results=lambda wildcards, output: str(Path(output.tables).parent),
    message:
        "Collecting the metrics"
    script:
        "../scripts/collect.py"


rule metrics:
    """Put whole new tables in the place of the old ones, which stay until then: the boundary of the archive."""
    input:
        tables=f"{R}/collected",
    output:
        **{name: f"{R}/metrics/{name}.csv" for name in METRICS},
        config=f"{R}/metrics/config.yaml",
    log:
        f"{LOGS}/metrics.log",
    benchmark:
        f"{COSTS}/metrics.tsv"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=10,
    params:
        **COLLECTED | {"code": COLLECTED["code"] + code("metrics")},
    message:
        "Writing the metrics"
    script:
        "../scripts/metrics.py"


rule tables:
    """Draw the tables of the paper from the metrics."""
    input:
        **SHOWN,
        # Their content counts (params): in a fresh clone every file of the repository is younger than the results.
        published=ancient(PUBLISHED),
    output:
        [reported(f"{R}/tables/{name}.md", name, "tables") for name in TABLES],
        expand(f"{R}/tables/{{table}}.{{format}}", table=TABLES, format=["csv", "tex"]),
    log:
        f"{LOGS}/tables.log",
    benchmark:
        f"{COSTS}/tables.tsv"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=10,
    params:
        source=STUDY["paper"]["source"],
        published=[sha256_file(path) for path in PUBLISHED],
        code=code("tables", *chapter.modules("tables")),
    message:
        "Drawing the tables"
    script:
        "../scripts/tables.py"


rule charts:
    """Draw the charts of the paper from the metrics."""
    input:
        **SHOWN,
    output:
        [reported(f"{R}/figures/{name}.png", name, "figures") for name in FIGURES],
        expand(f"{R}/figures/{{figure}}.pdf", figure=FIGURES),
    log:
        f"{LOGS}/charts.log",
    benchmark:
        f"{COSTS}/charts.tsv"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=10,
    params:
        source=STUDY["paper"]["source"],
        code=code("charts", *chapter.modules("figures")),
    message:
        "Drawing the figures"
    script:
        "../scripts/charts.py"


rule summary:
    """Say in words whether the synthetic images help, how real they are, and whether they copy."""
    input:
        **SHOWN,
    output:
        summary=report(f"{R}/summary.md", caption="../report/summary.rst", category="0 Answer"),
        headline=f"{R}/headline.txt",
    log:
        f"{LOGS}/summary.log",
    benchmark:
        f"{COSTS}/summary.tsv"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=10,
    params:
        source=STUDY["paper"]["source"],
        code=code("summary", *chapter.modules("headline", "opening", "sentences")),
    message:
        "Writing the summary"
    script:
        "../scripts/summary.py"


if not FROM_ARCHIVE:

    rule archive:
        """Keep the metrics, without any image, so that tables and figures can be redrawn anywhere.

        The archive is no output: Snakemake would remove one of that name before the script can refuse to overwrite it.
        """
        input:
            metrics=list(NUMBERS.values()),
            config=f"{R}/metrics/config.yaml",
        log:
            f"{LOGS}/archive.log",
        conda:
            "../envs/analysis.yaml"
        threads: 1
        resources:
            mem_mb=memory(2000),
            runtime=10,
        params:
            folder=ARCHIVE,
            code=code("archive", *chapter.modules()),
        message:
            f"Archiving the metrics in {ARCHIVE}"
        script:
            "../scripts/archive.py"


if STUDY["compare"]:

    rule compare:
        """Set two results side by side: their configurations, classifiers and images."""
        input:
            **{f"metrics_{side}": compared_metrics(name) for side, name in zip("ab", STUDY["compare"])},
        output:
            expand(
                f"{COMPARED}/{{name}}.{{format}}",
                name=["configuration", "verdicts", "classification", "images"],
                format=["csv", "md"],
            ),
        log:
            f"{LOGS}/compare.log",
        benchmark:
            f"{COSTS}/compare.tsv"
        conda:
            "../envs/analysis.yaml"
        threads: 1
        resources:
            mem_mb=memory(2000),
            runtime=10,
        params:
            names=STUDY["compare"],
            code=code("compare", *chapter.modules()),
        message:
            "Comparing {params.names[0]} with {params.names[1]}"
        script:
            "../scripts/compare.py"
