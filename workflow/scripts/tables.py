"""Draw the tables from metrics/*.csv."""

from pathlib import Path

from radsynth.common.job import job

with job(snakemake):
    from radsynth.analysis import classifier_tables, tables
    from radsynth.analysis.archive import read_source
    from radsynth.analysis.published import read_published
    from radsynth.analysis.render import for_spreadsheet, latex, markdown
    from radsynth.analysis.tidy import write_csv
    from radsynth.common.files import write_text

    metrics = read_source(snakemake.input, snakemake.params.source)
    published = read_published(snakemake.input.published, tables.sources(metrics))
    drawn = {"accuracy": classifier_tables.accuracy(metrics, published)}
    drawn |= {name: draw(metrics) for name, draw in tables.PLAIN.items()}
    for path in snakemake.output:
        title, table, sections = drawn[Path(path).stem]
        if path.endswith(".csv"):
            write_csv(path, list(table.columns), for_spreadsheet(table))
        else:
            write_text(path, markdown(title, sections) if path.endswith(".md") else latex(sections))
