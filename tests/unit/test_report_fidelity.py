"""The chapter on conditions: its rows, words, table and figure, and that it is silent where nothing was asked."""

import json
import re

import pytest
import report_planted as planted
from radsynth.fidelity.condition_verdicts import EMPTY
from radsynth.report import summary
from radsynth.report.chapter import chapters
from radsynth.report.costs import cost_rows, job_devices
from radsynth.report.drawing import save
from radsynth.report.fidelity import FIDELITY
from radsynth.report.fidelity_figures import fidelity as figure
from radsynth.report.fidelity_tables import fidelity as table
from radsynth.report.fidelity_words import VERDICTS, sentences
from radsynth.report.render import latex, markdown
from radsynth.report.tidy import as_table

SMALL = planted.SMALL | {"scenarios": {"small": [60]}, "runs": 1}
PLACE = {"dataset": "d", "sampling": "s", "scenario": "c", "pool": "ddpm", "guidance": "3", "extractor": "pixels"}
TOLD = EMPTY | {
    **{"kind": "attribute", "asked": "view", "measure": "balanced_accuracy", "verdict": "as_real"},
    **{"n": 400, "value": 0.82, "low": 0.78, "high": 0.86, "chance": 0.5, "chance_low": 0.45, "chance_high": 0.55},
    **{"p_value": 0.000999, "n_train": 200, "n_real": 120, "n_real_groups": 60},
    **{"real": 0.85, "real_low": 0.79, "real_high": 0.9, "real_chance": 0.5},
    **{"difference": -0.03, "difference_low": -0.1, "difference_high": 0.04, "ratio": 0.914},
}
LESION = TOLD | {
    **{"kind": "lesion", "asked": "lesion", "measure": "contrast", "verdict": "less", "n_train": None},
    **{"value": 12.34, "low": 10, "high": 14, "chance": 0.4, "chance_low": -2, "chance_high": 2.5},
    **{"real": 20, "real_low": 18, "real_high": 22, "real_chance": 0.1},
    **{"difference": -7.96, "difference_low": -10, "difference_high": -5},
}
NO_LESION = (
    LESION
    | dict.fromkeys(("chance", "chance_low", "chance_high", "p_value", "ratio"))
    | {
        **{"kind": "no_lesion", "asked": "no_lesion", "verdict": "as_real"},
    }
)
TOO_FEW = EMPTY | {"kind": "attribute", "asked": "birads", "n": 9, "reason": "2: 3 training patients: expected 10"}
NO_POWER = (
    TOLD
    | {"verdict": "", "reason": "not told from chance on real images either"}
    | dict.fromkeys(("difference", "difference_low", "difference_high", "ratio"))
)


def metrics(*rows):
    return {"fidelity": as_table(FIDELITY, [PLACE | row for row in rows])}


def said(row, **changes):
    """Return the line about one condition."""
    lines = [line for line in sentences(metrics(row | changes)) if line.startswith("- ")]
    assert len(lines) == 1 and "nan" not in lines[0]
    return lines[0]


def test_the_rows_are_those_of_the_files_and_stand_in_summary_table_figure_and_costs(tmp_path):
    paths = planted.plant(tmp_path, SMALL)
    file = tmp_path / "fidelity/phantom/random/small/ddpm.json"
    file.parent.mkdir(parents=True)
    report = {"extractor": "pixels", "guidance": "3", "n_synthetic": 400, "conditions": [TOLD, LESION, TOO_FEW]}
    file.write_text(json.dumps(report))
    cost = tmp_path / "benchmarks/condition_fidelity/phantom/random/small/ddpm.tsv"
    cost.parent.mkdir(parents=True)
    cost.write_text("s\th:m:s\tmax_rss\tmean_load\n60\t0:01:00\t800\t100\n")
    paths |= {"fidelity": [str(file)], "benchmarks": [*paths["benchmarks"], str(cost)]}
    files = planted.write_metrics(tmp_path / "with", paths, str(tmp_path), SMALL)
    header, *lines = files["fidelity"].read_text().splitlines()
    assert header.split(",") == FIDELITY.columns and len(lines) == 3
    assert set(FIDELITY.columns) == {*PLACE, *EMPTY}
    assert lines[0].startswith(
        "phantom,random,small,ddpm,3,pixels,attribute,view,balanced_accuracy,400,0.82,0.78,0.86,"
    )
    read = planted.read_metrics(files)
    text = summary.summary(read)
    assert text.count("## Do the images show what was asked of them?") == 1
    assert text.index("## How real are the images?") < text.index("## Do the images show")
    devices = job_devices(paths, str(tmp_path))
    row = cost_rows([str(cost)], str(tmp_path), devices)[0]
    assert (row["stage"], row["name"], row["gpu_hours"]) == ("condition_fidelity", "ddpm", 0.0)


def test_without_conditions_there_is_a_header_and_not_a_word(tmp_path):
    files = planted.write_metrics(tmp_path / "none", planted.plant(tmp_path, SMALL), str(tmp_path), SMALL)
    assert files["fidelity"].read_text() == ",".join(FIDELITY.columns) + "\n"
    read = planted.read_metrics(files)
    before = {name: rows for name, rows in read.items() if name != "fidelity"}
    assert "fidelity" in chapters(read) and "fidelity" not in chapters(before)
    assert summary.summary(read) == summary.summary(before) and summary.headline(read) == summary.headline(before)
    assert table(read)[2] == [] and "Nothing of this kind" in markdown("", [])
    save(figure(read), [tmp_path / "empty.png"])


def test_each_finding_is_said_with_its_numbers():
    assert said(TOLD) == (
        "- ddpm (guidance 3), asked for view: **told from the images, no difference to real ones shown** "
        "(balanced accuracy 0.82 [0.78, 0.86]; real images 0.85 [0.79, 0.90]; chance 0.50 [0.45, 0.55], p 0.001; "
        "difference −0.03 [−0.10, +0.04]; n = 400 synthetic, 120 real of 60 patients)."
    )
    assert said(LESION) == (
        "- ddpm (guidance 3), asked for lesions: **where they were asked for, but fainter than in real images** "
        "(contrast in gray levels 12.3 [10.0, 14.0]; real images 20.0 [18.0, 22.0]; chance 0.4 [−2.0, 2.5], p 0.001; "
        "difference −8.0 [−10.0, −5.0]; n = 400 synthetic, 120 real of 60 patients)."
    )
    assert "asked for no lesion: **no difference to real images without a lesion shown**" in said(NO_LESION)
    assert "chance" not in said(NO_LESION) and "p 0" not in said(NO_LESION)


def test_without_power_no_verdict_is_given():
    assert said(TOO_FEW, guidance="").startswith("- ddpm") and "guidance" not in said(TOO_FEW | {"guidance": ""})
    assert said(TOO_FEW) == (
        "- ddpm (guidance 3), asked for birads: **no power** (2: 3 training patients: expected 10)."
    )
    line = said(NO_POWER)
    assert "**no power**" in line and line.endswith("60 patients; not told from chance on real images either).")
    assert "balanced accuracy 0.82" in line and "difference" not in line


@pytest.mark.parametrize("kind", VERDICTS)
def test_every_verdict_has_words(kind):
    for verdict, words in VERDICTS[kind].items():
        assert f"**{words}**" in said(TOLD | {"kind": kind, "verdict": verdict})


def test_the_table_has_a_line_for_each_condition_and_names_reasons():
    title, rows, sections = table(metrics(TOLD, LESION, NO_LESION, TOO_FEW, TOLD | {"note": "without rare values"}))
    text = markdown(title, sections)
    assert len(rows) == 5 and len(sections) == 1 and len(sections[0].rows) == 5
    assert (
        "ddpm (guidance 3), birads: 2: 3 training patients: expected 10." in text
        and "view: without rare values." in text
    )
    (line,) = [line for line in text.splitlines() if "| lesions |" in line]
    assert (
        "| 12.3 [10.0, 14.0] | 20.0 [18.0, 22.0] | 0.4 [−2.0, 2.5] | 0.001 | −8.0 [−10.0, −5.0] | 91 % "
        "| 400 / 120 (60) |" in (line.replace("\\", ""))
    )
    assert "nan" not in text and "nan" not in latex(sections)


def test_the_figure_has_a_panel_for_each_measure_and_the_pool_beside_real_images_and_chance(tmp_path):
    drawn = figure(metrics(TOLD, TOLD | {"guidance": "7", "value": 0.6}, LESION, NO_LESION, TOO_FEW))
    assert [axis.get_xlabel() for axis in drawn.axes] == ["balanced accuracy", "contrast in gray levels"]
    first = drawn.axes[0]
    marks = {round(line.get_xdata()[0], 3) for line in first.lines if len(line.get_xdata()) == 1}
    assert {0.82, 0.6, 0.85} <= marks
    (bar, other) = first.patches
    assert drawn.axes[0].get_xlim()[0] < 0.45
    assert (bar.get_x(), bar.get_width()) == pytest.approx((0.45, 0.1)) and bar.get_y() != other.get_y()
    names = [text.get_text() for text in drawn.legends[0].get_texts()]
    assert names == ["ddpm (guidance 3)", "ddpm (guidance 7)", "real images", "95 % interval", "chance (95 % of deals)"]
    save(drawn, [tmp_path / "one.pdf", tmp_path / "one.png"])
    assert re.match(rb"%PDF", (tmp_path / "one.pdf").read_bytes())
