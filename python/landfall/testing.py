"""Batches for the tests of your jobs: from local files or a bucket of moto's, without AWS.

    import landfall.testing

    def test_lines_are_counted(tmp_path):
        (tmp_path / "a.csv").write_text("1\\n2\\n")
        with landfall.testing.batch(tmp_path) as batch:
            assert count_lines(batch) == 2

A batch from local files is read by the same code as in a job: as streams, as a filesystem, and by
ranges, and if a file changes in the meantime, reading it raises ObjectChanged. `batch.paths` are
local paths, so that a local SparkSession can read them. Nothing is sent anywhere.

`s3://bucket/prefix` makes a batch of what is there. That uses boto3's own credentials, so call it
where moto stands for AWS.

For pytest, `from landfall.testing import landfall_batch` in `conftest.py` gives you a fixture.
Importing this module doesn't need pytest.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar, Union

import boto3
from botocore.exceptions import ClientError
from botocore.response import StreamingBody

from landfall import _spark
from landfall._arguments import Arguments
from landfall._batch import Batch
from landfall._errors import LandfallError, printable
from landfall._objects import Object, bucket_and_key

BUCKET = "landing"
"""The bucket of a batch from local files."""

_ACCOUNT = "111111111111"
_Spark = TypeVar("_Spark")
Source = Union[str, "os.PathLike[str]"]


def batch(
    *sources: Source,
    arguments: Mapping[str, Any] | None = None,
    batch_id: str = "test-batch",
    epoch: int = 1,
    claimed: bool = True,
    exit: bool = True,
) -> LocalBatch:
    """Returns a batch of these objects. Enter it with `with`, as a job does.

    A source is a file, whose name becomes the key, or a folder, whose files have their path below
    it as the key (`dt=2026-01-01/a.csv`); all are in bucket `landing`. Or it is `s3://bucket/key`,
    for all objects whose keys begin so. `arguments` become `batch.arguments`, as text. With
    `claimed=False`, another run holds the batch. `exit` is as in `landfall.batch`.

    Raises ValueError if there are no objects, two have the same key, or a source doesn't exist.
    """
    remote = [str(one) for one in sources if str(one).startswith("s3://")]
    if remote and len(remote) < len(sources):
        raise ValueError("failed to make a batch: it has local files and objects of S3")
    if remote:
        session: Any = boto3.session.Session()
        objects = [item for url in remote for item in _listed(session, url)]
    else:
        files = dict(_files([Path(os.fspath(one)) for one in sources]))
        session = _LocalSession(files)
        objects = [
            Object(BUCKET, key, path.stat().st_size, None, _etag(path.read_bytes()))
            for key, path in files.items()
        ]
    if not objects:
        raise ValueError("failed to make a batch: it has no objects")
    named = {name[2:] if name[:2] == "--" else name: it for name, it in (arguments or {}).items()}
    passed = Arguments(
        batch_id,
        epoch,
        f"s3://landfall-manifests/{batch_id}.json",
        f"arn:aws:dynamodb:us-east-1:{_ACCOUNT}:table/landfall-claims",
        f"arn:aws:iam::{_ACCOUNT}:role/landfall-reader",
        os.environ.get("AWS_REGION") or "us-east-1",
        None,
        {name: str(value) for name, value in named.items()},
    )
    return LocalBatch(passed, session, sorted(objects), claimed, exit)


class LocalBatch(Batch):
    """A batch for tests. It does what a job's batch does, and says what the job did with it.

    - `outcome` is what the job would have recorded: `succeeded`, `failed` or None.
    - `error` is the name of the error that would have been recorded, or None.
    - `fences` counts the calls of `fence` that let the job through.
    """

    def __init__(
        self,
        arguments: Arguments,
        session: Any,
        objects: list[Object],
        claimed: bool,
        exit: bool,
    ) -> None:
        self._made = session
        self._is_mine = claimed
        super().__init__(arguments, None, exit)
        self._listed = tuple(objects)
        self.outcome: str | None = None
        self.error: str | None = None
        self.fences = 0

    def lose(self) -> None:
        """Lets another run take the batch over: the next fence stops the job."""
        self._is_mine = False

    @property
    def paths(self) -> list[str]:
        """The batch's objects as paths for a local SparkSession.

        Raises PathError for the same keys as in a job.
        """
        found = super().paths
        if not isinstance(self._made, _LocalSession):
            return found
        local = (self._made.files[one.key].absolute() for one in self.objects)
        return [_spark.escaped(str(path)) for path in local]

    def spark(self, spark: _Spark) -> _Spark:
        """Returns the SparkSession as it is. It reads local files without the reader role."""
        self._entered()
        return spark

    def _session(self, policy: Any) -> Any:
        return self._made

    def _take(self) -> bool:
        return self._is_mine

    def _holds(self) -> bool:
        self.fences += self._is_mine
        return self._is_mine

    def _report(self, kind: type[BaseException] | None) -> None:
        self.outcome = "failed" if kind else "succeeded"
        self.error = kind.__name__ if kind else None


def _files(sources: list[Path]) -> Iterator[tuple[str, Path]]:
    """Yields each file with its key. Raises ValueError."""
    keys: set[str] = set()
    for source in sources:
        if not source.exists():
            raise ValueError(f"failed to make a batch: there is no `{source}`")
        below = sorted(source.rglob("*")) if source.is_dir() else [source]
        root = source if source.is_dir() else source.parent
        for path in below:
            key = path.relative_to(root).as_posix()
            if not path.is_file():
                continue
            if key in keys:
                raise ValueError(f"failed to make a batch: two files have the key `{key}`")
            keys.add(key)
            yield key, path


def _listed(session: Any, url: str) -> Iterator[Object]:
    bucket, prefix = bucket_and_key(url)
    s3 = session.client("s3")
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix):
        for one in page.get("Versions", []):
            if one["IsLatest"]:
                version = None if one["VersionId"] == "null" else one["VersionId"]
                etag = one["ETag"].strip('"')
                yield Object(bucket, one["Key"], one["Size"], version, etag)


def _etag(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]


class _LocalSession:
    """Stands for the reader role's session: its S3 client reads local files."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        self.files = files

    def client(self, service: str, **_: Any) -> _LocalS3:
        if service != "s3":
            raise LandfallError(
                f"failed to make a client of `{service}`: a batch from local files has only S3's "
                "GetObject and HeadObject; use `s3://bucket/prefix` with moto"
            )
        return _LocalS3(self.files)


class _LocalS3:
    """The calls of S3 that read an object."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        self._files = files

    def head_object(self, **request: Any) -> dict[str, Any]:
        return {"ContentLength": len(self._read("HeadObject", request))}

    def get_object(self, **request: Any) -> dict[str, Any]:
        content = self._read("GetObject", request)
        span = re.fullmatch("bytes=([0-9]+)-([0-9]*)", request.get("Range", ""))
        part, more = content, {}
        if span:
            first, end = int(span[1]), int(span[2] or len(content)) + 1
            part = content[first:end]
            if not part:
                raise _refused("GetObject", "InvalidRange", 416)
            last = first + len(part) - 1
            more = {"ContentRange": f"bytes {first}-{last}/{len(content)}"}
        body = StreamingBody(io.BytesIO(part), len(part))
        return {"Body": body, "ContentLength": len(part), "ETag": f'"{_etag(content)}"', **more}

    def _read(self, operation: str, request: Mapping[str, Any]) -> bytes:
        path = self._files.get(request["Key"]) if request["Bucket"] == BUCKET else None
        if path is None or not path.is_file():
            raise _refused(operation, "NoSuchKey", 404)
        content = path.read_bytes()
        if request.get("IfMatch", f'"{_etag(content)}"') != f'"{_etag(content)}"':
            raise _refused(operation, "PreconditionFailed", 412)
        return content

    def __getattr__(self, name: str) -> Any:
        raise LandfallError(
            f"failed to call `{printable(name)}`: a batch from local files has only S3's GetObject "
            "and HeadObject; use `s3://bucket/prefix` with moto"
        )


def _refused(operation: str, code: str, status: int) -> ClientError:
    answer: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, operation)


def _entered_batches() -> Iterator[Callable[..., LocalBatch]]:
    """Returns a function that makes a batch as `landfall.testing.batch` does, and enters it.

    The test is the `with` block: the batch is left when the test ends.
    """
    with ExitStack() as stack:
        yield lambda *sources, **options: stack.enter_context(batch(*sources, **options))


try:
    import pytest
except ModuleNotFoundError:
    pass
else:
    landfall_batch = pytest.fixture(name="landfall_batch")(_entered_batches)
