"""The Glue job's own side of Landfall: what to read, and as whom.

A job that Landfall starts gets its batch in its arguments and reads the batch's objects through the
reader role of the account that owns them:

    batch = landfall.arguments()
    s3 = landfall.reader_session(batch).client("s3")
    for item in batch.inputs:
        with landfall.open_input(s3, item) as body:
            ...

It runs on Glue's Python shell (Python 3.9) and in Spark drivers, and needs boto3 only. It never
writes anything, and never prints or logs.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import boto3
import botocore.credentials
import botocore.session
from botocore.exceptions import BotoCoreError, ClientError
from botocore.response import StreamingBody

RESERVED = "--landfall-"
"""Landfall's own arguments begin with this; a route cannot set one."""

SESSION_SECONDS = 3600
"""AWS caps the session of a role that another role assumes at one hour."""

_ROLE_ARN = re.compile(r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[\x21-\x7e]+")
_EXTERNAL_ID = re.compile(r"[\w+=,.@:/-]{2,1224}", re.ASCII)


class ArgumentError(ValueError):
    """The job's arguments are not what Landfall passes. `problems` lists all that is wrong."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        super().__init__("failed to read the job's arguments: " + "; ".join(self.problems))


class ReaderRoleError(RuntimeError):
    """The reader role could not be assumed; the cause says why."""


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

    `reader_role` is the ARN of the role that may read the inputs, `region` the job's own region.
    `arguments` are the job's other arguments without their leading dashes: the route's, the job's
    defaults, and what Glue adds for itself.
    """

    batch_id: str
    reader_role: str
    region: str
    inputs: tuple[Input, ...]
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
    reader_role = required("--landfall-reader-role")
    if reader_role and not _ROLE_ARN.fullmatch(reader_role):
        problems.append("`--landfall-reader-role` is not the ARN of a role")
    manifest = required("--landfall-inputs")
    inputs = _inputs(manifest, "`--landfall-inputs`", problems) if manifest else ()
    region = os.environ.get("AWS_REGION") or boto3.session.Session().region_name
    if not region:
        problems.append("no region: `AWS_REGION` and `AWS_DEFAULT_REGION` are not set")
    if problems:
        raise ArgumentError(problems)
    return Batch(batch_id, reader_role, str(region), inputs, others)


def reader_session(batch: Batch, external_id: str | None = None) -> boto3.session.Session:
    """A session that acts as the batch's reader role, in the job's region.

    The role is assumed when the first request needs it, with the job's own credentials, and again
    before an hour is over, so a job may run longer than a session lasts. Clients made from the
    session raise ReaderRoleError when that fails. A session may be shared by threads as far as
    boto3 allows; clients may.
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
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        if code in ("PreconditionFailed", "412"):
            raise InputChanged(f"{what}: it was overwritten since it arrived") from error
        if code in ("NoSuchKey", "NoSuchVersion", "404"):
            raise InputChanged(f"{what}: it was deleted since it arrived") from error
        raise InputError(f"{what}: {code or 'refused'}") from error
    except BotoCoreError as error:
        raise InputError(what) from error
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
            # Its code, not its message: that could repeat the external ID.
            response = getattr(error, "response", {})
            code = response.get("Error", {}).get("Code") or type(error).__name__
            raise ReaderRoleError(f"failed to assume role `{role}` as `{name}`: {code}") from error
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


def _inputs(text: str, where: str, problems: list[str]) -> tuple[Input, ...]:
    """The inputs of a manifest: JSON in the form that Redshift's COPY reads."""
    try:
        manifest = json.loads(text)
    except (ValueError, RecursionError):
        problems.append(f"{where} is not JSON")
        return ()
    entries = manifest.get("entries") if isinstance(manifest, dict) else None
    if not isinstance(entries, list) or not entries:
        problems.append(f"{where} has no `entries`")
        return ()
    found = [_input(entry, f"{where} entry {i}", problems) for i, entry in enumerate(entries)]
    return tuple(item for item in found if item is not None)


def _input(entry: Any, where: str, problems: list[str]) -> Input | None:
    if not isinstance(entry, dict):
        problems.append(f"{where} is not an object")
        return None
    before = len(problems)
    url = entry.get("url")
    scheme, bucket, key = "", "", ""
    if isinstance(url, str):
        # The key is what follows the bucket, untouched: a URL parser would cut it at `?` or `#`.
        scheme, bucket, key = url[:5], *url[5:].partition("/")[::2]
    if scheme != "s3://" or not bucket or not key:
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
