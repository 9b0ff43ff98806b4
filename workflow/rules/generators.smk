from radsynth.study.plan import PRETRAINED


rule train_generator:
    """Train one generator on one unit (a label, or all labels jointly) of a training cohort."""
    input:
        train=f"{P.cohort}/train.csv",
        gates=f"{P.cohort}/gates.json",
        start=IN.start,
        manifest=f"{P.data}/manifest.csv",
        images=f"{P.data}/images",
        masks=f"{P.data}/masks",
        weights=IN.generator_weights,
    output:
        model=directory(f"{P.model}/model"),
        training=report(
            f"{P.model}/training.png",
            caption="../report/training.rst",
            category="2 Generators",
            subcategory="{generator}",
            labels={"dataset": "{dataset}", "sampling": "{sampling}", "unit": "{unit}", "shows": "training"},
        ),
        preview=shows_patients(
            f"{P.model}/preview.png",
            caption="../report/preview.rst",
            category="2 Generators",
            subcategory="{generator}",
            labels={"dataset": "{dataset}", "sampling": "{sampling}", "unit": "{unit}", "shows": "preview"},
        ),
    log:
        P.log("train_generator", MODEL),
    benchmark:
        P.cost("train_generator", MODEL)
    conda:
        "../envs/torch.yaml"
    threads: 8
    resources:
        mem_mb=memory(16000),
        runtime=1440,
        gpu=lambda wildcards: P.generators[wildcards.generator]["gpus"],
    params:
        family=lambda wildcards: P.generators[wildcards.generator]["family"],
        options=lambda wildcards: P.generators[wildcards.generator]["options"],
        labels=lambda wildcards: STUDY.unit_labels(wildcards.unit),
        selection=IN.kept_models,
        withholding=IN.withholding,
        seed=P.seed("generator"),
        root=root_of_images,
        code=P.family_code("train_generator"),
    message:
        "Training {wildcards.generator} on {wildcards.unit} of {wildcards.sampling}/{wildcards.scenario}"
    script:
        "../scripts/train_generator.py"


rule pretrain_generator:
    """Train one generator on all images (of a label, or of all) of another dataset, for its trainings to begin from."""
    input:
        train=f"{P.results}/data/{{pretraining}}/manifest.csv",
        images=f"{P.results}/data/{{pretraining}}/images",
        masks=f"{P.results}/data/{{pretraining}}/masks",
        weights=IN.generator_weights,
    output:
        model=directory(f"{P.pretrained}/model"),
        training=report(
            f"{P.pretrained}/training.png",
            caption="../report/training.rst",
            category="2 Generators",
            subcategory="{generator}",
            labels={"dataset": "{pretraining}", "unit": "{unit}", "shows": "pretraining"},
        ),
        preview=shows_patients(
            f"{P.pretrained}/preview.png",
            caption="../report/preview.rst",
            category="2 Generators",
            subcategory="{generator}",
            labels={"dataset": "{pretraining}", "unit": "{unit}", "shows": "preview of the pretraining"},
        ),
    log:
        P.log("pretrain_generator", PRETRAINED),
    benchmark:
        P.cost("pretrain_generator", PRETRAINED)
    conda:
        "../envs/torch.yaml"
    threads: 8
    resources:
        mem_mb=memory(16000),
        runtime=1440,
        gpu=lambda wildcards: P.generators[wildcards.generator]["gpus"],
    params:
        family=lambda wildcards: P.generators[wildcards.generator]["family"],
        options=lambda wildcards: STUDY.pretraining(wildcards.generator, wildcards.unit),
        labels=lambda wildcards: STUDY.unit_labels(wildcards.unit),
        selection=None,
        withholding={},
        pretraining_on="{pretraining}",
        seed=P.seed("pretraining"),
        root=root_of_images,
        code=P.family_code("train_generator"),
    message:
        "Pretraining {wildcards.generator} on {wildcards.unit} of {wildcards.pretraining}"
    script:
        "../scripts/train_generator.py"


rule select_model:
    """Choose among the models of one training: that of a given step, or the one with the lowest KID that does not copy."""
    input:
        model=f"{P.model}/model",
        train=f"{P.cohort}/train.csv",
        images=f"{P.data}/images",
        weights=IN.selection_weights,
    output:
        model=directory(f"{P.model}/selected"),
        picture=report(
            f"{P.model}/selection.png",
            caption="../report/selection.rst",
            category="2 Generators",
            subcategory="{generator}",
            labels={"dataset": "{dataset}", "sampling": "{sampling}", "unit": "{unit}", "shows": "selection"},
        ),
    log:
        P.log("select_model", MODEL),
    benchmark:
        P.cost("select_model", MODEL)
    conda:
        "../envs/torch.yaml"
    threads: 8
    resources:
        mem_mb=memory(8000),
        runtime=720,
        gpu=1,
    params:
        family=lambda wildcards: P.generators[wildcards.generator]["family"],
        sampler=lambda wildcards: P.generators[wildcards.generator]["sampler"],
        selection=lambda wildcards: P.generators[wildcards.generator]["selection"],
        seed=P.seed("selection"),
        root=root_of_images,
        code=IN.selection_code,
    message:
        "Choosing the model of {wildcards.generator} on {wildcards.unit} of {wildcards.sampling}/{wildcards.scenario}"
    script:
        "../scripts/select_model.py"
