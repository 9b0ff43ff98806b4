rule quality_controls:
    """Measure what every metric of a pool reads where there is nothing to find: reals in place of the pool."""
    input:
        real=P.quality_features_real,
        data_manifest=f"{P.data}/manifest.csv",
        images=f"{P.data}/images",
        train=f"{P.cohort}/train.csv",
        pairs=P.pairs_real if STUDY["quality"]["diversity"] else [],
        model=P.withholding_model,
    output:
        json=P.quality_controls,
        # What metrics of pools ask of the reals alone.
        reals=P.quality_controls.replace(".json", ".npz"),
    log:
        P.log("quality_controls", f"{COHORT}{{own}}/{{label}}"),
    benchmark:
        P.cost("quality_controls", f"{COHORT}{{own}}/{{label}}")
    conda:
        "../envs/analysis.yaml"
    threads: 2
    resources:
        mem_mb=memory(8000, 0.1, "data_manifest"),
        runtime=minutes(60, "data_manifest", per_pair=5e-8 * len(STUDY["quality"]["extractors"])),
    params:
        label="{label}",
        pool_size=P.controlled_size,
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
        real=P.quality_features_real,
        pool=IN.quality_features_pool,
        data_manifest=f"{P.data}/manifest.csv",
        images=f"{P.data}/images",
        train=f"{P.cohort}/train.csv",
        pool_manifest=f"{P.pool}/manifest.csv",
        pool_images=f"{P.pool}/images",
        controls=P.quality_controls_of,
        reals=lambda wildcards: P.quality_controls_of(wildcards).replace(".json", ".npz"),
        pairs=P.pairs_pool if STUDY["quality"]["diversity"] else [],
        model=P.withholding_model,
    output:
        json=P.quality,
        nearest=P.nearest,
    log:
        P.log("pool_quality", POOL),
    benchmark:
        P.cost("pool_quality", POOL)
    conda:
        "../envs/analysis.yaml"
    threads: 2
    resources:
        mem_mb=memory(8000, 0.1, "data_manifest", "pool_manifest"),
        runtime=minutes(60, "data_manifest", "pool_manifest", per_pair=5e-8 * len(STUDY["quality"]["extractors"])),
    params:
        label="{label}",
        inception_score=STUDY["quality"]["inception_score"],
        seed=P.seed("quality"),
        code=code("pool_quality"),
    message:
        "Quality of the {wildcards.label} pool of {wildcards.pool}"
    script:
        "../scripts/pool_quality.py"


rule condition_fidelity:
    """Measure whether the images of a pool show what was asked of them, beside real images and chance.

    In an environment with scikit-learn, which that of the analysis, in which archives are drawn, does without.
    """
    input:
        real=lambda wildcards: P.quality_features_real(wildcards)[0],
        pool=IN.labelled_features,
        data_manifest=f"{P.data}/manifest.csv",
        images=f"{P.data}/images",
        masks=f"{P.data}/masks",
        train=f"{P.cohort}/train.csv",
        pool_manifests=lambda wildcards: IN.labelled_files(wildcards, "manifest.csv"),
        pool_images=lambda wildcards: IN.labelled_files(wildcards, "images"),
    output:
        json=P.fidelity,
    log:
        P.log("condition_fidelity", POOLS),
    benchmark:
        P.cost("condition_fidelity", POOLS)
    conda:
        "../envs/data.yaml"
    threads: 2
    resources:
        mem_mb=memory(8000, 0.2, "data_manifest", "pool_manifests"),
        runtime=minutes(60, "data_manifest", "pool_manifests", per_pair=2e-7),
    params:
        # Pools of one cohort share what reads their attributes, and its control.
        seed=lambda wildcards: STUDY.seed(*("fidelity", wildcards.dataset, wildcards.sampling, wildcards.scenario)),
        code=code("condition_fidelity"),
    message:
        "Whether the images of {wildcards.pool} show what was asked"
    script:
        "../scripts/condition_fidelity.py"
