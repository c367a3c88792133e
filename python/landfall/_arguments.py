"""The job's arguments, from the command line as Glue makes it.

`awsglue`'s `getResolvedOptions` reads the same words and is not called. It must be told all names
beforehand, turns their dashes into underscores, lets the beginning of a name stand for the name, so
that one which is missing is not missed, and fails on a value that begins with `-`. What it reads
without these traps is read the same here.
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
"""Landfall's own arguments begin with this; a route cannot set one."""

ROLE_ARN = re.compile(r"arn:(aws[a-z-]*):iam::([0-9]{12}):role/[\x21-\x7e]+")
TABLE_ARN = re.compile(
    r"arn:aws[a-z-]*:dynamodb:([a-z0-9-]+):([0-9]{12}):table/([\w.-]{3,255})", re.ASCII
)
_SWITCHES = frozenset(
    f"--enable-{name}"
    for name in (
        # Of these two AWS says that no value is needed; the others are `true` or `false`.
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
    """What this job run was started for.

    `epoch` counts the batch's starts, from 1. `manifest` is the `s3://bucket/key` that lists the
    objects, `claims_table` the ARN of the table in which the batch is claimed, `reader_role` the
    ARN of the role that may use both and read the objects, `region` the job's own region, or the
    table's where the job's is not told. `scope` is `batch` where a session is to reach this batch
    only. `arguments` are the job's other arguments without their leading dashes: the route's, the
    job's defaults, and what Glue adds for itself.
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
    """The arguments of a command line, whose first word is the script's name.

    Raises ArgumentError, which names everything that is missing or ill-formed at once.
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
        # Asked for by its name, another table would be found: one that nobody else looks at.
        problems.append("`--landfall-claims-table` is not in the account of the reader role")
    scope = own.get("--landfall-scope")
    if scope not in (None, "batch"):
        # A narrower scope of a later Landfall must not be taken for none.
        problems.append("`--landfall-scope` is not `batch`")
    if external_id is not None and not _EXTERNAL_ID.fullmatch(external_id):
        # The value stays out of the message: it is a shared secret of two accounts.
        problems.append("the external ID is not one")
    if problems or not table_arn:
        raise ArgumentError(problems)
    # STS answers in any region, and S3 tells which one is a bucket's: the table's will do.
    region = os.environ.get("AWS_REGION") or boto3.session.Session().region_name or table_arn[1]
    return Arguments(
        batch_id, int(epoch), manifest, claims_table, reader_role, region, scope, others
    )


def _pairs(words: list[str], problems: list[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Landfall's arguments, with dashes, and all others, without.

    Glue passes `--name value`, and a value may look like anything, a name included. Two things are
    never taken for a value: Landfall's own names, so a flag without one cannot hide them; and after
    one of Glue's own switches, which can be set without a value, anything that begins with `--`.
    """
    own: dict[str, str] = {}
    others: dict[str, str] = {}
    rest = iter(range(len(words)))
    for at in rest:
        name, equals, value = words[at].partition("=")
        if not name.startswith("--") or len(name) < 3:
            continue  # Glue for Spark puts a bare word in front.
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
