"""Reading pair similarities (see features/) and what they say about the diversity of a set."""

import json
from pathlib import Path
from typing import Any

from radsynth.common.arrays import read_arrays
from radsynth.quality.pairs import mean_over_pairs
from radsynth.quality.rows import estimated


def pair_rows(path: str | Path) -> list[dict[str, Any]]:
    """Return, for each metric in a file of pair similarities, what a row of the quality JSON says about the set.

    ``n_pairs`` is the number of pairs. The file holds ``pairs`` (m, 2), ``about`` (JSON) and an array (m,) per metric.
    """
    arrays = read_arrays(path)
    about, pairs = json.loads(str(arrays["about"])), arrays["pairs"]
    values = {metric: array for metric, array in arrays.items() if metric not in ("about", "pairs")}
    return [
        {"value": None, "sd": None, "reason": ""}
        | estimated(mean_over_pairs, of_pairs, pairs)
        | {
            "metric": metric,
            "preprocessing": about[metric]["preprocessing"],
            "weights_sha256": (about[metric]["weights"] or {}).get("sha256"),
            "n_pairs": len(of_pairs),
        }
        for metric, of_pairs in values.items()
    ]
