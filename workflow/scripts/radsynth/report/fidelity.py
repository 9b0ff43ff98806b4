"""Do the images show what was asked of them? Attributes and lesions, beside real images and chance."""

from radsynth.common.files import read_json
from radsynth.report.chapter import Chapter, functions
from radsynth.report.evaluations import identity
from radsynth.report.given import Given
from radsynth.report.tidy import COHORT, Row, Tidy, names, numbers, texts

FIDELITY = Tidy(
    names(*COHORT, "pool")
    | texts("guidance")
    | names("extractor", "kind")
    | texts("asked")
    | names("measure")
    | numbers("n", "value", "low", "high", "chance", "chance_low", "chance_high", "p_value", "n_train")
    | numbers("n_real", "n_real_groups", "real", "real_low", "real_high", "real_chance")
    | numbers("difference", "difference_low", "difference_high", "ratio")
    | names("verdict")
    | texts("reason", "note")
)
CHAPTER = Chapter(
    metrics={"fidelity": FIDELITY},
    rows="radsynth.report.fidelity:rows",
    tables=functions("radsynth.report.fidelity_tables", "fidelity"),
    figures=functions("radsynth.report.fidelity_figures", "fidelity"),
    sentences="radsynth.report.fidelity_words:sentences",
    later=True,
)


def rows(given: Given) -> dict[str, list[Row]]:
    """Return the rows of fidelity.csv."""
    found = []
    for path in given.files["fidelity"]:
        place = identity(path, given.results, "fidelity/{dataset}/{sampling}/{scenario}/{pool}")
        place["pool"] = place["pool"].removesuffix(".json")
        report = read_json(path)
        about = place | {key: report[key] for key in ("guidance", "extractor")}
        found += [about | row for row in report["conditions"]]
    return {"fidelity": found}
