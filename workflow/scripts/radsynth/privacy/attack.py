"""What an attack is: it scores images for how likely a generator learned from them.

Whatever plans a study imports it: what a module of one imports at its top must not lead to a framework.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np

Access = Literal["images", "features", "model"]


class Attack(ABC):
    """Tells members, images that a generator learned from, from non-members, others of the same source.

    ``access`` says what it may read, and so what ``score`` is given:

    ======== ========================================== ====================================
    access   target                                     members, non-members
    ======== ========================================== ====================================
    images   the pool, uint8 (k, height, width, c)      images, uint8 (n, height, width, c)
    features the pool's features (k, d)                 their features (n, d), of the same extractor
    model    the generator, loaded                      ImageSet (radsynth.common.sets)
    ======== ========================================== ====================================

    Members are the training images without those withheld from the generator. Non-members were withheld from everything
    by patient, at random, before anything was chosen; never images by which a model was chosen. An attack must not tell
    the two by anything but the target: it scores an image in the same way on either side.

    ``options`` are its own of the configuration, all of workflow/schemas/attacks/KIND.schema.yaml.
    """

    access: ClassVar[Access]

    def __init__(self, options: Mapping[str, Any] | None = None):
        self.options = dict(options or {})

    @abstractmethod
    def score(self, target: Any, members: Any, non_members: Any, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Return finite scores of the members (n,) and the non-members (m,); the higher, the likelier a member.

        The same seed gives the same scores. UndefinedError (radsynth.quality.metric) where there is nothing to score
        by, for instance an empty pool.
        """
