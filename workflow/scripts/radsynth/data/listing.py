"""What lies below a folder of raw files: every file once, links followed, and a fingerprint of all."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from hashlib import sha256
from pathlib import Path, PurePosixPath

#: Folders that file managers and archivers leave beside images; what begins with a dot is passed over as well.
LEFT_BEHIND = {
    *("@eadir", "__macosx", "#recycle", "$recycle.bin", "lost+found", "thumbs.db", "desktop.ini"),
    *("thumbnail", "thumbnails", "thumbs"),
}


@dataclass(frozen=True)
class Entry:
    """One file below a folder.

    ``parts`` is its way there, name by name; ``linked`` whether a link is on it. ``trouble`` is empty, or why there is
    nothing to read: ``dead`` (a link whose target is gone), ``repeated`` (a linked folder that leads to one that is
    read already, such as a loop) or ``closed`` (a folder that must not be read). ``size`` is in bytes, ``time`` that of
    the last change in nanoseconds.
    """

    path: Path
    parts: tuple[str, ...]
    linked: bool = False
    trouble: str = ""
    size: int = 0
    time: int = 0

    @property
    def name(self) -> str:
        """The way to the file below the folder, in characters that any output takes."""
        return printable("/".join(self.parts))

    @property
    def hidden(self) -> bool:
        """Whether a name on the way is one that no user has put there."""
        return any(part.startswith(".") or part.lower() in LEFT_BEHIND for part in self.parts)


def printable(name: str) -> str:
    """Return a file name with an escape, such as ``\\xfc``, for all that is no printable text."""
    if name.isprintable():
        return name
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def walk(folder: str | Path, exclude: Sequence[str] = ()) -> Iterator[Entry]:
    """Yield every file below a folder, sorted within its own; linked folders come last, and each folder once.

    Hidden folders, and those that the patterns ``exclude`` fit, come after them: a link may lead into one.
    """
    folder = Path(folder)
    # Links last: what is there itself keeps its own name.
    waiting: list[tuple[Path, tuple[str, ...], bool]] = [(folder, (), False)]
    links: list[tuple[Path, tuple[str, ...], bool]] = []
    unused: list[tuple[Path, tuple[str, ...], bool]] = []
    seen: set[tuple[int, int]] = set()
    while waiting or links or unused:
        here, parts, linked = waiting.pop() if waiting else (links or unused).pop(0)
        try:
            place = here.stat()
            known = (place.st_dev, place.st_ino) in seen
            inside = [] if known else sorted(os.scandir(here), key=lambda entry: entry.name)
        except OSError:
            yield Entry(here, parts, linked, "closed")
            continue
        if known:
            yield Entry(here, parts, linked, "repeated")
            continue
        seen.add((place.st_dev, place.st_ino))
        folders = []
        for entry in inside:
            path, way, link = here / entry.name, (*parts, entry.name), linked or entry.is_symlink()
            try:
                if entry.is_dir():
                    passed = Entry(path, way).hidden or matches(way, exclude)
                    (unused if passed else links if entry.is_symlink() else folders).append((path, way, link))
                    continue
                known = entry.stat()
            except OSError:
                yield Entry(path, way, link, "dead")
                continue
            # A link that leads to itself exists, but not as a file.
            broken = "" if entry.is_file() else "dead"
            yield Entry(path, way, link, broken, known.st_size, known.st_mtime_ns)
        waiting += reversed(folders)


def fingerprint(path: str | Path, masks: str | Path | None = None) -> str:
    """Return a hash of the names, sizes and times of all files at a path that a user has put there, empty if none.

    ``masks``, relative to the path or anywhere, is a folder to look at besides. Contents are not read: 100,000 files
    take about a second.
    """
    path = Path(path).expanduser()
    if masks:
        return fingerprint(path) + fingerprint(path / Path(masks).expanduser())
    if path.is_file():
        known = path.stat()
        entries = [Entry(path, (path.name,), size=known.st_size, time=known.st_mtime_ns)]
    else:
        entries = [entry for entry in walk(path) if entry.parts and not entry.hidden]
    lines = sorted(
        b"%s\0%s\0%d\0%d" % (os.fsencode("/".join(entry.parts)), entry.trouble.encode(), entry.size, entry.time)
        for entry in entries
    )
    return sha256(b"\n".join(lines)).hexdigest()[:16] if lines else ""


def matches(parts: tuple[str, ...], patterns: Sequence[str]) -> bool:
    """Return whether a way below the dataset's path, or one name on it, fits a shell pattern such as ``*_mask.*``."""
    names = [PurePosixPath(*parts).as_posix(), *parts]
    return any(fnmatchcase(name, pattern) for name in names for pattern in patterns)
