"""What can go wrong, and how it is told: operation, identifiers, AWS's code; no secret, no data."""

from __future__ import annotations

import re
from collections.abc import Sequence

from botocore.exceptions import BotoCoreError, ClientError
from urllib3.exceptions import HTTPError


class LandfallError(Exception):
    """All errors of this package derive from it."""


class ArgumentError(LandfallError, ValueError):
    """The job's arguments are not what Landfall passes. `problems` lists all that is wrong."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        super().__init__("failed to read the job's arguments: " + "; ".join(self.problems))


class EndpointError(LandfallError):
    """A request would have left this machine without TLS. It was not sent."""


class ReaderRoleError(LandfallError):
    """The reader role could not be assumed; the cause says why."""


class ClaimError(LandfallError):
    """Whether this process holds the batch is unknown; the cause says why.

    Let the run fail: the batch's next run can claim it.
    """


class ClaimedElsewhere(SystemExit):
    """Another run does this batch's work. Not an error: the script ends here, successfully.

    It is raised where the `with` block would begin, which is therefore never entered, and by the
    fence, before the block has had its effect.
    """

    def __init__(self, batch_id: str) -> None:
        super().__init__(0)
        self.batch_id = batch_id

    def __str__(self) -> str:
        return f"batch `{printable(self.batch_id)}` is done by another run"


class ManifestError(LandfallError):
    """The batch's manifest could not be read, or is not one."""


class ObjectError(LandfallError):
    """An object of the batch could not be read; the cause says why."""


class ObjectChanged(ObjectError):
    """The object is no longer the one that arrived: it was overwritten or deleted."""


class PathError(LandfallError):
    """Spark cannot read some of the batch's keys; `keys` lists them."""

    def __init__(self, message: str, keys: Sequence[str] = ()) -> None:
        self.keys = list(keys)
        super().__init__(message)


class SparkError(LandfallError):
    """Spark cannot be made to read the batch as the reader role."""


FAILURES = (BotoCoreError, ClientError, ReaderRoleError, EndpointError, HTTPError)
"""What asking AWS can raise. Older botocore lets urllib3's errors through while a body is read."""


def code(error: Exception) -> str:
    """What AWS calls the error; empty if it is not AWS that says so."""
    response = getattr(error, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))


def reason(error: Exception) -> str:
    """Its code, not its message: of AssumeRole's, that could repeat the external ID."""
    if isinstance(error, LandfallError):
        return str(error)  # All that Glue shows of a failed run is the last error's message.
    return code(error) or type(error).__name__


def refusal(error: Exception, role: str, action: str) -> str:
    """The reason, and of a refusal also who lacks which grant, as far as AWS says so.

    Of AWS's message that is the action, a key's ARN and the kind of policy, and nothing else.
    """
    why = reason(error)
    if code(error).startswith("KMS."):
        key = _KEY.search(_message(error))
        return f"{why}: key `{key[0]}`" if key else why
    if code(error) not in ("AccessDenied", "AccessDeniedException", "403"):
        return why
    found = _denied(error)
    if not found:
        # Older messages name nothing; and who may not list is not told that an object is gone.
        return (
            f"{why}: role `{role}` needs `{action}`, "
            "and `kms:Decrypt` if a key of KMS encrypts it; or it is not there"
        )
    denied = f"`{found['action']}`" + _on(found["resource"])
    verb = "denies" if found["deny"] else "does not allow"
    # Of a key of another account KMS tells less: it may also be of another region.
    kind = found["deny"] or found["lacks"] or "resource-based policy"
    whose = _WHOSE.get(kind, "a policy")
    if kind == "resource-based policy":
        service = found["action"].partition(":")[0]
        whose = f"the {_RESOURCES.get(service, 'resource')}'s policy"
    return f"{why}: {whose} {verb} {denied} for role `{role}`"


def is_gone(error: Exception) -> bool:
    """Whether S3 says of an object that there is none, to who may list and to who may not."""
    if code(error) in ("NoSuchKey", "NoSuchVersion", "404"):
        return True
    # Of an object that is there, only the right to read it is asked for.
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
    """`text` on one line: keys are data, and what cannot be printed is escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
