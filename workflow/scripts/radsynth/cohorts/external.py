"""Another dataset as a test set."""

from collections.abc import Iterable

import pandas as pd

from radsynth.common.errors import UserError


def unseen_images(external: pd.DataFrame, cohorts: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Return the images of an external manifest whose pixels are in no training or validation set.

    Names of images, patients and near-duplicate groups mean nothing across datasets; pixels (``sha256``) do. UserError
    if no image is left.
    """
    seen = pd.concat([cohort["sha256"] for cohort in cohorts])
    unseen = external[~external["sha256"].isin(seen)]
    if unseen.empty:
        raise UserError("external_test: all images of the external dataset are in the training sets, too")
    return unseen
