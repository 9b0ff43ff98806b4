"""What somebody adds to a checkout: a new file, a line in its list, and Snakemake runs it."""

import shutil

import pandas as pd
import pytest
from test_tiny_study import COMMAND, TINY, write_config

CAPTIONS = ("aside_counts", "aside_bars")


@pytest.mark.slow
def test_a_new_chapter_goes_from_the_files_of_the_jobs_to_the_report(module_checkout, root, snakemake):
    """Its tidy table, table, figure and sentence: no rule and no other file changes, but each output has a caption."""
    report = module_checkout / "workflow/scripts/radsynth/report"
    shutil.copyfile(root / "tests/unit/report_aside.py", report / "aside.py")
    known, line = report / "chapter.py", '    "costs": "radsynth.report.costs:CHAPTER",\n'
    text = known.read_text()
    assert line in text
    known.write_text(text.replace(line, f'{line}    "aside": "radsynth.report.aside:CHAPTER",\n'))
    for name in CAPTIONS:
        (module_checkout / f"workflow/report/{name}.rst").write_text(f"**Aside**: what {name} shows.\n")

    write_config(module_checkout, TINY | {"runs": 1, "matched_controls": False})
    done = snakemake(module_checkout, *COMMAND, "--", "all", "archive")
    assert done.returncode == 0, done.stdout[-3000:]
    results = module_checkout / "results/tiny"
    assert pd.read_csv(results / "metrics/aside.csv")["images"].sum() == 120
    for file in ("tables/aside_counts.csv", "tables/aside_counts.md", "tables/aside_counts.tex"):
        assert "NORMAL" in (results / file).read_text()
    assert (results / "figures/aside_bars.png").is_file() and (results / "figures/aside_bars.pdf").is_file()
    assert "120 images were counted." in (results / "summary.md").read_text()
    assert (results / "headline.txt").read_text().splitlines()[-1] == "aside:  2 labels"
    assert (module_checkout / "resources/paper_cache/tiny/aside.csv").is_file()
    assert "Nothing to be done" in snakemake(module_checkout, *COMMAND).stdout
    told = snakemake(module_checkout, *COMMAND, "--report", "report.zip")
    assert told.returncode == 0, told.stdout[-3000:]

    shipped = sorted((root / "resources/paper_cache").glob("*/config.yaml"))[0]
    version = f"paper={{source: archive, version: {shipped.parent.name}}}"
    older = ["--configfile", str(shipped), "--cores", "2", "--config", version]
    redrawn = snakemake(module_checkout, *older)
    assert redrawn.returncode == 0, redrawn.stdout[-3000:]
    places = list(module_checkout.glob(f"results/*/archive/{shipped.parent.name}"))
    assert len(places) == 1 and (places[0] / "tables/costs.md").is_file()
    assert not (places[0] / "tables/aside_counts.md").exists(), "an archive made before the chapter"
