"""What can be told of the training images from pools and generators: how well attacks do."""

from radsynth.common.files import read_json
from radsynth.report.chapter import Chapter
from radsynth.report.evaluations import identity
from radsynth.report.given import Given
from radsynth.report.tidy import COHORT, Row, Tidy, names, numbers, texts

ATTACKS = Tidy(
    names(*COHORT, "pool", "label", "attack", "access")
    | numbers("n_members", "n_non_members", "auc", "low", "high", "p_value", "chance", "least_auc", "tpr", "fpr")
    | texts("reason")
)
CHAPTER = Chapter(
    metrics={"attacks": ATTACKS},
    rows="radsynth.report.privacy:rows",
    sentences="radsynth.report.privacy_words:sentences",
    later=True,
)


def rows(given: Given) -> dict[str, list[Row]]:
    """Return the rows of attacks.csv."""
    found = []
    for path in given.files["attacks"]:
        place = identity(path, given.results, "privacy/{dataset}/{sampling}/{scenario}/{pool}/{label}/{attack}")
        found.append(place | {"attack": place["attack"].removesuffix(".json")} | read_json(path))
    return {"attacks": found}
