"""A batch as the job has it: claimed on entering, its outcome recorded on leaving."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

import boto3

from landfall import _arguments, _claim, _manifest, _objects, _policy, _reader
from landfall._errors import ClaimedElsewhere, ClaimError, LandfallError, printable
from landfall._objects import Body, Object

if TYPE_CHECKING:
    from landfall._filesystem import BatchFileSystem


def batch(argv: Sequence[str] | None = None, *, external_id: str | None = None) -> Batch:
    """The batch that this job run was started for, to be entered with `with`.

    It is read from the job's command line (`sys.argv` by default, its first word ignored);
    `external_id` is what the reader role's trust policy asks for, if it does. Raises ArgumentError,
    which names everything that is missing or ill-formed at once.
    """
    return Batch(_arguments.read(sys.argv if argv is None else argv, external_id), external_id)


class Batch(_arguments.Arguments):
    """What this job run was started for. Nothing of it can be read before it is entered.

    Entering claims the batch; `_claim.claim` says what that guarantees and what it does not. Raises
    ClaimError when there is no answer. Where another run does the work ClaimedElsewhere is raised,
    which ends the script successfully: the body is never entered.

    `fence`, right before the job's effects are seen, asks whether the batch is still its own.

    Leaving records in the claim whether the body succeeded. Where that fails there is a warning:
    the body's own exception, and the run's success, stay what they are.
    """

    def __init__(self, arguments: _arguments.Arguments, external_id: str | None = None) -> None:
        super().__init__(**vars(arguments))
        self._external_id = external_id
        self._claimed = False
        self._listed: tuple[Object, ...] | None = None
        self._s3: Any = None
        self._reader = self._session(self._objects_policy)
        self._control = self._session(self._control_policy) if self.scope else self._reader

    def __enter__(self) -> Batch:
        if not _claim.claim(self, self._control):
            raise ClaimedElsewhere(self.batch_id)
        self._claimed = True
        self._s3 = self._reader.client("s3")  # Here, since making clients is not safe in threads.
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(error, ClaimedElsewhere):
            return  # From the fence: what becomes of the batch is another run's to say.
        # `sys.exit()` in the body is a success, as it is for Python.
        left = isinstance(error, SystemExit) and error.code in (None, 0)
        try:
            _claim.record(self, self._control, None if left else kind)
        except ClaimError as unknown:
            try:
                warnings.warn(str(unknown), stacklevel=2)
            except Warning:  # Where warnings are errors.
                if error is None:
                    raise

    def fence(self) -> None:
        """Call it right before the job commits: renames, loads, publishes what it has made.

        Goes on if this run still holds the batch. If the monitor has seen the run end, as after a
        time-out that its executors outlived, or another run holds the batch, ClaimedElsewhere is
        raised, which ends the script successfully and without effect. Raises ClaimError when there
        is no answer: then do not commit either.

        Between the fence and the commit nothing is held, so let little time pass there.
        """
        self._entered()
        if not _claim.fence(self, self._control):
            raise ClaimedElsewhere(self.batch_id)

    @property
    def objects(self) -> tuple[Object, ...]:
        """The batch's objects, in the manifest's order, which is read at first use.

        Raises ManifestError, which names the manifest.
        """
        self._entered()
        if self._listed is None:
            self._listed = _manifest.read(self._control, self.reader_role, self.manifest)
        return self._listed

    @property
    def session(self) -> boto3.session.Session:
        """A session of boto3 that acts as the reader role, and refreshes itself.

        Narrowed to this batch where `scope` is `batch`. Who reads with it by key alone reads what
        is there now; `open` and `filesystem` read what arrived.
        """
        self._entered()
        return self._reader

    def open(self, item: Object) -> Body:
        """The object's bytes, as a stream to read once and close. It may be called in threads.

        A versioned object is read by its version. Any other is read only while it is still the one
        that arrived (its ETag, else its size), so new data is never taken for old: ObjectChanged.
        Anything else that goes wrong is an ObjectError with its cause; a refusal names the grant
        that is missing.
        """
        self._entered()
        return _objects.open_object(self._s3, self.reader_role, item)

    def filesystem(self) -> BatchFileSystem:
        """The batch's objects as a filesystem of fsspec, read-only, for pyarrow, pandas and others.

        A path is `bucket/key`, with or without `s3://` before it. Each is read as `open` reads it;
        no other is found. Raises LandfallError where fsspec is not installed.
        """
        self._entered()
        try:
            from landfall._filesystem import BatchFileSystem
        except ModuleNotFoundError as error:
            if error.name != "fsspec":
                raise
            raise LandfallError(
                "failed to make a filesystem: fsspec is not installed; "
                "add it to the job's `--additional-python-modules`"
            ) from error
        return BatchFileSystem(self._s3, self.reader_role, lambda: self.objects)

    def spark(self, spark: Any) -> Any:
        """Let the SparkSession read the batch's bucket as the reader role; returns it."""
        self._entered()
        from landfall import _spark

        return _spark.configure(spark, self, self._external_id, lambda: self.objects)

    @property
    def paths(self) -> Any:
        """What `spark.read` takes for the batch's objects. Raises PathError, which names keys."""
        objects = self.objects
        from landfall import _spark

        return _spark.paths(objects)

    def _entered(self) -> None:
        if not self._claimed:
            raise LandfallError(
                f"failed to read batch `{printable(self.batch_id)}`: it is not claimed; "
                "use `with landfall.batch() as batch:`"
            )

    def _session(self, policy: _reader.Policy) -> boto3.session.Session:
        return _reader.session(
            self.reader_role,
            self.batch_id,
            self.region,
            self._external_id,
            policy if self.scope else None,
        )

    def _objects_policy(self, budget: int) -> str:
        return _policy.objects_policy(self._partition(), self.objects, budget)

    def _control_policy(self, budget: int) -> str:
        return _policy.control_policy(
            self._partition(), self.batch_id, self.manifest, self.claims_table, budget
        )

    def _partition(self) -> str:
        return self.reader_role.split(":")[1]
