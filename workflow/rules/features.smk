rule features_real:
    """Compute an extractor's features of all real images of a dataset."""
    input:
        manifest=f"{DATA}/manifest.csv",
        images=f"{DATA}/images",
        weights=weights_of,
    output:
        features=f"{FEATURES}/real/{{dataset}}.npz",
    log:
        f"{LOGS}/features_real/{{extractor}}_{{dataset}}.log",
    benchmark:
        f"{COSTS}/features_real/{{extractor}}_{{dataset}}.tsv"
    conda:
        "../envs/torch.yaml"
    threads: 8
    resources:
        mem_mb=memory(8000),
        runtime=60,
        gpu=lambda wildcards: int(EXTRACTORS[wildcards.extractor].needs_weights is not None),
    params:
        extractor=lambda wildcards: wildcards.extractor,
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
        features=f"{FEATURES}/pools/{{dataset}}/{{sampling}}/{{scenario}}/{{generator}}/{{label}}.npz",
    log:
        f"{LOGS}/features_pool/{{extractor}}_{{dataset}}_{{sampling}}_{{scenario}}_{{generator}}_{{label}}.log",
    benchmark:
        f"{COSTS}/features_pool/{{extractor}}_{{dataset}}_{{sampling}}_{{scenario}}_{{generator}}_{{label}}.tsv"
    conda:
        "../envs/torch.yaml"
    threads: 8
    resources:
        mem_mb=memory(8000),
        runtime=60,
        gpu=lambda wildcards: int(EXTRACTORS[wildcards.extractor].needs_weights is not None),
    params:
        extractor=lambda wildcards: wildcards.extractor,
        cache=FEATURE_CACHE,
        code=extractor_code,
    message:
        "Features of the {wildcards.label} pool of {wildcards.generator} by {wildcards.extractor}"
    script:
        "../scripts/features.py"
