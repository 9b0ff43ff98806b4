if P.from_archive:
    # Before anything is planned: Snakemake says less clearly what is missing, and not at all what has changed since.
    try:
        P.draw_from(archived_tables(placed(P.archive)))
    except UserError as error:
        raise WorkflowError(f"paper: {error}") from None

# What both hold of the study. What is done with the results, and where and whether they are kept, does not change them.
UNCHANGED_BY = ("paper", "compare", "report", "keep_classifiers", "require_gpu")
COLLECTED = {
    "study": STUDY.facts(),
    "config": {
        **{key: value for key, value in STUDY.config.items() if key not in UNCHANGED_BY},
        "datasets": {name: portable(dataset) for name, dataset in STUDY["datasets"].items()},
        "pools": {name: portable_pool(pool, STUDY.needs[name].files) for name, pool in STUDY["pools"].items()},
    },
    "code": code("collect", *chapter.modules("rows")),
}


rule collect:
    """Collect all results into tidy tables, with intervals and tests."""
    input:
        integrity=filled(f"{P.data}/integrity.json", dataset=STUDY["datasets"]),
        summaries=P.cohort_summaries(),
        quality=P.quality_targets(),
        fidelity=P.fidelity_targets(),
        attacks=P.attack_targets(),
        evaluations=P.evaluation_targets(),
        predictions=P.evaluation_targets("predictions.csv"),
        models=P.generator_targets(),
        pretrained=P.pretrained_targets(),
        pools=P.pool_targets(),
        trainings=P.per_classifier(f"{P.classifier}/training.json"),
        benchmarks=P.cost_targets(),
    output:
        tables=temp(directory(f"{P.results}/collected")),
    log:
        P.log("collect"),
    benchmark:
        P.cost("collect")
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
        tables=f"{P.results}/collected",
    output:
        **{name: f"{P.results}/metrics/{name}.csv" for name in P.metrics},
        config=f"{P.results}/metrics/config.yaml",
    log:
        P.log("metrics"),
    benchmark:
        P.cost("metrics")
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
        **P.shown,
    output:
        [reported(f"{P.results}/tables/{name}.md", name, "tables") for name in P.tables],
        filled(f"{P.results}/tables/{{table}}.{{format}}", table=P.tables, format=["csv", "tex"]),
    log:
        P.log("tables"),
    benchmark:
        P.cost("tables")
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=10,
    params:
        source=STUDY["paper"]["source"],
        # Found beside the workflow, wherever its results are.
        published=[sha256_file(path) for path in published_files()],
        code=code("tables", *chapter.modules("tables")),
    message:
        "Drawing the tables"
    script:
        "../scripts/tables.py"


rule charts:
    """Draw the charts of the paper from the metrics."""
    input:
        **P.shown,
    output:
        [reported(f"{P.results}/figures/{name}.png", name, "figures") for name in P.figures],
        filled(f"{P.results}/figures/{{figure}}.pdf", figure=P.figures),
    log:
        P.log("charts"),
    benchmark:
        P.cost("charts")
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
        **P.shown,
    output:
        summary=report(f"{P.results}/summary.md", caption="../report/summary.rst", category="0 Answer"),
        headline=f"{P.results}/headline.txt",
    log:
        P.log("summary"),
    benchmark:
        P.cost("summary")
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


if not P.from_archive:

    rule archive:
        """Keep the metrics, without any image, so that tables and figures can be redrawn anywhere.

        The archive is no output: Snakemake would remove one of that name before the script can refuse to overwrite it.
        """
        input:
            metrics=list(P.numbers.values()),
            config=f"{P.results}/metrics/config.yaml",
        log:
            P.log("archive"),
        conda:
            "../envs/analysis.yaml"
        threads: 1
        resources:
            mem_mb=memory(2000),
            runtime=10,
        params:
            folder=placed(P.archive),
            code=code("archive", *chapter.modules()),
        message:
            f"Archiving the metrics in {P.archive}"
        script:
            "../scripts/archive.py"


if STUDY["compare"]:

    rule compare:
        """Set two results side by side: their configurations, classifiers and images."""
        input:
            **{
                f"metrics_{side}": IN.compared_metrics(name, Path(placed(f"results/{name}/metrics")).is_dir())
                for side, name in zip("ab", STUDY["compare"])
            },
        output:
            filled(
                f"{P.results}/compare/{'--'.join(STUDY['compare'])}/{{name}}.{{format}}",
                name=["configuration", "verdicts", "classification", "images"],
                format=["csv", "md"],
            ),
        log:
            P.log("compare"),
        benchmark:
            P.cost("compare")
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
