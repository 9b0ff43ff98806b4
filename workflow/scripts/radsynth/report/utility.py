"""Do the synthetic images help? What the classifiers achieve, compared with all that a mix must beat."""

from radsynth.report.chapter import Chapter, functions
from radsynth.report.tidy import COHORT, TESTED, Tidy, coded, names, numbers, texts

_OF_RUN = names(*TESTED, "mix", "classifier") | numbers("run") | names("testset")
_HOLM = numbers("p_value", "n_comparisons", "p_holm") | texts("verdict", "reason")

CLASSIFICATION = Tidy(
    _OF_RUN | names("metric") | numbers("value") | texts("reason") | names("architecture", "weights", "backend")
)
# These two keep what the classifiers said of every test image, so that all can be decided again.
TEST_IMAGES = Tidy(names(*COHORT, "testset", "image_id", "patient_id", "label"), drawn=False)
PREDICTIONS = Tidy(_OF_RUN | coded("labels", "positive_label", "threshold", "trained_on", "probabilities"), drawn=False)
CONFUSION = Tidy(_OF_RUN | names("true_label", "predicted_label") | numbers("count"))
ROC_AUC = Tidy(
    _OF_RUN | numbers("roc_auc", "standard_error", "ci_low", "ci_high", "n_positive", "n_negative") | texts("reason")
)
COMPARISONS = Tidy(
    names(*TESTED, "question", "classifier", "mix", "reference", "metric")
    | numbers("n_runs", "n_groups", "reference_mean", "reference_sd", "mix_mean", "mix_sd")
    | numbers("difference", "standard_error", "df", "ci_low", "ci_high", "detectable", "effect_size")
    | _HOLM
)
VERDICTS = Tidy(names(*TESTED, "classifier", "mix", "metric", "headline", "control") | _HOLM)
MCNEMAR = Tidy(
    names(*TESTED, "question", "classifier", "mix", "reference")
    | numbers("run")
    | names("testset")
    | numbers("n_images", "n_groups", "only_mix_right", "only_reference_right", "p_value")
)
REPLICATES = Tidy(
    names(*TESTED, "question", "classifier", "mix", "reference", "metric")
    | texts("samplings")
    | numbers("n_replicates", "difference", "sd", "ci_low", "ci_high")
    | _HOLM
)

CHAPTER = Chapter(
    metrics={
        "classification": CLASSIFICATION,
        "test_images": TEST_IMAGES,
        "predictions": PREDICTIONS,
        "confusion": CONFUSION,
        "roc_auc": ROC_AUC,
        "comparisons": COMPARISONS,
        "verdicts": VERDICTS,
        "mcnemar": MCNEMAR,
        "replicates": REPLICATES,
    },
    rows="radsynth.report.utility_rows:rows",
    tables={
        "accuracy": "radsynth.report.utility_tables:accuracy",
        "verdicts": "radsynth.report.comparison_tables:verdicts",
        **functions("radsynth.report.utility_tables", "mixes", "scores"),
        **functions("radsynth.report.comparison_tables", "comparisons", "mcnemar", "replicates"),
        "roc_auc": "radsynth.report.utility_tables:roc_auc",
    },
    figures=functions("radsynth.report.utility_figures", "accuracy_f1", "detection", "differences"),
    headline="radsynth.report.utility_words:headline",
    opening="radsynth.report.utility_words:opening",
    sentences="radsynth.report.utility_words:sentences",
)
