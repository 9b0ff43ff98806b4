"""What is shown and compared, in the configuration: defaults and checks."""

from typing import Any

from radsynth.common.errors import UserError
from radsynth.report.arms import CONTROL, CORRECTED


def fill_paper(config: dict[str, Any]) -> None:
    """Name the archive after the study."""
    config["paper"].setdefault("version", config["study"])


def check_report(config: dict[str, Any]) -> None:
    """Raise UserError for a mix with the name of an arm that is made by itself, or half a comparison."""
    for name in config["mixes"]:
        if name == CORRECTED or name.startswith(CONTROL):
            raise UserError(f"mixes.{name}: this name is kept for an arm that is made by itself, expected another")
    if len(config["compare"]) == 1:
        raise UserError(f"compare: {config['compare'][0]} alone, expected two names")
