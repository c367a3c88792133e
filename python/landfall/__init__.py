"""The library for Glue jobs that Landfall starts.

Landfall passes a batch to a job run in the run's arguments. This library reads them, claims the
batch, so that only one of two runs for the same batch has effects, and reads the batch's objects as
the reader role of the account that owns them:

    import landfall

    with landfall.batch() as batch:
        for item in batch.objects:
            with batch.open(item) as body:
                rows = body.read()
                ...
        batch.fence()  # right before others can see what the job did
        ...

In Spark, where an exit seems to fail the run, a run that doesn't get the batch must not exit:

    with landfall.batch(exit=False) as batch:
        if batch.claimed:
            rows = batch.spark(spark).read.csv(batch.paths)
            ...

What you need first:

- `landfall.batch()` is the batch; `help(landfall.Batch)` says what entering and leaving it does
- `batch.objects` are its objects, `len(batch)` is their number
- `batch.open(item)`, `batch.filesystem()`, `batch.spark(spark)` and `batch.paths` read them
- `batch.fence()` goes on only if this run still holds the batch
- `batch.arguments`, `batch.batch_id` and `batch.epoch` are what the run was started with
- `landfall.testing` makes a batch from local files, for the tests of your job
- every error is a `LandfallError`, except `ClaimedElsewhere`, which ends a script with exit code 0

It runs in Glue's Python shell (Python 3.9) and in Spark drivers (Python 3.7 in Glue 3.0, and later
versions), and needs only boto3. It writes nothing but the claim. It never prints or logs, but it
warns if it could not record the outcome of the run.
"""

from landfall._batch import Batch, batch
from landfall._errors import (
    ArgumentError,
    ClaimedElsewhere,
    ClaimError,
    EndpointError,
    LandfallError,
    ManifestError,
    ObjectChanged,
    ObjectError,
    PathError,
    ReaderRoleError,
    SparkError,
    printable,
)
from landfall._objects import Body, Object

__version__ = "0.2.0"

__all__ = [
    "ArgumentError",
    "Batch",
    "Body",
    "ClaimError",
    "ClaimedElsewhere",
    "EndpointError",
    "LandfallError",
    "ManifestError",
    "Object",
    "ObjectChanged",
    "ObjectError",
    "PathError",
    "ReaderRoleError",
    "SparkError",
    "batch",
    "printable",
]

for _name in __all__:
    # The last line of a failed run's log then names the error as scripts do: `landfall.ClaimError`.
    globals()[_name].__module__ = __name__
