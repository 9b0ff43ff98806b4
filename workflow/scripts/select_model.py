"""Choose among the models of one training."""

from radsynth.common.job import job

with job(snakemake):
    from radsynth.generators.selection import select_by_kid, write_selected
    from radsynth.generators.selection_figure import plot_selection

    given, output, params, wildcards = snakemake.input, snakemake.output, snakemake.params, snakemake.wildcards
    settings = dict(params.selection)
    if settings["method"] == "iteration":
        result = settings | {"reason": "as configured", "device": "cpu"}
    else:
        result = select_by_kid(
            *(params.family, given.model, given.train, params.root, wildcards.unit),
            settings=settings,
            sampler=dict(params.sampler),
            seed=params.seed,
            weights=given.get("weights"),
            gpu=bool(snakemake.resources.get("gpu", 0)),
            threads=snakemake.threads,
        )
    write_selected(params.family, given.model, output.model, result)
    plot_selection(result, output.picture, f"{wildcards.generator}: {wildcards.unit}")
