"""Remembers the headers that were parsed last: a scan is found, read, identified and derived from.

A file is parsed anew once its size or time of modification has changed.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Sized
from pathlib import Path
from threading import Lock
from typing import Generic, TypeVar

from mrsr_tf.io.archives import File

MOST_HEADERS = 1000  # of about 40 kB each; a scan has some hundred
# A file that was just written may change again within one tick of the file system's clock, which is
# 2 s long on FAT.
SETTLED_NS = 2 * 10**9

Content = TypeVar("Content", bound=Sized)


class HeaderCache(Generic[Content]):
    """Calls `parse` with a file unless the file's content is among the latest; thread-safe."""

    def __init__(self, parse: Callable[[File], Content]) -> None:
        self._parse = parse
        self._latest: OrderedDict[tuple[object, ...], Content] = OrderedDict()
        self._headers, self._lock = 0, Lock()

    def __call__(self, file: File) -> Content:
        """The content of the file."""
        version, is_settled = _version(file)
        with self._lock:
            if version in self._latest:
                self._latest.move_to_end(version)
                return self._latest[version]
        content = self._parse(file)
        if is_settled:
            self._store(version, content)
        return content

    def _store(self, version: tuple[object, ...], content: Content) -> None:
        with self._lock:
            if version not in self._latest:
                self._latest[version] = content
                self._headers += len(content)
            while self._headers > MOST_HEADERS:
                self._headers -= len(self._latest.popitem(last=False)[1])


def _version(file: File) -> tuple[tuple[object, ...], bool]:
    """What changes with the file's content, and whether it can be trusted to."""
    archive = file if isinstance(file, Path) else Path(str(file.root.filename))
    status = archive.stat()
    entry = "" if isinstance(file, Path) else file.at
    version = (archive.absolute(), entry, status.st_ino, status.st_size, status.st_mtime_ns)
    return version, time.time_ns() - status.st_mtime_ns > SETTLED_NS
