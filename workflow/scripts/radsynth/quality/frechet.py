"""Frechet distance between Gaussians fitted to features; on Inception features the FID (Heusel et al. 2017)."""

from dataclasses import dataclass

import numpy as np

from radsynth.quality.metric import LOWER, Meaning, OfSets, check_same_dim, checked


@dataclass(frozen=True)
class Gaussian:
    """Mean (d,) and a root A (r, d) of the unbiased covariance: A^T A = S, r = min(n, d)."""

    mean: np.ndarray
    root: np.ndarray


def statistics(features: np.ndarray) -> Gaussian:
    """Fit a Gaussian to features (n, d), n >= 2; n < d is allowed, though the distance is then mostly bias."""
    features = checked(features)
    n, d = features.shape
    mean = features.mean(axis=0)
    root = (features - mean) / np.sqrt(n - 1)
    return Gaussian(mean, np.linalg.qr(root, mode="r") if n > d else root)


def value(a: Gaussian, b: Gaussian) -> float:
    """Return |m_a - m_b|^2 + Tr(S_a + S_b - 2 (S_a S_b)^1/2), in squared units of the features.

    S_a S_b = A^T A B^T B has the nonzero eigenvalues of (A B^T)(A B^T)^T, so the trace of its root is the sum of the
    singular values of A B^T: no matrix root, and exact where the covariances are singular. Rounding below 0 is cut off.
    """
    check_same_dim(a.root, b.root)
    shift = a.mean - b.mean
    overlap = np.linalg.svd(a.root @ b.root.T, compute_uv=False).sum()
    return max(0.0, float(shift @ shift + np.sum(a.root**2) + np.sum(b.root**2) - 2 * overlap))


def _few_images(meeting) -> str:
    dim = meeting.reference.features.shape[1]
    few = min(len(meeting.reference.features), len(meeting.candidate.features)) <= dim
    return f"no more images than dimensions ({dim}): mostly bias" if few else ""


FID = OfSets(
    "fid",
    "distance",
    lambda meeting: value(meeting.reference.gaussian, meeting.candidate.gaussian),
    Meaning("FID", LOWER),
    lowest=0,
    remark=_few_images,
)
