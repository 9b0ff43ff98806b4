"""torch, set up in one place: the fast path on a GPU, the plain path on a CPU."""

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
import torch

from radsynth.common.gpu import confirm_device
from radsynth.common.torchvision import import_torchvision
from radsynth.learning.team import ALONE, Team

log = logging.getLogger(__name__)

_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


# diffusers imports torchvision.
import_torchvision()


@dataclass(frozen=True)
class Plan:
    """How a model runs: ``dtype`` is that of autocast (float32: none); weights and losses stay float32.

    ``team`` are the processes that train it.
    """

    device: torch.device
    dtype: torch.dtype
    compile: bool
    team: Team = ALONE

    @property
    def fast(self) -> bool:
        """Whether this is the GPU path (fused optimizer, batches of constant size)."""
        return self.device.type == "cuda"

    @property
    def name(self) -> str:
        """The name of the device: ``cpu``, or that of the GPU."""
        return torch.cuda.get_device_name() if self.fast else "cpu"

    def autocast(self) -> AbstractContextManager:
        """Return the context for forward passes."""
        return torch.autocast(self.device.type, dtype=self.dtype, enabled=self.dtype != torch.float32)

    def place(self, module: torch.nn.Module) -> torch.nn.Module:
        """Move a module to the device, in the memory format that convolutions like best."""
        return module.to(self.device, memory_format=torch.channels_last)

    def compiled(self, module: torch.nn.Module) -> torch.nn.Module:
        """Return the module to call in training: compiled on a GPU, sharing the weights of the one given."""
        module = self.team.wrap(module)
        if not self.compile:
            return module
        # A GPU machine without a working compiler trains in eager mode, with a warning from torch.
        torch._dynamo.config.suppress_errors = True
        return torch.compile(module, dynamic=False)

    def grad_scaler(self) -> torch.amp.GradScaler:
        """Return a scaler that skips non-finite steps; only fp16 needs its scaling, the others keep the factor 1."""
        if self.dtype == torch.float16:
            return torch.amp.GradScaler(self.device.type)
        return torch.amp.GradScaler(self.device.type, init_scale=1.0, growth_interval=2**30)

    def batches(self, indices: Sequence[int], size: int) -> Iterator[tuple[list[int], list[int]]]:
        """Yield the indices in chunks of at most ``size``, each with the batch to compute for it.

        A GPU picks its kernels by batch size, and these round differently: there the last batch is filled up.
        """
        for start in range(0, len(indices), size):
            chunk = list(indices[start : start + size])
            yield chunk, chunk + chunk[-1:] * (size - len(chunk)) if self.fast else chunk

    def peak_memory_mb(self) -> float:
        """Return the peak memory of this process in MB: the GPU's if there is one."""
        if self.fast:
            return torch.cuda.max_memory_allocated() / 2**20
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def to_floats(images: torch.Tensor) -> torch.Tensor:
    """Return uint8 images (n, height, width, channels) as floats (n, channels, height, width) in [-1, 1]."""
    return images.permute(0, 3, 1, 2) / 127.5 - 1


def to_bytes(images: torch.Tensor) -> np.ndarray:
    """Return images (n, channels, height, width) in [-1, 1] as uint8 (n, height, width, channels); others are cut."""
    return ((images + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()


def gray_bytes(images: torch.Tensor) -> np.ndarray:
    """Return the means of an image's channels as uint8 (n, height, width, 1), as ``to_bytes``."""
    return to_bytes(images.mean(dim=1, keepdim=True))


def choose_plan(precision: str = "auto", compile: bool = True, team: Team = ALONE) -> Plan:
    """Return the plan for this machine.

    ``precision`` auto is bf16 where the GPU computes in it, fp16 on older ones, fp32 on a CPU; on a CPU fp16
    becomes fp32. ``compile`` is honoured on a GPU only.
    """
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))
    confirm_device("torch", torch.cuda.is_available())
    if not torch.cuda.is_available():
        if precision == "fp16":
            log.info("precision fp16 needs a GPU: computing in fp32 on the CPU")
        return Plan(torch.device("cpu"), _DTYPES["bf16" if precision == "bf16" else "fp32"], False, team)
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")
    if precision == "auto":
        precision = "bf16" if torch.cuda.get_device_capability() >= (8, 0) else "fp16"
    log.info("computing in %s on %s", precision, torch.cuda.get_device_name())
    return Plan(torch.device("cuda"), _DTYPES[precision], compile, team)
