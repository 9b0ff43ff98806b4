"""How near an image is to the nearest of the pool, seen in small: members are nearer."""

import numpy as np
from radsynth.common.images import downsample, gray_of
from radsynth.privacy.attack import Attack


class NearestImage(Attack):
    """Scores an image by its distance to the pool, negative."""

    access = "images"

    def score(self, target, members, non_members, seed):
        pool, *sides = (downsample(gray_of(images), self.options["size"]) for images in (target, members, non_members))
        return tuple(-np.linalg.norm(side[:, None] - pool, axis=2).min(axis=1) for side in sides)
