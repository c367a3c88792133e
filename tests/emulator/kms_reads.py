"""Reads of objects that a KMS key encrypts. S3 decrypts only for callers that the key admits.

The emulator remembers what encrypts an object, but lets anyone read it who may read the object. It
knows DSSE only by name, as a bucket's default.
"""

from __future__ import annotations

import re
from typing import Any

from ministack.core import iam_evaluator
from ministack.core.responses import get_account_id, get_region
from ministack.core.router import extract_access_key_id
from ministack.services import kms, s3, sts

from corrections import replace

SSE = "x-amz-server-side-encryption"
KEY = "x-amz-server-side-encryption-aws-kms-key-id"
DSSE = "aws:kms:dsse"


def correct_double_encryption() -> None:
    """Allows `aws:kms:dsse` for an object, by its own header or by the bucket's default."""

    def of_write(headers: dict, bucket: str) -> tuple:
        if headers.get(SSE) != DSSE:
            return original_write(headers, bucket)
        found, error = original_write({**headers, SSE: "aws:kms"}, bucket)
        return (found if error else {**found, SSE: DSSE}), error

    def of_bucket(bucket: str) -> dict:
        found = original_bucket(bucket)
        key = re.search(r"KMSMasterKeyID>\s*([^<\s]+)", s3._bucket_encryption.get(bucket) or "")
        return {**found, KEY: key[1]} if found.get(SSE) == DSSE and key else found

    original_write = replace(s3, "_resolve_sse_write_headers", of_write)
    original_bucket = replace(s3, "_bucket_default_sse_headers", of_bucket)


def correct_encrypted_reads() -> None:
    """Denies GetObject to callers that may not decrypt with the object's key.

    As in a direct call to KMS, the caller's identity policies (within session policy and boundary)
    and the key's policy must allow `kms:Decrypt`.
    """

    def get(bucket: str, key: str, headers: dict, query: dict | None = None) -> tuple:
        answer = original(bucket, key, headers, query)
        sent = {name.lower(): value for name, value in answer[1].items()}
        if answer[0] not in (200, 206) or sent.get(SSE) not in ("aws:kms", DSSE):
            return answer
        caller = iam_evaluator.resolve_principal(
            extract_access_key_id(headers, query or {}), get_account_id()
        )
        # With a bucket key, this would be the bucket's ARN, but the emulator has no bucket keys.
        of = f"arn:aws:s3:::{bucket}/{key}"
        access_key = extract_access_key_id(headers, query or {})
        why = refusal(caller, arn_of(sent.get(KEY, "")), access_key, of)
        return s3._error("AccessDenied", why, 403) if why else answer

    original = replace(s3, "_get_object", get)


def arn_of(key: str) -> str:
    if key.startswith("arn:"):
        return key
    return f"arn:aws:kms:{get_region()}:{get_account_id()}:key/{key}"


def refusal(caller: Any, key: str, access_key: str, of: str) -> str:
    """Returns AWS's message why the caller may not decrypt `of` with the key; empty if it may."""
    _, _, _, region, owner, resource = key.split(":", 5)
    if caller.policies is None:
        return ""
    record = kms._keys.get_scoped(owner, region, resource.removeprefix("key/")) or {}
    context = iam_evaluator.EvalContext(
        principal_arn=caller.arn,
        principal_type=caller.type,
        principal_account=caller.account,
        action="kms:Decrypt",
        resource_arn=key,
        region=region,
        service_context={
            "kms:viaservice": f"s3.{region}.amazonaws.com",
            "kms:calleraccount": caller.account,
            "kms:encryptioncontext:aws:s3:arn": of,
        },
        principal_keys=caller.keys,
    )
    identity = iam_evaluator.evaluate(context, caller.policies, *caller.limits)
    result = iam_evaluator.combine_resource_policy(
        identity, context, record.get("Policy"), owner, required=True, limits=caller.limits
    )
    if result.decision == "Allow":
        return ""
    denied = f"User: {caller.arn} is not authorized to perform: kms:Decrypt on resource: {key}"
    if result.decision == "Deny":
        kind = "resource-based" if result.resource_policy_arn else "identity-based"
        return f"{denied} with an explicit deny in a {kind} policy"
    if identity.decision == "Allow":
        lacking = "resource-based policy"
    elif iam_evaluator.evaluate(context, caller.policies).decision != "Allow":
        lacking = "identity-based policy"
    elif (sts._sessions.get(access_key) or {}).get("SessionPolicies") is not None and (
        iam_evaluator.evaluate(context, caller.limits[-1]).decision != "Allow"
    ):
        lacking = "session policy"
    else:
        lacking = "permissions boundary"
    return f"{denied} because no {lacking} allows the kms:Decrypt action"
