"""The Glue job's own side of Landfall: whether to run, what to read, and as whom.

A job that Landfall starts gets its batch in its arguments. It claims the batch, so that of two runs
for one batch only one has effects, and reads the batch's objects through the reader role of the
account that owns them:

    def main():
        batch = landfall.arguments()
        session = landfall.reader_session(batch)
        if not landfall.claim(batch, session):
            return  # Another run does the work.
        s3 = session.client("s3")
        for item in landfall.inputs(batch, session):
            with landfall.open_input(s3, item) as body:
                ...

It runs on Glue's Python shell (Python 3.9) and in Spark drivers, and needs boto3 only. It writes
nothing but the claim, and never prints or logs.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import boto3
import botocore.credentials
import botocore.session
from botocore.exceptions import BotoCoreError, ClientError
from botocore.response import StreamingBody
from urllib3.exceptions import HTTPError

RESERVED = "--landfall-"
"""Landfall's own arguments begin with this; a route cannot set one."""

SESSION_SECONDS = 3600
"""AWS caps the session of a role that another role assumes at one hour."""

_ROLE_ARN = re.compile(r"arn:aws[a-z-]*:iam::([0-9]{12}):role/[\x21-\x7e]+")
_TABLE_ARN = re.compile(
    r"arn:aws[a-z-]*:dynamodb:([a-z0-9-]+):([0-9]{12}):table/([\w.-]{3,255})", re.ASCII
)
_EPOCH = re.compile(r"[1-9][0-9]{0,18}")
_EXTERNAL_ID = re.compile(r"[\w+=,.@:/-]{2,1224}", re.ASCII)

_NONCE = secrets.token_hex(16)
# Tells this process from any other that was started with the same arguments.

_CLAIM_KEPT_SECONDS = 400 * 86_400
# As long as the ledger remembers arrivals (ARRIVALS_KEPT): a claim that expires is that of a batch
# whose arrivals are forgotten by then. The table's time to live takes it.

_MAX_PROBLEMS = 10  # A manifest that is wrong throughout must not flood the log.

_FREE_OR_MINE = (
    "(attribute_not_exists(#ended) OR #ended < :epoch)"
    " AND (attribute_not_exists(#holder) OR #holder = :mine OR #epoch <= #ended)"
)
# The second `#epoch` is the holder's: it has ended. Without `#ended`, that comparison is false.


class ArgumentError(ValueError):
    """The job's arguments are not what Landfall passes. `problems` lists all that is wrong."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        super().__init__("failed to read the job's arguments: " + "; ".join(self.problems))


class ReaderRoleError(RuntimeError):
    """The reader role could not be assumed; the cause says why."""


class ClaimError(RuntimeError):
    """Whether this process holds the batch is unknown; the cause says why.

    Let the run fail: the batch's next run can claim it.
    """


class ManifestError(RuntimeError):
    """The batch's manifest could not be read, or is not one."""


class InputError(RuntimeError):
    """An input could not be read; the cause says why."""


class InputChanged(InputError):
    """The object is no longer the one that arrived: it was overwritten or deleted."""


@dataclass(frozen=True)
class Input:
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


@dataclass(frozen=True)
class Batch:
    """What this job run was started for.

    `epoch` counts the batch's starts, from 1. `manifest` is the `s3://bucket/key` that lists the
    inputs, `claims_table` the ARN of the table in which the batch is claimed, `reader_role` the ARN
    of the role that may use both and read the inputs, `region` the job's own region. `arguments`
    are the job's other arguments without their leading dashes: the route's, the job's defaults, and
    what Glue adds for itself.
    """

    batch_id: str
    epoch: int
    manifest: str
    claims_table: str
    reader_role: str
    region: str
    arguments: Mapping[str, str]


def arguments(argv: Sequence[str] | None = None) -> Batch:
    """Read the batch from the job's command line (`sys.argv` by default, its first word ignored).

    Raises ArgumentError, which names everything that is missing or ill-formed at once.
    """
    words = list(sys.argv if argv is None else argv)[1:]
    problems: list[str] = []
    own, others = _pairs(words, problems)

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
    if manifest and not all(_bucket_and_key(manifest)):
        problems.append("`--landfall-manifest` is not `s3://bucket/key`")
    reader_role = required("--landfall-reader-role")
    role_arn = _ROLE_ARN.fullmatch(reader_role)
    if reader_role and not role_arn:
        problems.append("`--landfall-reader-role` is not the ARN of a role")
    claims_table = required("--landfall-claims-table")
    table_arn = _TABLE_ARN.fullmatch(claims_table)
    if claims_table and not table_arn:
        problems.append("`--landfall-claims-table` is not the ARN of a table")
    elif role_arn and table_arn and role_arn[1] != table_arn[2]:
        # Asked for by its name, another table would be found: one that nobody else looks at.
        problems.append("`--landfall-claims-table` is not in the account of the reader role")
    region = os.environ.get("AWS_REGION") or boto3.session.Session().region_name
    if not region:
        problems.append("no region: `AWS_REGION` and `AWS_DEFAULT_REGION` are not set")
    if problems:
        raise ArgumentError(problems)
    return Batch(batch_id, int(epoch), manifest, claims_table, reader_role, str(region), others)


def reader_session(batch: Batch, external_id: str | None = None) -> boto3.session.Session:
    """A session that acts as the batch's reader role, in the job's region.

    The role is assumed when the first request needs it, with the job's own credentials, and again
    before an hour is over, so a job may run longer than a session lasts. Clients made from the
    session raise ReaderRoleError when that fails; the functions here tell it as the reason of their
    own errors. A session may be shared by threads as far as boto3 allows; clients may.
    """
    if external_id is not None and not _EXTERNAL_ID.fullmatch(external_id):
        # The value stays out of the message: it is a shared secret of two accounts.
        raise ValueError(f"failed to assume role `{batch.reader_role}`: the external ID is not one")
    core = botocore.session.Session()
    core.register_component(
        "credential_provider",
        botocore.credentials.CredentialResolver([_ReaderRole(batch, external_id)]),
    )
    return boto3.session.Session(botocore_session=core, region_name=batch.region)


def claim(batch: Batch, session: boto3.session.Session) -> bool:
    """Claim the batch: True if this process holds it now, False if it must leave without effect.

    Call it before anything that has an effect, in a Spark job in the driver; `session` is the
    reader's. After False, end the script successfully by returning from it: Landfall follows the
    run that holds the claim.

    Guaranteed: among all runs that were ever started for a batch, one process at most holds it at a
    time, and the next can only once Landfall has recorded that the holder's epoch has ended. A run
    of such an epoch gets False, however late its request arrives. To call it again is harmless, and
    asks anew; so is the repetition of a request whose answer was lost, as boto3 does it.

    Not guaranteed: that the work is done once. When a run fails halfway, the batch's next run holds
    the claim and starts from the beginning, so outputs must be such that it replaces them. Nor does
    a claim outlive its process: a script that is started again with the same arguments gets False,
    which is why the job's own MaxRetries must be 0.

    Raises ClaimError when there is no answer, or the role or the table refuses.
    """
    what = f"failed to claim batch `{printable(batch.batch_id)}` in table `{batch.claims_table}`"
    found = _TABLE_ARN.fullmatch(batch.claims_table)
    if not found:
        raise ClaimError(f"{what}: not the ARN of a table")
    # By its name: only a newer boto3 takes the ARN. The reader role is of the table's account.
    region, _, table = found.groups()
    try:
        session.client("dynamodb", region_name=region).update_item(
            TableName=table,
            Key={"batch_id": {"S": batch.batch_id}},
            UpdateExpression=(
                "SET #holder = :mine, #epoch = :epoch, #claimed_at = :now, #expires = :expires"
            ),
            ConditionExpression=_FREE_OR_MINE,
            ExpressionAttributeNames={
                f"#{name}": name for name in ("holder", "epoch", "claimed_at", "ended", "expires")
            },
            ExpressionAttributeValues={
                ":mine": {"S": f"{batch.epoch}#{_NONCE}"},
                ":epoch": {"N": str(batch.epoch)},
                ":now": {"S": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")},
                ":expires": {"N": str(int(time.time()) + _CLAIM_KEPT_SECONDS)},
            },
        )
    except _FAILURES as error:
        if _code(error) == "ConditionalCheckFailedException":
            return False
        raise ClaimError(f"{what}: {_reason(error)}") from error
    return True


def inputs(batch: Batch, session: boto3.session.Session) -> tuple[Input, ...]:
    """The objects of the batch, in the manifest's order; `session` is the reader's.

    The manifest is held in memory as a whole while it is read: for 100,000 objects about 130 MB, or
    400 MB if every key is as long as can be. Raises ManifestError, which names the manifest.
    """
    what = f"failed to read manifest `{printable(batch.manifest)}`"
    bucket, key = _bucket_and_key(batch.manifest)
    try:
        # The body's own `with` would give the raw stream, without botocore's check of its length.
        with closing(session.client("s3").get_object(Bucket=bucket, Key=key)["Body"]) as body:
            text = body.read()
    except _FAILURES as error:
        raise ManifestError(f"{what}: {_reason(error)}") from error
    problems: list[str] = []
    found = _inputs(text, problems)
    if problems:
        shown = "; ".join(problems[:_MAX_PROBLEMS])
        more = len(problems) - _MAX_PROBLEMS
        raise ManifestError(f"{what}: {shown}" + (f"; and {more} more" if more > 0 else ""))
    return found


def session_name(batch_id: str) -> str:
    """The role session's name, by which CloudTrail in the data account shows the batch.

    It is `landfall-` and the batch id; where that is not a valid session name (2 to 64 of
    `A-Z a-z 0-9 _ + = , . @ -`), characters are replaced and a short hash keeps it distinct.
    """
    name = f"landfall-{batch_id}"
    valid = re.sub(r"[^\w+=,.@-]", "-", name, flags=re.ASCII)
    if valid == name and len(name) <= 64:
        return name
    digest = hashlib.sha256(batch_id.encode("utf-8", "surrogatepass")).hexdigest()[:10]
    return f"{valid[:53]}-{digest}"


def open_input(s3: Any, item: Input) -> StreamingBody:
    """The object's bytes, as a stream to read once and close; `s3` is a client of the reader.

    A versioned object is read by its version. Any other is read only while it is still the one
    that arrived (its ETag, else its size), so new data is never taken for old: InputChanged.
    Anything else that goes wrong is an InputError with its cause.
    """
    request = {"Bucket": item.bucket, "Key": item.key}
    if item.version_id:
        request["VersionId"] = item.version_id
    # "null" is the version of an object that is overwritten in place, so it pins nothing.
    if item.etag and item.version_id in (None, "", "null"):
        request["IfMatch"] = f'"{item.etag}"'
    what = f"failed to read `{printable(item.url)}`"
    try:
        answer = s3.get_object(**request)
    except _FAILURES as error:
        if _code(error) in ("PreconditionFailed", "412"):
            raise InputChanged(f"{what}: it was overwritten since it arrived") from error
        if _code(error) in ("NoSuchKey", "NoSuchVersion", "404"):
            raise InputChanged(f"{what}: it was deleted since it arrived") from error
        raise InputError(f"{what}: {_reason(error)}") from error
    if item.size is not None and answer["ContentLength"] != item.size:
        answer["Body"].close()
        found = answer["ContentLength"]
        raise InputChanged(f"{what}: it has {found} bytes, and had {item.size} when it arrived")
    return answer["Body"]


def printable(text: str) -> str:
    """`text` on one line: keys are data, and what cannot be printed is escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


class _ReaderRole(botocore.credentials.CredentialProvider):
    """The only source of credentials of the reader's session, so that no other can step in."""

    METHOD = CANONICAL_NAME = "landfall-reader-role"

    def __init__(self, batch: Batch, external_id: str | None) -> None:
        super().__init__()
        self._request = {
            "RoleArn": batch.reader_role,
            "RoleSessionName": session_name(batch.batch_id),
            "DurationSeconds": SESSION_SECONDS,
        }
        if external_id is not None:
            self._request["ExternalId"] = external_id
        self._region = batch.region
        self._sts: Any = None

    def load(self) -> botocore.credentials.DeferredRefreshableCredentials:
        return botocore.credentials.DeferredRefreshableCredentials(self._assume, self.METHOD)

    def _assume(self) -> dict[str, str]:
        role, name = self._request["RoleArn"], self._request["RoleSessionName"]
        try:
            if self._sts is None:
                core = botocore.session.Session()
                # Older botocore would ask the global endpoint, which is a region far away.
                core.set_config_variable("sts_regional_endpoints", "regional")
                self._sts = core.create_client("sts", region_name=self._region)
            found = self._sts.assume_role(**self._request)["Credentials"]
        except (BotoCoreError, ClientError) as error:
            why = _reason(error)
            raise ReaderRoleError(f"failed to assume role `{role}` as `{name}`: {why}") from error
        return {
            "access_key": found["AccessKeyId"],
            "secret_key": found["SecretAccessKey"],
            "token": found["SessionToken"],
            "expiry_time": found["Expiration"].isoformat(),
        }


def _pairs(words: list[str], problems: list[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Landfall's arguments, with dashes, and all others, without.

    Glue passes `--name value`, and a value may look like anything, a name included. Only
    Landfall's own names are never taken for a value, so a flag without one cannot hide them.
    """
    own: dict[str, str] = {}
    others: dict[str, str] = {}
    rest = iter(range(len(words)))
    for at in rest:
        name, equals, value = words[at].partition("=")
        if not name.startswith("--") or len(name) < 3:
            continue  # Glue for Spark puts a bare word in front.
        if not equals and at + 1 < len(words) and not words[at + 1].startswith(RESERVED):
            value = words[next(rest)]
        if not name.startswith(RESERVED):
            others[name[2:]] = value
        elif name in own:
            problems.append(f"`{name}` is given twice")
        else:
            own[name] = value
    return own, others


_FAILURES = (BotoCoreError, ClientError, ReaderRoleError, HTTPError)
# Older botocore lets urllib3's errors through while a body is read.


def _code(error: Exception) -> str:
    """What AWS calls the error; empty if it is not AWS that says so."""
    response = getattr(error, "response", None) or {}
    return response.get("Error", {}).get("Code", "")


def _reason(error: Exception) -> str:
    """Its code, not its message: of AssumeRole's, that could repeat the external ID."""
    if isinstance(error, ReaderRoleError):
        return str(error)  # All that Glue shows of a failed run is the last error's message.
    return _code(error) or type(error).__name__


def _bucket_and_key(url: str) -> tuple[str, str]:
    """Both empty where it is not `s3://…`. The key is what follows the bucket, untouched: a URL
    parser would cut it at `?` or `#`."""
    if not url.startswith("s3://"):
        return "", ""
    bucket, _, key = url[len("s3://") :].partition("/")
    return bucket, key


def _inputs(text: bytes, problems: list[str]) -> tuple[Input, ...]:
    """The inputs of a manifest: JSON in the form that Redshift's COPY reads."""
    try:
        manifest = json.loads(text)
    except (ValueError, RecursionError):
        problems.append("not JSON")
        return ()
    entries = manifest.get("entries") if isinstance(manifest, dict) else None
    if not isinstance(entries, list) or not entries:
        problems.append("no `entries`")
        return ()
    found = (_input(entry, f"entry {i}", problems) for i, entry in enumerate(entries))
    return tuple(item for item in found if item is not None)


def _input(entry: Any, where: str, problems: list[str]) -> Input | None:
    if not isinstance(entry, dict):
        problems.append(f"{where} is not an object")
        return None
    before = len(problems)
    url = entry.get("url")
    bucket, key = _bucket_and_key(url) if isinstance(url, str) else ("", "")
    if not bucket or not key:
        problems.append(f"{where}: `url` is not `s3://bucket/key`")
    elif len(key.encode("utf-8", "surrogatepass")) > 1024 or re.search("[\ud800-\udfff]", key):
        problems.append(f"{where}: `url` has no valid object key")
    meta = entry.get("meta", {})
    size = meta.get("content_length") if isinstance(meta, dict) else False
    if size is not None and (type(size) is not int or size < 0):
        problems.append(f"{where}: `meta.content_length` is not a number of bytes")
    texts = {name: entry.get(name) for name in ("version_id", "etag")}
    for name, value in texts.items():
        if value is not None and (not isinstance(value, str) or not value):
            problems.append(f"{where}: `{name}` is not a text")
    if len(problems) > before:
        return None
    etag = texts["etag"].strip('"') if texts["etag"] else None
    return Input(bucket, key, size, texts["version_id"], etag)
