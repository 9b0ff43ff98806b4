"""Files of a PhysioNet project, fetched with the user's login; what is there is not fetched again."""

import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path

from radsynth.common.errors import UserError
from radsynth.common.progress import Progress

log = logging.getLogger(__name__)

CHECKSUMS = "SHA256SUMS.txt"
#: Files fetched at a time.
CONNECTIONS = 4


class _NotThere(UserError):
    pass


def has_login() -> bool:
    """Return whether the environment holds a user name and a password."""
    return all(_login())


def _login() -> tuple[str, str]:
    return os.environ.get("PHYSIONET_USERNAME", ""), os.environ.get("PHYSIONET_PASSWORD", "")


class Site:
    """A project's files below ``url``, and the folder that mirrors them.

    The login is taken from the environment, PHYSIONET_USERNAME and PHYSIONET_PASSWORD, and goes nowhere else.
    """

    def __init__(self, url: str, folder: Path):
        self.url, self.folder = url.rstrip("/"), folder

    def fetch(self, files: Sequence[str], skip_missing: bool = False) -> int:
        """Fetch the files (relative names) that are not in the folder; return how many were fetched.

        Every file is checked against the publisher's SHA256SUMS.txt, where that names it, before it takes its place.
        UserError for the first file that cannot be fetched; a further call goes on from there. With ``skip_missing``
        files that the server does not have are left out, and all are if there is no login.
        """
        missing = [file for file in dict.fromkeys(files) if not (self.folder / file).is_file()]
        if not missing:
            return 0
        if not has_login():
            count = f"{self.folder}: {len(missing):,} files are missing, such as {missing[0]}"
            way_out = "set PHYSIONET_USERNAME and PHYSIONET_PASSWORD to fetch them"
            if not skip_missing:
                raise UserError(f"{count}; place them there, or, with access to {self.url}, {way_out}")
            log.warning("%s; they are left out; %s", count, way_out)
            return 0
        progress = Progress(f"fetching from {self.url}", len(missing), unit="file")
        checksums = self._checksums
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            jobs = [pool.submit(self._fetch_one, file, checksums.get(file)) for file in missing]
            fetched = 0
            try:
                for job in jobs:
                    try:
                        job.result()
                        fetched += 1
                    except _NotThere as error:
                        if not skip_missing:
                            raise
                        log.warning("%s; left out", error)
                    progress.update()
            finally:
                pool.shutdown(cancel_futures=True)
        return fetched

    @cached_property
    def _checksums(self) -> dict[str, str]:
        """The published SHA-256 by file; none if the project has no list of them."""
        try:
            self._fetch_one(CHECKSUMS, None)
        except _NotThere:
            log.warning("%s/%s is not there: files are not checked", self.url, CHECKSUMS)
            return {}
        lines = (self.folder / CHECKSUMS).read_text(encoding="utf-8").splitlines()
        return {name.strip().lstrip("*"): digest for digest, _, name in (line.partition(" ") for line in lines)}

    def _fetch_one(self, file: str, sha256: str | None) -> None:
        """Fetch a file; UserError if that fails, ``_NotThere`` if the server does not have it."""
        import pooch

        target = self.folder / file
        try:
            pooch.retrieve(
                f"{self.url}/{file}",
                known_hash=sha256 and f"sha256:{sha256}",
                fname=target.name,
                path=target.parent,
                downloader=pooch.HTTPDownloader(auth=_login(), timeout=60),
            )
        except Exception as error:
            status = getattr(getattr(error, "response", None), "status_code", None)
            if status == 404:
                raise _NotThere(f"{target}: {self.url} has no such file") from None
            reason = {
                401: "401: user name or password is wrong",
                403: "403: no access; log in at physionet.org, complete the training and sign the data use agreement",
            }.get(status, f"{type(error).__name__}: {' '.join(str(error).split())[:200]}")
            raise UserError(f"{target}: could not be fetched from {self.url} ({reason})") from None
