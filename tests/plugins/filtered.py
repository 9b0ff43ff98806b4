"""The images of another pool that a classifier is surest about; image i is the i-th of them."""

import numpy as np
from radsynth.common.sets import Batch, ImageSet
from radsynth.pools.kind import Needs, PoolKind


class Filtered(PoolKind):
    @staticmethod
    def needs(entry):
        return Needs(pools=(entry["of"],), classifiers=(entry["classifier"],))

    def draw(self, given, indices, conditions, seed):
        manifest, wanted = given.pools[given.entry["of"]], conditions.rows[0]["label"]
        parent = ImageSet.from_manifest(manifest, manifest.parent, [wanted])
        classifier = given.classifiers[given.entry["classifier"]]
        sure = classifier.predict(parent.images)[:, list(given.labels).index(wanted)]
        kept = np.argsort(-sure, kind="stable")[list(indices)]
        yield Batch(indices, parent.images[kept], channels=parent.channels)
