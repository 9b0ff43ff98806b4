"""The arm that costs nothing: the baseline with its outputs corrected for the class frequencies of the test set."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from radsynth.common.errors import UserError
from radsynth.report.arms import CORRECTED
from radsynth.report.evaluations import Evaluation
from radsynth.report.tidy import BASELINE
from radsynth.tasks.classification import evaluate, predictions_table


def prior_corrected(probabilities: np.ndarray, train_prior: np.ndarray, target_prior: np.ndarray) -> np.ndarray:
    """Return the probabilities (n, labels) that a classifier would give if labels were as frequent as in the target.

    Each is multiplied by target prior / training prior (labels,) and every row divided by its sum: Bayes' rule where
    the images of a label look alike in both (Elkan 2001, IJCAI 17:973; Saerens et al. 2002,
    10.1162/089976602753284446). Numbers of images serve as priors. No training, so no gain but that of the shift. The
    order of the images is kept with two labels. UserError where a label has no training image.
    """
    train_prior, target_prior = np.asarray(train_prior, float), np.asarray(target_prior, float)
    if not (train_prior > 0).all():
        raise UserError(
            f"mixes: training images per label {train_prior.tolist()}, expected all above 0 to correct for their shares"
        )
    # A probability that was rounded to 0 is a very small one: some label always remains.
    weighted = np.maximum(np.asarray(probabilities, float), 1e-300) * (target_prior / train_prior)
    return weighted / weighted.sum(axis=1, keepdims=True)


def corrected_evaluations(evaluations: Iterable[Evaluation]) -> list[Evaluation]:
    """Return what the baseline is worth on every test set of real images once its outputs know how frequent labels are.

    The probabilities are those stored, times the frequency of each label among the test images over that among the
    training images (``prior_corrected``); the label with the highest one is predicted. For two labels this is a shifted
    threshold. It uses one number of the test set, which a clinic knows: how frequent the finding is there. Test sets
    that lack a label have none.
    """
    found = []
    for evaluation in evaluations:
        if not evaluation.task.of_labels:
            continue
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
