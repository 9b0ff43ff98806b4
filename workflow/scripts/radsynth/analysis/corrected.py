"""The arm that costs nothing: the baseline with its outputs corrected for the class frequencies of the test set."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from radsynth.analysis.arms import CORRECTED
from radsynth.analysis.collect import Evaluation
from radsynth.analysis.tidy import BASELINE
from radsynth.classifiers.calibration import prior_corrected
from radsynth.classifiers.evaluation import evaluate, predictions_table


def corrected_evaluations(evaluations: Iterable[Evaluation]) -> list[Evaluation]:
    """Return what the baseline is worth on every test set of real images once its outputs know how frequent labels are.

    The probabilities are those stored, times the frequency of each label among the test images over that among the
    training images (``prior_corrected``); the label with the highest one is predicted. For two labels this is a shifted
    threshold. It uses one number of the test set, which a clinic knows: how frequent the finding is there. Test sets
    that lack a label have none.
    """
    found = []
    for evaluation in evaluations:
        report = evaluation.report
        labels, trained_on, tested_on = report["labels"], report["trained_on"], report["n"]
        if evaluation.mix != BASELINE or evaluation.is_synthetic or not all(tested_on[label] for label in labels):
            continue
        test, columns = evaluation.predictions, [f"p_{label}" for label in labels]
        priors = (np.array([counts[label] for label in labels], float) for counts in (trained_on, tested_on))
        probabilities = prior_corrected(test[columns].to_numpy(float), *(prior / prior.sum() for prior in priors))
        table = predictions_table(test, probabilities, labels)
        result = evaluate(table, labels, report["positive_label"])
        found.append(replace(evaluation, mix=CORRECTED, report=report | result, predictions=table))
    return found
