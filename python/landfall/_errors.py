"""The errors and their messages: operation, identifiers, AWS's code, and no secret and no data."""

from __future__ import annotations

import re
from collections.abc import Sequence

from botocore.exceptions import BotoCoreError, ClientError
from urllib3.exceptions import HTTPError


class LandfallError(Exception):
    """The base class of all errors of this package."""


class ArgumentError(LandfallError, ValueError):
    """The job's arguments are not what Landfall passes. `problems` lists everything wrong."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        super().__init__("failed to read the job's arguments: " + "; ".join(self.problems))


class EndpointError(LandfallError):
    """A request would have left this machine without TLS. It was not sent."""


class ReaderRoleError(LandfallError):
    """The reader role could not be assumed; the cause says why."""


class ClaimError(LandfallError):
    """This process can't claim the batch, or doesn't know whether it holds it; the cause says why.

    Let the run fail. The batch's next run can claim it.
    """


class ClaimedElsewhere(SystemExit):
    """Another run does this batch's work. This isn't an error: the script ends with exit code 0.

    Entering the `with` block raises it, so the body never runs. The fence raises it too, before the
    body has had its effect. Glue's Spark seems to call a run that exits FAILED, even with code 0:
    with `landfall.batch(exit=False)`, nothing leaves the block by this.
    """

    def __init__(self, batch_id: str) -> None:
        super().__init__(0)
        self.batch_id = batch_id

    def __str__(self) -> str:
        return f"batch `{printable(self.batch_id)}` is done by another run"


class ManifestError(LandfallError):
    """The batch's manifest could not be read, or it is not a manifest."""


class ObjectError(LandfallError):
    """An object of the batch could not be read; the cause says why."""


class ObjectChanged(ObjectError):
    """The object is no longer the one that arrived: it was overwritten or deleted."""


class PathError(LandfallError):
    """Spark cannot read some of the batch's keys, or its bucket; `keys` lists the keys."""

    def __init__(self, message: str, keys: Sequence[str] = ()) -> None:
        self.keys = list(keys)
        super().__init__(message)


class SparkError(LandfallError):
    """Spark cannot be made to read the batch as the reader role."""


FAILURES = (BotoCoreError, ClientError, ReaderRoleError, EndpointError, HTTPError)
"""The errors that a call to AWS can raise. While a body is read, older botocore also lets urllib3's
errors through."""


def code(error: Exception) -> str:
    """Returns AWS's code for the error; empty if the error isn't from AWS."""
    response = getattr(error, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))


def reason(error: Exception) -> str:
    """Returns AWS's code, not its message: AssumeRole's message could repeat the external ID."""
    if isinstance(error, LandfallError):
        return str(error)  # Glue shows only the last error's message of a failed run.
    return code(error) or type(error).__name__


def refusal(error: Exception, role: str, action: str) -> str:
    """Returns the reason. If AWS denied access, it also says who lacks which grant.

    From AWS's message it takes the action, a key's ARN and the kind of policy, and nothing else.
    """
    why = reason(error)
    if code(error).startswith("KMS."):
        key = _KEY.search(_message(error))
        return f"{why}: key `{key[0]}`" if key else why
    if code(error) not in ("AccessDenied", "AccessDeniedException", "403"):
        return why
    found = _denied(error)
    if not found:
        # Older messages name nothing. And S3 does not tell a role that may not list whether an
        # object is gone.
        return (
            f"{why}: role `{role}` needs `{action}`, "
            "and `kms:Decrypt` if a KMS key encrypts it; or it does not exist"
        )
    denied = f"`{found['action']}`" + _on(found["resource"])
    verb = "denies" if found["deny"] else "does not allow"
    # KMS says less about another account's key, which may also be in another region.
    kind = found["deny"] or found["lacks"] or "resource-based policy"
    whose = _WHOSE.get(kind, "a policy")
    if kind == "resource-based policy":
        service = found["action"].partition(":")[0]
        whose = f"the {_RESOURCES.get(service, 'resource')}'s policy"
    return f"{why}: {whose} {verb} {denied} for role `{role}`"


def obstacle(error: Exception, bucket: str) -> str:
    """Returns why S3 can't give an object to anybody who asks like this, and what to do about it.

    Returns an empty text for any other error. From AWS's message it takes nothing; it only looks
    for the words that S3 has for an object with a customer's key.
    """
    why = code(error)
    details = (getattr(error, "response", None) or {}).get("Error", {})
    if why == "InvalidObjectState":
        kept = _WORD.fullmatch(str(details.get("StorageClass", "")))
        return (
            f"{why}: it is archived{f' ({kept[0]})' if kept else ''}; restore it "
            "(`aws s3api restore-object`), wait until it is restored, then use `landfall retry`"
        )
    if why == "InvalidRequest" and "Server Side Encryption" in _message(error):
        return (
            f"{why}: it is encrypted with a key that the writer sends with each request (SSE-C); "
            'read it with that key (`batch.session.client("s3")`), or upload it with SSE-KMS'
        )
    if why in ("PermanentRedirect", "IncorrectEndpoint", "301"):
        headers = (getattr(error, "response", None) or {}).get("ResponseMetadata", {})
        headers = headers.get("HTTPHeaders", {})
        region = _WORD.fullmatch(str(headers.get("x-amz-bucket-region", "")))
        where = f"region `{region[0]}`" if region else "another region"
        return (
            f"{why}: bucket `{bucket}` is in {where}, and the request did not get there; "
            "run the job in the bucket's region, or give the job a way to S3 there if a VPC "
            "endpoint or `AWS_ENDPOINT_URL` keeps it in its own"
        )
    return ""


def is_gone(error: Exception) -> bool:
    """Returns True if S3 says that there is no such object, whether the role may list or not."""
    if code(error) in ("NoSuchKey", "NoSuchVersion", "404"):
        return True
    # If the object exists, S3 checks only the permission to read it, not the one to list.
    found = _denied(error) if code(error) == "AccessDenied" else None
    return found is not None and found["action"].startswith("s3:ListBucket")


def _denied(error: Exception) -> re.Match[str] | None:
    return _DENIED.search(_message(error))


def _message(error: Exception) -> str:
    response = getattr(error, "response", None) or {}
    return str(response.get("Error", {}).get("Message", ""))


_DENIED = re.compile(
    r"is not authorized to perform: (?P<action>[a-z0-9-]{1,40}:[A-Za-z]{1,80})"
    r'(?: on resource: "?(?P<resource>[^"\s]+)"?)?'
    r"(?:.*? because no (?P<lacks>[A-Za-z -]{1,40}) allows"
    r"|.*? because the resource does not exist in this Region, no resource-based policies allow"
    r"|.*? with an explicit deny in an? (?P<deny>[A-Za-z -]{1,40}))",
    re.DOTALL,
)
_WORD = re.compile(r"[A-Za-z0-9_-]{1,40}")
_KEY = re.compile(r"arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+")
_WHOSE = {
    "identity-based policy": "the role's own policy",
    "session policy": "the session's policy",
    "permissions boundary": "the role's permissions boundary",
    "service control policy": "a service control policy",
    "resource control policy": "a resource control policy",
    "VPC endpoint policy": "the VPC endpoint's policy",
}
_RESOURCES = {"s3": "bucket", "kms": "key", "dynamodb": "table"}


def _on(resource: str | None) -> str:
    return f" with key `{resource}`" if resource and _KEY.fullmatch(resource) else ""


def printable(text: str) -> str:
    """Returns `text` on one line, with unprintable characters escaped, because keys are data."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
