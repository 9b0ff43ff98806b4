rule pool_quality:
    """Measure how far a pool is from the real images of its label, and whether it copies them."""
    input:
        real=quality_features_real,
        pool=quality_features_pool,
        data_manifest=f"{DATA}/manifest.csv",
        train=f"{COHORT}/train.csv",
        pool_manifest=f"{POOL}/manifest.csv",
        pool_images=f"{POOL}/images",
    output:
        json=QUALITY,
    log:
        f"{LOGS}/pool_quality/{{dataset}}_{{sampling}}_{{scenario}}_{{generator}}_{{label}}.log",
    benchmark:
        f"{COSTS}/pool_quality/{{dataset}}_{{sampling}}_{{scenario}}_{{generator}}_{{label}}.tsv"
    conda:
        "../envs/analysis.yaml"
    threads: 2
    resources:
        mem_mb=memory(8000),
        runtime=60,
    params:
        label=lambda wildcards: wildcards.label,
        baseline_draws=STUDY["quality"]["baseline_draws"],
        seed=lambda wildcards: STUDY.seed("quality", *wildcards),
        code=code("pool_quality"),
    message:
        "Quality of the {wildcards.label} pool of {wildcards.generator}"
    script:
        "../scripts/pool_quality.py"
