"""Inception score (Salimans et al. 2016, Improved techniques for training GANs, section 4)."""

import numpy as np

from radsynth.quality.arrays import Estimate, UndefinedError

SPLITS = 10


def inception_score(logits: np.ndarray, splits: int = SPLITS) -> Estimate:
    """Return mean and SD over consecutive splits of exp(mean KL(p(y|x) || p(y))); logits (n, classes), n >= 2 splits.

    At least 1, at most the number of classes; it knows the classes of ImageNet only and no real images.
    """
    n = len(logits)
    if n < 2 * splits:
        raise UndefinedError(f"needs at least {2 * splits} images for {splits} splits, found {n}")
    logits = logits.astype(np.float64)
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.sum(np.exp(shifted), axis=1, keepdims=True))
    p = np.exp(log_p)
    scores = []
    for split in range(splits):
        part = slice(split * n // splits, (split + 1) * n // splits)
        marginal = np.log(p[part].mean(axis=0, keepdims=True))
        scores.append(np.exp(np.sum(p[part] * (log_p[part] - marginal), axis=1).mean()))
    return Estimate(np.mean(scores), sd=np.std(scores))
