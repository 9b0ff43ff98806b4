"""Print what the study will do, what it needs, and what is missing or looks wrong."""

from radsynth.common.job import job

with job(snakemake):
    from radsynth.checking.report import check
    from radsynth.study.config import Study

    params = snakemake.params
    print(
        check(
            Study(snakemake.config),
            costs=params.costs,
            memory=params.memory,
            configfiles=params.configfiles,
            settings=params.settings,
            sdm_conda=params.sdm_conda,
        )
    )
