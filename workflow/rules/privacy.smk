rule attack:
    """Try to tell the training images behind a pool from test images of the same label."""
    input:
        train=f"{P.cohort}/train.csv",
        tests=f"{P.cohort}/tests.csv",
        data_manifest=f"{P.data}/manifest.csv",
        images=f"{P.data}/images",
        masks=f"{P.data}/masks",
        pool_manifest=f"{P.pool}/manifest.csv",
        pool_images=f"{P.pool}/images",
        withholding=P.withholding_model,
        # What one kind of access alone reads.
        model=IN.attacked_model,
        real_features=lambda wildcards: IN.attacked_features(wildcards, P.real_features),
        pool_features=lambda wildcards: IN.attacked_features(wildcards, P.pool_features),
    output:
        json=P.attack,
    log:
        P.log("attack", ATTACK),
    benchmark:
        P.cost("attack", ATTACK)
    conda:
        "../envs/torch.yaml"
    threads: 4
    resources:
        mem_mb=memory(8000, 0.1, "data_manifest", "pool_manifest"),
        runtime=240,
        gpu=lambda wildcards: len(IN.attacked_model(wildcards)),
    params:
        entry=lambda wildcards: STUDY["attacks"][wildcards.attack],
        family=IN.attacked_family,
        label="{label}",
        seed=P.seed("attack"),
        code=IN.attack_code,
    message:
        "Attack {wildcards.attack} on the {wildcards.label} pool of {wildcards.pool}"
    script:
        "../scripts/attack.py"
