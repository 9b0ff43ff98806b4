import os

from snakemake.logging import logger
from snakemake.settings.types import DeploymentMethod


localrules:
    check,


SDM_CONDA = DeploymentMethod.CONDA in workflow.deployment_settings.deployment_method

# `snakemake check` is the first command of a newcomer: it needs no number of cores, and shows its report alone. No
# environment is made for it, which would take minutes: Snakemake's own has all that it imports.
# Snakemake tells its targets only later.
if "check" in sys.argv and not workflow.output_settings.dryrun:
    workflow.resource_settings.cores = workflow.resource_settings.cores or 1
    workflow.deployment_settings.deployment_method = frozenset()
    logger.setLevel("WARNING")


rule check:
    """Say what the study will do, what it needs, and what is missing or looks wrong; runs no other job."""
    log:
        ".snakemake/log/check.log",
    conda:
        "../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=10,
    params:
        costs=[
            placed(path)
            for path in [*filled(P.cost("prepare_data", "{dataset}"), dataset=STUDY["datasets"]), *P.cost_targets()]
        ],
        memory=asked_memory(workflow.rules),
        configfiles=[os.path.relpath(file) for file in workflow.overwrite_configfiles],
        settings=list(workflow.config_settings.config_args or []),
        sdm_conda=SDM_CONDA,
    message:
        "Checking configuration, images and machine"
    script:
        "../scripts/check.py"
