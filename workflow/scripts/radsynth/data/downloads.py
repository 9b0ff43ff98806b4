"""The raw files of datasets: fetching them, and knowing when to look for them again."""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from radsynth.common.errors import UserError
from radsynth.common.files import read_json
from radsynth.data.listing import fingerprint
from radsynth.data.source import load_source


def has_login() -> bool:
    """Return whether the environment holds the login of a source that lets files be missing."""
    return bool(os.environ.get("PHYSIONET_USERNAME") and os.environ.get("PHYSIONET_PASSWORD"))


def download(dataset: Mapping[str, Any], labels: Sequence[str] = (), looked_for: str = "") -> dict[str, Any]:
    """Make sure that the raw files of a dataset are in its path; return a record of what was done.

    ``looked_for`` is what the function of that name has returned. ``missing`` counts the files that are left out.
    """
    origin, missing = load_source(dataset, labels).download()
    return {
        "source": dataset["source"],
        "downloaded_from": origin,
        "missing": missing,
        "login": has_login(),
        "raw": fingerprint(dataset.get("path") or "", dataset.get("masks")),
        "looked_for": looked_for,
    }


def looked_for(dataset: Mapping[str, Any], record: str | Path, prepared: bool) -> str:
    """Return a text that becomes another when raw files have to be looked for again, and not by the download itself.

    That is when they have changed since the download that ``record`` (its file) tells of, or when files were missing
    and there is a login now. Once the images are ``prepared`` nobody looks for raw files of which none is left.
    """
    now, last = fingerprint(dataset["path"], dataset.get("masks")), {}
    with suppress(UserError):  # not there, or cut: it is made anew
        last = read_json(record)
    gone = prepared and not now
    known = isinstance(last, dict) and {"raw", "missing", "login", "looked_for"} <= last.keys()
    if known and (gone or now == last["raw"]) and not (last["missing"] and has_login() and not last["login"]):
        return last["looked_for"]
    return f"{now} with login" if has_login() else now
