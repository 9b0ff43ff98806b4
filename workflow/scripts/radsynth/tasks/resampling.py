"""The metrics of a classifier under resamples of the patients, each computed exactly."""

from collections.abc import Iterator

import numpy as np

from radsynth.tasks.thresholds import ONE_IN, is_called

# Images x draws that are held in memory at once; small enough for the processor's cache.
BLOCK = 200_000


def resampled_metrics(
    true: np.ndarray,
    predicted: np.ndarray,
    scores: np.ndarray,
    positive: int,
    groups: np.ndarray,
    counts: np.ndarray,
    threshold: float | None,
) -> dict[str, np.ndarray]:
    """Return the compared metrics of a classifier for every resample of the patients, defined as in ``evaluate``.

    ``true`` and ``predicted`` are label indices (n,), ``scores`` the probabilities (n, labels), ``positive`` the index
    of the positive label, ``groups`` the patient of each image (n,), ``counts`` how often each patient was drawn
    (draws, patients), in whole numbers; 1 - the identity matrix leaves one patient out at a time. ``threshold`` is the
    classifier's, from validation images. The values have the shape (draws,), NaN where undefined. With more than two
    labels ROC-AUC and PR-AUC are macro averages of one against the rest.
    """

    def counted(values: np.ndarray) -> np.ndarray:
        return counts @ np.bincount(groups, weights=values, minlength=counts.shape[1])

    n_labels = scores.shape[1]
    sums = np.zeros((counts.shape[1], n_labels * n_labels))
    np.add.at(sums, (groups, true * n_labels + predicted), 1)
    confusion = (counts @ sums).reshape(-1, n_labels, n_labels)
    hits = np.diagonal(confusion, axis1=1, axis2=2)
    support, claimed = confusion.sum(axis=2), confusion.sum(axis=1)
    total = support.sum(axis=1)
    f1 = _ratio(2 * hits, support + claimed)
    averaged = [positive] if n_labels == 2 else list(range(n_labels))
    curves = np.stack([_ranked(true == label, scores[:, label], groups, counts) for label in averaged])
    curves[:, :, (support == 0).any(axis=1)] = np.nan
    called = np.full(len(true), np.nan) if threshold is None else is_called(scores[:, positive], threshold)
    return {
        "accuracy": _ratio(hits.sum(axis=1), total),
        "balanced_accuracy": _ratio(hits, support).mean(axis=1),
        "f1_weighted": _ratio((np.nan_to_num(f1) * support).sum(axis=1), total),
        "f1_positive": f1[:, positive],
        "recall_positive": _ratio(hits[:, positive], support[:, positive]),
        "roc_auc": curves[:, 0].mean(axis=0),
        "pr_auc": curves[:, 1].mean(axis=0),
        "sensitivity_at_95_specificity": _ratio(counted((true == positive) * called), support[:, positive]),
        "sensitivity_at_95_specificity_on_test": curves[averaged.index(positive), 2],
    }


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    return np.divide(numerator, denominator, out=np.full(numerator.shape, np.nan), where=denominator > 0)


def _ranked(own: np.ndarray, score: np.ndarray, groups: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return ROC-AUC, average precision and sensitivity at 95 % specificity of one label (``own``), (3, draws).

    The curves have one point per distinct score; of no meaning where a resample has only one of the two sides.
    """
    order = np.argsort(-score, kind="stable")
    last_of_ties = np.flatnonzero(np.append(np.diff(score[order]) != 0, True))
    own, groups = own[order].astype(np.float32), groups[order]
    found = np.full((3, len(counts)), np.nan)
    if not len(order):
        return found
    for block in _blocks(len(counts), len(order)):
        weights = counts[block].astype(np.float32)[:, groups]
        claimed = weights.cumsum(axis=1)[:, last_of_ties]
        hits = (weights * own).cumsum(axis=1)[:, last_of_ties]
        alarms = claimed - hits
        n_own, n_rest = hits[:, -1].astype(float), alarms[:, -1].astype(float)
        new_hits, new_alarms = np.diff(hits, prepend=0), np.diff(alarms, prepend=0)
        area = ((hits - new_hits / 2) * new_alarms).sum(axis=1, dtype=float)
        precision = hits / np.maximum(claimed, 1)
        within = (ONE_IN * alarms <= n_rest[:, None]).sum(axis=1)  # at most 5 % false alarms, in whole numbers
        at_last = np.take_along_axis(hits, np.maximum(within - 1, 0)[:, None], axis=1)[:, 0] * (within > 0)
        found[0, block] = _ratio(area, n_own * n_rest)
        found[1, block] = _ratio((new_hits * precision).sum(axis=1, dtype=float), n_own)
        found[2, block] = _ratio(at_last.astype(float), n_own)
    return found


def _blocks(draws: int, n: int) -> Iterator[slice]:
    step = max(1, BLOCK // n)
    for start in range(0, draws, step):
        yield slice(start, min(draws, start + step))
