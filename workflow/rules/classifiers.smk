rule train_classifier:
    """Train one classifier on one mix, once."""
    input:
        train=f"{COHORT}/train.csv",
        gates=f"{COHORT}/gates.json",
        images=f"{DATA}/images",
        pools=lambda wildcards: [
            pool_path(wildcards, generator, label, "manifest.csv")
            for generator, label in STUDY.mix_pools(wildcards.scenario, wildcards.mix)
        ],
        pool_images=lambda wildcards: [
            pool_path(wildcards, generator, label, "images")
            for generator, label in STUDY.mix_pools(wildcards.scenario, wildcards.mix)
        ],
        weights=classifier_weights,
    output:
        model=(lambda path: path if STUDY["keep_classifiers"] else temp(path))(f"{CLASSIFIER}/model.keras"),
        history=f"{CLASSIFIER}/history.csv",
        split=f"{CLASSIFIER}/split.csv",
        training=f"{CLASSIFIER}/training.json",
    log:
        f"{LOGS}/train_classifier/{{dataset}}_{{sampling}}_{{scenario}}_{{mix}}_{{classifier}}_{{run}}.log",
    benchmark:
        f"{COSTS}/train_classifier/{{dataset}}_{{sampling}}_{{scenario}}_{{mix}}_{{classifier}}_{{run}}.tsv"
    conda:
        "../envs/tensorflow.yaml"
    threads: 4
    resources:
        mem_mb=memory(8000),
        runtime=240,
        gpu=1,
    params:
        classifier=lambda wildcards: CLASSIFIERS[wildcards.classifier],
        mix=lambda wildcards: MIXES[wildcards.mix],
        mix_name=lambda wildcards: wildcards.mix,
        mix_pools=lambda wildcards: STUDY.mix_pools(wildcards.scenario, wildcards.mix),
        matched=lambda wildcards: MIXES.get(matched_mix(wildcards)),
        matched_labels=lambda wildcards: matched_mix(wildcards)
        and STUDY.mix_labels(wildcards.scenario, matched_mix(wildcards)),
        labels=LABELS,
        validation_fraction=STUDY["validation_fraction"],
        # The seeds leave the mix out: run r of every mix shares its validation images, its start and its order.
        seed_split=lambda wildcards: run_seed("validation", wildcards),
        seed_train=lambda wildcards: run_seed("training", wildcards),
        root=lambda wildcards: DATA.format(dataset=wildcards.dataset),
        code=code("train_classifier"),
    message:
        "Training {wildcards.classifier} on {wildcards.mix}, {wildcards.sampling}/{wildcards.scenario}, run {wildcards.run}"
    script:
        "../scripts/train_classifier.py"


rule evaluate:
    """Classify a test set of real images that neither classifier nor generator has seen."""
    input:
        model=f"{CLASSIFIER}/model.keras",
        training=f"{CLASSIFIER}/training.json",
        test=tested_tables,
        gates=f"{COHORT}/gates.json",
        images=tested_images,
    output:
        predictions=f"{CLASSIFIER}/{{testset}}.csv",
        metrics=f"{CLASSIFIER}/{{testset}}.json",
    log:
        f"{LOGS}/evaluate/{{dataset}}_{{sampling}}_{{scenario}}_{{mix}}_{{classifier}}_{{run}}_{{testset}}.log",
    benchmark:
        f"{COSTS}/evaluate/{{dataset}}_{{sampling}}_{{scenario}}_{{mix}}_{{classifier}}_{{run}}_{{testset}}.tsv"
    conda:
        "../envs/tensorflow.yaml"
    threads: 4
    resources:
        mem_mb=memory(8000),
        runtime=60,
        gpu=1,
    params:
        labels=LABELS,
        positive_label=STUDY["positive_label"],
        generator=judged_generator,
        root=tested_root,
        code=code("evaluate"),
    message:
        "Evaluating {wildcards.classifier} on {wildcards.mix}, run {wildcards.run}, {wildcards.testset}"
    script:
        "../scripts/evaluate.py"
