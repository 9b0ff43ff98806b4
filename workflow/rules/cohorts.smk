rule cohort_order:
    """Put the images of a class into the order in which a sampling takes them."""
    input:
        manifest=f"{P.data}/manifest.csv",
        features=IN.order_features,
    output:
        order=f"{P.sampling}/order_{{label}}.csv",
    log:
        P.log("cohort_order", "{dataset}/{sampling}/{label}"),
    benchmark:
        P.cost("cohort_order", "{dataset}/{sampling}/{label}")
    conda:
        "../envs/data.yaml"
    threads: 2
    resources:
        mem_mb=memory(4000),
        runtime=30,
    params:
        sampling=lambda wildcards: P.samplings[wildcards.sampling],
        sampling_name="{sampling}",
        gates=STUDY["gates"],
        test_split=IN.test_split,
        limit=lambda wildcards: STUDY.longest_prefix(wildcards.label),
        seed=STUDY["seed"],
        code=code("cohort_order"),
    message:
        "Ordering {wildcards.label} of {wildcards.dataset} by {wildcards.sampling} sampling"
    script:
        "../scripts/cohort_order.py"


rule cohort:
    """Take a scenario's training and test sets from the orders."""
    input:
        manifest=f"{P.data}/manifest.csv",
        orders=filled(f"{P.sampling}/order_{{label}}.csv", label=STUDY.labels),
        features=P.diversity_features,
    output:
        train=f"{P.cohort}/train.csv",
        # Without an image unless `validation: patients`.
        validation=f"{P.cohort}/validation.csv",
        tests=f"{P.cohort}/tests.csv",
        summary=f"{P.cohort}/summary.json",
    log:
        P.log("cohort", COHORT),
    benchmark:
        P.cost("cohort", COHORT)
    conda:
        "../envs/data.yaml"
    threads: 2
    resources:
        mem_mb=memory(4000),
        runtime=30,
    params:
        scenario=lambda wildcards: P.scenarios[wildcards.scenario],
        scenario_name="{scenario}",
        labels=STUDY.labels,
        gates=STUDY["gates"],
        test_split=IN.test_split,
        spent=STUDY.spent(),
        validation_fraction=STUDY.held_back(),
        seed=STUDY["seed"],
        code=code("cohort"),
    message:
        "Training and test sets of the scenario {wildcards.scenario}"
    script:
        "../scripts/cohort.py"


rule repeats:
    """Find the images of a dataset that repeat one which generators were pretrained on or pools are made from."""
    input:
        manifest=f"{P.data}/manifest.csv",
        images=f"{P.data}/images",
        other=f"{P.results}/data/{{elsewhere}}/manifest.csv",
        other_images=f"{P.results}/data/{{elsewhere}}/images",
    output:
        repeats=P.repeats,
    log:
        P.log("repeats", "{dataset}/{elsewhere}"),
    benchmark:
        P.cost("repeats", "{dataset}/{elsewhere}")
    conda:
        "../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=memory(4000, 0.03, "manifest", "other"),
        runtime=minutes(60, "manifest", "other", per_image=1 / 500),
    params:
        dataset="{elsewhere}",
        code=code("repeats"),
    message:
        "Looking for images of {wildcards.elsewhere} in {wildcards.dataset}"
    script:
        "../scripts/repeats.py"


rule common_test:
    """Take the images that no sampling touches as a test set that all samplings share, and check it."""
    input:
        manifest=f"{P.data}/manifest.csv",
        seen=IN.seen_by_any,
        repeats=lambda wildcards: IN.repeats_of(wildcards.dataset),
        features=P.diversity_features,
    output:
        # One job writes the same table beside the other test sets of each sampling.
        tests=filled(f"{P.cohort}/common.csv", sampling=P.samplings),
        summaries=filled(f"{P.cohort}/common.json", sampling=P.samplings),
    log:
        P.log("common_test", "{dataset}/{scenario}"),
    benchmark:
        P.cost("common_test", "{dataset}/{scenario}")
    conda:
        "../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=10,
    params:
        labels=STUDY.labels,
        gates=STUDY["gates"],
        test_split=IN.test_split,
        code=code("common_test"),
    message:
        "Test set that all samplings of {wildcards.scenario} share"
    script:
        "../scripts/common_test.py"


rule external_test:
    """Take an external dataset as a test set, without images that the cohort or a generator has been trained on."""
    input:
        external=f"{P.results}/data/{{external}}/manifest.csv",
        external_images=f"{P.results}/data/{{external}}/images",
        images=f"{P.data}/images",
        seen=P.seen_images,
        repeats=lambda wildcards: IN.repeats_of(wildcards.external),
    output:
        test=f"{P.cohort}/external_{{external}}.csv",
        summary=f"{P.cohort}/external_{{external}}.json",
    log:
        P.log("external_test", f"{COHORT}/{{external}}"),
    benchmark:
        P.cost("external_test", f"{COHORT}/{{external}}")
    conda:
        "../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=memory(4000),
        runtime=60,
    params:
        name="external_{external}",
        root=root_of_images,
        labels=STUDY.labels,
        gates=STUDY["gates"],
        code=code("external_test"),
    message:
        "{wildcards.external} as an external test set of {wildcards.sampling}/{wildcards.scenario}"
    script:
        "../scripts/external_test.py"


rule gates:
    """Check that no patient, no pixels and no generator's training image stand on both sides."""
    input:
        manifest=f"{P.data}/manifest.csv",
        train=f"{P.cohort}/train.csv",
        validation=f"{P.cohort}/validation.csv",
        tests=f"{P.cohort}/tests.csv",
        repeats=lambda wildcards: IN.repeats_of(wildcards.dataset),
        generator_trains=[f"{P.sampling}/{scenario}/train.csv" for scenario in STUDY.generator_scenarios()],
    output:
        gates=f"{P.cohort}/gates.json",
    log:
        P.log("gates", COHORT),
    benchmark:
        P.cost("gates", COHORT)
    conda:
        "../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=10,
    params:
        gates=STUDY["gates"],
        test_split=IN.test_split,
        scenario_name="{scenario}",
        counts=lambda wildcards: P.scenarios[wildcards.scenario]["train"],
        code=code("gates"),
    message:
        "Checking {wildcards.sampling}/{wildcards.scenario} for leaks"
    script:
        "../scripts/gates.py"
