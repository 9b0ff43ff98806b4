"""A U-Net that is told what an image shows, and how strongly it heeds that."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    import diffusers

#: ``predict(noisy, timesteps)``
Predict = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class ConditionedUNet(torch.nn.Module):
    """A U-Net of diffusers (class_embed_type identity) with an embedding of ``columns`` numbers of each image.

    Lesions are further channels of its input, where it is told of them.
    """

    def __init__(self, unet: "diffusers.UNet2DModel", columns: int):
        super().__init__()
        self.unet = unet
        width = unet.time_embedding.linear_2.out_features
        # With all 0, nothing known, what is left are the biases: an embedding of its own.
        self.embedding = torch.nn.Sequential(
            torch.nn.Linear(columns, width), torch.nn.SiLU(), torch.nn.Linear(width, width)
        )

    def forward(
        self, noisy: torch.Tensor, timesteps: torch.Tensor, known: torch.Tensor, lesions: torch.Tensor | None = None
    ) -> "diffusers.models.unets.unet_2d.UNet2DOutput":
        """Predict as the U-Net; ``known`` (n, columns), ``lesions`` (n, 2, height, width) with "known" beside."""
        if lesions is not None:
            noisy = torch.cat([noisy, lesions], 1)
        return self.unet(noisy, timesteps, self.embedding(known))


def guided(network: torch.nn.Module, told: list[torch.Tensor], guidance: float) -> Predict:
    """Return what predicts by a network that is ``told``: u + w (c - u) of its predictions with and without that.

    ``guidance`` w (Ho & Salimans 2022): 1 heeds what is told as in training, 0 nothing, more exaggerates. Both
    predictions are of one batch.
    """

    def predict(noisy: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        if guidance == 1:
            return network(noisy, timesteps, *told).sample
        doubled = [torch.cat([one, torch.zeros_like(one)]) for one in told]
        output = network(noisy.repeat(2, 1, 1, 1), timesteps.repeat(2), *doubled).sample
        asked, free = output.chunk(2)
        return free + guidance * (asked - free)

    return predict
