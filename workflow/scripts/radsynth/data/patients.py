"""Patients told by file names: the patterns that users write, and what they find."""

import json
import re
import subprocess
import sys
from collections.abc import Sequence

from radsynth.common.errors import UserError

#: A pattern such as (a+)+$ takes time that doubles with every letter, and nothing in its own process can stop it.
LIMIT_SECONDS = 60
_MATCH = """
import json, re, sys
pattern, ways = json.load(sys.stdin)
pattern = re.compile(pattern)
group = "patient" if "patient" in pattern.groupindex else 1
found = (pattern.search(way) or pattern.search(way.split("/")[-1]) for way in ways)
json.dump([match and match[group] for match in found], sys.stdout)
"""


def check_patient_pattern(pattern: str, where: str) -> None:
    """Raise UserError, beginning with the key ``where``, unless a pattern is one that finds patients in file names."""
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise UserError(f"{where}: {pattern!r} is no regular expression ({error})") from None
    if compiled.groups != 1 and "patient" not in compiled.groupindex:
        raise UserError(
            f"{where}: {pattern!r} has {compiled.groups} groups, "
            "expected one group, or one named patient, around the patient's part of the file name"
        )


def match_patients(pattern: str, ways: Sequence[str], seconds: float = LIMIT_SECONDS) -> list[str | None]:
    """Return what a pattern finds in each way below a class folder, else in its file name; None where neither fits.

    The file name alone as well, so that ``^`` finds its beginning in a subfolder. UserError if that takes longer than
    ``seconds``.
    """
    # Separate, with names as ASCII: they may hold bytes that are no text.
    command, given = [sys.executable, "-I", "-c", _MATCH], json.dumps([pattern, list(ways)])
    try:
        result = subprocess.run(command, input=given, capture_output=True, text=True, timeout=seconds, check=True)
    except subprocess.TimeoutExpired:
        raise UserError(
            f"patient_pattern: {pattern!r} is not done with {len(ways):,} names after {seconds:g} s: repeats inside "
            "repeats, such as (a+)+, take endless time; write it simpler"
        ) from None
    return json.loads(result.stdout)
