"""The batch as an fsspec filesystem.

Only this module imports fsspec, and it is itself imported at first use.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from fsspec import AbstractFileSystem
from fsspec.spec import AbstractBufferedFile

from landfall._errors import printable
from landfall._objects import Object, read_range, size_of

if TYPE_CHECKING:
    Entry = dict[str, Any]


class BatchFileSystem(AbstractFileSystem):  # type: ignore[misc]
    """A read-only filesystem of the batch's objects, each as it was when it arrived.

    A path is `bucket/key` with the exact key, with or without `s3://` in front. The part of a key
    before a `/` is a directory, which lists only objects of the batch.
    """

    protocol = "s3"
    cachable = False
    root_marker = ""

    # `list_objects` is a function, because fsspec converts every argument to text.
    def __init__(self, s3: Any, role: str, list_objects: Callable[[], Sequence[Object]]) -> None:
        super().__init__()
        self._s3 = s3
        self._role = role
        self._objects = {f"{one.bucket}/{one.key}": one for one in list_objects()}
        self._sorted = sorted(self._objects)

    @classmethod
    def _strip_protocol(cls, path: str | list[str]) -> Any:
        """Strips only the protocol: for S3, trailing and repeated slashes are part of the key."""
        if isinstance(path, list):
            return [cls._strip_protocol(one) for one in path]
        path = str(path)
        return path[len("s3://") :] if path.startswith("s3://") else path

    def info(self, path: str, **_: Any) -> Entry:
        path = self._strip_protocol(path)
        found = self._objects.get(path)
        if found is not None:
            return self._file(path, size_of(self._s3, self._role, found))
        if not path or next(self._below(path), None) is not None:
            return _directory(path.rstrip("/"))
        raise FileNotFoundError(f"`{printable(path)}` is not an object of the batch")

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Entry] | list[str]:
        path = self._strip_protocol(path)
        found: dict[str, Entry] = {}
        if path in self._objects:
            found[path] = self.info(path)
        else:
            start = len(path.rstrip("/")) + 1 if path else 0
            for below in self._below(path):
                name, slash, _rest = below[start:].partition("/")
                child = below[:start] + name
                if slash and child not in found:
                    found[child] = _directory(child)
                elif not slash:
                    found[child] = self.info(child)
        if path and not found:
            raise FileNotFoundError(f"`{printable(path)}` is not an object of the batch")
        return list(found.values()) if detail else list(found)

    def _open(self, path: str, mode: str = "rb", **options: Any) -> BatchFile:
        if mode != "rb":
            _read_only()
        details = self.info(path)
        if details["type"] != "file":
            raise FileNotFoundError(f"`{printable(path)}` is not an object of the batch")
        return BatchFile(self, details["name"], mode, size=details["size"], **options)

    def _below(self, path: str) -> Iterator[str]:
        """Yields the paths of the objects in a directory, at any depth."""
        prefix = f"{path.rstrip('/')}/" if path else ""
        for at in range(bisect_left(self._sorted, prefix), len(self._sorted)):
            if not self._sorted[at].startswith(prefix):
                return
            yield self._sorted[at]

    def _file(self, path: str, size: int) -> Entry:
        one = self._objects[path]
        return {
            "name": path,
            "type": "file",
            "size": size,
            "VersionId": one.version_id,
            "ETag": one.etag,
        }

    def _rm(self, path: str) -> NoReturn:
        _read_only()

    def cp_file(self, path1: str, path2: str, **_: Any) -> NoReturn:
        _read_only()

    def mkdir(self, path: str, create_parents: bool = True, **_: Any) -> NoReturn:
        _read_only()

    def makedirs(self, path: str, exist_ok: bool = False) -> NoReturn:
        _read_only()

    def rmdir(self, path: str) -> NoReturn:
        _read_only()


class BatchFile(AbstractBufferedFile):  # type: ignore[misc]
    """A file that reads its object by ranges. Each range comes from the object that arrived."""

    def _fetch_range(self, start: int, end: int) -> bytes:
        item: Object = self.fs._objects[self.path]
        return read_range(self.fs._s3, self.fs._role, item, start, end)


def _directory(path: str) -> Entry:
    return {"name": path, "type": "directory", "size": 0}


def _read_only() -> NoReturn:
    raise PermissionError("a batch is read-only")
