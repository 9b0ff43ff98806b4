rule write_pool:
    """Draw the images of one label as the pool's kind does, from what it needs."""
    input:
        models=models_of_pool,
        pools=lambda wildcards: parents_of_pool(wildcards, "manifest.csv"),
        pool_images=lambda wildcards: parents_of_pool(wildcards, "images"),
        classifiers=classifiers_of_pool,
        datasets=lambda wildcards: datasets_of_pool(wildcards, "manifest.csv"),
        dataset_images=lambda wildcards: datasets_of_pool(wildcards, "images"),
    output:
        images=directory(f"{POOL}/images"),
        manifest=f"{POOL}/manifest.csv",
        grid=report(
            f"{POOL}/grid.png",
            caption="../report/grid.rst",
            category="3 Synthetic images",
            subcategory="{pool}",
            labels={"dataset": "{dataset}", "sampling": "{sampling}", "label": "{label}"},
        ),
    log:
        f"{LOGS}/write_pool/{{dataset}}_{{sampling}}_{{scenario}}_{{pool}}_{{label}}.log",
    benchmark:
        f"{COSTS}/write_pool/{{dataset}}_{{sampling}}_{{scenario}}_{{pool}}_{{label}}.tsv"
    conda:
        "../envs/torch.yaml"
    threads: 8
    resources:
        mem_mb=memory(8000),
        runtime=720,
        gpu=1,
    params:
        entry=lambda wildcards: STUDY["pools"][wildcards.pool],
        needs=lambda wildcards: list(STUDY.needs[wildcards.pool]),
        generators=generators_of_pool,
        architectures=architectures_of_pool,
        label="{label}",
        labels=LABELS,
        seed=lambda wildcards: STUDY.seed("pool", *wildcards),
        code=pool_code,
    message:
        "Drawing {params.entry[size]} {wildcards.label} images of the pool {wildcards.pool}"
    script:
        "../scripts/write_pool.py"


rule comparison:
    """Show original images beside those of every pool whose makers learned from them (figures 5 and 6 of the paper)."""
    input:
        train=f"{COHORT}/train.csv",
        images=f"{DATA}/images",
        pools=lambda wildcards: [
            pool_path(wildcards, pool, wildcards.label, "manifest.csv") for pool in compared_pools(wildcards)
        ],
    output:
        png=shows_patients(
            f"{R}/pools/{{dataset}}/{{sampling}}/{{scenario}}/comparison_{{label}}.png",
            caption="../report/comparison.rst",
            category="3 Synthetic images",
            subcategory="beside originals",
            labels={"dataset": "{dataset}", "sampling": "{sampling}", "label": "{label}"},
        ),
        pdf=f"{R}/pools/{{dataset}}/{{sampling}}/{{scenario}}/comparison_{{label}}.pdf",
    log:
        f"{LOGS}/comparison/{{dataset}}_{{sampling}}_{{scenario}}_{{label}}.log",
    benchmark:
        f"{COSTS}/comparison/{{dataset}}_{{sampling}}_{{scenario}}_{{label}}.tsv"
    conda:
        "../envs/torch.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=10,
    params:
        names=compared_pools,
        root=lambda wildcards: DATA.format(dataset=wildcards.dataset),
        label="{label}",
        code=code("comparison"),
    message:
        "Original and synthetic {wildcards.label} images side by side"
    script:
        "../scripts/comparison.py"


rule neighbours:
    """Show the synthetic images that come nearest to training images beside these: are they copies?"""
    input:
        nearest=QUALITY.replace(".json", "_nearest.csv"),
        controls=quality_controls_of,
        train=f"{COHORT}/train.csv",
        images=f"{DATA}/images",
        pool_images=f"{POOL}/images",
    output:
        png=shows_patients(
            f"{POOL}/neighbours.png",
            caption="../report/neighbours.rst",
            category="3 Synthetic images",
            subcategory="nearest training images",
            labels={
                "dataset": "{dataset}",
                "sampling": "{sampling}",
                "pool": "{pool}",
                "label": "{label}",
            },
        ),
    log:
        f"{LOGS}/neighbours/{{dataset}}_{{sampling}}_{{scenario}}_{{pool}}_{{label}}.log",
    benchmark:
        f"{COSTS}/neighbours/{{dataset}}_{{sampling}}_{{scenario}}_{{pool}}_{{label}}.tsv"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=10,
    params:
        pool=lambda wildcards: POOL.format(**wildcards),
        data=lambda wildcards: DATA.format(dataset=wildcards.dataset),
        extractor=STUDY["quality"]["extractors"][0],
        title=lambda wildcards: f"{wildcards.pool} {wildcards.label}",
        shown=8,
        code=code("neighbours"),
    message:
        "Nearest training images of the {wildcards.label} pool of {wildcards.pool}"
    script:
        "../scripts/neighbours.py"


rule suspects:
    """Show every synthetic image that is too near to a training image for chance beside that image."""
    input:
        suspects=f"{R}/metrics/suspects.csv",
        quality=quality_targets(),
        manifests=expand(f"{DATA}/manifest.csv", dataset=DATASETS),
        images=expand(f"{DATA}/images", dataset=DATASETS),
        pools=per_pool(f"{POOL}/images"),
    output:
        png=shows_patients(f"{R}/suspects.png", caption="../report/suspects.rst", category="0 Answer"),
    log:
        f"{LOGS}/suspects.log",
    benchmark:
        f"{COSTS}/suspects.tsv"
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=10,
    params:
        # Patterns for the script: functions, since Snakemake would fill in the wildcards that this rule has not.
        pool=lambda wildcards: POOL,
        data=lambda wildcards: DATA,
        quality=lambda wildcards: QUALITY,
        shown=30,
        code=code("suspects"),
    message:
        "Single images too near to training images"
    script:
        "../scripts/suspects.py"
