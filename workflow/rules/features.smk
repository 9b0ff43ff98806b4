# Shared by all studies; no rule's output, for its content depends on what has run before.
FEATURE_CACHE = "results/.features"


rule features_real:
    """Compute an extractor's features of all real images of a dataset."""
    input:
        manifest=f"{P.data}/manifest.csv",
        images=f"{P.data}/images",
        weights=P.extractor_weights,
    output:
        features=P.real_features,
    log:
        P.log("features_real", "{extractor}/{dataset}"),
    benchmark:
        P.cost("features_real", "{extractor}/{dataset}")
    conda:
        "../envs/torch.yaml"
    threads: 8
    resources:
        mem_mb=memory(8000, 0.1, "manifest"),
        # On two cores a network sees some 1,000 images a minute.
        runtime=minutes(60, "manifest", per_image=1 / 500),
        gpu=lambda wildcards: int(KINDS["extractors"][wildcards.extractor].needs_weights is not None),
    params:
        extractor="{extractor}",
        cache=placed(FEATURE_CACHE),
        code=IN.extractor_code,
    message:
        "Features of {wildcards.dataset} by {wildcards.extractor}"
    script:
        "../scripts/features.py"


rule features_pool:
    """Compute an extractor's features of a synthetic pool."""
    input:
        manifest=f"{P.pool}/manifest.csv",
        images=f"{P.pool}/images",
        weights=P.extractor_weights,
        reference=IN.reference_of,
    output:
        features=P.pool_features,
    log:
        P.log("features_pool", f"{{extractor}}/{POOL}"),
    benchmark:
        P.cost("features_pool", f"{{extractor}}/{POOL}")
    conda:
        "../envs/torch.yaml"
    threads: 8
    resources:
        mem_mb=memory(8000, 0.1, "manifest"),
        # On two cores a network sees some 1,000 images a minute.
        runtime=minutes(60, "manifest", per_image=1 / 500),
        gpu=lambda wildcards: int(KINDS["extractors"][wildcards.extractor].needs_weights is not None),
    params:
        extractor="{extractor}",
        cache=placed(FEATURE_CACHE),
        code=IN.extractor_code,
    message:
        "Features of the {wildcards.label} pool of {wildcards.pool} by {wildcards.extractor}"
    script:
        "../scripts/features.py"


rule pairs_real:
    """Compare random pairs of a class's training images with each other: what the diversity of a pool is held against."""
    input:
        manifest=f"{P.cohort}/train.csv",
        images=f"{P.data}/images",
        weights=P.pair_weights(),
    output:
        pairs=P.pairs_real,
    log:
        P.log("pairs_real", f"{COHORT}/{{label}}"),
    benchmark:
        P.cost("pairs_real", f"{COHORT}/{{label}}")
    conda:
        "../envs/torch.yaml"
    threads: 4
    resources:
        mem_mb=memory(4000, 0.05, "manifest"),
        runtime=60,
        gpu=int("lpips" in STUDY["quality"]["diversity"]),
    params:
        similarities=STUDY["quality"]["diversity"],
        label="{label}",
        limit=STUDY["quality"]["diversity_pairs"],
        seed=P.seed("pairs", "real"),
        code=code("pairs"),
    message:
        "Pairs of {wildcards.label} training images of {wildcards.sampling}/{wildcards.scenario}"
    script:
        "../scripts/pairs.py"


rule pairs_pool:
    """Compare random pairs of a pool's images with each other."""
    input:
        manifest=f"{P.pool}/manifest.csv",
        images=f"{P.pool}/images",
        weights=P.pair_weights(),
    output:
        pairs=P.pairs_pool,
    log:
        P.log("pairs_pool", POOL),
    benchmark:
        P.cost("pairs_pool", POOL)
    conda:
        "../envs/torch.yaml"
    threads: 4
    resources:
        mem_mb=memory(4000, 0.05, "manifest"),
        runtime=60,
        gpu=int("lpips" in STUDY["quality"]["diversity"]),
    params:
        similarities=STUDY["quality"]["diversity"],
        label="{label}",
        limit=STUDY["quality"]["diversity_pairs"],
        seed=P.seed("pairs", "pool"),
        code=code("pairs"),
    message:
        "Pairs of images in the {wildcards.label} pool of {wildcards.pool}"
    script:
        "../scripts/pairs.py"
