"""From the files of the jobs to metrics, tables, figures, summary and archive."""

import json
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import report_planted as planted
import yaml
from markdown_it import MarkdownIt
from radsynth.common.errors import UserError
from radsynth.common.hashing import sha256_file
from radsynth.report import (
    archive,
    costs,
    drawing,
    image_rows,
    plain_tables,
    published,
    render,
    summary,
    utility_tables,
)
from radsynth.report.chapter import figures, load, read_metrics, tables
from radsynth.report.evaluations import Evaluation, identity
from radsynth.report.tidy import write_csv
from report_planted import COLUMNS, UNPUBLISHED

NAMES = {
    "tables": list(tables()),
    "figures": list(figures()),
}
TINY = planted.SMALL | {"scenarios": {"small": [60]}}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """The metrics of a planted study on the paper's images: two samplings, three mixes, two runs, an external test."""
    folder = tmp_path_factory.mktemp("study")
    plan = planted.FULL | {
        "scenarios": {"small": [60]},
        "classifiers": {"custom_cnn": 0.8, "vgg16_untrained": 0.8},
        "external": {"external_nih": 40},
        "experts": ["vgg16_untrained"],
        "conditions": True,
        "runs": 2,
        "copying": "pggan",
    }
    planted.metrics(folder, plan)
    return folder


@pytest.fixture
def metrics(study):
    return read_metrics({name: study / "metrics" / f"{name}.csv" for name in COLUMNS})


def outputs(folder, kind):
    formats = {"tables": ["csv", "md", "tex"], "figures": ["pdf", "png"]}[kind]
    return {f"{n}.{f}": str(folder / kind / f"{n}.{f}") for n in NAMES[kind] for f in formats}


def test_the_room_loads_neither_torch_nor_tensorflow():
    code = (
        "import importlib, pkgutil, sys; from radsynth import report; "
        "names = [importlib.import_module(f'radsynth.report.{m.name}').__name__ for m in "
        "pkgutil.iter_modules(report.__path__)]; "
        "print(len(names), [m for m in ('torch', 'tensorflow', 'keras') if m in sys.modules])"
    )
    environment = {"PYTHONPATH": str(next(p for p in sys.path if p.endswith("workflow/scripts")))}
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    number, loaded = found.stdout.strip().split(" ", 1)
    assert int(number) >= 12 and loaded == "[]"


def test_identity_of_a_path():
    path, pattern = (
        "results/s/quality/a/b/c/d/NORMAL.json",
        "quality/{dataset}/{sampling}/{scenario}/{generator}/{label}",
    )
    assert identity(path, "results/s", pattern) == {
        "dataset": "a",
        "sampling": "b",
        "scenario": "c",
        "generator": "d",
        "label": "NORMAL.json",
    }
    for wrong in ("results/t/quality/a/b/c/d/e", "results/s/quality/a", "results/s/cohorts/a/b/c/d/e"):
        with pytest.raises(UserError, match="not a path of the form"):
            identity(wrong, "results/s", pattern)


def test_metrics_script_writes_every_table_with_its_columns_twice_the_same(tmp_path, run_script):
    results = tmp_path / "results"
    inputs = planted.plant(results, TINY)
    facts = planted.facts(TINY) | {"list": ["a"]}
    written = []
    for folder in ("first", "second"):
        tables = {"tables": str(tmp_path / folder / "collected")}
        run_script("collect", inputs, tables, results=str(results), study=facts, config={"study": "planted"})
        files = {name: str(tmp_path / folder / f"{name}.csv") for name in COLUMNS}
        files["config"] = str(tmp_path / folder / "config.yaml")
        run_script("metrics", tables, files)
        written.append({name: Path(path).read_text() for name, path in files.items()})
    assert written[0] == written[1]
    assert written[0].pop("config") == "study: planted\n"
    assert all(text.splitlines()[0].split(",") == COLUMNS[name] for name, text in written[0].items())
    table = pd.read_csv(tmp_path / "first/confusion.csv")
    assert table.groupby(["mix", "run"])["count"].sum().eq(60).all()
    assert 'list,"[""a""]"' in written[0]["study"]


def test_costs_of_a_job_too_short_to_be_measured_are_empty(tmp_path):
    (tmp_path / "benchmarks/quality").mkdir(parents=True)
    path = tmp_path / "benchmarks/quality/a_b.tsv"
    path.write_text("s\th:m:s\tmax_rss\tmean_load\n0.5\t0:00:00\t-\tNA\n")
    row = costs.cost_rows([str(path)], str(tmp_path), {})[0]
    write_csv(tmp_path / "costs.csv", COLUMNS["costs"], [row])
    assert (tmp_path / "costs.csv").read_text().splitlines()[1] == "quality,,,,,a_b,0.5,,,,,device not recorded"


def test_a_pretraining_is_counted_without_a_cohort(tmp_path):
    job = "others/ddpm/NORMAL"
    model, path = (
        tmp_path / folder for folder in (f"generators/pretrained/{job}/model", "benchmarks/pretrain_generator")
    )
    model.mkdir(parents=True)
    (model / "describe.json").write_text('{"device": "NVIDIA H200"}')
    path = path / f"{job}.tsv"
    path.parent.mkdir(parents=True)
    path.write_text("s\tmax_rss\tmean_load\n1800\t9\t80\n")
    kinds = ("models", "pools", "fidelity", "trainings", "evaluations")
    devices = costs.job_devices(dict.fromkeys(kinds, ()) | {"pretrained": [str(model)]}, str(tmp_path))
    row = costs.cost_rows([str(path)], str(tmp_path), devices)[0]
    write_csv(tmp_path / "costs.csv", COLUMNS["costs"], [row])
    line = (tmp_path / "costs.csv").read_text().splitlines()[1]
    assert line == f"pretrain_generator,others,,,ddpm,{job},1800,9,80,NVIDIA H200,0.5,"


def test_gpu_hours_are_counted_where_the_device_is_known(metrics):
    table = metrics["costs"].groupby(["stage", "name"])
    hours, reasons = table["gpu_hours"].first(), table["reason"].first()
    # A planted PGGAN takes an hour on a GPU, a classifier runs on the CPU; of the DDPM nothing is recorded.
    assert hours["train_generator", "pggan"] == 1
    assert hours["train_classifier", "custom_cnn"] == hours["evaluate", "custom_cnn"] == 0
    assert hours["judge", "vgg16_untrained"] == 0 and metrics["costs"]["name"].ne("").all()
    assert math.isnan(table["gpu_hours"].max()["train_generator", "ddpm"])
    assert reasons["train_generator", "ddpm"] == "device not recorded"
    assert (table.size()["train_generator", "ddpm"], table.size()["write_pool", "pggan"]) == (4, 4)


def test_training_is_thinned_to_equal_distances_and_the_first_step_of_each_resolution(tmp_path, metrics):
    model = tmp_path / "generators/a/b/c/g/joint/model"
    model.mkdir(parents=True)
    steps = [{"step": k, "loss": k / 7, "resolution": 4 if k < 1240 else 8} for k in range(1, 4001)]
    (model / "metrics.jsonl").write_text("".join(json.dumps(step) + "\n" for step in steps))
    rows = image_rows.training_rows([str(model)], str(tmp_path))
    found = [row["step"] for row in rows]
    assert (found[0], found[-1], len(found)) == (1, 4000, 401) and 1240 in found
    assert np.diff(found).max() <= 11
    assert all(row["loss"] == row["step"] / 7 for row in rows)
    assert (rows[0]["dataset"], rows[0]["generator"], rows[0]["unit"]) == ("a", "g", "joint")
    (model / "metrics.jsonl").unlink()
    assert image_rows.training_rows([str(model)], str(tmp_path)) == []
    kept = metrics["training"].groupby(["sampling", "generator", "unit"]).size()
    assert len(kept) == 8 and kept.le(406).all()


def test_recognition_stands_beside_that_of_real_images(tmp_path):
    def evaluation(testset, truth, scores, mix="baseline"):
        test = planted.make_test(len(truth), False, np.random.default_rng(0))
        test["label"] = np.array(planted.LABELS)[truth]
        table = planted.predictions_table(test, np.stack([1 - np.array(scores), scores], axis=1), planted.LABELS)
        return Evaluation(("d", "s", "c"), mix, "vgg16", 1, testset, planted.report(table), table)

    evaluations = [
        evaluation("synthetic_ddpm", [1, 1, 1, 1], [0.9, 0.8, 0.6, 0.1]),
        evaluation("test_1", [0, 1, 1], [0.2, 0.7, 0.9]),
        evaluation("test_2", [0, 1, 1], [0.4, 0.7, 0.3]),
        evaluation("external_nih", [0, 1, 1], [0.9, 0.1, 0.1]),
        evaluation("test_1", [0, 1, 1], [0.9, 0.1, 0.1], mix="ddpm"),
    ]
    (pneumonia,) = image_rows.recognition_rows(evaluations)
    assert (pneumonia["label"], pneumonia["n"], pneumonia["recognised"]) == ("PNEUMONIA", 4, 0.75)
    assert pneumonia["mean_confidence"] == pytest.approx(0.6)
    assert (pneumonia["n_real"], pneumonia["recognised_real"]) == (4, 0.75)
    assert pneumonia["mean_confidence_real"] == pytest.approx((0.8 + 0.5) / 2)


def test_floats_have_ten_digits_and_names_that_look_missing_stay(tmp_path):
    write_csv(tmp_path / "study.csv", COLUMNS["study"], [{"key": "NA", "value": 1 / 3}, {"key": "b", "value": None}])
    assert (tmp_path / "study.csv").read_text() == "key,value\nNA,0.3333333333\nb,\n"
    assert read_metrics({"study": tmp_path / "study.csv"})["study"]["key"].tolist() == ["NA", "b"]


def test_a_missing_table_or_column_is_named(tmp_path):
    with pytest.raises(UserError, match="costs.csv: not found"):
        read_metrics({"costs": tmp_path / "costs.csv"})
    (tmp_path / "costs.csv").write_text("stage,name,job,dataset,sampling,scenario\n")
    with pytest.raises(UserError, match="column seconds is missing"):
        read_metrics({"costs": tmp_path / "costs.csv"})


def test_published_tables_are_complete(root):
    files = sorted((root / "resources/published").glob("*.csv"))
    found = published.read_published(files, {"chest": "kaggle_cxr", "own": "folder"})
    assert len(found) == 4 * 4 * 3
    assert set(found["dataset"]) == {"chest"}
    assert found.groupby(["sampling", "scenario"]).size().eq(12).all()
    best = found.astype({"mean": float}).set_index(["table", "classifier", "mix"])["mean"]
    assert best["6", "vgg16_untrained", "ddpm"] == 0.94
    assert best["7", "custom_cnn", "pggan"] == 0.97
    # Sums over each printed table, added up by hand.
    assert best.groupby("table").sum().round(2).to_dict() == {"4": 11.01, "5": 11.19, "6": 11.12, "7": 11.34}


def test_published_values_carry_the_names_of_the_core_study(root):
    config = yaml.safe_load((root / "config/config.yaml").read_text())
    sources = {name: dataset["source"] for name, dataset in config["datasets"].items()}
    found = published.read_published((root / "resources/published").glob("*.csv"), sources)
    assert set(found["sampling"]) == set(config["samplings"])
    assert set(found["scenario"]) == set(config["scenarios"])
    assert {"baseline", "ddpm"} <= set(found["mix"]) & set(config["mixes"])
    assert set(config["classifiers"]) <= set(found["classifier"])


def test_accuracy_table_shows_published_values_for_the_papers_images_only(root, metrics):
    files = sorted((root / "resources/published").glob("*.csv"))
    _, table, sections = utility_tables.accuracy(
        metrics | {"published": published.read_published(files, published.sources(metrics))}
    )
    assert [section.title for section in sections] == [
        "Accuracy: chest, random, small (the paper's Table 4)",
        "Accuracy: chest, greedy, small (the paper's Table 6)",
    ]
    assert sections[0].header == ["classifier", "baseline", "DDPM", "PGGAN"]
    assert [cell.text for cell in sections[0].cells[1]] == [
        "published",
        "0.90 ± 0.035",
        "0.93 ± 0.011",
        "0.92 ± 0.011",
    ]
    row = table.set_index(["sampling", "classifier", "mix"]).loc[("random", "custom_cnn", "ddpm")]
    assert sections[0].cells[0][2].text == f"{row['mean']:.3f} ± {row['sd']:.3f}"
    _, _, own = utility_tables.accuracy(metrics | {"published": published.read_published(files, {"chest": "folder"})})
    assert not any("published" in cell.text for section in own for line in section.cells for cell in line)


@pytest.mark.parametrize(
    ("verdicts", "means", "best"),
    [
        (["above", "undecided"], [0.8, 0.9, 0.7], "ddpm"),
        (["undecided", "above"], [0.8, 0.9, 0.7], None),
        (["below", "below"], [0.8, 0.7, 0.6], "baseline"),
        (["below", "undecided"], [0.8, 0.7, 0.79], None),
    ],
)
def test_only_a_distinguishable_best_value_is_bold(metrics, verdicts, means, best):
    values = metrics["classification"]
    values = values[(values["sampling"] == "random") & (values["classifier"] == "custom_cnn")].copy()
    values["value"] = values["mix"].map(dict(zip(["baseline", "ddpm", "pggan"], means, strict=True)))
    rows = metrics["comparisons"]
    against = rows["reference"] == "baseline"  # what is said against other references does not count
    rows["verdict"] = rows["mix"].map(dict(zip(["ddpm", "pggan"], verdicts, strict=True))).where(against, "above")
    changed = metrics | {"classification": values, "comparisons": rows}
    _, _, sections = utility_tables.accuracy(changed | UNPUBLISHED)
    styles = dict(zip(utility_tables.PAPER, [cell.style for cell in sections[0].cells[0][1:]], strict=True))
    assert [mix for mix, style in styles.items() if style == "bold"] == ([best] if best else [])


def test_a_mix_that_was_not_run_leaves_an_empty_cell_beside_the_published_value(root, metrics):
    rows = metrics["classification"]
    metrics["classification"] = rows[(rows["mix"] != "pggan") & (rows["classifier"] == "custom_cnn")]
    files = sorted((root / "resources/published").glob("*.csv"))
    _, table, sections = utility_tables.accuracy(
        metrics | {"published": published.read_published(files, published.sources(metrics))}
    )
    ours, printed, not_run = sections[0].cells[:3]
    assert [cell.text for cell in ours][3] == "" and ours[1].text != "" and printed[3].text == "0.92 ± 0.011"
    assert [cell.text for cell in not_run] == ["vgg16_untrained", "", "", ""]
    assert table["published_mean"].ne("").all() and len(table) == 2 * 4 * 3
    text = sections[0].markdown()
    assert "*0.92 ± 0.011*" in text and "nan" not in text


def test_what_a_study_does_not_have_has_no_column_unless_the_paper_prints_it(root, metrics):
    rows = metrics["classification"]
    metrics["classification"] = rows[rows["mix"] != "pggan"]
    _, table, sections = utility_tables.accuracy(metrics | UNPUBLISHED)
    assert {tuple(section.header) for section in sections} == {("classifier", "baseline", "DDPM")}
    assert list(table["mix"].unique()) == ["baseline", "ddpm"] and "PGGAN" not in render.latex(sections)
    assert not any(cell.text == "" for section in sections for line in section.cells for cell in line)
    files = sorted((root / "resources/published").glob("*.csv"))
    _, _, sections = utility_tables.accuracy(
        metrics | {"published": published.read_published(files, published.sources(metrics))}
    )
    assert sections[0].header == ["classifier", "baseline", "DDPM", "PGGAN"]


def test_other_mixes_and_other_tests_stand_in_their_own_sections(metrics):
    _, table, sections = utility_tables.mixes(metrics)
    titles = [section.title for section in sections]
    for tested in ("", ", tested on nih", ", tested on the images that no sampling has drawn"):
        for metric in ("Accuracy", "ROC-AUC"):
            assert f"{metric} of all arms: chest, random, small{tested}" in titles
    assert sections[0].header == ["mix", "what it is", "custom_cnn", "vgg16_untrained"]
    arms = {line[0].text: line[1].text for line in sections[0].cells}
    assert list(arms) == ["baseline", "baseline_corrected", "ddpm", "pggan", "matched_ddpm"]
    assert arms["matched_ddpm"] == "real images, as many steps and of each class as many as ddpm and pggan"
    assert [line[0].text for line in sections[1].cells] == ["baseline", "ddpm", "pggan", "matched_ddpm"], "same ranking"
    assert set(table["tested_on"]) == {"test", "common", "external_nih"}


@pytest.mark.parametrize(
    ("word", "mark"),
    [
        ("helps", " ↑"),
        ("hurts", " ↓"),
        ("no more than longer training does", " ≈"),
        ("no more than a shifted threshold does", " ≈"),
        ("no worse than longer training does", " ≈"),
        ("above the baseline, without a control", " (↑)"),
        ("undecided", ""),
    ],
)
def test_values_are_marked_by_the_verdict_not_by_the_difference_to_the_baseline(metrics, word, mark):
    metrics["verdicts"]["verdict"] = word
    metrics["comparisons"]["verdict"] = "above"
    _, _, sections = utility_tables.mixes(metrics)
    cells = {line[0].text: line[2].text for line in sections[0].cells}
    assert cells["ddpm"].lstrip("0123456789. ±") == mark.strip() and cells["matched_ddpm"].endswith(" ↑")
    assert not set("↑↓≈") & set(cells["baseline"])


def test_latex_escapes_and_markdown_bars():
    section = render.Section("a_b", ["x|y", "n"], [["50 %", render.Cell("1 ± 2", "bold")]])
    assert r"50 \% & \textbf{1 $\pm$ 2} \\" in section.latex()
    assert r"\caption{a\_b.}" in section.latex()
    assert render.Cell("0.9 ↑").latex() == r"0.9 $\uparrow$"
    assert [render.signed(value) for value in (-0.0001, 0.0004, -0.0006)] == ["+0.000", "+0.000", "−0.001"]
    assert render.mean_sd(-0.5, 0.1) == "−0.500 ± 0.100"
    assert r"| x\|y | n |" in section.markdown()
    assert "| 50 % | **1 ± 2** |" in section.markdown()


HOSTILE = [
    "a | b",
    "two\n\nlines",
    "`code`",
    "<script>alert(1)</script>",
    "[link](https://evil.example)",
    "![image](x.png)",
    "see https://evil.example or www.evil.example or <https://evil.example>",
    "**bold** _italic_ ~~gone~~",
    "[a\\](b)",
    r"back\|slash",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_text_of_somebody_else_stands_in_markdown_as_it_is(text):
    """Read by a parser of GitHub's Markdown: a table of two cells in which nothing but text is found."""
    shown = " ".join(text.split())
    section = render.Section(text, ["name", "remark"], [["a", text]], note=text, n_text=2)
    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    found = parser.parse(section.markdown())
    inline = [token for token in found if token.type == "inline"]
    assert [token.content.replace("\\|", "|") for token in inline[1:4]] == ["name", "remark", "a"]
    assert len(inline) == 6 and [token.type for token in found if token.type.startswith("html")] == []
    for token in (inline[0], inline[4], inline[5]):
        assert {part.type for part in token.children} <= {"text", "text_special"}
        assert "".join(part.content for part in token.children) == shown
    assert not re.search(r"(?<!\\)://|(?<!\\)\bwww\.", section.markdown()), "GitHub makes links of these"
    assert "\n\n" not in section.latex()


def test_names_of_all_kinds_read_the_same_in_raw_markdown():
    for name in ("custom_cnn", "matched_ddpm", "p < 0.05", "0.9 [0.8 to 1.0] (0.7)", "2 x 3", "random; random_2"):
        assert render.plain(name) == name


def test_no_cell_of_a_table_is_a_formula():
    texts = ["=1+1", "+cmd", "-2+3", "@sum", "\t=1", "\r=1", "-0.5", "+1e-3", "a=b", "−0.5", "", "-nan"]
    table = pd.DataFrame({"text": texts, "number": [-0.5] * len(texts)})
    rows = render.for_spreadsheet(table)
    assert [row["text"] for row in rows] == [
        *("'=1+1", "'+cmd", "'-2+3", "'@sum", "'\t=1", "'\r=1"),
        *("-0.5", "+1e-3", "a=b", "−0.5", "", "-nan"),
    ]
    assert {row["number"] for row in rows} == {-0.5}


def test_unknown_patients_are_called_so(tmp_path):
    metrics = planted.metrics(tmp_path, TINY, patients=False)
    assert "not patient-safe" in summary.summary(metrics)
    _, _, sections = plain_tables.cohorts(metrics)
    assert [cell.text for cell in sections[0].cells[0][3:6]] == ["unknown", "", ""]
    assert sections[0].note.startswith("Not patient-safe")


def test_a_single_run_without_a_mix_can_be_shown(tmp_path):
    metrics = planted.metrics(tmp_path, TINY | {"runs": 1, "mixes": {"baseline": 0.0}})
    for name, where in figures().items():
        drawing.save(load(where)(metrics), [tmp_path / f"{name}.png"])
    assert "no mix besides the baseline" in summary.headline(metrics)[0]
    _, _, sections = utility_tables.accuracy(metrics | UNPUBLISHED)
    assert "±" not in sections[0].cells[0][1].text


def drawn_ticks(axis):
    """Return the tick labels that are drawn: those within the limits. Slanted ones overlap with their boxes only."""

    def within(limits, places, labels):
        low, high = sorted(limits)
        pairs = zip(places, labels, strict=True)
        return [label for place, label in pairs if low <= place <= high and not label.get_rotation()]

    found = within(axis.get_xlim(), axis.get_xticks(), axis.get_xticklabels())
    first = axis.get_subplotspec().is_first_col()
    return found + (within(axis.get_ylim(), axis.get_yticks(), axis.get_yticklabels()) if first else [])


@pytest.mark.parametrize("name", NAMES["figures"])
def test_texts_of_a_figure_do_not_overlap_and_are_readable(metrics, name):
    figure = load(figures()[name])(metrics)
    figure.canvas.draw()
    for legend in figure.legends:
        box = legend.get_window_extent()
        assert box.x0 >= 0 and box.x1 <= figure.bbox.width
    texts = [text for axis in figure.axes for text in [axis.xaxis.label, *axis.texts, *drawn_ticks(axis)]]
    boxes = [(text, text.get_window_extent()) for text in texts if text.get_text().strip() and text.get_visible()]
    assert figure.get_size_inches()[0] == pytest.approx(180 / 25.4)
    assert min(text.get_fontsize() for text, _ in boxes) >= 7
    clashes = [
        (a.get_text(), b.get_text())
        for i, (a, first) in enumerate(boxes)
        for b, second in boxes[i + 1 :]
        if first.overlaps(second)
    ]
    assert clashes == []


def test_archive_redraws_the_same_tables_figures_and_words(tmp_path, root, run_script):
    study = tmp_path / "study"
    planted.metrics(study, TINY | {"experts": ["custom_cnn"], "runs": 2})
    files = {name: str(study / "metrics" / f"{name}.csv") for name in COLUMNS}
    folder, config = tmp_path / "cache" / "v1", study / "metrics" / "config.yaml"
    archive.write_config(config, {"study": "planted"})
    run_script("archive", {"metrics": list(files.values()), "config": str(config)}, {}, folder=str(folder))
    kept = {name: str(folder / f"{name}.csv") for name in COLUMNS}
    drawn = {}
    for source, inputs in (("build", files), ("archive", kept)):
        target = tmp_path / source
        values = sorted(str(path) for path in (root / "resources/published").glob("*.csv"))
        run_script("tables", inputs | {"published": values}, outputs(target, "tables"), source=source)
        run_script("charts", inputs, outputs(target, "figures"), source=source)
        words = {"summary": str(target / "summary.md"), "headline": str(target / "headline.txt")}
        run_script("summary", inputs, words, source=source)
        drawn[source] = {p.relative_to(target): p.read_bytes() for p in target.rglob("*") if p.is_file()}
    assert drawn["build"] == drawn["archive"]
    assert len(drawn["build"]) == len(NAMES["tables"]) * 3 + len(NAMES["figures"]) * 2 + 2


def test_the_archives_of_the_repository_can_be_redrawn(root):
    folders = [path.parent for path in (root / "resources/paper_cache").glob("*/manifest.json")]
    assert folders
    for folder in folders:
        held = archive.archived_tables(folder)
        found = archive.read_source({name: folder / f"{name}.csv" for name in held}, "archive")
        drawn = [load(where)(found | UNPUBLISHED) for where in tables(held).values()]
        assert all("nan" not in render.markdown(title, sections) for title, _, sections in drawn), folder
        text = summary.summary(found)
        assert "nan" not in text, folder
        if found["verdicts"].empty:  # made before there were controls and p-values
            assert "**These runs cannot tell.**" in text and "No control was trained." in text, folder
            assert "made before p-values for new patients: run anew" in text and "after Holm" not in text, folder
        for where in figures(held).values():
            load(where)(found)


def altered(folder, name, column, text, rows=slice(None)):
    """Write a text into a table of an archive, and its new hash into the manifest, as somebody may who made it."""
    table = pd.read_csv(folder / f"{name}.csv", dtype=str, keep_default_na=False)
    table.loc[table.index[rows], column] = text
    table.to_csv(folder / f"{name}.csv", index=False)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][f"{name}.csv"] = sha256_file(folder / f"{name}.csv")
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return {name: folder / f"{name}.csv" for name in COLUMNS}


@pytest.mark.parametrize(
    ("name", "column"),
    [
        *(("classification", column) for column in ("dataset", "sampling", "scenario", "mix", "classifier", "testset")),
        *[("quality", "generator"), ("quality", "label"), ("verdicts", "control"), ("study", "value")],
    ],
)
def test_an_archive_whose_names_are_no_names_is_refused(archived, name, column):
    inputs = altered(archived, name, column, "a\n<b>" + 99 * "c", slice(1))
    with pytest.raises(UserError) as caught:
        archive.read_source(inputs, "archive")
    shown, expected = repr("a\n<b>" + 55 * "c"), "expected a name of letters, digits, _ and -"
    assert str(caught.value) == f"{archived}/{name}.csv: {shown} in column {column}, {expected}"


def test_a_text_in_place_of_a_number_is_one_line(archived):
    with pytest.raises(UserError, match=r"^[^\n]*costs.csv: a text in place of a number \([^\n]*\)$"):
        archive.read_source(altered(archived, "costs", "seconds", "=1\n", slice(1)), "archive")


def test_free_texts_of_an_archive_are_shown_as_they_are(archived):
    evil = "=x <script>y</script> [z](http://e) `q`\n\n# h"
    shown = r"=x \<script>y\</script> [z\](http\://e) \`q\` # h"
    for name, column in [
        *[("classification", "reason"), ("quality", "reason"), ("quality", "note"), ("comparisons", "reason")],
        *[("verdicts", "reason"), ("integrity", "what_was_done"), ("costs", "device")],
        *[("fidelity", "guidance"), ("fidelity", "reason")],
    ]:
        inputs = altered(archived, name, column, evil)
    table = pd.read_csv(archived / "study.csv", dtype=str, keep_default_na=False)
    model = {"dataset": evil, "sampling": "s", "scenario": "c", "generator": "g", "unit": "u", "warning": evil}
    table.loc[len(table)] = ["selection_warnings", json.dumps([model])]
    table.to_csv(archived / "study.csv", index=False)
    altered(archived, "study", [], None)
    found = archive.read_source(inputs, "archive")
    drawn = {name: load(where)(found | UNPUBLISHED) for name, where in tables().items()}
    pages = {name: render.markdown(title, sections) for name, (title, _, sections) in drawn.items()}
    pages["summary"] = summary.summary(found)
    assert all(shown in pages[name] for name in ("summary", "quality", "costs", "comparisons", "fidelity"))
    for name, page in pages.items():
        assert "<script>" not in page.replace(r"\<script>", "") and "\n# h" not in page, name
        assert "z](" not in page and not re.search(r"(?<!\\)`q", page), name
    texts = [row for _, table, _ in drawn.values() for row in render.for_spreadsheet(table)]
    assert not [value for row in texts for value in row.values() if str(value).startswith("=")]


def test_an_archive_that_does_not_fit_on_the_disk_is_one_line_and_can_be_made_again(disk, archived, run_script, capfd):
    (disk.folder / "cache").mkdir()
    kept = [str(archived / f"{name}.csv") for name in COLUMNS]
    files, folder = {"metrics": kept, "config": str(archived / "config.yaml")}, disk.folder / "cache/v1"
    with disk.full(left=4096), pytest.raises(SystemExit):
        run_script("archive", files, {}, folder=str(folder))
    reason = "No space left on device" if disk.size else "File too large"
    assert capfd.readouterr().err == f"archive: {folder}: could not be written ({reason})\n"
    assert not list((disk.folder / "cache").iterdir())
    run_script("archive", files, {}, folder=str(folder))
    archive.verify_archive(folder)


@pytest.fixture
def archived(tmp_path, study):
    folder = tmp_path / "v1"
    config = study / "metrics" / "config.yaml"
    archive.write_config(config, {"study": "planted", "labels": ["a"]})
    archive.write_archive(folder, [*(study / "metrics" / f"{name}.csv" for name in COLUMNS), config], "2025-01-01")
    return folder


def test_manifest_tells_what_a_reader_needs_and_no_path_of_the_machine(archived):
    manifest = archive.verify_archive(archived)
    assert set(manifest["files"]) == {f"{name}.csv" for name in COLUMNS} | {"config.yaml"}
    assert (manifest["study"], manifest["date"]) == ("planted", "2025-01-01")
    assert manifest["machine"]["cpu_count"] >= 1
    assert archive.read_config(archived / "config.yaml") == {"study": "planted", "labels": ["a"]}
    assert str(archived.parents[1]) not in (archived / "manifest.json").read_text()


def test_an_archive_that_names_files_elsewhere_is_refused(archived):
    manifest = json.loads((archived / "manifest.json").read_text())
    for name in ("../config.yaml", "/etc/passwd"):
        (archived / "manifest.json").write_text(json.dumps(manifest | {"files": manifest["files"] | {name: "0"}}))
        with pytest.raises(UserError, match=f"manifest.json: names '{name}', expected files in its folder"):
            archive.verify_archive(archived)


def test_a_changed_or_missing_file_of_an_archive_is_refused(archived):
    inputs = {name: archived / f"{name}.csv" for name in COLUMNS}
    archive.read_source(inputs, "archive")
    with open(archived / "costs.csv", "a") as stream:
        stream.write("one,more,1,1,1\n")
    with pytest.raises(UserError, match=r"costs.csv: SHA-256 is \w+, the archive's manifest says"):
        archive.read_source(inputs, "archive")
    (archived / "costs.csv").unlink()
    with pytest.raises(UserError, match="costs.csv: missing from the archive"):
        archive.read_source(inputs, "archive")
    with pytest.raises(UserError, match="names no archive"):
        archive.verify_archive(archived.parent)


def test_only_metrics_tables_are_archived(tmp_path):
    (tmp_path / "chest.png").write_bytes(b"")
    with pytest.raises(UserError, match="chest.png: not config.yaml or one of the metrics tables"):
        archive.write_archive(tmp_path / "v1", [tmp_path / "chest.png"], "2025-01-01")


def test_what_may_explain_any_result_stands_at_the_top_of_the_summary(tmp_path):
    metrics = planted.metrics(tmp_path, TINY)
    assert "Look at the data first" not in summary.summary(metrics)
    row = {"dataset": "cxr", "label": "", "fatal": "false", "what_was_done": "it can be told by size with AUC 0.90"}
    told = pd.DataFrame([row | {"check": "label_told_by_file_facts", "count": 1.0}])
    usual = pd.DataFrame([row | {"check": "files_seen", "count": 7.0, "what_was_done": "7 images"}])
    metrics["integrity"] = pd.concat([metrics["integrity"], usual, told])
    text = summary.summary(metrics)
    top, rest = text.split("## Does it help?")
    assert "- cxr, label told by file facts: 1 (it can be told by size with AUC 0.90)." in top
    assert "label told by file facts" not in rest and "- cxr, files seen: 7 (7 images)." in rest
