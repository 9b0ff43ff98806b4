"""ResNet18 trained on ImageNet (He et al. 2016): the features that the core study samples by."""

import torch
from torch.nn import functional as F

from radsynth.common.torchvision import import_torchvision
from radsynth.features.network import NetworkExtractor

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class ResNet18ImageNet(NetworkExtractor):
    """Global average of the last convolutional block, 512-d; the whole image is resized, nothing is cropped."""

    name = "resnet18_imagenet"
    dim = 512
    preprocessing = {
        "name": "imagenet224",
        "resize": "bilinear",
        "size": 224,
        "antialias": True,
        "scaling": "(x / 255 - mean) / std of ImageNet, per channel",
        "channels": "gray repeated to RGB",
    }

    @staticmethod
    def build() -> torch.nn.Module:
        import_torchvision()
        from torchvision.models import resnet18

        return resnet18(weights=None)

    def preprocess(self, images: torch.Tensor) -> torch.Tensor:
        images = F.interpolate(images, (224, 224), mode="bilinear", align_corners=False, antialias=True)
        mean, std = (images.new_tensor(values).view(3, 1, 1) for values in (MEAN, STD))
        return (images - mean) / std
