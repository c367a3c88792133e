"""Sessions of the reader role, which refresh themselves."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3
import botocore.credentials
import botocore.session
from botocore.exceptions import BotoCoreError, ClientError

from landfall._errors import EndpointError, ReaderRoleError, code, reason
from landfall._policy import MAX_CHARACTERS

SESSION_SECONDS = 3600
"""AWS caps the session of a role that another role assumes at one hour."""

if TYPE_CHECKING:
    Policy = Callable[[int], str]
    """A session policy of at most that many characters."""


def session(
    role: str,
    batch_id: str,
    region: str,
    external_id: str | None = None,
    policy: Policy | None = None,
) -> boto3.session.Session:
    """A session that acts as `role`, narrowed by `policy`, in the job's region.

    The role is assumed when the first request needs it, with the job's own credentials, and again
    before an hour is over, so a job may run longer than a session lasts. Clients made from the
    session raise ReaderRoleError when that fails; this package tells it as the reason of its own
    errors. A session may be shared by threads as far as boto3 allows; clients may.

    No request of it leaves this machine without TLS: EndpointError. Of S3 each asks for a bucket of
    the role's own account, and is refused by S3 (AccessDenied) if the bucket is another's.
    """
    provider = _ReaderRole(role, batch_id, region, external_id, policy)
    core = _guarded(botocore.session.Session())
    core.register_component(
        "credential_provider", botocore.credentials.CredentialResolver([provider])
    )
    core.register("provide-client-params.s3", _OwnBuckets(role.split(":")[4]))
    return boto3.session.Session(botocore_session=core, region_name=region)


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


class _OwnBuckets:
    """Has S3 refuse a bucket that is not of `account`: the name of a deleted one is anybody's.

    On every call that can say so, whoever makes it. Who asks for another owner gets what they ask.
    A presigned URL is left alone: who opens it would have to send the owner as a header.
    """

    def __init__(self, account: str) -> None:
        self._account = account

    def __call__(self, params: dict[str, Any], model: Any, context: Any = None, **_: Any) -> None:
        known = model.input_shape.members if model.input_shape else {}
        is_url = bool((context or {}).get("is_presign_request"))
        if "ExpectedBucketOwner" in known and not is_url:
            params.setdefault("ExpectedBucketOwner", self._account)


class _ReaderRole(botocore.credentials.CredentialProvider):  # type: ignore[misc]
    """The only source of credentials of the reader's session, so that no other can step in."""

    METHOD = CANONICAL_NAME = "landfall-reader-role"

    def __init__(
        self,
        role: str,
        batch_id: str,
        region: str,
        external_id: str | None,
        policy: Policy | None,
    ) -> None:
        super().__init__()
        self._request: dict[str, Any] = {
            "RoleArn": role,
            "RoleSessionName": session_name(batch_id),
            "DurationSeconds": SESSION_SECONDS,
        }
        if external_id is not None:
            self._request["ExternalId"] = external_id
        self._region = region
        self._policy = policy
        self._sts: Any = None

    def load(self) -> botocore.credentials.DeferredRefreshableCredentials:
        return botocore.credentials.DeferredRefreshableCredentials(self._refresh, self.METHOD)

    def _refresh(self) -> dict[str, str]:
        # Outside of what is caught below: writing the policy may have to read the manifest.
        policies = [self._policy(MAX_CHARACTERS)] if self._policy else []
        role, name = self._request["RoleArn"], self._request["RoleSessionName"]
        refused: Exception | None = None
        try:
            found = self._assume(policies)
        except (BotoCoreError, ClientError, EndpointError) as error:
            refused = error
        if refused is not None:
            failed = ReaderRoleError(
                f"failed to assume role `{role}` as `{name}`: {reason(refused)}"
            )
            # A traceback shows the cause's message, in which STS can repeat what it was sent.
            shared = self._request.get("ExternalId")
            raise failed from (None if shared and shared in str(refused) else refused)
        return {
            "access_key": found["AccessKeyId"],
            "secret_key": found["SecretAccessKey"],
            "token": found["SessionToken"],
            "expiry_time": found["Expiration"].isoformat(),
        }

    def _assume(self, policies: list[str]) -> dict[str, Any]:
        if self._sts is None:
            self._sts = sts(self._region)
        narrowed = {"Policy": policies[-1]} if policies else {}
        try:
            found: dict[str, Any] = self._sts.assume_role(**self._request, **narrowed)
        except ClientError as error:
            # STS also limits a packed form of the text, whose size only STS knows.
            if not self._policy or len(policies) > 1 or code(error) != "PackedPolicyTooLarge":
                raise
            return self._assume([*policies, self._policy(MAX_CHARACTERS // 2)])
        credentials: dict[str, Any] = found["Credentials"]
        return credentials


def sts(region: str) -> Any:
    """A client of the region's own STS, in the region's partition."""
    core = _guarded(botocore.session.Session())
    # Older botocore would ask the global endpoint, which is a region far away.
    core.set_config_variable("sts_regional_endpoints", "regional")
    return core.create_client("sts", region_name=region)


def is_loopback(host: str) -> bool:
    """Whether a host's name, without a port, is this machine."""
    return re.fullmatch(r"localhost|127(\.[0-9]{1,3}){3}|::1", host) is not None


def _guarded(core: botocore.session.Session) -> botocore.session.Session:
    """Let no request of its clients leave this machine without TLS."""
    core.register("before-call", _refuse_without_tls)
    return core


def _refuse_without_tls(params: dict[str, Any], **_: Any) -> None:
    url = urlsplit(params["url"])
    if url.scheme == "http" and not is_loopback(url.hostname or ""):
        raise EndpointError(f"failed to send a request to `{url.hostname}`: it is not HTTPS")
