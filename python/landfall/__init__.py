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
