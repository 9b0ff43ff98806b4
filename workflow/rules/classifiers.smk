rule train_classifier:
    """Train one classifier on one mix, once."""
    input:
        train=f"{COHORT}/train.csv",
        gates=f"{COHORT}/gates.json",
        validation=f"{COHORT}/validation.csv",
        known=lambda wildcards: [f"{SAMPLING}/{scenario}/train.csv" for scenario in known_scenarios(wildcards)],
        images=f"{DATA}/images",
        pools=lambda wildcards: [
            pool_path(wildcards, pool, label, "manifest.csv")
            for pool, label in STUDY.mix_pools(wildcards.scenario, wildcards.mix)
        ],
        pool_images=lambda wildcards: [
            pool_path(wildcards, pool, label, "images")
            for pool, label in STUDY.mix_pools(wildcards.scenario, wildcards.mix)
        ],
        weights=classifier_weights,
    output:
        model=(lambda path: path if STUDY["keep_classifiers"] else temp(path))(directory(f"{CLASSIFIER}/model")),
        history=f"{CLASSIFIER}/history.csv",
        split=f"{CLASSIFIER}/split.csv",
        training=f"{CLASSIFIER}/training.json",
    log:
        f"{LOGS}/train_classifier/{{dataset}}_{{sampling}}_{{scenario}}_{{mix}}_{{classifier}}_{{run}}.log",
    benchmark:
        f"{COSTS}/train_classifier/{{dataset}}_{{sampling}}_{{scenario}}_{{mix}}_{{classifier}}_{{run}}.tsv"
    conda:
        learner_environment
    threads: 4
    resources:
        mem_mb=memory(8000),
        runtime=240,
        gpu=1,
    params:
        classifier=lambda wildcards: STUDY.learner(wildcards.classifier),
        name="{mix}",
        arm=lambda wildcards: STUDY.arm(wildcards.scenario, wildcards.mix),
        known_scenarios=known_scenarios,
        mix_pools=lambda wildcards: STUDY.mix_pools(wildcards.scenario, wildcards.mix),
        task=STUDY["task"],
        labels=LABELS,
        backend=STUDY["keras_backend"],
        positive_label=STUDY["positive_label"],
        validation=STUDY["validation"],
        validation_fraction=STUDY["validation_fraction"],
        # The seeds leave the mix out: run r of every mix shares its validation images and its start.
        seed_split=lambda wildcards: run_seed("validation", wildcards),
        seed_train=lambda wildcards: run_seed("training", wildcards),
        root=lambda wildcards: DATA.format(dataset=wildcards.dataset),
        code=lambda wildcards: learner_code("train_classifier", wildcards.classifier),
    message:
        "Training {wildcards.classifier} on {wildcards.mix}, {wildcards.sampling}/{wildcards.scenario}, run {wildcards.run}"
    script:
        "../scripts/train_classifier.py"


# One rule per scenario, since scenarios differ in their number of test sets. One job evaluates a classifier on all of
# them: loading the framework and the network takes longer than looking at the images.
for scenario in SCENARIOS:

    rule:
        """Classify test sets of real images that neither classifier nor generator has seen."""
        name:
            f"evaluate_{scenario}"
        input:
            model=at(f"{CLASSIFIER}/model", scenario),
            training=at(f"{CLASSIFIER}/training.json", scenario),
            gates=at(f"{COHORT}/gates.json", scenario),
            tests=[at(f"{COHORT}/{testset}.csv", scenario) for testset in STUDY.real_test_sets(scenario)],
            images=[f"{DATA}/images", *(f"{DATA.format(dataset=name)}/images" for name in EXTERNAL)],
        output:
            predictions=[at(f"{CLASSIFIER}/{testset}.csv", scenario) for testset in STUDY.real_test_sets(scenario)],
            metrics=[at(f"{CLASSIFIER}/{testset}.json", scenario) for testset in STUDY.real_test_sets(scenario)],
        log:
            f"{LOGS}/evaluate/{{dataset}}_{{sampling}}_{scenario}_{{mix}}_{{classifier}}_{{run}}.log",
        benchmark:
            f"{COSTS}/evaluate/{{dataset}}_{{sampling}}_{scenario}_{{mix}}_{{classifier}}_{{run}}.tsv"
        conda:
            learner_environment
        threads: 4
        resources:
            mem_mb=memory(8000, 0.1, "tests"),
            runtime=minutes(60, "tests", per_image=1 / 200),
            gpu=1,
        params:
            backend=STUDY["keras_backend"],
            positive_label=STUDY["positive_label"],
            pool=None,
            # The data folders of the test sets: the cohort's own first, then those of the external datasets.
            roots=lambda wildcards, input: [
                DATA.format(dataset=name)
                for name in [*[wildcards.dataset] * (len(input.tests) - len(EXTERNAL)), *EXTERNAL]
            ],
            code=lambda wildcards: learner_code("evaluate", wildcards.classifier),
        message:
            f"Evaluating {{wildcards.classifier}} on {{wildcards.mix}}, {scenario}, run {{wildcards.run}}"
        script:
            "../scripts/evaluate.py"


rule judge:
    """Let a classifier that has been trained on real images judge a pool's (train on real, test on synthetic)."""
    input:
        model=f"{CLASSIFIER}/model",
        training=f"{CLASSIFIER}/training.json",
        tests=lambda wildcards: pool_files(wildcards, "manifest.csv"),
        images=lambda wildcards: pool_files(wildcards, "images"),
    output:
        predictions=[f"{CLASSIFIER}/synthetic_{{pool}}.csv"],
        metrics=[f"{CLASSIFIER}/synthetic_{{pool}}.json"],
    log:
        f"{LOGS}/judge/{{dataset}}_{{sampling}}_{{scenario}}_{{mix}}_{{classifier}}_{{run}}_{{pool}}.log",
    benchmark:
        f"{COSTS}/judge/{{dataset}}_{{sampling}}_{{scenario}}_{{mix}}_{{classifier}}_{{run}}_{{pool}}.tsv"
    conda:
        learner_environment
    threads: 4
    resources:
        mem_mb=memory(8000, 0.1, "tests"),
        runtime=minutes(60, "tests", per_image=1 / 200),
        gpu=1,
    params:
        backend=STUDY["keras_backend"],
        positive_label=STUDY["positive_label"],
        pool="{pool}",
        code=lambda wildcards: learner_code("evaluate", wildcards.classifier),
    message:
        "{wildcards.classifier}, trained on {wildcards.mix}, judges {wildcards.pool}"
    script:
        "../scripts/evaluate.py"


# The classifier behind the extractor `domain`: it has seen no image that its cohort's generators have not seen.
DOMAIN_LEARNER = STUDY["quality"]["domain_classifier"]
DOMAIN_CLASSIFIER = expand(CLASSIFIER, mix="baseline", classifier=DOMAIN_LEARNER, run=1, allow_missing=True)[0]
DOMAIN_ENVIRONMENT = environment_of(DOMAIN_LEARNER)


# A job per pool, not one for all: another generator's changed images must not measure this one's again.
rule features_domain_real:
    """Compute the features of the real images by a classifier that learned from the generators' cohort."""
    input:
        model=f"{DOMAIN_CLASSIFIER}/model",
        training=f"{DOMAIN_CLASSIFIER}/training.json",
        manifest=f"{DATA}/manifest.csv",
        images=f"{DATA}/images",
    output:
        features=COHORT_FEATURES.replace("{extractor}", "domain"),
    log:
        f"{LOGS}/features_domain_real/{{dataset}}_{{sampling}}_{{scenario}}.log",
    benchmark:
        f"{COSTS}/features_domain_real/{{dataset}}_{{sampling}}_{{scenario}}.tsv"
    conda:
        DOMAIN_ENVIRONMENT
    threads: 4
    resources:
        mem_mb=memory(8000, 0.1, "manifest"),
        runtime=minutes(60, "manifest", per_image=1 / 200),
        gpu=1,
    params:
        backend=STUDY["keras_backend"],
        code=learner_code("features_domain", DOMAIN_LEARNER),
    message:
        "Features of {wildcards.dataset} by the classifier trained on {wildcards.sampling}/{wildcards.scenario}"
    script:
        "../scripts/features_domain.py"


rule features_domain_pool:
    """Compute the features of a pool by a classifier that learned from the generators' cohort."""
    input:
        model=f"{DOMAIN_CLASSIFIER}/model",
        training=f"{DOMAIN_CLASSIFIER}/training.json",
        manifest=f"{POOL}/manifest.csv",
        images=f"{POOL}/images",
    output:
        features=POOL_FEATURES.replace("{extractor}", "domain"),
    log:
        f"{LOGS}/features_domain_pool/{{dataset}}_{{sampling}}_{{scenario}}_{{pool}}_{{label}}.log",
    benchmark:
        f"{COSTS}/features_domain_pool/{{dataset}}_{{sampling}}_{{scenario}}_{{pool}}_{{label}}.tsv"
    conda:
        DOMAIN_ENVIRONMENT
    threads: 4
    resources:
        mem_mb=memory(8000, 0.1, "manifest"),
        runtime=minutes(60, "manifest", per_image=1 / 200),
        gpu=1,
    params:
        backend=STUDY["keras_backend"],
        code=learner_code("features_domain", DOMAIN_LEARNER),
    message:
        "Features of the {wildcards.label} pool of {wildcards.pool} by the classifier trained on {wildcards.sampling}/{wildcards.scenario}"
    script:
        "../scripts/features_domain.py"
