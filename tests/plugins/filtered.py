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

        images = read_image_set(given.pools[given.entry["of"]])[1]
        label = list(given.labels).index(conditions[0]["label"])
        sure = given.classifiers[given.entry["classifier"]].predict(images[..., None])[:, label]
        kept = np.argsort(-sure, kind="stable")[list(indices)]
        yield Batch(indices, images[kept])
