localrules:
    download,
    weights,


rule download:
    """Fetch the raw images, unless they are there already."""
    output:
        record=f"{DATA}/download.json",
    log:
        f"{LOGS}/download/{{dataset}}.log",
    benchmark:
        f"{COSTS}/download/{{dataset}}.tsv"
    conda:
        "../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=240,
    params:
        dataset=dataset_entry,
        looked_for=raw_looked_for,
        code=lambda wildcards: code("download", KINDS["sources"][STUDY["datasets"][wildcards.dataset]["source"]].module),
    message:
        "Fetching the raw images of {wildcards.dataset}"
    script:
        "../scripts/download.py"


rule prepare_data:
    """Turn raw images into 8-bit PNGs, a manifest and an integrity report."""
    input:
        raw=download_record,
    output:
        images=directory(f"{DATA}/images"),
        masks=directory(f"{DATA}/masks"),
        manifest=f"{DATA}/manifest.csv",
        integrity=f"{DATA}/integrity.json",
        table=report(f"{DATA}/integrity.md", caption="../report/integrity.rst", category="1 Data"),
    log:
        f"{LOGS}/prepare_data/{{dataset}}.log",
    benchmark:
        f"{COSTS}/prepare_data/{{dataset}}.tsv"
    conda:
        "../envs/data.yaml"
    threads: 32
    resources:
        # A worker holds one raw image and what becomes of it.
        mem_mb=lambda wildcards, threads, attempt: (2000 + 500 * threads) * (1 + attempt) // 2,
        runtime=240,
    params:
        dataset=dataset_entry,
        labels=LABELS,
        image_size=STUDY["image_size"],
        seed=STUDY["seed"],
        raw=raw_fingerprint,
        code=lambda wildcards: code(
            "prepare_data", KINDS["sources"][STUDY["datasets"][wildcards.dataset]["source"]].module
        ),
    message:
        "Preparing the images of {wildcards.dataset}"
    script:
        "../scripts/prepare_data.py"


rule describe_data:
    """Count the images by what is known of them, and show some before and after preparation."""
    input:
        raw=download_record,
        manifest=f"{DATA}/manifest.csv",
        integrity=f"{DATA}/integrity.json",
        images=f"{DATA}/images",
    output:
        counts=report(f"{DATA}/counts.md", caption="../report/counts.rst", category="1 Data"),
        samples=shows_patients(f"{DATA}/samples.png", caption="../report/samples.rst", category="1 Data"),
    log:
        f"{LOGS}/describe_data/{{dataset}}.log",
    benchmark:
        f"{COSTS}/describe_data/{{dataset}}.tsv"
    conda:
        "../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=30,
    params:
        dataset=dataset_entry,
        labels=LABELS,
        image_size=STUDY["image_size"],
        seed=STUDY["seed"],
        code=lambda wildcards: code(
            "describe_data", KINDS["sources"][STUDY["datasets"][wildcards.dataset]["source"]].module
        ),
    message:
        "Describing the images of {wildcards.dataset}"
    script:
        "../scripts/describe_data.py"


rule weights:
    """Fetch published network weights, or check those placed by hand."""
    output:
        file="resources/weights/{file}",
    log:
        "resources/weights/logs/{file}.log",
    benchmark:
        "resources/weights/logs/{file}.tsv"
    wildcard_constraints:
        file=one_of(
            file
            for file in (entry["file"] for entry in WEIGHTS.values())
            if not (asked_to_delete() and Path("resources/weights", file).exists())
        ),
    conda:
        "../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=60,
    params:
        entry=lambda wildcards: next(entry for entry in WEIGHTS.values() if entry["file"] == wildcards.file),
    message:
        "Fetching the weights {wildcards.file}"
    script:
        "../scripts/weights.py"
