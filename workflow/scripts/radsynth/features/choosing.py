"""Which extractors a key of the configuration may name."""

from radsynth.common.errors import UserError
from radsynth.common.expecting import expect
from radsynth.common.registry import KINDS

EXTRACTORS = KINDS["extractors"]


def early_extractors() -> list[str]:
    """Return the extractors that need no trained cohort."""
    return [name for name, entry in EXTRACTORS.items() if not entry.per_cohort]


def expect_extractor(extractor: str, where: str) -> None:
    """Raise UserError, beginning with the key ``where``, for an unknown extractor."""
    expect(extractor, EXTRACTORS, where)


def expect_early(extractor: str, where: str) -> None:
    """Raise UserError, beginning with the key ``where``, for an extractor that exists only after the cohort."""
    early = early_extractors()
    if extractor in EXTRACTORS and extractor not in early:
        raise UserError(f"{where}: {extractor} exists only after the cohort, expected {' or '.join(early)}")
    expect(extractor, early, where)
