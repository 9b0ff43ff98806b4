"""Probabilities of a classifier for another mixture of labels than the one that it was trained on."""

import numpy as np

from radsynth.common.errors import UserError


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
