rule features_real:
    """Compute an extractor's features of all real images of a dataset."""
    input:
        manifest=f"{DATA}/manifest.csv",
        images=f"{DATA}/images",
        weights=weights_of,
    output:
        features=REAL_FEATURES,
    log:
        f"{LOGS}/features_real/{{extractor}}_{{dataset}}.log",
    benchmark:
        f"{COSTS}/features_real/{{extractor}}_{{dataset}}.tsv"
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
        cache=FEATURE_CACHE,
        code=extractor_code,
    message:
        "Features of {wildcards.dataset} by {wildcards.extractor}"
    script:
        "../scripts/features.py"


rule features_pool:
    """Compute an extractor's features of a synthetic pool."""
    input:
        manifest=f"{POOL}/manifest.csv",
        images=f"{POOL}/images",
        weights=weights_of,
        reference=reference_of,
    output:
        features=POOL_FEATURES,
    log:
        f"{LOGS}/features_pool/{{extractor}}_{{dataset}}_{{sampling}}_{{scenario}}_{{pool}}_{{label}}.log",
    benchmark:
        f"{COSTS}/features_pool/{{extractor}}_{{dataset}}_{{sampling}}_{{scenario}}_{{pool}}_{{label}}.tsv"
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
        cache=FEATURE_CACHE,
        code=extractor_code,
    message:
        "Features of the {wildcards.label} pool of {wildcards.pool} by {wildcards.extractor}"
    script:
        "../scripts/features.py"


rule pairs_real:
    """Compare random pairs of a class's training images with each other: what the diversity of a pool is held against."""
    input:
        manifest=f"{COHORT}/train.csv",
        images=f"{DATA}/images",
        weights=pair_weights,
    output:
        pairs=PAIRS_REAL,
    log:
        f"{LOGS}/pairs_real/{{dataset}}_{{sampling}}_{{scenario}}_{{label}}.log",
    benchmark:
        f"{COSTS}/pairs_real/{{dataset}}_{{sampling}}_{{scenario}}_{{label}}.tsv"
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
        seed=lambda wildcards: STUDY.seed("pairs", "real", *wildcards),
        code=code("pairs"),
    message:
        "Pairs of {wildcards.label} training images of {wildcards.sampling}/{wildcards.scenario}"
    script:
        "../scripts/pairs.py"


rule pairs_pool:
    """Compare random pairs of a pool's images with each other."""
    input:
        manifest=f"{POOL}/manifest.csv",
        images=f"{POOL}/images",
        weights=pair_weights,
    output:
        pairs=PAIRS_POOL,
    log:
        f"{LOGS}/pairs_pool/{{dataset}}_{{sampling}}_{{scenario}}_{{pool}}_{{label}}.log",
    benchmark:
        f"{COSTS}/pairs_pool/{{dataset}}_{{sampling}}_{{scenario}}_{{pool}}_{{label}}.tsv"
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
        seed=lambda wildcards: STUDY.seed("pairs", "pool", *wildcards),
        code=code("pairs"),
    message:
        "Pairs of images in the {wildcards.label} pool of {wildcards.pool}"
    script:
        "../scripts/pairs.py"
