"""The job's arguments, read from the command line as Glue writes it.

This module does not call `awsglue`'s `getResolvedOptions`, for four reasons. That function needs
all names in advance. It turns their dashes into underscores. It accepts the beginning of a name for
the name, so nobody notices that an argument is missing. And it fails on a value that begins with
`-`. Where none of this matters, both read a command line in the same way.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import boto3

from landfall._errors import ArgumentError
from landfall._objects import bucket_and_key

RESERVED = "--landfall-"
"""The prefix of Landfall's own arguments. A route cannot set an argument that begins with it."""

ROLE_ARN = re.compile(r"arn:(aws[a-z-]*):iam::([0-9]{12}):role/[\x21-\x7e]+")
TABLE_ARN = re.compile(
    r"arn:aws[a-z-]*:dynamodb:([a-z0-9-]+):([0-9]{12}):table/([\w.-]{3,255})", re.ASCII
)
_SWITCHES = frozenset(
    f"--enable-{name}"
    for name in (
        # AWS says that these two need no value; the others are `true` or `false`.
        *("glue-datacatalog", "metrics"),
        *("auto-scaling", "continuous-cloudwatch-log", "continuous-log-filter", "job-insights"),
        *("observability-metrics", "rename-algorithm-v2", "s3-parquet-optimized-committer"),
        "spark-ui",
    )
)
_EPOCH = re.compile(r"[1-9][0-9]{0,18}")
_EXTERNAL_ID = re.compile(r"[\w+=,.@:/-]{2,1224}", re.ASCII)


@dataclass(frozen=True)
class Arguments:
    """The arguments of a job run.

    - `epoch` counts the starts of the batch, from 1.
    - `manifest` is the `s3://bucket/key` of the manifest, which lists the objects.
    - `claims_table` is the ARN of the table that holds the batch's claim.
    - `reader_role` is the ARN of the role that may use both and may read the objects.
    - `region` is the job's own region, or the table's if the job's is unknown.
    - `scope` is `batch` if the run's sessions may reach only this batch, else None.
    - `arguments` holds all other arguments, without their leading dashes: the route's, the job's
      defaults, and those that Glue adds for itself.
    """

    batch_id: str
    epoch: int
    manifest: str
    claims_table: str
    reader_role: str
    region: str
    scope: str | None
    arguments: Mapping[str, str]


def read(argv: Sequence[str], external_id: str | None = None) -> Arguments:
    """Reads a command line, whose first word is the script's name.

    Raises ArgumentError, which lists everything that is missing or malformed.
    """
    problems: list[str] = []
    own, others = _pairs(list(argv)[1:], problems)

    def required(name: str) -> str:
        if name not in own:
            problems.append(f"`{name}` is missing")
        elif not own[name]:
            problems.append(f"`{name}` is empty")
        return own.get(name, "")

    batch_id = required("--landfall-batch-id")
    epoch = required("--landfall-epoch")
    if epoch and not _EPOCH.fullmatch(epoch):
        problems.append("`--landfall-epoch` is not a whole number from 1")
    manifest = required("--landfall-manifest")
    if manifest and not all(bucket_and_key(manifest)):
        problems.append("`--landfall-manifest` is not `s3://bucket/key`")
    reader_role = required("--landfall-reader-role")
    role_arn = ROLE_ARN.fullmatch(reader_role)
    if reader_role and not role_arn:
        problems.append("`--landfall-reader-role` is not the ARN of a role")
    claims_table = required("--landfall-claims-table")
    table_arn = TABLE_ARN.fullmatch(claims_table)
    if claims_table and not table_arn:
        problems.append("`--landfall-claims-table` is not the ARN of a table")
    elif role_arn and table_arn and role_arn[2] != table_arn[2]:
        # The library names the table without its account, and so finds the one in the reader role's
        # account. That would be another table, which nobody else uses.
        problems.append("`--landfall-claims-table` is not in the account of the reader role")
    scope = own.get("--landfall-scope")
    if scope not in (None, "batch"):
        # A later Landfall may have narrower scopes. Ignoring one would widen the session.
        problems.append("`--landfall-scope` is not `batch`")
    if external_id is not None and not _EXTERNAL_ID.fullmatch(external_id):
        # The message leaves the value out, because the two accounts share it as a secret.
        problems.append("the external ID is not valid")
    if problems or not table_arn:
        raise ArgumentError(problems)
    # The table's region is good enough: STS answers in any region, and S3 redirects a client to
    # the region of a bucket.
    region = os.environ.get("AWS_REGION") or boto3.session.Session().region_name or table_arn[1]
    return Arguments(
        batch_id, int(epoch), manifest, claims_table, reader_role, region, scope, others
    )


def _pairs(words: list[str], problems: list[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Returns Landfall's arguments, with their dashes, and all others, without.

    Glue passes `--name value`, and a value may look like anything, even like a name. Two kinds of
    words are never read as a value. The first is one of Landfall's own names, so that a flag
    without a value cannot hide it. The second is anything that begins with `--` after one of Glue's
    own switches, which may have no value.
    """
    own: dict[str, str] = {}
    others: dict[str, str] = {}
    rest = iter(range(len(words)))
    for at in rest:
        name, equals, value = words[at].partition("=")
        if not name.startswith("--") or len(name) < 3:
            continue  # Glue for Spark passes a bare word first.
        never = "--" if name in _SWITCHES else RESERVED
        if not equals and at + 1 < len(words) and not words[at + 1].startswith(never):
            value = words[next(rest)]
        if not name.startswith(RESERVED):
            others[name[2:]] = value
        elif name in own:
            problems.append(f"`{name}` is given twice")
        else:
            own[name] = value
    return own, others
