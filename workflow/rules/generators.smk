rule train_generator:
    """Train one generator on one unit (a label, or all labels jointly) of a training cohort."""
    input:
        train=f"{COHORT}/train.csv",
        gates=f"{COHORT}/gates.json",
        manifest=f"{DATA}/manifest.csv",
        images=f"{DATA}/images",
        masks=f"{DATA}/masks",
    output:
        model=directory(f"{MODEL}/model"),
        training=report(
            f"{MODEL}/training.png",
            caption="../report/training.rst",
            category="2 Generators",
            subcategory="{generator}",
            labels={"dataset": "{dataset}", "sampling": "{sampling}", "unit": "{unit}", "shows": "training"},
        ),
        preview=shows_patients(
            f"{MODEL}/preview.png",
            caption="../report/preview.rst",
            category="2 Generators",
            subcategory="{generator}",
            labels={"dataset": "{dataset}", "sampling": "{sampling}", "unit": "{unit}", "shows": "preview"},
        ),
    log:
        f"{LOGS}/train_generator/{{dataset}}_{{sampling}}_{{scenario}}_{{generator}}_{{unit}}.log",
    benchmark:
        f"{COSTS}/train_generator/{{dataset}}_{{sampling}}_{{scenario}}_{{generator}}_{{unit}}.tsv"
    conda:
        "../envs/torch.yaml"
    threads: 8
    resources:
        mem_mb=memory(16000),
        runtime=1440,
        gpu=lambda wildcards: GENERATORS[wildcards.generator]["gpus"],
    params:
        family=lambda wildcards: GENERATORS[wildcards.generator]["family"],
        options=lambda wildcards: GENERATORS[wildcards.generator]["options"],
        labels=lambda wildcards: STUDY.unit_labels(wildcards.unit),
        selection=kept_models,
        withholding=withholding,
        seed=lambda wildcards: STUDY.seed("generator", *wildcards),
        root=lambda wildcards: DATA.format(dataset=wildcards.dataset),
        code=lambda wildcards: generator_code("train_generator", wildcards.generator),
    message:
        "Training {wildcards.generator} on {wildcards.unit} of {wildcards.sampling}/{wildcards.scenario}"
    script:
        "../scripts/train_generator.py"


rule select_model:
    """Choose among the models of one training: that of a given step, or the one with the lowest KID that does not copy."""
    input:
        model=f"{MODEL}/model",
        train=f"{COHORT}/train.csv",
        images=f"{DATA}/images",
        weights=selection_weights,
    output:
        model=directory(f"{MODEL}/selected"),
        picture=report(
            f"{MODEL}/selection.png",
            caption="../report/selection.rst",
            category="2 Generators",
            subcategory="{generator}",
            labels={"dataset": "{dataset}", "sampling": "{sampling}", "unit": "{unit}", "shows": "selection"},
        ),
    log:
        f"{LOGS}/select_model/{{dataset}}_{{sampling}}_{{scenario}}_{{generator}}_{{unit}}.log",
    benchmark:
        f"{COSTS}/select_model/{{dataset}}_{{sampling}}_{{scenario}}_{{generator}}_{{unit}}.tsv"
    conda:
        "../envs/torch.yaml"
    threads: 8
    resources:
        mem_mb=memory(8000),
        runtime=720,
        gpu=1,
    params:
        family=lambda wildcards: GENERATORS[wildcards.generator]["family"],
        sampler=lambda wildcards: GENERATORS[wildcards.generator]["sampler"],
        selection=lambda wildcards: GENERATORS[wildcards.generator]["selection"],
        seed=lambda wildcards: STUDY.seed("selection", *wildcards),
        root=lambda wildcards: DATA.format(dataset=wildcards.dataset),
        code=selection_code,
    message:
        "Choosing the model of {wildcards.generator} on {wildcards.unit} of {wildcards.sampling}/{wildcards.scenario}"
    script:
        "../scripts/select_model.py"
