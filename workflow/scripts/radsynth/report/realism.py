"""How real are the synthetic images? Distances, coverage, diversity, recognition; and how the generators learned."""

from radsynth.report.chapter import Chapter, functions
from radsynth.report.tidy import COHORT, Tidy, names, numbers, texts

QUALITY = Tidy(
    names(*COHORT, "generator", "label", "family", "metric", "extractor")
    | texts("preprocessing")
    | names("weights_sha256", "reference")
    | numbers("value", "low", "high", "sd", "n_reference", "n_synthetic", "control", "control_sd")
    | names("control_is")
    | numbers("n_control_a", "n_control_b", "threshold")
    | texts("reason", "note")
    | numbers("tail_n", "tail_k", "tail_limit", "tail_excess", "planted", "p_value", "n_comparisons", "p_holm")
)
RECOGNITION = Tidy(
    names(*COHORT, "classifier")
    | numbers("run")
    | names("generator", "label")
    | numbers("n", "recognised", "mean_confidence", "n_real", "recognised_real", "mean_confidence_real")
)
TRAINING = Tidy(
    names(*COHORT, "generator", "unit")
    | numbers("step", "images", "resolution", "alpha", "loss", "critic_loss", "generator_loss")
    | numbers("real_score", "fake_score", "gradient_penalty", "images_per_s", "peak_memory_mb")
)

CHAPTER = Chapter(
    metrics={"quality": QUALITY, "recognition": RECOGNITION, "training": TRAINING},
    rows="radsynth.report.image_rows:realism",
    tables=functions("radsynth.report.image_tables", "experts", "quality", "coverage"),
    figures={
        **functions("radsynth.report.image_figures", "training_loss"),
        **functions("radsynth.report.heat_map", "heat_map"),
        **functions("radsynth.report.image_figures", "distances", "manifold", "diversity", "similarity", "recognition"),
    },
    headline="radsynth.report.realism_words:headline",
    sentences="radsynth.report.realism_words:sentences",
)
