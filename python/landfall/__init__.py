"""The Glue job's own side of Landfall: whether to run, what to read, and as whom.

A job that Landfall starts gets its batch in its arguments. It claims the batch, so that of two runs
for one batch only one has effects, and reads the batch's objects through the reader role of the
account that owns them:

    import landfall

    with landfall.batch() as batch:
        for item in batch.objects:
            with batch.open(item) as body:
                rows = body.read()
                ...

It runs on Glue's Python shell (Python 3.9) and in Spark drivers (3.7 of Glue 3.0 and later), and
needs boto3 only. It writes nothing but the claim, and never prints or logs; it warns where the
outcome could not be recorded.
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
    # Where it is taken from, which is what the last line of a failed run's log then says.
    globals()[_name].__module__ = __name__
