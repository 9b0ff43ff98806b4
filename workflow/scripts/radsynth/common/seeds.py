"""Seeds derived from the study seed and named parts, stable across machines and versions."""

import hashlib
import json


def derive_seed(study_seed: int, *parts: str | int, bits: int = 63) -> int:
    """Return a seed in [0, 2**bits) that depends only on ``study_seed`` and ``parts``.

    ``bits=32`` suits libraries that refuse larger seeds (Keras, scikit-learn).
    """
    text = json.dumps([study_seed, *parts], separators=(",", ":"))
    digest = hashlib.sha256(text.encode()).digest()
    return int.from_bytes(digest[:8], "big") >> (64 - bits)
