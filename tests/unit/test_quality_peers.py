"""FID, KID, PRDC and the Inception score equal what the peers give for the same features."""

import numpy as np
import pytest
import torch
from radsynth.common.torchvision import import_torchvision
from radsynth.quality import frechet, kernel, neighbourhoods
from radsynth.quality.likeness import inception_score
from radsynth.quality.neighbourhoods import Points, encounter

import_torchvision()


@pytest.fixture(
    scope="module", params=[(150, 220, 32), (40, 60, 96)], ids=["full_rank", "fewer_images_than_dimensions"]
)
def features(request):
    """Two sets of correlated features that are not negative, as after a ReLU."""
    n, m, d = request.param
    generator = np.random.default_rng(0)
    mixing = generator.normal(size=(d, d)) / np.sqrt(d)
    a, b = (np.maximum(generator.normal(size=(size, d)) @ mixing + 0.3, 0) for size in (n, m))
    return a, b * 1.1 + 0.05


def moments(x):
    return x.mean(axis=0), np.cov(x, rowvar=False)


def fid(a, b):
    return frechet.value(frechet.statistics(a), frechet.statistics(b))


def test_fid_equals_that_of_pytorch_fid(features):
    from pytorch_fid.fid_score import calculate_frechet_distance

    a, b = features
    assert fid(a, b) == pytest.approx(calculate_frechet_distance(*moments(a), *moments(b)), abs=1e-3)


def test_fid_equals_that_of_torch_fidelity(features):
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    statistics = [fid_features_to_statistics(torch.from_numpy(x)) for x in features]
    peer = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    assert fid(*features) == pytest.approx(peer, abs=1e-3)


def test_fid_equals_that_of_clean_fid(features):
    from cleanfid.fid import frechet_distance

    a, b = features
    assert fid(a, b) == pytest.approx(frechet_distance(*moments(a), *moments(b)), abs=1e-3)


def test_kid_equals_that_of_torch_fidelity(features, monkeypatch):
    """One subset of all images, without replacement, is the full statistic; smaller ones agree on average."""
    from torch_fidelity.metric_kid import kid_features_to_metric

    a, b = features
    b = b[: len(a)]
    tensors = torch.from_numpy(a), torch.from_numpy(b)
    full = kid_features_to_metric(*tensors, kid_subsets=1, kid_subset_size=len(a), verbose=False)
    assert kernel.value(kernel.statistics(a), kernel.statistics(b)) == pytest.approx(
        full["kernel_inception_distance_mean"], abs=1e-6
    )
    size = len(a) // 2
    peer = kid_features_to_metric(*tensors, kid_subsets=400, kid_subset_size=size, verbose=False)
    monkeypatch.setattr(kernel, "SUBSET_SIZE", size)
    samples = (kernel.Resampled(x, seed, draws=0, subsets=400) for seed, x in enumerate((a, b)))
    ours = kernel.estimates(*samples)["kid_subsets"]
    spread = peer["kernel_inception_distance_std"]
    assert ours.value == pytest.approx(peer["kernel_inception_distance_mean"], abs=4 * spread * np.sqrt(2 / 400))
    assert ours.sd == pytest.approx(spread, rel=0.2)


def test_kid_equals_that_of_torchmetrics(features):
    from torchmetrics.image.kid import poly_mmd

    a, b = features
    b = b[: len(a)]
    peer = float(poly_mmd(torch.from_numpy(a), torch.from_numpy(b)))
    assert kernel.value(kernel.statistics(a), kernel.statistics(b)) == pytest.approx(peer, abs=1e-6)


@pytest.mark.parametrize("k", [1, 3, 5])
def test_manifold_metrics_equal_those_of_prdc(features, k):
    from prdc import compute_prdc

    a, b = features
    peer = compute_prdc(a, b, nearest_k=k)
    meeting = encounter(Points(a), Points(b), (k,))
    for metric, expected in peer.items():
        assert getattr(neighbourhoods, metric)(meeting, k) == pytest.approx(expected, abs=1e-12), metric


def test_the_inception_score_equals_that_of_torch_fidelity():
    from torch_fidelity.metric_isc import isc_features_to_metric

    logits = np.random.default_rng(1).normal(0, 2, size=(203, 30)).astype(np.float32)
    peer = isc_features_to_metric(torch.from_numpy(logits), splits=10, shuffle=False)
    ours = inception_score(logits)
    assert ours.value == pytest.approx(peer["inception_score_mean"], rel=1e-9)
    assert ours.sd == pytest.approx(peer["inception_score_std"], rel=1e-9)
