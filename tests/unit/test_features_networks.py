"""The network extractors on seeded random weights: structure, preprocessing, independence of the batch."""

import copy
import hashlib
import json
from functools import cache

import numpy as np
import pytest
import torch
import yaml
from radsynth.common.errors import UserError
from radsynth.common.torchvision import import_torchvision
from radsynth.features import inception, network
from radsynth.features.inception import InceptionV3Fid, average_without_padding, fid_inception, maximum
from radsynth.features.interface import describe
from radsynth.features.resnet18 import ResNet18ImageNet
from torch.nn import functional as F


@pytest.fixture(autouse=True)
def threads():
    torch.set_num_threads(2)


@pytest.fixture
def images():
    return np.random.default_rng(2).integers(0, 256, (5, 40, 40), dtype=np.uint8)


@cache
def untrained(extractor):
    torch.manual_seed(0)
    return extractor(extractor.build(), None)


@cache
def inception_as_published():
    torch.manual_seed(0)
    return fid_inception().eval()


@pytest.fixture
def block(request):
    """A block of the network, its hooks put back afterwards."""
    found = getattr(inception_as_published(), request.param)
    pool = found.branch_pool
    hooks = found._forward_pre_hooks.copy(), pool._forward_pre_hooks.copy(), pool.conv._forward_hooks.copy()
    yield found
    found._forward_pre_hooks, pool._forward_pre_hooks, pool.conv._forward_hooks = hooks


def test_inception_has_the_parameters_of_the_published_file():
    import_torchvision()
    from torchvision.models import inception_v3

    with torch.device("meta"):
        theirs = inception_v3(weights=None, num_classes=1008, aux_logits=False, init_weights=False).state_dict()
        ours = fid_inception().state_dict()
    assert {name: value.shape for name, value in ours.items()} == {name: v.shape for name, v in theirs.items()}
    assert ours["fc.weight"].shape == (1008, 2048)
    parameters = sum(value.numel() for name, value in ours.items() if not name.endswith(("_mean", "_var", "_tracked")))
    assert parameters == 21_785_568 + 1008 * 2049  # InceptionV3 without its classifier and auxiliary head


def test_padding_is_not_counted():
    ones = torch.ones(1, 1, 3, 3)
    assert torch.equal(average_without_padding(ones), ones)
    assert F.avg_pool2d(ones, 3, 1, 1)[0, 0, 0, 0] == pytest.approx(4 / 9)
    ramp = torch.arange(9.0).view(1, 1, 3, 3)
    assert average_without_padding(ramp)[0, 0, 0, 0] == (0 + 1 + 3 + 4) / 4
    assert maximum(ramp)[0, 0, 0, 0] == 4


@pytest.mark.parametrize(
    ("block", "channels"), [("Mixed_5b", 192), ("Mixed_6e", 768), ("Mixed_7b", 1280)], indirect=["block"]
)
@torch.inference_mode()
def test_average_blocks_differ_from_torchvision_only_at_the_border_of_their_pool_branch(block, channels):
    torch.manual_seed(0)
    x = torch.rand(2, channels, 7, 7)
    hooked = block(x)
    block._forward_pre_hooks.clear()
    block.branch_pool._forward_pre_hooks.clear()
    block.branch_pool.conv._forward_hooks.clear()
    plain = block(x)
    pool_channels = block.branch_pool(x).shape[1]
    assert torch.equal(hooked[:, :-pool_channels], plain[:, :-pool_channels])
    torch.testing.assert_close(hooked[:, :, 1:-1, 1:-1], plain[:, :, 1:-1, 1:-1], rtol=1e-5, atol=1e-6)
    expected = block.branch_pool(average_without_padding(x))
    torch.testing.assert_close(hooked[:, -pool_channels:], expected, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(hooked[:, -pool_channels:, 0, 0], plain[:, -pool_channels:, 0, 0], atol=1e-4)


@pytest.mark.parametrize("block", ["Mixed_7c"], indirect=True)
@torch.inference_mode()
def test_last_block_takes_the_maximum(block):
    torch.manual_seed(0)
    x = torch.rand(1, 2048, 5, 5)
    assert torch.equal(block(x)[:, -192:], block.branch_pool.bn(block.branch_pool.conv(maximum(x))).relu())


def test_all_nine_pooling_branches_are_replaced():
    names = [name for name, _ in inception_as_published().named_children() if name.startswith("Mixed")]
    assert set(names) - set(inception.POOLS) == {"Mixed_6a", "Mixed_7a"}


@pytest.mark.parametrize(("extractor", "dim"), [(InceptionV3Fid, 2048), (ResNet18ImageNet, 512)])
def test_features_do_not_depend_on_the_batch(extractor, dim, images, monkeypatch):
    net = untrained(extractor)
    images = images[:3]
    # The smallest input that InceptionV3 takes: the same network, many times faster.
    monkeypatch.setattr(extractor, "preprocess", lambda _, x: F.interpolate(x, (75, 75)).expand(-1, 3, -1, -1))
    whole = net.extract(images)
    assert whole.shape == (3, dim) and whole.dtype == np.float32
    monkeypatch.setitem(network.BATCH_SIZES, "cpu", 2)
    np.testing.assert_allclose(net.extract(images), whole, rtol=1e-4, atol=1e-5 * np.abs(whole).max())
    # In batches of one size an image's neighbours do not change a bit.
    np.testing.assert_array_equal(net.extract(images[[2, 0, 1]])[[1, 2, 0]], net.extract(images))
    assert not np.allclose(whole[0], whole[1])
    assert not net.network.training


def test_fused_resnet_gives_the_features_of_the_published_one():
    # The same of Inception is shown beside pytorch-fid, in test_features_parity.
    torch.manual_seed(0)
    plain = ResNet18ImageNet.build().train()
    for module in plain.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.uniform_(module.bias, -0.5, 0.5)
            module.momentum = 1.0
    x = torch.rand(8, 3, 64, 64)
    with torch.inference_mode():
        plain(x)  # calibrates the batch normalisations
    fused = ResNet18ImageNet(copy.deepcopy(plain), None).network
    plain.fc = torch.nn.Identity()
    with torch.inference_mode():
        expected = plain.eval()(x)
        assert (fused(x) - expected).norm() < 1e-5 * expected.norm()


@pytest.mark.parametrize("extractor", [InceptionV3Fid, ResNet18ImageNet])
def test_no_batch_normalisation_is_left(extractor):
    kinds = {type(module) for module in untrained(extractor).network.modules()}
    assert torch.nn.Conv2d in kinds and torch.nn.BatchNorm2d not in kinds


@pytest.mark.parametrize("size", [40, 400])
def test_inception_preprocessing_is_pytorch_fids(size):
    images = np.random.default_rng(4).integers(0, 256, (2, size, size), dtype=np.uint8)
    seen = untrained(InceptionV3Fid).preprocess(torch.from_numpy(images).unsqueeze(1) / 255)
    assert seen.shape == (2, 3, 299, 299)
    # Half-pixel bilinear by hand, without antialias: output pixel i samples the source at (i + .5) size / 299 - .5.
    where = np.clip((np.arange(299) + 0.5) * size / 299 - 0.5, 0, size - 1)
    low, part = np.floor(where).astype(int), where - np.floor(where)
    high = np.minimum(low + 1, size - 1)
    rows = images[:, low] * (1 - part)[:, None] + images[:, high] * part[:, None]
    both = rows[:, :, low] * (1 - part) + rows[:, :, high] * part
    np.testing.assert_allclose(seen[:, 0].numpy(), both / 127.5 - 1, atol=1e-4)
    assert torch.equal(seen[:, 0], seen[:, 2])


def test_resnet_preprocessing_is_imagenets():
    gray = torch.full((1, 1, 50, 50), 0.5)
    seen = untrained(ResNet18ImageNet).preprocess(gray)
    assert seen.shape == (1, 3, 224, 224)
    expected = [(0.5 - 0.485) / 0.229, (0.5 - 0.456) / 0.224, (0.5 - 0.406) / 0.225]
    np.testing.assert_allclose(seen.mean(dim=(0, 2, 3)), expected, rtol=1e-5)
    stripes = torch.arange(672.0).remainder(2).expand(1, 1, 672, 672)  # finer than the target can show
    assert untrained(ResNet18ImageNet).preprocess(stripes)[0, 0, :, 1:-1].std() < 0.5


@pytest.mark.parametrize("wrong", [np.zeros((2, 8, 8), np.float32), np.zeros((2, 8, 8, 3), np.uint8)])
def test_wrong_kinds_of_images_are_refused(wrong):
    with pytest.raises(UserError, match="expected gray images"):
        untrained(ResNet18ImageNet).extract(wrong)


def test_weights_are_read_from_a_checked_file_only(tmp_path, images, monkeypatch):
    built = ResNet18ImageNet.build()
    path = tmp_path / "resnet18-f37072fd.pth"
    torch.save(built.state_dict(), path)
    with pytest.raises(UserError, match="the publisher's is f37072fd"):
        ResNet18ImageNet.from_file(path)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    registry = tmp_path / "weights.yaml"
    entry = {"file": path.name, "url": "u", "checksum": f"sha256:{sha256}", "licence": "l", "source": "s"}
    registry.write_text(yaml.safe_dump({"net": entry}))
    monkeypatch.setattr(network, "weights_entry", lambda file: yaml.safe_load(registry.read_text())["net"])
    loaded = ResNet18ImageNet.from_file(path)
    told = json.loads(json.dumps(describe(loaded)))
    assert told["weights"] == {"file": path.name, "sha256": sha256} and told["dim"] == 512
    assert loaded.logits(np.ones((1, 512), np.float32)) is None
    images = images[:1]
    np.testing.assert_array_equal(loaded.extract(images), ResNet18ImageNet(built, None).extract(images))


def test_no_gpu_falls_back_to_the_cpu_unless_torch_sees_one():
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert network.choose_device(wanted=True, threads=2) == expected
    assert network.choose_device(wanted=False, threads=1) == "cpu" and torch.get_num_threads() == 1
