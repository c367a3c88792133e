"""Starts the emulator `ministack` with a handful of corrections; everything else is as it comes.

    python tests/emulator/launcher.py

takes the environment of the `ministack` command (`AUTH`, `GATEWAY_PORT`, `BIND_HOST`,
`MINISTACK_REGION`, `AWS_ENDPOINT_URL`); `AWS_ENDPOINT_URL` must be the emulator's own address, for
that is what job scripts get. With `LOCAL_CLOUD_MINUTE_SECONDS` a minute of schedules and alarms is
shorter, with `LOCAL_CLOUD_SHORT_SESSIONS=ROLE=SECONDS` that role's sessions are; with
`LOCAL_CLOUD_SPARK` Spark jobs run (see `glue_spark`). Each correction is a function with its
reason, below or in the modules `alarms`, `glue_…`, `kms_reads`, `metrics`, `resource_types` and
`short_sessions` beside this file; the tests fail when the emulator no longer needs it.
"""

from __future__ import annotations

import json
import re
from contextvars import ContextVar
from typing import Any

from ministack import app
from ministack.core import iam_actions, iam_evaluator
from ministack.services import dynamodb, iam, lambda_svc, s3
from ministack.services.cloudformation import changesets, custom_resource, stacks

from alarms import correct_alarms, correct_length_of_minutes
from corrections import replace
from glue_events import (
    correct_policies_of_queues,
    correct_queues_of_other_accounts,
    correct_state_changes,
)
from glue_runs import (
    correct_allocated_capacity,
    correct_arguments_of_runs,
    correct_concurrent_runs,
    correct_ids_of_runs,
    correct_lists_of_runs,
    correct_session_policies_of_runs,
    correct_stopped_runs,
)
from glue_scripts import correct_python_shell_runs
from kms_reads import correct_double_encryption, correct_encrypted_reads
from metrics import correct_metrics_in_logs, correct_metrics_of_functions
from resource_types import correct_resource_types
from short_sessions import correct_length_of_sessions

# The parameters of the call to IAM that is being judged.
IAM_PARAMETERS: ContextVar[dict] = ContextVar("IAM_PARAMETERS")
# What the change set that is being executed takes in, by logical id.
IMPORTS: ContextVar[dict] = ContextVar("IMPORTS")


def main() -> None:
    correct_principal_arn()
    correct_paths_of_roles()
    correct_boundary_condition()
    correct_tags_of_roles()
    correct_wildcards()
    correct_secure_transport()
    correct_leading_keys()
    correct_owners_of_buckets()
    correct_ranges_of_versions()
    correct_maximum_concurrency()
    correct_batches_of_messages()
    correct_failed_creates()
    correct_imported_buckets()
    correct_ids_of_runs()
    correct_arguments_of_runs()
    correct_session_policies_of_runs()
    correct_concurrent_runs()
    correct_lists_of_runs()
    correct_allocated_capacity()
    correct_python_shell_runs()
    correct_stopped_runs()
    correct_state_changes()
    correct_queues_of_other_accounts()
    correct_policies_of_queues()
    correct_metrics_in_logs()
    correct_metrics_of_functions()
    correct_alarms()
    correct_length_of_minutes()
    correct_double_encryption()
    correct_encrypted_reads()
    correct_resource_types()
    correct_length_of_sessions()
    app.main()


def correct_principal_arn() -> None:
    """Make `aws:PrincipalArn` of a role session the ARN of the role.

    AWS documents it so, and Landfall's trust policies name roles by it; the emulator gives the
    session's ARN instead, by which every one of those policies would deny its own role.
    """

    def resolve(key: str, context: iam_evaluator.EvalContext) -> Any:
        if key.lower() == "aws:principalarn":
            return role_of_session(context.principal_arn)
        return original(key, context)

    original = replace(iam_evaluator, "_resolve_condition_key", resolve)


def role_of_session(arn: str) -> str:
    """The role's ARN, path included, of an assumed-role session; any other ARN as it is."""
    if ":assumed-role/" not in arn:
        return arn
    _, partition, _, _, account, resource = arn.split(":", 5)
    name = resource.split("/")[1]
    role = iam._roles.get_scoped(account, None, name)
    return role["Arn"] if role else f"arn:{partition}:iam::{account}:role/{name}"


def correct_paths_of_roles() -> None:
    """Make the resource of a call about a role the role's ARN with its path, as AWS does.

    The emulator leaves the path out, by which a policy that admits one path only would deny all.
    """

    def resource_arn(service: str, *rest: Any) -> str:
        arn = original(service, *rest)
        parameters, account = rest[-3], rest[-1]
        if service != "iam" or ":role/" not in arn:
            return arn
        IAM_PARAMETERS.set(parameters)
        name = arn.rsplit("/", 1)[1]
        role = iam._roles.get_scoped(account, None, name)
        path = role["Path"] if role else parameter(parameters, "Path") or "/"
        return f"arn:aws:iam::{account}:role{path}{name}"

    original = replace(iam_actions, "extract_resource_arn", resource_arn)


def correct_boundary_condition() -> None:
    """Give `iam:PermissionsBoundary`: the boundary that a call sets, else the one of the role.

    AWS documents it so for the calls that take the key; the emulator never has it.
    """

    def resolve(key: str, context: iam_evaluator.EvalContext) -> Any:
        if key.lower() != "iam:permissionsboundary":
            return original(key, context)
        if context.action in ("iam:CreateRole", "iam:PutRolePermissionsBoundary"):
            return parameter(IAM_PARAMETERS.get(), "PermissionsBoundary") or None
        account, name = context.resource_arn.split(":")[4], context.resource_arn.rsplit("/", 1)[1]
        role = iam._roles.get_scoped(account, None, name) or {}
        return role.get("PermissionsBoundary") or None

    original = replace(iam_evaluator, "_resolve_condition_key", resolve)


def correct_tags_of_roles() -> None:
    """Give `iam:ResourceTag/…`: the tags of the role that a call is about.

    AWS documents it for the calls that change a role; the emulator never has it.
    """
    prefix = "iam:resourcetag/"

    def resolve(key: str, context: iam_evaluator.EvalContext) -> Any:
        if not key.lower().startswith(prefix):
            return original(key, context)
        account, name = context.resource_arn.split(":")[4], context.resource_arn.rsplit("/", 1)[1]
        role = iam._roles.get_scoped(account, None, name) or {}
        tags = {tag["Key"].lower(): tag["Value"] for tag in role.get("Tags", [])}
        return tags.get(key.lower().removeprefix(prefix))

    original = replace(iam_evaluator, "_resolve_condition_key", resolve)


def parameter(parameters: dict, name: str) -> str:
    """A parameter of a request of the query protocol."""
    value = parameters.get(name, "")
    return value[0] if isinstance(value, list) else value


def correct_wildcards() -> None:
    """Make `*` and `?` of a policy match line breaks, which keys may hold, as all else; and
    `${*}`, `${?}` and `${$}` the characters that they stand for."""
    variables = {r"\$\{.*\}": r"\*", r"\$\{.\}": r"\?", r"\$\{\$\}": r"\$"}

    def compile_pattern(pattern: str, ignore_case: bool) -> re.Pattern[str]:
        regex = original(pattern, ignore_case)
        text = regex.pattern.removesuffix("$")
        for written, meant in variables.items():
            text = text.replace(written, meant)
        return re.compile(text + r"\Z", regex.flags | re.DOTALL)

    original = replace(iam_evaluator, "_fnmatch_compile", compile_pattern)


def correct_secure_transport() -> None:
    """Make `aws:SecureTransport` true.

    The emulator speaks plain HTTP, and the templates' policies deny what comes without TLS, as they
    should. This stands for a proxy in front of it that ends TLS.
    """
    original = replace(app, "pin_request_origin", lambda address, _: original(address, True))


def correct_leading_keys() -> None:
    """Give `dynamodb:LeadingKeys`, the partition keys that a call on one item names.

    AWS documents it for these calls among others; the emulator never has it.
    """

    def context(body: bytes) -> dict:
        found = original(body)
        try:
            request = json.loads(body or b"{}")
            name = request["TableName"].rsplit("/", 1)[-1]
            keys = dynamodb._tables[name]["KeySchema"]
            item = request.get("Key") or request["Item"]
            leading = next(key["AttributeName"] for key in keys if key["KeyType"] == "HASH")
            [value] = item[leading].values()
        except (ValueError, KeyError, TypeError, AttributeError):
            return found
        return {**found, "dynamodb:LeadingKeys": [value]}

    original = replace(iam_actions, "dynamodb_service_context", context)


def correct_owners_of_buckets() -> None:
    """Make `aws:ResourceAccount` of a bucket its owner, and refuse one that is not of the owner
    whom a request expects (`x-amz-expected-bucket-owner`).

    The emulator takes who asks for the owner, and does not read the header.
    """

    def resolve(key: str, context: iam_evaluator.EvalContext) -> Any:
        found = re.match(r"arn:aws[a-z-]*:s3:::([^/*?]+)", context.resource_arn)
        owner = s3._bucket_owner_account(found[1]) if found else None
        if owner and key.lower() in ("aws:resourceaccount", "s3:resourceaccount"):
            return owner
        return original_resolve(key, context)

    def check(method: str, bucket: str, key: str, headers: dict, *rest: Any, **more: Any) -> Any:
        expected, owner = (
            headers.get("x-amz-expected-bucket-owner"),
            s3._bucket_owner_account(bucket),
        )
        if expected and owner and owner != expected:
            return s3._error("AccessDenied", "Access Denied", 403, f"/{bucket}")
        return original_check(method, bucket, key, headers, *rest, **more)

    original_resolve = replace(iam_evaluator, "_resolve_condition_key", resolve)
    original_check = replace(s3, "_check_bucket_region", check)


def correct_ranges_of_versions() -> None:
    """Give of a version the range that is asked for, as of an object; the emulator gives all."""

    def get(bucket: str, key: str, headers: dict, query: dict | None = None) -> tuple:
        status, told, body = original(bucket, key, headers, query)
        if status != 200 or not headers.get("range"):
            return status, told, body
        found = s3._parse_range(headers["range"], len(body))
        if found is None:
            return s3._error("InvalidRange", "The requested range is not satisfiable", 416)
        part = body[found[0] : found[1] + 1]
        # A checksum is one of the whole.
        told = {name: told[name] for name in told if "checksum" not in name.lower()}
        where = f"bytes {found[0]}-{found[1]}/{len(body)}"
        return 206, {**told, "Content-Length": str(len(part)), "Content-Range": where}, part

    original = replace(s3, "_get_object", get)


def correct_maximum_concurrency() -> None:
    """Make `MaximumConcurrency` of an event source mapping a number.

    CloudFormation makes one of a parameter's text; the emulator leaves the text, and its poller
    then fails.
    """

    def concurrency(mapping: dict, *rest: Any) -> int:
        scaling = mapping.get("ScalingConfig") or {}
        if isinstance(scaling.get("MaximumConcurrency"), str):
            scaling["MaximumConcurrency"] = int(scaling["MaximumConcurrency"])
        return original(mapping, *rest)

    original = replace(lambda_svc, "_sqs_esm_concurrency", concurrency)


def correct_batches_of_messages() -> None:
    """Judge a batch of messages by the action of one, as SQS does: IAM knows none of a batch.

    The emulator takes the name of the call for the action, and denies what a policy admits.
    """

    def action(service: str, *rest: Any) -> str | None:
        found = original(service, *rest)
        return found.removesuffix("Batch") if service == "sqs" and found else found

    original = replace(iam_actions, "extract_iam_action", action)


def correct_failed_creates() -> None:
    """Send Delete for a custom resource whose Create was answered with FAILED.

    CloudFormation does: the answer names what may be half made, and the function is to remove it.
    The emulator lets it lie, and still does so after a Create that is never answered.
    """
    creating: dict[tuple[str, str], dict] = {}
    half_made: dict[tuple[str, str], dict] = {}

    def invoke(kind: str, logical_id: str, properties: dict, *rest: Any, **more: Any) -> tuple:
        place = (rest[1], logical_id)
        if kind == "Create":
            creating[place] = {"ResourceType": rest[2], "Properties": properties}
        answer = original_invoke(kind, logical_id, properties, *rest, **more)
        creating.pop(place, None)
        return answer

    def deliver(token: str, response: dict) -> bool:
        expected = original_deliver(token, response)
        place = (response.get("StackId"), response.get("LogicalResourceId"))
        physical_id = response.get("PhysicalResourceId")
        if expected and response.get("Status") == "FAILED" and physical_id and place in creating:
            half_made[place] = {**creating[place], "PhysicalResourceId": physical_id}
        return expected

    async def roll_back(name: str, stack_id: str, stack: dict, operation: dict, *rest: Any) -> None:
        logical_id = operation.get("failed_logical_id")
        creating.pop((stack_id, logical_id), None)
        if record := half_made.pop((stack_id, logical_id), None):
            stack["_resources"][logical_id] = {**record, "LogicalResourceId": logical_id}
            operation = {**operation, "created": [*operation["created"], logical_id]}
        await original_roll_back(name, stack_id, stack, operation, *rest)

    original_invoke = replace(custom_resource, "invoke_custom_resource", invoke)
    original_deliver = replace(custom_resource, "deliver_response", deliver)
    original_roll_back = replace(stacks, "_roll_back_operation", roll_back)


def correct_imported_buckets() -> None:
    """Let a change set take in a bucket that is there, as it says that it will.

    The emulator prepares that, and then finds the bucket's name taken.
    """

    async def deploy(*rest: Any, imports: dict | None = None, **more: Any) -> None:
        IMPORTS.set(imports or {})
        await original_deploy(*rest, imports=imports, **more)

    def errors(*rest: Any) -> list[tuple]:
        found = original_errors(*rest)
        taken = "NAME_CONFLICT_VALIDATION"
        return [error for error in found if error[2] != taken or error[0] not in IMPORTS.get({})]

    original_deploy = replace(changesets, "_deploy_stack_async", deploy)
    original_errors = replace(stacks, "_validation_errors", errors)


if __name__ == "__main__":
    main()
