"""What is said of the utility: the summary, its headline, and the tables of comparisons, with planted outcomes."""

import numpy as np
import pytest
import report_planted as planted
from radsynth.report import arms, basis_words, drawing, outcomes, summary, utility_words
from radsynth.report.chapter import figures, load, read_metrics, tables
from radsynth.report.names import metric_names
from radsynth.report.render import latex, markdown
from report_planted import COLUMNS, UNPUBLISHED

TINY = planted.SMALL | {"scenarios": {"small": [60]}}
POWERFUL = planted.SMALL | {"runs": 5, "scenarios": {"small": [400]}}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Two samplings and a replicate, imbalanced training, two mixes of real and synthetic images, and other arms."""
    folder = tmp_path_factory.mktemp("study")
    plan = planted.FULL | {
        "samplings": ["random", "greedy", "random_2"],
        "scenarios": {"imbalanced": [60]},
        "classifiers": {"vgg16_pretrained": 0.8},
        "mixes": {"baseline": 0.0, "ddpm": 0.1, "pggan": 0.0, "ddpm_only": -0.2, "oversampled": 0.0},
        "external": {"external_nih": 40},
        "runs": 2,
    }
    planted.metrics(folder, plan)
    return folder / "metrics"


@pytest.fixture
def metrics(study):
    return read_metrics({name: study / f"{name}.csv" for name in COLUMNS})


@pytest.mark.parametrize(
    ("mixes", "control", "words", "answer"),
    [
        ({"good": 0.15, "bad": -0.2, "same": 0.0}, 0.0, ["helps", "hurts", "undecided"], "It depends"),
        ({"ddpm": 0.15}, 0.0, ["helps"], "Yes, here they help"),
        ({"ddpm": 0.15}, 0.15, [arms.NO_MORE_THAN_TRAINING], "No more than longer training does"),
        ({"ddpm": -0.2}, -0.2, [arms.NO_WORSE_THAN_TRAINING], "No worse than longer training does"),
        ({"ddpm": 0.15}, None, [arms.NO_CONTROL], "Above real images alone, but without a control"),
    ],
)
def test_planted_effects_get_their_verdicts_in_the_summary(tmp_path, mixes, control, words, answer):
    plan = POWERFUL | {"mixes": {"baseline": 0.0} | mixes, "control": control}
    found = planted.metrics(tmp_path, plan)
    text = summary.summary(found)
    for mix, word in zip(mixes, words, strict=True):
        assert f"- custom_cnn with {mix}: **{word}**; ROC-AUC 0." in text
    assert f"**{answer}.**" in text and ("No control was trained." in text) == (control is None)
    assert ("What longer training alone did" in text) == (control is not None)
    assert summary.headline(found)[0].startswith(
        f"utility:  {words[0]}; ROC-AUC of custom_cnn (phantom, random, small)"
    )


ONE = {
    "helps": "Yes, here they help",
    "hurts": "No, here they hurt",
    "no more than longer training does": "No more than longer training does",
    "no more than a shifted threshold does": "No more than a shifted threshold does",
    "no worse than longer training does": "No worse than longer training does",
    "above the baseline, without a control": "Above real images alone, but without a control",
    "undecided": "These runs cannot tell",
}


@pytest.mark.parametrize(("word", "answer"), ONE.items())
def test_every_verdict_word_has_its_answer(metrics, word, answer):
    metrics["verdicts"]["verdict"] = word
    text = utility_words.overall(metrics)
    assert text.startswith(f"**{answer}.**")
    assert f"By PR-AUC (PNEUMONIA): {word}: 6." in text, (
        "two mixes in three samplings; synthetic images alone do not count"
    )
    assert f"By accuracy, also against the baseline with corrected outputs: {word}: 6." in text
    assert ("The smallest difference that could have been decided" in text) == (word == "undecided")
    assert set(ONE) == set(outcomes.WORDS)


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ({"helps", "hurts", "undecided"}, "It depends"),
        ({"helps", "no more than longer training does"}, "In part"),
        ({"hurts", "undecided"}, "No sign that they help"),
        ({"no more than longer training does", "undecided"}, "No sign that they help more than longer training does"),
        (
            {"no more than longer training does", "no more than a shifted threshold does"},
            "No sign that they help more than longer training or a shifted threshold does",
        ),
        ({"no worse than longer training does", "undecided"}, "These runs cannot tell"),
        (
            {"above the baseline, without a control", "undecided"},
            "In part above real images alone, but without a control",
        ),
    ],
)
def test_answers_to_several_verdicts(words, answer):
    assert outcomes.answer(words) == answer


def test_outcomes_hold_every_reference_of_a_mix(metrics):
    table = outcomes.outcomes(metrics)
    assert set(table["mix"]) == {"ddpm", "pggan"}
    assert set(table.loc[table["headline"], "metric"]) == {"pr_auc"}, "training is imbalanced"
    row = table[(table["metric"] == "accuracy") & (table["tested_on"] == "test")].iloc[0]
    rows = metrics["comparisons"]
    rows = rows[(rows[outcomes.ARM] == row[outcomes.ARM]).all(axis=1)].set_index("reference")
    for question, reference in (
        ("baseline", "baseline"),
        ("control", "matched_ddpm"),
        ("corrected", "baseline_corrected"),
    ):
        assert row[f"{question}_difference"] == rows.loc[reference, "difference"]
        assert row[f"{question}_reference_mean"] == rows.loc[reference, "reference_mean"]
    ranking = table[table["metric"] == "pr_auc"]
    assert ranking["corrected_difference"].isna().all() and (ranking["corrected_verdict"] == "").all()


def test_the_headline_speaks_in_the_headline_metric_with_accuracy_beside(metrics):
    line = summary.headline(metrics)[0]
    table = outcomes.headline_outcomes(metrics)
    row = table.iloc[0]
    for text in (
        f"undecided; PR-AUC (PNEUMONIA) of vgg16_pretrained (chest, random, imbalanced): "
        f"{row['baseline_reference_mean']:.3f} with real images alone, "
        f"{row['control_reference_mean']:.3f} with matched_ddpm, {row['mix_mean']:.3f} with ddpm; against real images",
        ", against matched_ddpm ",
        "; accuracy 0.",
        " with their outputs corrected, ",
    ):
        assert text in line
    metrics["comparisons"] = metrics["comparisons"][metrics["comparisons"]["mix"] == "oversampled"]
    line = summary.headline(metrics)[0]
    assert "no mix of real and synthetic images was compared; PR-AUC (PNEUMONIA) of" in line
    assert " with baseline, " in line and " with oversampled; difference " in line
    metrics["comparisons"] = metrics["comparisons"].head(0)
    assert summary.headline(metrics)[0] == "utility:  no mix besides the baseline was compared"


def test_nothing_undefined_reads_nan(metrics):
    metrics["replicates"][["sd", "ci_low", "ci_high", "p_value", "p_holm"]] = np.nan  # one replicate is undefined
    rows = metrics["comparisons"]
    numbers = [*("difference", "ci_low", "ci_high", "p_value", "p_holm", "detectable", "df", "effect_size")]
    rows.loc[rows["metric"] == "pr_auc", [*numbers, "mix_mean", "reference_mean"]] = np.nan
    rows.loc[rows["metric"] == "pr_auc", "reason"] = "planted"
    metrics["verdicts"][["p_value", "p_holm", "n_comparisons"]] = np.nan
    metrics["verdicts"]["reason"] = "planted"
    text = summary.summary(metrics)
    assert "against real images alone undefined (planted)" in text and "no interval" in text and "nan" not in text
    assert "Without a p-value: 6 of 6 (planted)." in text
    pages = [
        markdown(title, sections)
        for title, _, sections in (load(where)(metrics | UNPUBLISHED) for where in tables().values())
    ]
    assert not any("nan" in page for page in pages)


def test_the_summary_names_generators_samplings_other_tests_replicates_and_recognition(metrics):
    text = summary.summary(metrics)
    for words in (
        "*Generators against each other*",
        "- vgg16_pretrained, ddpm against pggan: PR-AUC (PNEUMONIA) ",
        "**Samplings against each other**",
        "*chest, imbalanced: tested on 20 NORMAL (10 patients) + 20 PNEUMONIA (10 patients)*",
        "- vgg16_pretrained, ddpm: greedy against random: PR-AUC (PNEUMONIA) ",
        "*Other arms, of which it is not asked whether they help*",
        "- vgg16_pretrained, ddpm_only against matched_ddpm_only: ",
        "- vgg16_pretrained, oversampled against baseline: ",
        "What a shifted threshold alone did",
        "chest, random, imbalanced, tested on nih (test patients, images where unknown: 10): undecided: 2; ",
        "vgg16_pretrained with ddpm against matched_ddpm (chest, random, imbalanced) over random, random_2: ",
        "train 1500 NORMAL (750 patients) + 200 PNEUMONIA (100 patients); validation 375 NORMAL",
        "Images per patient of a training image: 2.00 in NORMAL (over all images of the class 2.10), 2.00 in PNEUM",
        "With 2 runs next to nothing can be decided",
        "runs − 1 = 1 degree of freedom",
    ):
        assert words in text, words
    assert "vgg16_pretrained with ddpm_only" not in text, "it is not asked whether synthetic images alone help"
    shares = metrics["recognition"].set_index(["sampling", "generator", "label"])
    # vgg16_pretrained judges the pools of the study.
    share = shares.loc[("random", "ddpm", "NORMAL")]["recognised"].mean()
    assert f"recognises {100 * share:.1f} % of the ddpm images of NORMAL" in text


def test_replicates_are_averaged_over_samplings_of_one_method(metrics):
    _, table, sections = load(tables()["replicates"])(metrics)
    assert set(table["samplings"]) == {"random; random_2"}
    assert {section.title.split(":")[0] for section in sections} >= {
        "Replicates, mixes against real images alone, equal epochs",
        "Replicates, mixes against their matched controls, equal steps",
    }
    keys = {"metric": "accuracy", "mix": "ddpm", "tested_on": "test", "reference": "matched_ddpm"}

    def chosen(rows):
        return rows[(rows[list(keys)] == list(keys.values())).all(axis=1)]

    rows = chosen(metrics["comparisons"])
    (difference,) = chosen(table)["difference"]
    assert difference == pytest.approx(rows[rows["sampling"] != "greedy"]["difference"].mean())


def test_without_common_images_nothing_is_said_about_samplings(tmp_path):
    plan = TINY | {"samplings": ["random", "greedy"], "common": 0, "runs": 2}
    text = summary.summary(planted.metrics(tmp_path, plan))
    assert "phantom, small: no image is left that no sampling has drawn: nothing can be said." in text
    assert "greedy against random" not in text


@pytest.mark.parametrize(
    ("mode", "control", "said", "not_said"),
    [
        ("none", 0.0, ["No image is withheld for validation", "there is no validation image"], ["the paper, 20 %"]),
        ("patients", 0.0, ["by whole patients, from classifiers and generators", "takes its threshold"], ["undefined"]),
        ("images", 0.0, ["a mix knows more real images", "every real image that the pools"], ["whole patients"]),
        ("images", None, ["Where no matched control was trained"], ["every real image that the pools"]),
    ],
)
def test_limits_say_what_validation_hides(tmp_path, mode, control, said, not_said):
    found = planted.metrics(tmp_path, TINY | {"validation": mode, "control": control})
    text = "\n".join(basis_words.limits(found))
    assert all(words in text for words in said) and not any(words in text for words in not_said)
    assert "Sensitivity (PNEUMONIA) at 95 % specificity" in text and "read off the test set itself" in text
    assert "at most 1 here" in text and "equal epochs" in text
    figure = load(figures()["detection"])(found)
    assert len(figure.axes) == (3 if mode == "patients" else 2), "no empty panel where there is no threshold"


def test_limits_say_what_pools_know_from_elsewhere(tmp_path):
    found = planted.metrics(tmp_path, TINY)
    assert "retrained" not in "\n".join(basis_words.limits(found))
    told = {"key": "pretrained", "value": '{"ddpm": "others", "pggan": "others", "gan": "more"}'}
    found["study"].loc[len(found["study"])] = told
    lines = [line for line in basis_words.limits(found) if line.startswith("- Pretrained on ")]
    assert [line.partition(". ")[0] for line in lines] == [
        "- Pretrained on others: ddpm, pggan",
        "- Pretrained on more: gan",
    ]
    assert "matched controls included" in lines[0] and "whether others has other images of a test patient" in lines[0]


def test_the_table_of_verdicts_has_the_headline_metric_first(metrics):
    _, table, sections = load(tables()["verdicts"])(metrics)
    section = sections[0]
    first = [[cell.text for cell in line] for line in section.cells[:4]]
    names = ["PR-AUC (PNEUMONIA)", "accuracy", "balanced accuracy", "F1 (weighted)"]
    assert [line[:3] for line in first] == [["vgg16_pretrained", "ddpm", name] for name in names]
    row = table[table["headline"]].iloc[0]
    assert first[0][3:8] == [
        row["verdict"],
        f"{row['baseline_reference_mean']:.3f}",
        f"{row['control_reference_mean']:.3f}",
        "",
        f"{row['mix_mean']:.3f}",
    ]
    assert first[1][6] != "" and " to " in first[1][9] and first[0][10] == ""
    assert "matched control: matched_ddpm" in section.note and "n = 2" in section.note
    assert r"$\Delta$ baseline" in latex(sections)


def test_every_question_has_its_own_table_of_comparisons(metrics):
    _, _, sections = load(tables()["comparisons"])(metrics)
    own = [section.title for section in sections if section.title.endswith(": chest, random, imbalanced")]
    assert [title.split(", ", 1)[1].split(":")[0] for title in own if title.startswith("Accuracy")] == [
        "mixes against real images alone, equal epochs",
        "mixes against their matched controls, equal steps",
        "mixes against the baseline with corrected outputs",
        "other arms",
        "generators against each other",
    ]
    section = next(s for s in sections if s.title.startswith("Accuracy, mixes against their matched controls"))
    assert [line[2].text for line in section.cells] == ["matched_ddpm", "matched_ddpm"]
    assert "crossed model of runs and test patients" in section.note and "n = 2;" in section.note
    common = [s for s in sections if "samplings against each other" in s.title]
    assert common and all("tested on the images that no sampling has drawn" in s.title for s in common)


def test_single_models_are_named_as_such(metrics):
    _, table, sections = load(tables()["mcnemar"])(metrics)
    rows = metrics["mcnemar"]
    keys = [*("dataset", "sampling", "scenario", "tested_on"), "question", "classifier", "mix", "reference"]
    row = table.iloc[0]
    pairs = rows[(rows[keys] == row[keys]).all(axis=1)]
    assert row["n_pairs"] == len(pairs) == 2 and row["n_below"] == (pairs["p_value"] < 0.05).sum()
    assert row["only_mix_right_median"] == pairs["only_mix_right"].median()
    assert sections[0].note.startswith("Two trained models, images as independent: up to 60 test images of 15 patients")


def test_scores_have_sections_for_threshold_and_calibration(metrics):
    _, _, sections = load(tables()["scores"])(metrics)
    found = {section.title.split(":")[0]: section for section in sections}
    assert list(found) == ["Weighted averages", "Positive label", "Ranking", "Threshold", "Calibration"]
    assert found["Positive label"].header[2:] == ["precision (PNEUMONIA)", "recall (PNEUMONIA)", "F1 (PNEUMONIA)"]
    assert found["Threshold"].header[2:] == [
        "sensitivity (PNEUMONIA) at 95 % specificity",
        "specificity (PNEUMONIA) at the same threshold",
        "sensitivity (PNEUMONIA) at 95 % specificity, threshold read off the test set",
    ]
    assert found["Calibration"].header[2:4] == ["Brier score", "expected calibration error"]
    arms = {title: [line[1].text for line in section.cells] for title, section in found.items()}
    assert "baseline_corrected" in arms["Calibration"] and "baseline_corrected" not in arms["Ranking"]


def test_with_more_than_two_labels_areas_are_macro_averages(metrics):
    study = metrics["study"]
    assert metric_names(metrics)["roc_auc"] == "ROC-AUC"
    study.loc[study["key"] == "labels", "value"] = "NORMAL, BACTERIA, VIRUS"
    names = metric_names(metrics)
    assert (names["roc_auc"], names["pr_auc"]) == ("macro ROC-AUC", "macro PR-AUC")
    assert set(metrics["classification"]["metric"]) == set(names), "every metric has a name"


def test_controls_look_like_their_mixes_and_unlike_each_other():
    mixes = ["baseline", "baseline_corrected", "ddpm", "pggan", "matched_ddpm", "matched_pggan"]
    styles = drawing.mix_styles(mixes)
    assert styles["matched_ddpm"][1] == styles["ddpm"][1] != styles["pggan"][1] == styles["matched_pggan"][1]
    assert len(set(styles.values())) == len(mixes)


def test_marks_stand_beside_the_mixes_that_are_decided(metrics):
    words = {"ddpm": "helps", "pggan": "no more than longer training does"}
    metrics["verdicts"]["verdict"] = metrics["verdicts"]["mix"].map(words)
    figure = load(figures()["differences"])(metrics)
    marks = [line.get_marker() for line in figure.axes[0].lines if str(line.get_marker()).startswith("$")]
    assert marks == [r"$\uparrow$", r"$\approx$"]
    styles = {line.get_linestyle() for line in figure.axes[1].lines if len(line.get_xdata()) == 2}
    assert len(styles) >= 2, "references can be told apart without colour"
