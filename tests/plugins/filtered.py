"""The images of another pool that a classifier is surest about; image i is the i-th of them."""

import numpy as np
from radsynth.common.features import read_image_set
from radsynth.pools.kind import Needs, PoolKind


class Filtered(PoolKind):
    @staticmethod
    def needs(entry):
        return Needs(pools=(entry["of"],), classifiers=(entry["classifier"],))

    def draw(self, given, indices, conditions, seed):
        from radsynth.generators.base import Batch
        from radsynth.pools.scoring import sureness

        images = read_image_set(given.pools[given.entry["of"]])[1]
        sure = sureness(given, given.classifiers[given.entry["classifier"]], images, conditions[0]["label"])
        kept = np.argsort(-sure, kind="stable")[list(indices)]
        yield Batch(indices, images[kept])
