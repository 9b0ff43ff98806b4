"""Draw the tables from metrics/*.csv."""

from pathlib import Path

from radsynth.common.job import job

with job(snakemake):
    from radsynth.common.files import write_text
    from radsynth.report.archive import read_source
    from radsynth.report.chapter import load, tables
    from radsynth.report.published import published_files, read_published, sources
    from radsynth.report.render import for_spreadsheet, latex, markdown
    from radsynth.report.tidy import write_csv

    metrics = read_source(snakemake.input, snakemake.params.source)
    metrics["published"] = read_published(published_files(), sources(metrics))
    drawn = {name: load(path)(metrics) for name, path in tables(metrics).items()}
    for path in snakemake.output:
        title, table, sections = drawn[Path(path).stem]
        if path.endswith(".csv"):
            write_csv(path, list(table.columns), for_spreadsheet(table))
        else:
            write_text(path, markdown(title, sections) if path.endswith(".md") else latex(sections))
