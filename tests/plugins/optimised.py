"""Of two images that a generator draws, the one that a classifier is surer about."""

import numpy as np
from radsynth.common.seeds import derive_seed
from radsynth.common.sets import Batch
from radsynth.pools.kind import Needs, PoolKind


class Optimised(PoolKind):
    @staticmethod
    def needs(entry):
        return Needs(models=(entry["generator"],), classifiers=(entry["classifier"],))

    def draw(self, given, indices, conditions, seed):
        name, classifier = given.entry["generator"], given.classifiers[given.entry["classifier"]]
        drawn = []
        for candidate in ("first", "second"):
            own = derive_seed(seed, candidate)
            batches = given.models[name].sample(indices, own, conditions, given.samplers[name])
            images = {
                index: image for batch in batches for index, image in zip(batch.indices, batch.images, strict=True)
            }
            drawn.append(np.stack([images[index] for index in indices]))
        label = list(given.labels).index(conditions.rows[0]["label"])
        sure = [classifier.predict(images)[:, label] for images in drawn]
        best = np.argmax(sure, axis=0)
        yield Batch(indices, np.stack(drawn)[best, np.arange(len(indices))])
