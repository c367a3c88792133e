"""The objects of a batch, and reading one as it was when it arrived."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import IOBase
from typing import Any, NamedTuple

from botocore.response import StreamingBody

from landfall._errors import FAILURES, ObjectChanged, ObjectError, code, is_gone, printable, refusal


class Object(NamedTuple):
    """One object of the batch, as it was when it arrived.

    `key` is exact: what S3 calls the object, with nothing encoded. `size` is in bytes. `size`,
    `version_id` and `etag` (without quotes) are None where the event did not tell.
    """

    bucket: str
    key: str
    size: int | None = None
    version_id: str | None = None
    etag: str | None = None

    @property
    def url(self) -> str:
        """`s3://bucket/key`, the key as it is. Not a URL to parse: the key may hold `?` or `#`."""
        return f"s3://{self.bucket}/{self.key}"

    @property
    def request(self) -> dict[str, str]:
        """The parameters by which S3's GetObject and HeadObject give what arrived, or refuse.

        For clients of your own: `s3.get_object(**item.request)`. A versioned object is asked for by
        its version, any other by its ETag, and one of which neither is known as it is now.
        """
        found = {"Bucket": self.bucket, "Key": self.key}
        if self.version_id:
            found["VersionId"] = self.version_id
        # "null" is the version of an object that is overwritten in place, so it pins nothing.
        if self.etag and self.version_id in (None, "", "null"):
            found["IfMatch"] = f'"{self.etag}"'
        return found


class Body(StreamingBody, IOBase):  # type: ignore[misc]
    """The bytes of an object, as a stream to read once and close.

    As botocore's own, of which it is one, with three differences. `with` gives the stream itself:
    the raw one, which newer botocore gives, can end silently where the connection does, and older
    gives none. What goes wrong while it is read is an ObjectError that names the object. And `io`'s
    wrappers take it, as they take that of newer botocore.
    """

    def __init__(self, body: Any, item: Object, role: str) -> None:
        super().__init__(body, None)  # That one knows its length, and checks it.
        self._told = (item, role)

    def __enter__(self) -> Body:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(self, amt: int | None = None) -> bytes:
        with _naming(*self._told):
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
    """Both empty where it is not `s3://…`. The key is what follows the bucket, untouched: a URL
    parser would cut it at `?` or `#`."""
    if not url.startswith("s3://"):
        return "", ""
    bucket, _, key = url[len("s3://") :].partition("/")
    return bucket, key


def open_object(s3: Any, role: str, item: Object) -> Body:
    """The object's bytes, as a stream to read once and close; `s3` is a client of `role`.

    A versioned object is read by its version. Any other is read only while it is still the one
    that arrived (its ETag, else its size), so new data is never taken for old: ObjectChanged.
    Anything else that goes wrong is an ObjectError with its cause.
    """
    answer = _ask(s3.get_object, role, item)
    _same_size(item, answer["ContentLength"], answer["Body"])
    return Body(answer["Body"], item, role)


def read_range(s3: Any, role: str, item: Object, start: int, end: int) -> bytes:
    """The bytes from `start` up to `end`, with what `open_object` guarantees."""
    if end <= start:
        return b""  # No range of HTTP is empty.
    answer = _ask(s3.get_object, role, item, Range=f"bytes={start}-{end - 1}")
    _same_size(item, int(answer["ContentRange"].rpartition("/")[2]), answer["Body"])
    with Body(answer["Body"], item, role) as body:
        return body.read()


def size_of(s3: Any, role: str, item: Object) -> int:
    """Its size, asked for where the event did not tell."""
    if item.size is not None:
        return item.size
    return int(_ask(s3.head_object, role, item)["ContentLength"])


_ACTION = "s3:GetObject"


def _what(item: Object) -> str:
    return f"failed to read `{printable(item.url)}`"


@contextmanager
def _naming(item: Object, role: str) -> Iterator[None]:
    try:
        yield
    except FAILURES as error:
        raise ObjectError(f"{_what(item)}: {refusal(error, role, _ACTION)}") from error


def _ask(operation: Any, role: str, item: Object, **more: str) -> dict[str, Any]:
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
        raise ObjectError(f"{what}: {refusal(error, role, action)}") from error
    return answer


def _same_size(item: Object, found: int, body: Any) -> None:
    if item.size is not None and found != item.size:
        body.close()
        raise ObjectChanged(
            f"{_what(item)}: it has {found} bytes, and had {item.size} when it arrived"
        )
