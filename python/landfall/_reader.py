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
    """Writes a session policy of at most that many characters."""


def session(
    role: str,
    batch_id: str,
    region: str,
    external_id: str | None = None,
    policy: Policy | None = None,
) -> boto3.session.Session:
    """Returns a session in the job's region that acts as `role`, narrowed by `policy`.

    The session assumes the role with the job's own credentials: when the first request needs it,
    and again before each hour is over. So a job may run longer than one of AWS's sessions. If the
    role can't be assumed, the session's clients raise ReaderRoleError; this package's other errors
    then give that as their reason. Threads may share clients, and the session as far as boto3
    allows.

    A request that would leave this machine without TLS raises EndpointError. Each request to S3
    names the role's own account as the bucket's owner, so S3 denies access (AccessDenied) to a
    bucket of any other account.
    """
    provider = _ReaderRole(role, batch_id, region, external_id, policy)
    core = _guarded(botocore.session.Session())
    core.register_component(
        "credential_provider", botocore.credentials.CredentialResolver([provider])
    )
    core.register("provide-client-params.s3", _OwnBuckets(role.split(":")[4]))
    return boto3.session.Session(botocore_session=core, region_name=region)


def session_name(batch_id: str) -> str:
    """Returns the role session's name. CloudTrail in the data account shows the batch by it.

    The name is `landfall-` and the batch id. If that isn't a valid session name (2 to 64 of
    `A-Z a-z 0-9 _ + = , . @ -`), invalid characters are replaced, and a short hash keeps it unique.
    """
    name = f"landfall-{batch_id}"
    valid = re.sub(r"[^\w+=,.@-]", "-", name, flags=re.ASCII)
    if valid == name and len(name) <= 64:
        return name
    digest = hashlib.sha256(batch_id.encode("utf-8", "surrogatepass")).hexdigest()[:10]
    return f"{valid[:53]}-{digest}"


class _OwnBuckets:
    """Makes S3 deny access to a bucket that `account` doesn't own.

    Once a bucket is deleted, anybody can take its name. So this names the owner in every call that
    has a parameter for it. It keeps an owner that the caller names. It doesn't change a presigned
    URL, because whoever opens that would have to send the owner as a header.
    """

    def __init__(self, account: str) -> None:
        self._account = account

    def __call__(self, params: dict[str, Any], model: Any, context: Any = None, **_: Any) -> None:
        known = model.input_shape.members if model.input_shape else {}
        is_url = bool((context or {}).get("is_presign_request"))
        if "ExpectedBucketOwner" in known and not is_url:
            params.setdefault("ExpectedBucketOwner", self._account)


class _ReaderRole(botocore.credentials.CredentialProvider):  # type: ignore[misc]
    """The only source of credentials of the session, so that it never uses any others."""

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
        # Outside the `try`, because writing the policy may read the manifest, whose errors pass.
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
            # A traceback shows the cause's message, in which STS can repeat the external ID.
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
            # STS also limits a packed form of the text, and only STS knows the size of that.
            if not self._policy or len(policies) > 1 or code(error) != "PackedPolicyTooLarge":
                raise
            return self._assume([*policies, self._policy(MAX_CHARACTERS // 2)])
        credentials: dict[str, Any] = found["Credentials"]
        return credentials


def sts(region: str) -> Any:
    """Returns a client of the region's own STS, in the region's partition."""
    core = _guarded(botocore.session.Session())
    # Older botocore would call the global endpoint, which may be in a region far away.
    core.set_config_variable("sts_regional_endpoints", "regional")
    return core.create_client("sts", region_name=region)


def is_loopback(host: str) -> bool:
    """Returns True if a host's name, without a port, is this machine."""
    return re.fullmatch(r"localhost|127(\.[0-9]{1,3}){3}|::1", host) is not None


def _guarded(core: botocore.session.Session) -> botocore.session.Session:
    """Keeps the session's clients from sending a request off this machine without TLS."""
    core.register("before-call", _refuse_without_tls)
    return core


def _refuse_without_tls(params: dict[str, Any], **_: Any) -> None:
    url = urlsplit(params["url"])
    if url.scheme == "http" and not is_loopback(url.hostname or ""):
        raise EndpointError(f"failed to send a request to `{url.hostname}`: it is not HTTPS")
