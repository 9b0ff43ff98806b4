"""What the numbers do not say, in words, and what they were made from."""

import json

import pandas as pd

from radsynth.data.integrity import LOOK
from radsynth.report.arms import CORRECTED, REFERENCES
from radsynth.report.inference import FEW_RUNS
from radsynth.report.names import metric_names
from radsynth.report.outcomes import headline_outcomes
from radsynth.report.tidy import COHORT, EXTERNAL, OWN, Metrics, on_real_images, study_facts, task_of
from radsynth.report.utility_words import images


def sentences(metrics: Metrics) -> list[str]:
    """Return the last two sections of the summary."""
    return [
        "\n## What these numbers do not cover\n",
        *limits(metrics),
        "\n## The data\n",
        *data_lines(metrics),
    ]


def limits(metrics: Metrics) -> list[str]:
    """Return what must be known of the comparisons before they are believed."""
    rows = metrics["comparisons"]
    lines = [
        "- All runs of a comparison share one training cohort and one training of each generator. Intervals and "
        "p-values cover new runs and new test patients of the same source, not another draw of the training images or "
        "another training of the generator: replicated samplings (`random_2`, ...) show these, though they share most "
        "test patients and, in a small set, some training images. Nor do they cover another hospital: a dataset with "
        "`role: external_test` does.",
    ]
    runs = rows.loc[(rows["n_runs"] >= 2) & (rows["tested_on"] == OWN), "n_runs"]
    if len(runs) and (few := int(runs.min())) < FEW_RUNS:
        lines.append(
            f"- With {few} runs next to nothing can be decided: below {FEW_RUNS} runs their spread is known so badly "
            f"that the tests have runs − 1 = {few - 1} degree{'s' * (few > 2)} of freedom."
        )
    lines += [*_pretrained(metrics), *_families(metrics), _equal_epochs(metrics), *_correction(rows)]
    # The second is about thresholds, which tasks other than classification do not have.
    return [*lines, *_validation(metrics)[: 2 if task_of(study_facts(metrics)).of_labels else 1]]


def _pretrained(metrics: Metrics) -> list[str]:
    """Return what pools know that no arm on real images does, by the dataset that their generators began with."""
    taught: dict[str, list[str]] = {}
    for name, dataset in json.loads(study_facts(metrics).get("pretrained", "{}")).items():
        taught.setdefault(dataset, []).append(name)
    return [
        f"- Pretrained on {dataset}: {', '.join(names)}. Their pools know images that no arm on real images has learnt "
        "from, matched controls included, so what they add may come from there. Test images were held against these, "
        f"image by image; whether {dataset} has other images of a test patient is not known."
        for dataset, names in taught.items()
    ]


def _families(metrics: Metrics) -> list[str]:
    rows = headline_outcomes(metrics)
    sizes = rows[["n_comparisons", *(f"{name}_n_comparisons" for name in REFERENCES)]].max().dropna()
    if sizes.empty:
        return []
    return [
        "- The verdicts are those after Holm's correction. A family holds the classifiers and mixes of one cohort, "
        f"test set, metric and question, at most {sizes.max():.0f} here. Several metrics, cohorts and test "
        "sets are several families, and in these some may look decided by chance: the headline metric is the one that "
        "was chosen beforehand."
    ]


def _equal_epochs(metrics: Metrics) -> str:
    text = (
        "- Against the baseline alone the comparison is the paper's own: equal epochs, in which a mix with synthetic "
        "images takes more steps. "
    )
    if (headline_outcomes(metrics)["control"] == "").any():
        return text + "Where no matched control was trained, what looks like help may be longer training."
    return text + (
        "The matched control trains on real images for as many steps with the mix's class frequencies: a mix helps "
        "only where it beats both."
    )


def _correction(rows: pd.DataFrame) -> list[str]:
    if not (rows["question"] == "corrected").any():
        return []
    return [
        "- The corrected baseline is trained like the baseline; its outputs are multiplied by the class frequencies of "
        "the test set over those of its training. It uses one number of the test set, which a clinic knows about its "
        "own patients. Metrics of the ranking do not change by it."
    ]


def _validation(metrics: Metrics) -> list[str]:
    """Return what was withheld from training, what that hides, and where thresholds come from."""
    facts, names = study_facts(metrics), metric_names(metrics)
    at_threshold = names["sensitivity_at_95_specificity"][:1].upper() + names["sensitivity_at_95_specificity"][1:]
    on_test = (
        "The sensitivity whose threshold is read off the test set itself is too optimistic, and named so wherever it "
        "stands."
    )
    mode = facts.get("validation", "none")
    if mode == "none":
        return [
            "- No image is withheld for validation: all real images of a cohort train in every arm, and nothing is "
            "chosen but the last epoch.",
            f"- {at_threshold} is undefined: there is no validation image to set its threshold. {on_test}",
        ]
    share = f"{100 * float(facts['validation_fraction']):.0f} %"
    if mode == "patients":
        return [
            f"- About {share} of each class are withheld for validation, by whole patients, from classifiers and "
            "generators alike. Only thresholds are set on them: every classifier is that of its last epoch.",
            f"- {at_threshold} takes its threshold from these validation images; the specificity that it has on the "
            f"test set stands beside it. {on_test}",
        ]
    uncontrolled = (headline_outcomes(metrics)["control"] == "").all()
    control = "" if uncontrolled else "; a matched control sees every real image that the pools have seen"
    return [
        f"- As in the paper, {share} of the training images are withheld from each classifier for validation, drawn "
        "anew in every run, image by image. The generators have learnt from them, so a mix knows more real images than "
        f"the baseline{control}. Patients of validation images may be in training. Nothing is chosen by them: every "
        "classifier is that of its last epoch.",
        f"- {at_threshold} is undefined: a threshold is set on validation images of other patients only. {on_test}",
    ]


def data_lines(metrics: Metrics) -> list[str]:
    """Return images and patients of every cohort, what was found in the raw images, and what is undefined."""
    study, cohorts, integrity = study_facts(metrics), metrics["cohorts"], metrics["integrity"]
    names = metric_names(metrics)
    lines = [f"- Images of {study['image_size']} x {study['image_size']} px." if "image_size" in study else ""]
    for cohort, rows in cohorts.groupby(COHORT, sort=False):
        subsets = [
            f"{subset} {images(part)}"
            for subset, part in rows.groupby("subset", sort=False)
            if part["n_images"].sum() or subset != "validation"
        ]
        safe = set(rows["patient_safe"]) - {""} == {"true"}
        note = "patients are kept apart" if safe else "**not patient-safe**: a patient may be on both sides"
        lines.append(f"- {', '.join(cohort)}: {'; '.join(subsets)}; {note}.{_per_patient(rows)}")
        repeated = rows[rows["subset"].str.startswith(EXTERNAL) & (rows["left_out"] > 0)]
        lines += [
            f"- {', '.join(cohort)}: {row['left_out']:.0f} {row['label']} images of "
            f"{row['subset'].removeprefix(EXTERNAL)} are not tested on, since they repeat training images (same pixels "
            "or near duplicates)."
            for _, row in repeated.iterrows()
        ]
    lines += _found(integrity[~integrity["check"].isin({"images", *LOOK}) & (integrity["count"] > 0)])
    classified = on_real_images(metrics["classification"])
    undefined = classified[classified["value"].isna() & (classified["mix"] != CORRECTED)]
    for (metric, reason), rows in undefined.groupby(["metric", "reason"], sort=False):
        lines.append(f"- Evaluations in which {names[metric]} is undefined: {len(rows)} ({reason}).")
    weights = sorted(set(metrics["classification"]["weights"]) - {""})
    if weights:
        lines.append(f"- Initial weights of the classifiers: {', '.join(weights)}.")
    return [line for line in lines if line]


def look_first(metrics: Metrics) -> list[str]:
    """Return, under a heading, what was found in the raw images that may explain any result; nothing if all is well."""
    integrity = metrics["integrity"]
    found = integrity[integrity["check"].isin(LOOK) & (integrity["count"] > 0)]
    return ["\n## Look at the data first\n", *_found(found)] if len(found) else []


def _found(rows: pd.DataFrame) -> list[str]:
    """Return a line per finding in the raw images."""
    lines = []
    for _, row in rows.iterrows():
        what = ", ".join(filter(None, [row["dataset"], row["label"], row["check"].replace("_", " ")]))
        done = f" ({row['what_was_done']})" if row["what_was_done"] else ""
        lines.append(f"- {what}: {row['count']:.0f}{done}.")
    return lines


def _per_patient(rows: pd.DataFrame) -> str:
    """Return how many images the patients of the training images have, beside those of the whole class, where known."""
    train = rows[(rows["subset"] == "train") & rows["images_per_patient"].notna()]
    parts = [
        f"{row['images_per_patient']:.2f} in {row['label']} (over all images of the class "
        f"{row['images_per_patient_available']:.2f})"
        for _, row in train.iterrows()
    ]
    return f" Images per patient of a training image: {', '.join(parts)}." if parts else ""
