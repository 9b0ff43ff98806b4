"""What the numbers say, in words: utility, realism, copying, and what they do not say."""

import pandas as pd

from radsynth.report import summary_copying, summary_utility
from radsynth.report.render import plain
from radsynth.report.summary_images import realism_headline, realism_lines, recognition_lines, variety_lines
from radsynth.report.summary_limits import data_lines, limits, look_first
from radsynth.report.tidy import FREE, Metrics, study_facts


def headline(metrics: Metrics) -> list[str]:
    """Return three lines: whether the first mix of real and synthetic images helps, realism and copying."""
    return [
        f"utility:  {summary_utility.headline(metrics)}",
        f"realism:  {realism_headline(metrics)}",
        f"copying:  {summary_copying.headline(metrics)}",
    ]


def summary(metrics: Metrics) -> str:
    """Return summary.md."""
    metrics = {name: _in_markdown(table) for name, table in metrics.items()}
    parts = [
        f"# {study_facts(metrics).get('study', 'Study')}: do the synthetic images help?\n",
        *(f"- {' '.join(line.split())}" for line in headline(metrics)),
        "",
        summary_utility.overall(metrics),
        *look_first(metrics),
        "\n## Does it help?\n",
        *summary_utility.utility_lines(metrics),
        "\n## How real are the images?\n",
        *realism_lines(metrics),
        *variety_lines(metrics),
        *recognition_lines(metrics),
        "\nFID and KID compare distributions in the features named; they say nothing about whether a single image is "
        "right, and copies of training images make them small: read them with the copy rate. FID is biased upwards in "
        "small samples: it means something only beside its real-against-real baseline.",
        "\n## Can they be shared?\n",
        *summary_copying.sharing(metrics),
        "\n## What these numbers do not cover\n",
        *limits(metrics),
        "\n## The data\n",
        *data_lines(metrics),
    ]
    return "\n".join(parts) + "\n"


def _in_markdown(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table with its free texts as Markdown shows them."""
    return table.assign(**{column: table[column].map(plain) for column in FREE & set(table.columns)})
