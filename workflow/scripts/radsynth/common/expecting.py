"""What the rooms' checks of their sections of the configuration share: names, and numbers of images by label."""

from collections.abc import Collection, Iterable, Mapping

from radsynth.common.errors import UserError

#: Names that Windows keeps for devices, with any suffix.
DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))}


def check_names(names: Iterable[str], where: str) -> None:
    """Raise UserError for names that some file systems do not keep apart, or keep for themselves."""
    seen: dict[str, str] = {}
    for name in names:
        if name.lower() in DEVICES:
            raise UserError(f"{where}: {name} is the name of a device on some systems, expected another")
        if name.lower() in seen:
            raise UserError(
                f"{where}: {seen[name.lower()]} and {name} differ in case alone, which some file systems do not tell "
                "apart; expected another name for one of them"
            )
        seen[name.lower()] = name


def expect(value: str, known: Collection[str], where: str) -> None:
    """Raise UserError, beginning with the key ``where``, unless a name is known."""
    if value not in known:
        raise UserError(f"{where}: unknown name {value!r}, expected one of {', '.join(known) or '(none defined)'}")


def expect_all_labels(counts: Mapping[str, int], labels: Collection[str], where: str) -> None:
    """Raise UserError, beginning with the key ``where``, unless every label and nothing else has a number."""
    for label in counts:
        expect(label, labels, where)
    for label in labels:
        if label not in counts:
            raise UserError(f"{where}.{label}: missing, every label needs a number of images")
