rule quality_controls:
    """Measure what every metric of a pool reads where there is nothing to find: reals in place of the pool."""
    input:
        real=quality_features_real,
        data_manifest=f"{DATA}/manifest.csv",
        images=f"{DATA}/images",
        train=f"{COHORT}/train.csv",
        pairs=PAIRS_REAL if STUDY["quality"]["diversity"] else [],
        model=withholding_model,
    output:
        json=QUALITY_CONTROLS,
        # What metrics of pools ask of the reals alone.
        reals=QUALITY_CONTROLS.replace(".json", ".npz"),
    log:
        f"{LOGS}/quality_controls/{{dataset}}_{{sampling}}_{{scenario}}{{own}}_{{label}}.log",
    benchmark:
        f"{COSTS}/quality_controls/{{dataset}}_{{sampling}}_{{scenario}}{{own}}_{{label}}.tsv"
    conda:
        "../envs/analysis.yaml"
    threads: 2
    resources:
        mem_mb=memory(8000, 0.1, "data_manifest"),
        runtime=minutes(60, "data_manifest", per_pair=5e-8 * len(STUDY["quality"]["extractors"])),
    params:
        label="{label}",
        pool_size=lambda wildcards: STUDY["pools"][wildcards.own[1:]]["size"] if wildcards.own else STUDY["pool_size"],
        baseline_draws=STUDY["quality"]["baseline_draws"],
        # Generators of one cohort share their random parts of the originals.
        seed=lambda wildcards: STUDY.seed(
            *("quality_controls", wildcards.dataset, wildcards.sampling, wildcards.scenario, wildcards.label)
        ),
        code=code("quality_controls"),
    message:
        "Controls of the {wildcards.label} pools of {wildcards.scenario}"
    script:
        "../scripts/quality_controls.py"


rule pool_quality:
    """Measure how far a pool is from the real images of its label, and whether it copies them."""
    input:
        real=quality_features_real,
        pool=quality_features_pool,
        data_manifest=f"{DATA}/manifest.csv",
        images=f"{DATA}/images",
        train=f"{COHORT}/train.csv",
        pool_manifest=f"{POOL}/manifest.csv",
        pool_images=f"{POOL}/images",
        controls=quality_controls_of,
        reals=lambda wildcards: quality_controls_of(wildcards).replace(".json", ".npz"),
        pairs=PAIRS_POOL if STUDY["quality"]["diversity"] else [],
        model=withholding_model,
    output:
        json=QUALITY,
        nearest=QUALITY.replace(".json", "_nearest.csv"),
    log:
        f"{LOGS}/pool_quality/{{dataset}}_{{sampling}}_{{scenario}}_{{pool}}_{{label}}.log",
    benchmark:
        f"{COSTS}/pool_quality/{{dataset}}_{{sampling}}_{{scenario}}_{{pool}}_{{label}}.tsv"
    conda:
        "../envs/analysis.yaml"
    threads: 2
    resources:
        mem_mb=memory(8000, 0.1, "data_manifest", "pool_manifest"),
        runtime=minutes(60, "data_manifest", "pool_manifest", per_pair=5e-8 * len(STUDY["quality"]["extractors"])),
    params:
        label="{label}",
        inception_score=STUDY["quality"]["inception_score"],
        seed=lambda wildcards: STUDY.seed("quality", *wildcards),
        code=code("pool_quality"),
    message:
        "Quality of the {wildcards.label} pool of {wildcards.pool}"
    script:
        "../scripts/pool_quality.py"
