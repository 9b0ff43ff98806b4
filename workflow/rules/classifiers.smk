rule train_classifier:
    """Train one classifier on one mix, once."""
    input:
        train=f"{P.cohort}/train.csv",
        gates=f"{P.cohort}/gates.json",
        validation=f"{P.cohort}/validation.csv",
        known=lambda wildcards: [f"{P.sampling}/{scenario}/train.csv" for scenario in IN.known_scenarios(wildcards)],
        images=f"{P.data}/images",
        pools=lambda wildcards: IN.mixed_files(wildcards, "manifest.csv"),
        pool_images=lambda wildcards: IN.mixed_files(wildcards, "images"),
        weights=IN.classifier_weights,
    output:
        model=(lambda path: path if STUDY["keep_classifiers"] else temp(path))(directory(f"{P.classifier}/model")),
        history=f"{P.classifier}/history.csv",
        split=f"{P.classifier}/split.csv",
        training=f"{P.classifier}/training.json",
    log:
        P.log("train_classifier", CLASSIFIER),
    benchmark:
        P.cost("train_classifier", CLASSIFIER)
    conda:
        IN.learner_environment
    threads: 4
    resources:
        mem_mb=memory(8000),
        runtime=240,
        gpu=1,
    params:
        classifier=lambda wildcards: STUDY.learner(wildcards.classifier),
        name="{mix}",
        arm=lambda wildcards: STUDY.arm(wildcards.scenario, wildcards.mix),
        known_scenarios=IN.known_scenarios,
        mix_pools=lambda wildcards: STUDY.mix_pools(wildcards.scenario, wildcards.mix),
        task=STUDY["task"],
        labels=STUDY.labels,
        backend=STUDY["keras_backend"],
        positive_label=STUDY["positive_label"],
        validation=STUDY["validation"],
        validation_fraction=STUDY["validation_fraction"],
        # The seeds leave the mix out: run r of every mix shares its validation images and its start.
        seed_split=P.run_seed("validation"),
        seed_train=P.run_seed("training"),
        root=root_of_images,
        code=lambda wildcards: IN.learner_code("train_classifier", wildcards.classifier),
    message:
        "Training {wildcards.classifier} on {wildcards.mix}, {wildcards.sampling}/{wildcards.scenario}, run {wildcards.run}"
    script:
        "../scripts/train_classifier.py"


# One job evaluates a classifier on all test sets: loading the framework and the network takes longer than looking at the
# images.
rule evaluate:
    """Classify test sets of real images that neither classifier nor generator has seen."""
    input:
        model=f"{P.classifier}/model",
        training=f"{P.classifier}/training.json",
        gates=f"{P.cohort}/gates.json",
        tests=[f"{P.cohort}/{table}.csv" for table in IN.test_tables()],
        # Those of each table.
        images=[f"{images}/images" for images in IN.test_tables().values()],
    output:
        predictions=f"{P.classifier}/predictions.csv",
        metrics=f"{P.classifier}/evaluation.json",
    log:
        P.log("evaluate", CLASSIFIER),
    benchmark:
        P.cost("evaluate", CLASSIFIER)
    conda:
        IN.learner_environment
    threads: 4
    resources:
        mem_mb=memory(8000, 0.1, "tests"),
        runtime=minutes(60, "tests", per_image=1 / 200),
        gpu=1,
    params:
        backend=STUDY["keras_backend"],
        positive_label=STUDY["positive_label"],
        pool=None,
        testsets=lambda wildcards: STUDY.real_test_sets(wildcards.scenario),
        code=lambda wildcards: IN.learner_code("evaluate", wildcards.classifier),
    message:
        "Evaluating {wildcards.classifier} on {wildcards.mix}, {wildcards.scenario}, run {wildcards.run}"
    script:
        "../scripts/evaluate.py"


rule judge:
    """Let a classifier that has been trained on real images judge a pool's (train on real, test on synthetic)."""
    input:
        model=f"{P.classifier}/model",
        training=f"{P.classifier}/training.json",
        tests=lambda wildcards: IN.labelled_files(wildcards, "manifest.csv"),
        images=lambda wildcards: IN.labelled_files(wildcards, "images"),
    output:
        predictions=f"{P.judgement}/predictions.csv",
        metrics=f"{P.judgement}/evaluation.json",
    log:
        P.log("judge", JUDGEMENT),
    benchmark:
        P.cost("judge", JUDGEMENT)
    conda:
        IN.learner_environment
    threads: 4
    resources:
        mem_mb=memory(8000, 0.1, "tests"),
        runtime=minutes(60, "tests", per_image=1 / 200),
        gpu=1,
    params:
        backend=STUDY["keras_backend"],
        positive_label=STUDY["positive_label"],
        pool="{pool}",
        testsets=["synthetic_{pool}"],
        code=lambda wildcards: IN.learner_code("evaluate", wildcards.classifier),
    message:
        "{wildcards.classifier}, trained on {wildcards.mix}, judges {wildcards.pool}"
    script:
        "../scripts/evaluate.py"


# A job per pool, not one for all: another pool's changed images must not measure this one's again.
rule features_domain_real:
    """Compute the features of the real images by a classifier that learned from the generators' cohort."""
    input:
        model=f"{IN.domain_classifier()}/model",
        training=f"{IN.domain_classifier()}/training.json",
        manifest=f"{P.data}/manifest.csv",
        images=f"{P.data}/images",
    output:
        features=P.cohort_features.replace("{extractor}", "domain"),
    log:
        P.log("features_domain_real", COHORT),
    benchmark:
        P.cost("features_domain_real", COHORT)
    conda:
        IN.environment_of(STUDY["quality"]["domain_classifier"])
    threads: 4
    resources:
        mem_mb=memory(8000, 0.1, "manifest"),
        runtime=minutes(60, "manifest", per_image=1 / 200),
        gpu=1,
    params:
        backend=STUDY["keras_backend"],
        code=IN.learner_code("features_domain", STUDY["quality"]["domain_classifier"]),
    message:
        "Features of {wildcards.dataset} by the classifier trained on {wildcards.sampling}/{wildcards.scenario}"
    script:
        "../scripts/features_domain.py"


rule features_domain_pool:
    """Compute the features of a pool by a classifier that learned from the generators' cohort."""
    input:
        model=f"{IN.domain_classifier()}/model",
        training=f"{IN.domain_classifier()}/training.json",
        manifest=f"{P.pool}/manifest.csv",
        images=f"{P.pool}/images",
    output:
        features=P.pool_features.replace("{extractor}", "domain"),
    log:
        P.log("features_domain_pool", POOL),
    benchmark:
        P.cost("features_domain_pool", POOL)
    conda:
        IN.environment_of(STUDY["quality"]["domain_classifier"])
    threads: 4
    resources:
        mem_mb=memory(8000, 0.1, "manifest"),
        runtime=minutes(60, "manifest", per_image=1 / 200),
        gpu=1,
    params:
        backend=STUDY["keras_backend"],
        code=IN.learner_code("features_domain", STUDY["quality"]["domain_classifier"]),
    message:
        "Features of the {wildcards.label} pool of {wildcards.pool} by the classifier trained on {wildcards.sampling}/{wildcards.scenario}"
    script:
        "../scripts/features_domain.py"
