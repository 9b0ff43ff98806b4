"""What the configuration tells a generator of images. Free of everything."""

from collections.abc import Mapping
from typing import Any


def is_told(generator: Mapping[str, Any]) -> bool:
    """Return whether a generator of the configuration is told what images show: attributes, lesions or their label."""
    options = generator["options"]
    told = (options.get("attributes"), options.get("continuous"), options.get("lesions", "none") != "none")
    return generator["per"] != "label" or any(told)
