"""The processes that train one model side by side, each on a share of every batch (data-parallel)."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


class Team:
    """A process that trains alone; what processes that train together do differently is in ``Accelerated``."""

    size = 1
    # Whether this process writes files; the others only compute.
    leads = True

    @contextmanager
    def leader_first(self) -> Iterator[None]:
        """Let the others in when the leader has left."""
        yield

    def wrap(self, module: "torch.nn.Module") -> "torch.nn.Module":
        """Return the module to call in training; its gradients are means over the whole batch."""
        return module

    def share(self, *batches: "torch.Tensor") -> list["torch.Tensor"]:
        """Return this process's part of each batch. All processes must have drawn the same ones."""
        return list(batches)

    def total(self, sums: Any) -> Any:
        """Return the sums over all processes of tensors in nested dicts and tuples."""
        return sums

    def leave(self) -> None:
        """End the common work: all processes leave together."""


class Accelerated(Team):
    """One of several processes that were started together (see ``parallel``), connected by accelerate."""

    def __init__(self) -> None:
        import torch
        from accelerate import Accelerator, InitProcessGroupKwargs

        # The others wait while the leader writes previews, models and states.
        waiting = InitProcessGroupKwargs(timeout=timedelta(hours=2))
        self.accelerator = Accelerator(
            cpu=not torch.cuda.is_available(), mixed_precision="no", kwargs_handlers=[waiting]
        )
        self.size, self.leads = self.accelerator.num_processes, self.accelerator.is_main_process

    @contextmanager
    def leader_first(self) -> Iterator[None]:
        with self.accelerator.main_process_first():
            yield

    def wrap(self, module: "torch.nn.Module") -> "torch.nn.Module":
        return self.accelerator.prepare_model(module, device_placement=False)

    def share(self, *batches: "torch.Tensor") -> list["torch.Tensor"]:
        import torch

        rank = self.accelerator.process_index
        # From here on each process draws its own (dropout).
        torch.manual_seed((torch.initial_seed() + 1 + rank) % 2**63)
        return [batch.chunk(self.size)[rank] for batch in batches]

    def total(self, sums: Any) -> Any:
        return self.accelerator.reduce(sums, reduction="sum")

    def leave(self) -> None:
        # A process that ends while another is still connected to it may take that one along (abort, code -6).
        self.accelerator.wait_for_everyone()
        self.accelerator.end_training()


ALONE = Team()
