"""The objects of a batch. Reads an object as it was when it arrived."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import IOBase
from typing import Any, NamedTuple

from botocore.response import StreamingBody

from landfall._errors import (
    FAILURES,
    ObjectChanged,
    ObjectError,
    code,
    is_gone,
    obstacle,
    printable,
    refusal,
)


class Object(NamedTuple):
    """An object of the batch, as it was when it arrived.

    `key` is exactly S3's key, with nothing encoded. `size` is in bytes, and `etag` has no quotes.
    `size`, `version_id` and `etag` are None if the event record didn't have them.
    """

    bucket: str
    key: str
    size: int | None = None
    version_id: str | None = None
    etag: str | None = None

    @property
    def url(self) -> str:
        """`s3://bucket/key`, with the exact key.

        Don't pass it to a URL parser, because the key may contain `?` or `#`.
        """
        return f"s3://{self.bucket}/{self.key}"

    @property
    def request(self) -> dict[str, str]:
        """Parameters that make S3's GetObject and HeadObject return what arrived, or fail.

        Use them with a client of your own: `s3.get_object(**item.request)`. They name a versioned
        object's version and any other object's ETag. If neither is known, you get the object as it
        is now.
        """
        found = {"Bucket": self.bucket, "Key": self.key}
        if self.version_id:
            found["VersionId"] = self.version_id
        # Version "null" is overwritten in place, so it doesn't pin what arrived.
        if self.etag and self.version_id in (None, "", "null"):
            found["IfMatch"] = f'"{self.etag}"'
        return found


class Body(StreamingBody, IOBase):  # type: ignore[misc]
    """The bytes of an object, as a stream to read once and close.

    It is a botocore StreamingBody with three differences. First, `with` yields the stream itself.
    Newer botocore yields the raw stream, which can end silently when the connection does, and older
    botocore has no `with`. Second, if reading fails, it raises an ObjectError that names the
    object. Third, `io`'s wrappers accept it, as they accept that of newer botocore.
    """

    def __init__(self, body: Any, item: Object, role: str) -> None:
        super().__init__(body, None)  # `body` knows its own length, and checks it.
        self._named = (item, role)

    def __enter__(self) -> Body:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(self, amt: int | None = None) -> bytes:
        with _naming(*self._named):
            found: bytes = super().read(amt)
        return found

    def readable(self) -> bool:
        return True

    def readinto(self, b: Any) -> int:
        found = self.read(len(b))
        b[: len(found)] = found
        return len(found)

    def readlines(self, hint: int = -1) -> list[bytes]:
        return list(self.iter_lines(keepends=True))


def bucket_and_key(url: str) -> tuple[str, str]:
    """Splits `s3://bucket/key`. Both parts are empty if `url` doesn't begin with `s3://`.

    The key is everything after the bucket, unchanged. A URL parser would cut it at `?` or `#`.
    """
    if not url.startswith("s3://"):
        return "", ""
    bucket, _, key = url[len("s3://") :].partition("/")
    return bucket, key


def open_object(s3: Any, role: str, item: Object) -> Body:
    """Returns the object's bytes, as a stream to read once and close. `s3` is a client of `role`.

    It reads a versioned object by its version. It reads any other object only if it is still the
    one that arrived, by its ETag or else its size, so nobody gets new data for old. Raises
    ObjectChanged if the object that arrived is gone, and ObjectError, with its cause, for any other
    failure.
    """
    answer = _call(s3.get_object, role, item)
    _same_size(item, answer["ContentLength"], answer["Body"])
    return Body(answer["Body"], item, role)


def read_range(s3: Any, role: str, item: Object, start: int, end: int) -> bytes:
    """Returns the bytes from `start` up to, but not including, `end`.

    It guarantees what `open_object` does, and raises the same errors.
    """
    if end <= start:
        return b""  # HTTP has no empty range.
    answer = _call(s3.get_object, role, item, Range=f"bytes={start}-{end - 1}")
    _same_size(item, int(answer["ContentRange"].rpartition("/")[2]), answer["Body"])
    with Body(answer["Body"], item, role) as body:
        return body.read()


def size_of(s3: Any, role: str, item: Object) -> int:
    """Returns the object's size in bytes. Calls S3 only if the event record didn't have it."""
    if item.size is not None:
        return item.size
    return int(_call(s3.head_object, role, item)["ContentLength"])


_ACTION = "s3:GetObject"


def _what(item: Object) -> str:
    return f"failed to read `{printable(item.url)}`"


@contextmanager
def _naming(item: Object, role: str) -> Iterator[None]:
    try:
        yield
    except FAILURES as error:
        raise ObjectError(f"{_what(item)}: {refusal(error, role, _ACTION)}") from error


def _call(operation: Any, role: str, item: Object, **more: str) -> dict[str, Any]:
    what = _what(item)
    try:
        answer: dict[str, Any] = operation(**item.request, **more)
    except FAILURES as error:
        if code(error) in ("PreconditionFailed", "412"):
            raise ObjectChanged(f"{what}: it was overwritten since it arrived") from error
        if is_gone(error):
            raise ObjectChanged(f"{what}: it was deleted since it arrived") from error
        if code(error) in ("InvalidRange", "416"):
            raise ObjectChanged(f"{what}: it has become shorter since it arrived") from error
        action = "s3:GetObjectVersion" if item.version_id else _ACTION
        why = obstacle(error, item.bucket) or refusal(error, role, action)
        raise ObjectError(f"{what}: {why}") from error
    return answer


def _same_size(item: Object, found: int, body: Any) -> None:
    if item.size is not None and found != item.size:
        body.close()
        raise ObjectChanged(
            f"{_what(item)}: it has {found} bytes now, but had {item.size} when it arrived"
        )
