"""May the synthetic images be shared? What they repeat of their training images."""

from radsynth.report.chapter import Chapter, functions
from radsynth.report.tidy import COHORT, Tidy, names, numbers, texts

SUSPECTS = Tidy(
    names(*COHORT, "generator", "label")
    | texts("file")
    | names("metric", "extractor")
    | numbers("distance", "chance", "p_corrected")
)

CHAPTER = Chapter(
    metrics={"suspects": SUSPECTS},
    rows="radsynth.report.image_rows:copying",
    tables=functions("radsynth.report.image_tables", "memorisation"),
    figures=functions("radsynth.report.image_figures", "memorisation"),
    headline="radsynth.report.copying_words:headline",
    sentences="radsynth.report.copying_words:sentences",
)
