"""The chapters of the report: what they own, and that one more is one file and one line."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import report_planted as planted
from radsynth.common.code import reached_files
from radsynth.common.errors import UserError
from radsynth.common.registry import KINDS, Entry
from radsynth.report import archive, chapter, summary

OWNED = ("metrics", "tables", "figures")
ORDER = {
    "tables": "accuracy verdicts mixes scores comparisons mcnemar replicates roc_auc experts quality coverage "
    "fidelity memorisation cohorts costs",
    "figures": "accuracy_f1 detection differences training_loss heat_map distances manifold diversity similarity "
    "recognition fidelity memorisation",
}


def test_the_names_of_all_outputs_are_read_without_what_draws_them(root):
    """Snakemake reads them anew in every job."""
    code = (
        "import sys; from radsynth.report import chapter; "
        "print(*chapter.tidy_tables(), *chapter.tables(), *chapter.figures()); "
        "heavy = ('matplotlib', 'scipy', 'sklearn', 'torch', 'tensorflow', 'keras'); "
        "print([name for name in heavy if name in sys.modules])"
    )
    environment = {"PYTHONPATH": str(root / "workflow/scripts")}
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    names, loaded = found.stdout.splitlines()
    assert len(names.split()) >= 17 + 14 + 11 and loaded == "[]"


def test_each_output_has_one_owner_a_function_and_a_caption(root):
    for kind in OWNED:
        owned = [name for one in chapter.chapters().values() for name in getattr(one, kind)]
        assert len(owned) == len(set(owned)), kind
    for name, where in {**chapter.tables(), **chapter.figures()}.items():
        assert callable(chapter.load(where)), where
        assert (root / f"workflow/report/{name}.rst").read_text().strip(), name
    for one in chapter.chapters().values():
        parts = (one.rows, one.headline, one.opening, one.sentences)
        assert all(callable(chapter.load(where)) for where in parts if where)


def test_outputs_stand_in_the_order_of_the_chapters():
    assert list(chapter.tables()) == ORDER["tables"].split()
    assert list(chapter.figures()) == ORDER["figures"].split()


def test_the_rows_of_each_chapter_are_those_of_its_tidy_tables(tmp_path):
    paths = planted.plant(tmp_path, planted.SMALL | {"scenarios": {"small": [60]}, "runs": 1})
    made = planted.metric_tables(paths, str(tmp_path), planted.facts(planted.SMALL))
    assert list(made) == list(chapter.tidy_tables())


@pytest.mark.parametrize(
    ("script", "kinds", "reached", "apart"),
    [
        ("collect", ["rows"], ["utility_rows", "image_rows", "statistics"], ["render", "drawing", "utility_words"]),
        ("tables", ["tables"], ["utility_tables", "comparison_tables", "image_tables"], ["drawing", "utility_words"]),
        ("charts", ["figures"], ["utility_figures", "image_figures", "heat_map"], ["image_tables", "utility_words"]),
        (
            "summary",
            ["headline", "opening", "sentences"],
            ["utility_words", "basis_words"],
            ["image_tables", "drawing"],
        ),
        ("archive", [], ["utility", "costs"], ["utility_tables", "utility_figures", "utility_words"]),
    ],
)
def test_the_hash_of_each_rule_takes_in_what_it_runs_and_nothing_that_only_others_draw(
    root, script, kinds, reached, apart
):
    files = reached_files(root / f"workflow/scripts/{script}.py", *chapter.modules(*kinds))
    names = {file.stem for file in files if file.parent.name == "report"}
    assert names >= {entry.module.rpartition(".")[2] for entry in KINDS["chapters"].values()}
    assert names >= set(reached) and not names & set(apart)


@pytest.fixture
def aside(monkeypatch):
    """One more chapter: a file, and a line in the list."""
    monkeypatch.setitem(KINDS["chapters"], "aside", Entry("report_aside:CHAPTER"))


def drawn(inputs, folder: Path, run_script, source: str) -> dict[str, str]:
    """Draw with the scripts what all chapters own; return the texts."""
    named = {
        "tables": (chapter.tables(inputs), ("csv", "md", "tex")),
        "figures": (chapter.figures(inputs), ("png",)),
    }
    files = {
        kind: {f"{name}.{end}": str(folder / kind / f"{name}.{end}") for name in names for end in ends}
        for kind, (names, ends) in named.items()
    }
    run_script("tables", inputs | {"published": []}, files["tables"], source=source)
    run_script("charts", inputs, files["figures"], source=source)
    words = {"summary": str(folder / "summary.md"), "headline": str(folder / "headline.txt")}
    run_script("summary", inputs, words, source=source)
    assert all(Path(path).is_file() for path in [*files["figures"].values(), *files["tables"].values()])
    return {path.name: path.read_text() for path in folder.rglob("*") if path.suffix in (".csv", ".md", ".tex", ".txt")}


def test_one_more_chapter_is_one_file_and_one_line(tmp_path, run_script, aside):
    plan = planted.SMALL | {"scenarios": {"small": [60]}, "runs": 2}
    results, tables = tmp_path / "results", {"tables": str(tmp_path / "collected")}
    inputs, facts = planted.plant(results, plan), planted.facts(plan)
    run_script("collect", inputs, tables, results=str(results), study=facts, config={"study": "planted"})
    files = {name: str(tmp_path / f"metrics/{name}.csv") for name in chapter.tidy_tables()}
    run_script("metrics", tables, files | {"config": str(tmp_path / "metrics/config.yaml")})
    assert Path(files["aside"]).read_text().splitlines() == ["label,images", "NORMAL,1800", "PNEUMONIA,1800"]
    texts = drawn(files, tmp_path / "built", run_script, "build")
    assert "| PNEUMONIA | 1800 |" in texts["aside_counts.md"] and "PNEUMONIA,1800" in texts["aside_counts.csv"]
    assert (tmp_path / "built/figures/aside_bars.png").stat().st_size > 1000
    assert texts["headline.txt"].splitlines()[-1] == "aside:  2 labels"
    assert "\nAn aside.\n" in texts["summary.md"]
    assert texts["summary.md"].endswith("\n## Aside\n\n3600 images were counted.\n")

    kept = {"metrics": list(files.values()), "config": str(tmp_path / "metrics/config.yaml")}
    run_script("archive", kept, {}, folder=str(tmp_path / "v1"))
    of_archive = {name: str(tmp_path / f"v1/{name}.csv") for name in archive.archived_tables(tmp_path / "v1")}
    assert list(of_archive) == list(files)
    assert drawn(of_archive, tmp_path / "again", run_script, "archive") == texts


def test_an_archive_made_before_a_chapter_is_drawn_without_it(root, monkeypatch, aside):
    for manifest in (root / "resources/paper_cache").glob("*/manifest.json"):
        told = archive.archived_tables(manifest.parent)
        assert "aside" not in told and "costs" in told
        assert "aside_counts" not in chapter.tables(told) and "costs" in chapter.tables(told)
        found = archive.read_source({name: manifest.parent / f"{name}.csv" for name in told}, "archive")
        assert "Aside" not in summary.summary(found)
    needed = chapter.Chapter(**vars(chapter.load("report_aside:CHAPTER")) | {"later": False})
    monkeypatch.setattr("report_aside.CHAPTER", needed)
    with pytest.raises(UserError, match="manifest.json: names no SHA-256 of aside.csv"):
        archive.archived_tables(manifest.parent)


def test_an_archive_holds_the_tables_of_a_later_chapter_all_or_none(tmp_path, root, monkeypatch, aside):
    both = chapter.load("report_aside:CHAPTER")
    two = chapter.Chapter(**vars(both) | {"metrics": both.metrics | {"aside_too": both.metrics["aside"]}})
    monkeypatch.setattr("report_aside.CHAPTER", two)
    first = next((root / "resources/paper_cache").glob("*/manifest.json"))
    manifest = json.loads(first.read_text())
    manifest["files"]["aside.csv"] = "0"
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match="manifest.json: names no SHA-256 of aside_too.csv"):
        archive.verify_archive(tmp_path)
