rule write_pool:
    """Draw the images of one label as the pool's kind does, from what it needs."""
    input:
        models=IN.models_of_pool,
        pools=lambda wildcards: IN.parents_of_pool(wildcards, "manifest.csv"),
        pool_images=lambda wildcards: IN.parents_of_pool(wildcards, "images"),
        classifiers=IN.classifiers_of_pool,
        datasets=lambda wildcards: IN.datasets_of_pool(wildcards, "manifest.csv"),
        dataset_images=lambda wildcards: IN.datasets_of_pool(wildcards, "images"),
        files=lambda wildcards: STUDY.needs[wildcards.pool].files,
    output:
        images=directory(f"{P.pool}/images"),
        manifest=f"{P.pool}/manifest.csv",
        grid=report(
            f"{P.pool}/grid.png",
            caption="../report/grid.rst",
            category="3 Synthetic images",
            subcategory="{pool}",
            labels={"dataset": "{dataset}", "sampling": "{sampling}", "label": "{label}"},
        ),
    log:
        P.log("write_pool", POOL),
    benchmark:
        P.cost("write_pool", POOL)
    conda:
        "../envs/torch.yaml"
    threads: 8
    resources:
        mem_mb=memory(8000),
        runtime=720,
        gpu=1,
    params:
        entry=lambda wildcards: portable_pool(STUDY["pools"][wildcards.pool], STUDY.needs[wildcards.pool].files),
        needs=lambda wildcards: list(STUDY.needs[wildcards.pool]),
        generators=IN.generators_of_pool,
        architectures=IN.architectures_of_pool,
        label="{label}",
        labels=STUDY.labels,
        seed=P.seed("pool"),
        code=IN.pool_code,
    message:
        "Drawing {params.entry[size]} {wildcards.label} images of the pool {wildcards.pool}"
    script:
        "../scripts/write_pool.py"


rule comparison:
    """Show original images beside those of every pool whose makers learned from them (figures 5 and 6 of the paper)."""
    input:
        train=f"{P.cohort}/train.csv",
        images=f"{P.data}/images",
        pools=lambda wildcards: [
            P.pool_file(wildcards, pool, wildcards.label, "manifest.csv") for pool in IN.compared_pools(wildcards)
        ],
    output:
        png=shows_patients(
            f"{P.comparison}.png",
            caption="../report/comparison.rst",
            category="3 Synthetic images",
            subcategory="beside originals",
            labels={"dataset": "{dataset}", "sampling": "{sampling}", "label": "{label}"},
        ),
        pdf=f"{P.comparison}.pdf",
    log:
        P.log("comparison", f"{COHORT}/{{label}}"),
    benchmark:
        P.cost("comparison", f"{COHORT}/{{label}}")
    conda:
        "../envs/torch.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=10,
    params:
        names=IN.compared_pools,
        root=root_of_images,
        label="{label}",
        code=code("comparison"),
    message:
        "Original and synthetic {wildcards.label} images side by side"
    script:
        "../scripts/comparison.py"


rule neighbours:
    """Show the synthetic images that come nearest to training images beside these: are they copies?"""
    input:
        nearest=P.nearest,
        controls=P.quality_controls_of,
        train=f"{P.cohort}/train.csv",
        images=f"{P.data}/images",
        pool_images=f"{P.pool}/images",
    output:
        png=shows_patients(
            f"{P.pool}/neighbours.png",
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
        P.log("neighbours", POOL),
    benchmark:
        P.cost("neighbours", POOL)
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=10,
    params:
        pool=lambda wildcards, input: str(Path(input.pool_images).parent),
        data=root_of_images,
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
        suspects=f"{P.results}/metrics/suspects.csv",
        quality=P.quality_targets(),
        manifests=filled(f"{P.data}/manifest.csv", dataset=P.datasets),
        images=filled(f"{P.data}/images", dataset=P.datasets),
        pools=P.per_pool(f"{P.pool}/images"),
    output:
        png=shows_patients(f"{P.results}/suspects.png", caption="../report/suspects.rst", category="0 Answer"),
    log:
        P.log("suspects"),
    benchmark:
        P.cost("suspects")
    conda:
        "../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=10,
    params:
        # Patterns for the script: functions, since Snakemake would fill in the wildcards that this rule has not.
        pool=lambda wildcards: placed(P.pool),
        data=lambda wildcards: placed(P.data),
        quality=lambda wildcards: placed(P.quality),
        shown=30,
        code=code("suspects"),
    message:
        "Single images too near to training images"
    script:
        "../scripts/suspects.py"
