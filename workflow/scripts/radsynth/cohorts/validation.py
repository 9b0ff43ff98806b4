"""Which images of a sampling are for validation: whole patients, from which nothing ever learns."""

import pandas as pd

from radsynth.cohorts.groups import image_groups
from radsynth.cohorts.held_back import held_back_by_patients


def validation_images(
    orders: dict[str, pd.DataFrame], manifest: pd.DataFrame, gates: dict[str, bool], fraction: float
) -> set[str]:
    """Return the ids of the images, of all that ``orders`` (by label) hold, that are held back for validation.

    Groups of images that a patient or another gate ties together, in one class or across classes, are held back whole;
    patients stay together even if their gate is off. About ``fraction`` of every prefix of every order is held back:
    the orders are walked side by side, and a group goes to the validation if fewer images of the order where it comes
    first have gone there so far than should have. What comes later in an order changes nothing, so an image is for
    validation in all scenarios of a sampling or in none.
    """
    groups = image_groups(manifest, gates | {"patient": True})
    walks = {label: groups[order["image_id"]].tolist() for label, order in orders.items()}
    held_back: dict[int, bool] = {}
    counts = dict.fromkeys(orders, 0)
    for i in range(max(map(len, walks.values()))):
        for label, walk in walks.items():
            if i < len(walk):
                wanted = held_back_by_patients(i + 1, fraction)
                counts[label] += held_back.setdefault(walk[i], counts[label] < wanted)
    return {
        image
        for label, order in orders.items()
        for image, group in zip(order["image_id"], walks[label], strict=True)
        if held_back[group]
    }
