"""The batch of a job run. Entering it claims it; leaving it records the outcome."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

import boto3

from landfall import _arguments, _claim, _manifest, _objects, _policy, _reader
from landfall._errors import ClaimedElsewhere, ClaimError, LandfallError, printable
from landfall._objects import Body, Object

if TYPE_CHECKING:
    from landfall._filesystem import BatchFileSystem

_Entered = TypeVar("_Entered", bound="Batch")
_Spark = TypeVar("_Spark")  # A `pyspark.sql.SparkSession`. Python shell has no PySpark.


def batch(
    argv: Sequence[str] | None = None, *, external_id: str | None = None, exit: bool = True
) -> Batch:
    """Returns the batch that this job run was started for. Enter it with `with`.

    If another run has the batch, entering ends the script with exit code 0. A Python shell job
    succeeds that way, but Glue seems to call a Spark run that exits FAILED. So in Spark, pass
    `exit=False` and ask for the claim yourself. Then nothing ends the script:

        with landfall.batch(exit=False) as batch:
            if batch.claimed:
                ...

    `argv` is the job's command line, `sys.argv` by default; its first word is ignored. Pass
    `external_id` if the reader role's trust policy requires one. Raises ArgumentError, which lists
    everything that is missing or malformed.
    """
    arguments = _arguments.read(sys.argv if argv is None else argv, external_id)
    return Batch(arguments, external_id, exit)


class Batch(_arguments.Arguments):
    """The batch that this job run was started for. You can read it only inside its `with` block.

    - `objects`, `len(batch)`: the objects, and their number
    - `open(item)`, `filesystem()`, `spark(spark)` with `paths`, `session`: ways to read them
    - `claimed`, `fence()`: whether this run still holds the batch
    - `arguments`: the job's other arguments, without their dashes
    - `batch_id`, `epoch`, `manifest`, `claims_table`, `reader_role`, `region`, `scope`: what
      Landfall passed to the run; `epoch` counts the starts of the batch, from 1

    Entering the block claims the batch; `_claim.claim` documents what that guarantees and what it
    doesn't. If another run holds the claim, entering raises ClaimedElsewhere, which ends the script
    with exit code 0 before the body runs. With `exit=False`, the body runs and `claimed` is False
    instead. If the claim fails for any other reason, entering raises ClaimError. So it does in a
    run that Glue repeats by itself, which has the same arguments: a job that claims needs a
    MaxRetries of 0, and Landfall retries the batch.

    Call `fence` right before others can see the job's effects. It checks that this run still holds
    the batch.

    Leaving the block records in the claim whether the body succeeded. It has if it comes to its end
    or returns. `sys.exit()` counts as a failure whatever its code, because Glue doesn't call every
    such run a success: to leave early, put the body into a function and `return`. If recording
    fails, you get a warning; the body's own exception, or its success, stays what it is.
    """

    def __init__(
        self, arguments: _arguments.Arguments, external_id: str | None = None, exit: bool = True
    ) -> None:
        super().__init__(**vars(arguments))
        self._external_id = external_id
        self._exit = exit
        self._claimed = False
        self._lost = False
        self._listed: tuple[Object, ...] | None = None
        self._s3: Any = None
        self._reader = self._session(self._objects_policy)
        self._control = self._session(self._control_policy) if self.scope else self._reader

    def __enter__(self: _Entered) -> _Entered:
        """Claims the batch. Raises ClaimedElsewhere or ClaimError, as the class says."""
        self._claimed = self._take()
        self._lost = not self._claimed
        if self._claimed:
            # Made here, and not at first use, because boto3 cannot make clients safely in threads.
            self._s3 = self._reader.client("s3")
            return self
        if self._exit:
            raise ClaimedElsewhere(self.batch_id)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        """Records how the block ended, unless another run holds the batch."""
        if not self._claimed:
            return False  # The run that holds the batch records the outcome.
        if isinstance(error, ClaimedElsewhere):
            # The fence raised it, so another run records the outcome. With `exit=False`, the script
            # goes on after the block.
            return not self._exit and self._lost
        try:
            self._report(kind)
        except ClaimError as unknown:
            try:
                warnings.warn(str(unknown), stacklevel=2)
            except Warning:  # The job turns warnings into errors.
                if error is None:
                    raise
        return False

    @property
    def claimed(self) -> bool:
        """True if this run holds the batch, as far as it knows: ask in a block of `exit=False`.

        False before the block, if another run holds the batch, and after the fence has said so.
        Leave then without any effect. Of a batch that isn't claimed you can read only what Landfall
        passed to the run (`batch_id`, `arguments` etc.); anything else raises LandfallError.
        """
        return self._claimed and not self._lost

    def fence(self) -> None:
        """Returns if this run still holds the batch. Call it right before the job commits.

        To commit is to rename, load or publish what the job has made. Calling it again is harmless.

        Raises ClaimedElsewhere, which ends the script with exit code 0, if another run holds the
        batch or if the monitor has seen this run end, for example after a time-out that its
        executors outlived. With `exit=False`, it ends only the `with` block: the script goes on
        after it, and `claimed` is False. Raises ClaimError if there is no answer; don't commit then
        either.

        The fence holds nothing while you commit, so commit soon after it returns.
        """
        self._entered()
        if not self._holds():
            self._lost = True
            raise ClaimedElsewhere(self.batch_id)

    def __len__(self) -> int:
        """The number of the batch's objects. The first use reads the manifest."""
        return len(self.objects)

    @property
    def objects(self) -> tuple[Object, ...]:
        """The batch's objects, in the manifest's order.

        The first use reads the manifest. Raises ManifestError, which names the manifest.
        """
        self._entered()
        if self._listed is None:
            self._listed = _manifest.read(self._control, self.reader_role, self.manifest)
        return self._listed

    @property
    def session(self) -> boto3.session.Session:
        """A boto3 session that acts as the reader role and refreshes itself.

        If `scope` is `batch`, the session can reach only this batch. If you read by key alone, you
        get what is there now, while `open` and `filesystem` read what arrived.
        """
        self._entered()
        return self._reader

    def open(self, item: Object) -> Body:
        """Returns the object's bytes, as a stream to read once and close.

        You can call it in threads. It reads a versioned object by its version. It reads any other
        object only if it is still the one that arrived, by its ETag or else its size, so you never
        get new data for old.

        Raises ObjectChanged if the object that arrived is gone. Raises ObjectError, with its cause,
        for any other failure; if AWS denies access, the error names the missing grant.
        """
        self._entered()
        return _objects.open_object(self._s3, self.reader_role, item)

    def filesystem(self) -> BatchFileSystem:
        """Returns the batch's objects as a read-only fsspec filesystem, for pyarrow, pandas etc.

        A path is `bucket/key`, with or without `s3://` in front. The filesystem reads each object
        as `open` does, and has no other object. Raises LandfallError if fsspec is not installed.
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

    def spark(self, spark: _Spark) -> _Spark:
        """Lets the SparkSession read the batch's bucket as the reader role, and returns it.

        Call it before anything reads the bucket through S3A. Raises SparkError if Spark can't use
        the role, and PathError if S3A can't read the bucket by its name.
        """
        self._entered()
        from landfall import _spark

        _spark.configure(spark, self, self._external_id, lambda: self.objects)
        return spark

    @property
    def paths(self) -> list[str]:
        """The batch's objects as paths for `spark.read`: `s3a://bucket/key`, patterns escaped.

        Raises PathError, which names the keys and buckets that Spark can't read.
        """
        objects = self.objects
        from landfall import _spark

        return _spark.paths(objects)

    def _take(self) -> bool:
        claimed = _claim.claim(self, self._control)
        if not claimed:
            _claim.refuse_repetition(self, self._control)
        return claimed

    def _holds(self) -> bool:
        return _claim.fence(self, self._control)

    def _report(self, kind: type[BaseException] | None) -> None:
        _claim.record(self, self._control, kind)

    def _entered(self) -> None:
        if not self._claimed:
            raise LandfallError(
                f"failed to read batch `{printable(self.batch_id)}`: "
                + (
                    "another run holds it; ask `batch.claimed` first"
                    if self._lost
                    else "it is not claimed; use `with landfall.batch() as batch:`"
                )
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
