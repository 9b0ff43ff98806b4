rule cohort_order:
    """Put the images of a class into the order in which a sampling takes them."""
    input:
        manifest=f"{DATA}/manifest.csv",
        features=order_features,
    output:
        order=f"{SAMPLING}/order_{{label}}.csv",
    log:
        f"{LOGS}/cohort_order/{{dataset}}_{{sampling}}_{{label}}.log",
    benchmark:
        f"{COSTS}/cohort_order/{{dataset}}_{{sampling}}_{{label}}.tsv"
    conda:
        "../envs/data.yaml"
    threads: 2
    resources:
        mem_mb=memory(4000),
        runtime=30,
    params:
        sampling=lambda wildcards: SAMPLINGS[wildcards.sampling],
        sampling_name="{sampling}",
        gates=STUDY["gates"],
        test_split=test_split,
        limit=lambda wildcards: STUDY.longest_prefix(wildcards.label),
        seed=STUDY["seed"],
        code=code("cohort_order"),
    message:
        "Ordering {wildcards.label} of {wildcards.dataset} by {wildcards.sampling} sampling"
    script:
        "../scripts/cohort_order.py"


# One rule per scenario, since scenarios differ in their number of test sets.
for scenario in SCENARIOS:

    rule:
        """Take a scenario's training and test sets from the orders."""
        name:
            f"cohort_{scenario}"
        input:
            manifest=f"{DATA}/manifest.csv",
            orders=expand(f"{SAMPLING}/order_{{label}}.csv", label=LABELS, allow_missing=True),
            features=DIVERSITY_FEATURES,
        output:
            train=f"{SAMPLING}/{scenario}/train.csv",
            # Without an image unless `validation: patients`.
            validation=f"{SAMPLING}/{scenario}/validation.csv",
            tests=[f"{SAMPLING}/{scenario}/{testset}.csv" for testset in STUDY.test_sets(scenario)],
            summary=f"{SAMPLING}/{scenario}/summary.json",
        log:
            f"{LOGS}/cohort/{{dataset}}_{{sampling}}_{scenario}.log",
        benchmark:
            f"{COSTS}/cohort/{{dataset}}_{{sampling}}_{scenario}.tsv"
        conda:
            "../envs/data.yaml"
        threads: 2
        resources:
            mem_mb=memory(4000),
            runtime=30,
        params:
            scenario=SCENARIOS[scenario],
            scenario_name=scenario,
            labels=LABELS,
            gates=STUDY["gates"],
            test_split=test_split,
            spent=STUDY.spent(),
            validation_fraction=STUDY.held_back(),
            seed=STUDY["seed"],
            code=code("cohort"),
        message:
            f"Training and test sets of the scenario {scenario}"
        script:
            "../scripts/cohort.py"


if STUDY.has_common_test():

    rule common_test:
        """Take the images that no sampling touches as a test set that all samplings share, and check it."""
        input:
            manifest=f"{DATA}/manifest.csv",
            seen=lambda wildcards: expand(seen_images(wildcards), sampling=SAMPLINGS, allow_missing=True),
            features=DIVERSITY_FEATURES,
        output:
            # One job writes the same table beside the other test sets of each sampling.
            tests=expand(f"{COHORT}/common.csv", sampling=SAMPLINGS, allow_missing=True),
            summaries=expand(f"{COHORT}/common.json", sampling=SAMPLINGS, allow_missing=True),
        log:
            f"{LOGS}/common_test/{{dataset}}_{{scenario}}.log",
        benchmark:
            f"{COSTS}/common_test/{{dataset}}_{{scenario}}.tsv"
        conda:
            "../envs/data.yaml"
        threads: 1
        resources:
            mem_mb=memory(2000),
            runtime=10,
        params:
            labels=LABELS,
            gates=STUDY["gates"],
            test_split=test_split,
            code=code("common_test"),
        message:
            "Test set that all samplings of {wildcards.scenario} share"
        script:
            "../scripts/common_test.py"


rule external_test:
    """Take an external dataset as a test set, without images that the cohort or a generator has been trained on."""
    input:
        external=f"{R}/data/{{external}}/manifest.csv",
        external_images=f"{R}/data/{{external}}/images",
        images=f"{DATA}/images",
        seen=seen_images,
    output:
        test=f"{COHORT}/external_{{external}}.csv",
        summary=f"{COHORT}/external_{{external}}.json",
    log:
        f"{LOGS}/external_test/{{dataset}}_{{sampling}}_{{scenario}}_{{external}}.log",
    benchmark:
        f"{COSTS}/external_test/{{dataset}}_{{sampling}}_{{scenario}}_{{external}}.tsv"
    conda:
        "../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=memory(4000),
        runtime=60,
    params:
        name="external_{external}",
        root=lambda wildcards: DATA.format(dataset=wildcards.dataset),
        labels=LABELS,
        gates=STUDY["gates"],
        code=code("external_test"),
    message:
        "{wildcards.external} as an external test set of {wildcards.sampling}/{wildcards.scenario}"
    script:
        "../scripts/external_test.py"


rule gates:
    """Check that no patient, no pixels and no generator's training image stand on both sides."""
    input:
        manifest=f"{DATA}/manifest.csv",
        train=f"{COHORT}/train.csv",
        validation=f"{COHORT}/validation.csv",
        tests=lambda wildcards: [f"{COHORT}/{testset}.csv" for testset in STUDY.test_sets(wildcards.scenario)],
        generator_trains=[f"{SAMPLING}/{scenario}/train.csv" for scenario in STUDY.generator_scenarios()],
    output:
        gates=f"{COHORT}/gates.json",
    log:
        f"{LOGS}/gates/{{dataset}}_{{sampling}}_{{scenario}}.log",
    benchmark:
        f"{COSTS}/gates/{{dataset}}_{{sampling}}_{{scenario}}.tsv"
    conda:
        "../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=10,
    params:
        gates=STUDY["gates"],
        test_split=test_split,
        scenario_name="{scenario}",
        counts=lambda wildcards: SCENARIOS[wildcards.scenario]["train"],
        code=code("gates"),
    message:
        "Checking {wildcards.sampling}/{wildcards.scenario} for leaks"
    script:
        "../scripts/gates.py"
