"""Whether the images that are there are enough for what the scenarios ask."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from math import exp, lgamma

from radsynth.checking.part import Part
from radsynth.study.config import Study

#: Fewer images of a label to test on than this decide hardly anything.
FEW_TESTED = 20
#: So many times more images of one label than of another call for a look.
UNBALANCED = 10

#: Label, patient (empty if not known) and published split (empty if there is none) of an image.
Known = tuple[str, str, str]


@cache
def _chance_untouched(images: int, of: int, drawn: int) -> float:
    """Return the chance that none of a patient's ``images`` is among ``drawn`` of ``of``."""
    if images > of - drawn:
        return 0.0
    return exp(lgamma(of - images + 1) - lgamma(of - images - drawn + 1) - lgamma(of + 1) + lgamma(of - drawn + 1))


def expected_left(
    images: Iterable[Known], drawn: Mapping[str, int], by_patient: bool
) -> dict[str, tuple[float, float | None]]:
    """Return by label how many images, and of how many patients, are left to test on after a random draw.

    ``drawn`` of each label are drawn to learn from; with ``by_patient`` other images of their patients are not tested
    on. These are expected values: a draw gives a few more or less. The number of patients is None where any is unknown.
    """
    patients: dict[str, Counter] = defaultdict(Counter)
    for number, (label, patient, _) in enumerate(images):
        patients[patient or f"\0{number}"][label] += 1
    there = sum(patients.values(), start=Counter())
    left, kept = Counter(), Counter()
    unknown = {label for patient, counts in patients.items() if patient.startswith("\0") for label in counts}
    for counts in patients.values():
        free = 1.0
        for label, count in counts.items():
            free *= _chance_untouched(count, there[label], min(drawn[label], there[label]))
        for label, count in counts.items():
            alone = (there[label] - drawn[label]) / there[label] * count
            left[label] += free * count if by_patient else alone
            kept[label] += free
    return {label: (max(left[label], 0.0), None if label in unknown else kept[label]) for label in drawn}


def compare_scenarios(study: Study, dataset: str, images: Sequence[Known], part: Part) -> None:
    """Add to a part what each scenario asks of a dataset and what the dataset has."""
    split = study["datasets"][dataset].get("test_split")
    splits = Counter(split for _, _, split in images)
    of = f" (dataset {dataset})" if len(study["datasets"]) > 1 else ""
    if split is not None and split not in splits:
        found = ", ".join(filter(None, splits)) or "no split at all"
        part.mend.append(f"datasets.{dataset}.test_split: no image in a split {split!r}, found {found}")
        return
    to_learn = [image for image in images if split is None or image[2] != split]
    there, spent = Counter(label for label, _, _ in to_learn), study.spent()
    for name, scenario in study["scenarios"].items():
        drawn = {label: max(scenario["train"][label], spent[label]) for label in study.labels}
        if split is None:
            left = expected_left(to_learn, drawn, study["gates"]["patient"])
            most = {label: there[label] - drawn[label] for label in study.labels}
        else:
            kept = [image for image in images if image[2] == split]
            left = expected_left(kept, dict.fromkeys(study.labels, 0), False)
            most = {label: sum(image[0] == label for image in kept) for label in study.labels}
        said = []
        for label in study.labels:
            asked = scenario["train"][label]
            images_left, patients_left = left[label]
            patients = f" of about {patients_left:,.0f} patients" if patients_left is not None else ""
            said.append(f"{label} {asked:,} of {there[label]:,}, about {images_left:,.0f}{patients} left to test on")
            if asked > there[label]:
                part.mend.append(f"scenarios.{name}.train.{label}: {asked:,} asked, {there[label]:,} there{of}")
            else:
                _compare_test(scenario["test"], name, label, most[label], images_left, of, part)
        part.lines.append(f"scenario {name}: {'; '.join(said)}")
        numbers = [left[label][0] for label in study.labels]
        if scenario["test"] == "rest" and min(numbers) >= 1 and max(numbers) >= UNBALANCED * min(numbers):
            few, many = (study.labels[numbers.index(end(numbers))] for end in (min, max))
            part.look.append(
                f"scenarios.{name}.test: rest leaves about {max(numbers):,.0f} {many} and {min(numbers):,.0f} {few} to "
                f"test on{of}; write test: {{counts: {{...}}}} for another ratio"
            )


def _compare_test(test: object, name: str, label: str, most: int, expected: float, of: str, part: Part) -> None:
    """Add what is wrong with the test images of a label: at most ``most`` are left, about ``expected``."""
    if test == "rest":
        if most <= 0:
            part.mend.append(
                f"scenarios.{name}.test: no {label} image is left to test on{of}; ask for fewer to learn from"
            )
        elif expected < FEW_TESTED:
            part.look.append(
                f"scenarios.{name}.test: only about {expected:,.0f} {label} images are left to test on{of}"
            )
        return
    asked = test["counts"][label]
    if asked > most:
        part.mend.append(
            f"scenarios.{name}.test.counts.{label}: {asked:,} asked, {max(most, 0):,} left by the training images{of}"
        )
    elif asked > expected:
        part.look.append(
            f"scenarios.{name}.test.counts.{label}: {asked:,} asked, but without the patients that are learnt from "
            f"about {expected:,.0f} are left{of}"
        )
