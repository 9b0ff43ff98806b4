"""What the numbers say, in words, about whether the images show what was asked of them."""

import math

import pandas as pd

from radsynth.fidelity.condition_verdicts import AS_REAL, ATTRIBUTE, LESION, LESS, MORE, NO_LESION, NOT_TOLD
from radsynth.report.tidy import COHORT, Metrics, place

MEASURES = {
    "balanced_accuracy": "balanced accuracy",
    "rank_correlation": "rank correlation",
    "contrast": "contrast in gray levels",
}
#: What a verdict says of each kind of condition.
VERDICTS = {
    ATTRIBUTE: {
        AS_REAL: "told from the images, no difference to real ones shown",
        LESS: "told from the images, but less than from real ones",
        MORE: "told from the images more clearly than from real ones",
        NOT_TOLD: "not told from chance, though real images tell it",
    },
    LESION: {
        AS_REAL: "where they were asked for, no difference to real images shown",
        LESS: "where they were asked for, but fainter than in real images",
        MORE: "where they were asked for, clearer than in real images",
        NOT_TOLD: "no more to be seen where they were asked for than elsewhere",
    },
    NO_LESION: {
        AS_REAL: "no difference to real images without a lesion shown",
        LESS: "darker where others have lesions than real images without one",
        MORE: "brighter where others have lesions than real images without one",
    },
}
NO_POWER = "no power"
READING = (
    "\nAn attribute is read off the images by a model that has learnt it from the real training images; real images "
    "are held-out ones, which say how well it can be read at all. Lesions are looked for by their contrast to what is "
    "around them; real images are the training images with their own. Chance is what the same images give with the "
    "conditions of others of their label (lesions: with the places of others), and p is the share of such deals that "
    "come as far. All intervals are of 95 %, over images or patients. Each line stands by itself: of twenty conditions "
    "that no image heeds, one would seem to be told. Where no difference to real images was shown, its interval says "
    "how large it could be. What the model reads is what goes with an attribute in real images, wanted or not: it does "
    "not say that the images are right. It knows the training images, so that copies of these are read more clearly "
    "than new images: read it with the copy rates."
)


def named(row: pd.Series) -> str:
    """Return a pool with its guidance, where that is known."""
    return row["pool"] + (f" (guidance {row['guidance']})" if row["guidance"] else "")


def asked(row: pd.Series) -> str:
    """Return what was asked, in words."""
    return {LESION: "lesions", NO_LESION: "no lesion"}.get(row["kind"], row["asked"])


def verdict(row: pd.Series) -> str:
    """Return what was found, in words."""
    return VERDICTS[row["kind"]].get(row["verdict"], NO_POWER)


def shown(value: float, measure: str, sign: str = "") -> str:
    """Return a number of a measure, with two digits or, in gray levels, one; an undefined one as an empty text."""
    digits = 1 if measure == "contrast" else 2
    return "" if math.isnan(value) else f"{round(value, digits) + 0.0:{sign}.{digits}f}".replace("-", "−")


def with_limits(row: pd.Series, value: str, low: str, high: str, sign: str = "") -> str:
    """Return ``0.82 [0.78, 0.86]`` of three columns; without limits where these are undefined."""
    text, *limits = (shown(row[column], row["measure"], sign) for column in (value, low, high))
    return text + (f" [{', '.join(limits)}]" if all(limits) else "")


def sentences(metrics: Metrics) -> list[str]:
    """Return the section of the summary, nothing where nothing was asked."""
    rows = metrics["fidelity"]
    if rows.empty:
        return []
    lines = ["\n## Do the images show what was asked of them?\n"]
    for cohort, part in rows.groupby(COHORT, sort=False):
        lines += [f"**{place(cohort)}**\n", *(f"- {_sentence(row)}." for _, row in part.iterrows()), ""]
    return [*lines[:-1], READING]


def _sentence(row: pd.Series) -> str:
    """Return what was asked, what was found, and the numbers behind it."""
    parts = []
    if not math.isnan(row["value"]):
        parts.append(f"{MEASURES[row['measure']]} {with_limits(row, 'value', 'low', 'high')}")
    if not math.isnan(row["real"]):
        parts.append(f"real images {with_limits(row, 'real', 'real_low', 'real_high')}")
    if not math.isnan(row["chance"]):
        parts.append(f"chance {with_limits(row, 'chance', 'chance_low', 'chance_high')}, p {row['p_value']:.2g}")
    if row["verdict"]:
        parts.append(f"difference {with_limits(row, 'difference', 'difference_low', 'difference_high', '+')}")
    if row["n_real"] > 0:
        parts.append(f"n = {row['n']:.0f} synthetic, {row['n_real']:.0f} real of {row['n_real_groups']:.0f} patients")
    parts += filter(None, [row["reason"], row["note"]])
    return f"{named(row)}, asked for {asked(row)}: **{verdict(row)}** ({'; '.join(parts)})"
