"""All metrics: those of a pool stand in this order in its quality JSON, by what they are measured of."""

from copy import deepcopy
from typing import Any, TypeVar

from radsynth.common.schema import read_schema
from radsynth.quality import copies, frechet, image_copies, kernel, likeness, neighbourhoods
from radsynth.quality.metric import FAMILIES, Metric

Kind = TypeVar("Kind", bound=Metric)

METRICS: tuple[Metric, ...] = (
    frechet.FID,
    kernel.KID,
    kernel.KID_SUBSETS,
    neighbourhoods.PRECISION,
    neighbourhoods.RECALL,
    neighbourhoods.DENSITY,
    neighbourhoods.COVERAGE,
    copies.AUTHPCT,
    copies.C_T,
    copies.DCR_MEDIAN,
    copies.DCR_SHARE,
    copies.DCR_TAIL,
    copies.COPY_RATE,
    copies.NEAREST_COPY,
    likeness.INCEPTION_SCORE,
    likeness.MSE,
    likeness.PSNR,
    likeness.SSIM,
    image_copies.VIEW_COPY_RATE,
    image_copies.HASH_COPY_RATE,
    image_copies.VIEW_NEAREST_COPY,
    image_copies.EXACT_COPY_RATE,
    image_copies.DUPLICATE_RATE,
    image_copies.CONSTANT_RATE,
    likeness.MS_SSIM,
    likeness.LPIPS,
)


def metric(name: str) -> Metric:
    """Return the metric of that name; KeyError if there is none."""
    return {known.name: known for known in METRICS}[name]


def of_kind(kind: type[Kind], reference: str | None = None) -> list[Kind]:
    """Return the metrics of one kind (OfSets, OfCopies, ...), if given only those measured against that reference."""
    found = [known for known in METRICS if isinstance(known, kind)]
    return [known for known in found if reference is None or reference in known.references]


def in_shown_order() -> list[Metric]:
    """Return all metrics in the order of tables and figures: by family, and within it by rank."""
    return sorted(METRICS, key=lambda known: (FAMILIES.index(known.family), known.rank))


def quality_schema() -> dict[str, Any]:
    """Return the schema of a pool's quality JSON: the file of that name, and what each metric says of its own rows."""
    schema = deepcopy(read_schema("quality"))
    rows, suspects = (schema["properties"][key]["items"] for key in ("metrics", "suspects"))
    rows["properties"]["family"]["enum"] = list(FAMILIES)
    rows["properties"]["metric"]["enum"] = [known.name for known in METRICS]
    rows["allOf"] = [
        {
            "if": {"properties": {"metric": {"const": known.name}}},
            "then": {"properties": known.row_schema()},
        }
        for known in METRICS
    ]
    suspects["properties"]["metric"]["enum"] = [known.name for known in METRICS if known.search]
    return schema
