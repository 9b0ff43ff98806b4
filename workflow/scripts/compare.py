"""Set two results side by side."""

from pathlib import Path

from radsynth.common.job import job

with job(snakemake):
    from radsynth.common.files import write_text
    from radsynth.report.archive import CONFIG, MANIFEST, read_config, read_source
    from radsynth.report.comparing import compare
    from radsynth.report.render import for_spreadsheet, markdown
    from radsynth.report.tidy import write_csv

    sides = []
    for files in (snakemake.input.metrics_a, snakemake.input.metrics_b):
        folder = Path(files[0]).parent
        source = "archive" if (folder / MANIFEST).is_file() else "build"
        metrics = read_source({Path(file).stem: file for file in files if file.endswith(".csv")}, source)
        sides.append((metrics, read_config(folder / CONFIG)))
    tables = compare(*sides, names=snakemake.params.names)
    for path in snakemake.output:
        title, table, sections = tables[Path(path).stem]
        if path.endswith(".csv"):
            write_csv(path, list(table.columns), for_spreadsheet(table))
        else:
            write_text(path, markdown(title, sections))
