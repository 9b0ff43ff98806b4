from radsynth.common.weights import read_registry


localrules:
    download,
    weights,


rule download:
    """Fetch the raw images, unless they are there already."""
    output:
        record=f"{P.data}/download.json",
    log:
        P.log("download", "{dataset}"),
    benchmark:
        P.cost("download", "{dataset}")
    conda:
        "../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=240,
    params:
        dataset=IN.dataset_entry,
        looked_for=lambda wildcards: IN.raw_looked_for(wildcards, placed(f"{P.data}/manifest.csv")),
        code=lambda wildcards: IN.source_code(wildcards, "download"),
    message:
        "Fetching the raw images of {wildcards.dataset}"
    script:
        "../scripts/download.py"


rule prepare_data:
    """Turn raw images into 8-bit PNGs, a manifest and an integrity report."""
    input:
        raw=IN.download_record,
    output:
        images=directory(f"{P.data}/images"),
        masks=directory(f"{P.data}/masks"),
        manifest=f"{P.data}/manifest.csv",
        integrity=f"{P.data}/integrity.json",
        table=report(f"{P.data}/integrity.md", caption="../report/integrity.rst", category="1 Data"),
    log:
        P.log("prepare_data", "{dataset}"),
    benchmark:
        P.cost("prepare_data", "{dataset}")
    conda:
        "../envs/data.yaml"
    threads: 32
    resources:
        # A worker holds one raw image and what becomes of it.
        mem_mb=lambda wildcards, threads, attempt: (2000 + 500 * threads) * (1 + attempt) // 2,
        runtime=240,
    params:
        dataset=IN.dataset_entry,
        labels=STUDY.labels,
        image_size=STUDY["image_size"],
        seed=STUDY["seed"],
        raw=lambda wildcards: IN.raw_fingerprint(wildcards, placed(f"{P.data}/manifest.csv")),
        code=lambda wildcards: IN.source_code(wildcards, "prepare_data"),
    message:
        "Preparing the images of {wildcards.dataset}"
    script:
        "../scripts/prepare_data.py"


rule describe_data:
    """Count the images by what is known of them, and show some before and after preparation."""
    input:
        raw=IN.download_record,
        manifest=f"{P.data}/manifest.csv",
        integrity=f"{P.data}/integrity.json",
        images=f"{P.data}/images",
    output:
        counts=report(f"{P.data}/counts.md", caption="../report/counts.rst", category="1 Data"),
        samples=shows_patients(f"{P.data}/samples.png", caption="../report/samples.rst", category="1 Data"),
    log:
        P.log("describe_data", "{dataset}"),
    benchmark:
        P.cost("describe_data", "{dataset}")
    conda:
        "../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=30,
    params:
        dataset=IN.dataset_entry,
        labels=STUDY.labels,
        image_size=STUDY["image_size"],
        seed=STUDY["seed"],
        code=lambda wildcards: IN.source_code(wildcards, "describe_data"),
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
            for file in (entry["file"] for entry in read_registry().values())
            if not (asked_to_delete() and Path(placed("resources/weights"), file).exists())
        ),
    conda:
        "../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=60,
    params:
        entry=lambda wildcards: next(entry for entry in read_registry().values() if entry["file"] == wildcards.file),
    message:
        "Fetching the weights {wildcards.file}"
    script:
        "../scripts/weights.py"
