"""Importing torchvision, also where its compiled part does not match torch."""

from types import ModuleType

import torch

_operators: list[torch.library.Library] = []  # operators vanish with the object that defined them


def import_torchvision() -> ModuleType:
    """Import torchvision, also where PyPI's CUDA wheel stands beside a CPU build of torch.

    Models and transforms need none of the compiled operators, but the import describes two of them, which must exist.
    Call it before anything that imports torchvision, such as diffusers.
    """
    try:
        import torchvision
    except RuntimeError:
        library = torch.library.Library("torchvision", "FRAGMENT")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _operators.append(library)
        import torchvision
    return torchvision
