"""Starts the emulator `ministack` with corrections, and otherwise unchanged.

    python tests/emulator/launcher.py

It takes the same environment variables as the command `ministack` (`AUTH`, `GATEWAY_PORT`,
`BIND_HOST`, `MINISTACK_REGION`, `AWS_ENDPOINT_URL`). `AWS_ENDPOINT_URL` must be the emulator's own
address, because job scripts get it. Three more variables are its own:
`LOCAL_CLOUD_MINUTE_SECONDS` shortens a minute of schedules and alarms,
`LOCAL_CLOUD_SHORT_SESSIONS=ROLE=SECONDS` shortens that role's sessions, and `LOCAL_CLOUD_SPARK`
makes Spark jobs run (see `glue_spark`).

Each correction is a function that states its reason, below or in the modules `alarms`, `glue_…`,
`kms_reads`, `metrics`, `resource_types` and `short_sessions` beside this file. If the emulator no
longer needs a correction, the tests fail.
"""

from __future__ import annotations

import contextlib
import gc
import json
import re
import sys
from contextvars import ContextVar
from typing import Any

import yaml
from ministack import app
from ministack.core import iam_actions, iam_evaluator
from ministack.core.router import extract_access_key_id
from ministack.services import dynamodb, iam, lambda_svc, s3, sts
from ministack.services.cloudformation import changesets, custom_resource, engine, stacks

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
    correct_repeated_runs,
    correct_session_policies_of_runs,
    correct_stopped_runs,
)
from glue_scripts import correct_python_shell_runs
from kms_reads import correct_double_encryption, correct_encrypted_reads
from metrics import correct_metrics_in_logs, correct_metrics_of_functions
from resource_types import correct_replacements, correct_resource_types
from short_sessions import correct_length_of_sessions

# The parameters of the IAM call that is being authorised.
IAM_PARAMETERS: ContextVar[dict] = ContextVar("IAM_PARAMETERS")
# The session that calls for a bucket of another account; empty if it is no role's.
CALLER: ContextVar[str] = ContextVar("CALLER", default="")
# The resources that the running change set imports, by logical ID.
IMPORTS: ContextVar[dict] = ContextVar("IMPORTS")


def main() -> None:
    correct_principal_arn()
    correct_paths_of_roles()
    correct_boundary_condition()
    correct_tags_of_roles()
    correct_wildcards()
    correct_secure_transport()
    correct_leading_keys()
    correct_sources_of_events()
    correct_arns_of_rules()
    correct_reads_of_concurrency()
    correct_owners_of_buckets()
    correct_policies_of_buckets()
    let_objects_be_older()
    correct_ranges_of_versions()
    correct_numbers_of_mappings()
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
    correct_repeated_runs()
    correct_queues_of_other_accounts()
    correct_policies_of_queues()
    correct_metrics_in_logs()
    correct_metrics_of_functions()
    correct_alarms()
    correct_length_of_minutes()
    correct_double_encryption()
    correct_encrypted_reads()
    correct_resource_types()
    correct_replacements()
    correct_length_of_sessions()
    parse_templates_with_libyaml()
    leave_out_a_slow_module()
    spare_the_garbage_collector()
    app.main()


def spare_the_garbage_collector() -> None:
    """Collect garbage seldom, and never look at what was imported.

    The emulator keeps all that it stores in objects, so each full collection walks through all of
    it. That took a sixth of its CPU time while the end-to-end tests ran.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 100)


def parse_templates_with_libyaml() -> None:
    """Parses YAML in C, in a tenth of the time.

    The emulator parses in its only event loop, so meanwhile it answers nobody: on a busy machine
    that took a second for each of Landfall's larger templates.
    """
    loader = type("Loader", (yaml.CSafeLoader,), {})
    loader.yaml_constructors = engine.CfnLoader.yaml_constructors
    replace(engine, "CfnLoader", loader)
    replace(yaml, "SafeLoader", yaml.CSafeLoader)


def leave_out_a_slow_module() -> None:
    """Makes `jsonschema` do without a module that compiles grammars for seconds when imported.

    It checks whether text is an IRI, which no schema here asks for. SAM's transform imports
    `jsonschema`, in the event loop, when the first template needs it.
    """
    sys.modules["rfc3987_syntax"] = None


def correct_principal_arn() -> None:
    """Makes `aws:PrincipalArn` of a role session the role's ARN.

    AWS documents that, and Landfall's trust policies name roles by it. The emulator uses the
    session's ARN instead, so each of those policies would deny its own role.
    """

    def resolve(key: str, context: iam_evaluator.EvalContext) -> Any:
        if key.lower() == "aws:principalarn":
            return role_of_session(CALLER.get() or context.principal_arn)
        return original(key, context)

    original = replace(iam_evaluator, "_resolve_condition_key", resolve)


def role_of_session(arn: str) -> str:
    """Returns the ARN, with the path, of an assumed-role session's role; any other ARN as it is."""
    if ":assumed-role/" not in arn:
        return arn
    _, partition, _, _, account, resource = arn.split(":", 5)
    name = resource.split("/")[1]
    role = iam._roles.get_scoped(account, None, name)
    return role["Arn"] if role else f"arn:{partition}:iam::{account}:role/{name}"


def correct_paths_of_roles() -> None:
    """Authorises a call about a role by the role's ARN with its path, as AWS does.

    The emulator leaves out the path, so a policy that admits only one path would deny everything.
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
    """Provides `iam:PermissionsBoundary`: the boundary that a call sets, else the role's own.

    AWS documents that for the calls that support the key. The emulator never provides it.
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
    """Provides `iam:ResourceTag/…`: the tags of the role that a call is about.

    AWS documents it for the calls that change a role. The emulator never provides it.
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
    """Returns a parameter of a request in the query protocol."""
    value = parameters.get(name, "")
    return value[0] if isinstance(value, list) else value


def correct_wildcards() -> None:
    """Makes `*` and `?` of a policy match line breaks too, which keys may contain.

    It also makes `${*}`, `${?}` and `${$}` match the characters that they stand for.
    """
    variables = {r"\$\{.*\}": r"\*", r"\$\{.\}": r"\?", r"\$\{\$\}": r"\$"}

    def compile_pattern(pattern: str, ignore_case: bool) -> re.Pattern[str]:
        regex = original(pattern, ignore_case)
        text = regex.pattern.removesuffix("$")
        for variable, character in variables.items():
            text = text.replace(variable, character)
        return re.compile(text + r"\Z", regex.flags | re.DOTALL)

    original = replace(iam_evaluator, "_fnmatch_compile", compile_pattern)


def correct_secure_transport() -> None:
    """Makes `aws:SecureTransport` true.

    The emulator speaks plain HTTP, and the templates' policies rightly deny requests without TLS.
    This stands for a proxy in front of the emulator that terminates TLS.
    """
    original = replace(app, "pin_request_origin", lambda address, _: original(address, True))


def correct_leading_keys() -> None:
    """Provides `dynamodb:LeadingKeys`, the partition keys that a call on one item names.

    AWS documents it for these calls, among others. The emulator never provides it.
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


def correct_sources_of_events() -> None:
    """Provides `events:source`, the sources of the events that a call puts.

    AWS documents it for `PutEvents`. The emulator never provides it.
    """

    def context(service: str, action: str, body: bytes, *rest: Any) -> dict:
        found = original(service, action, body, *rest)
        if action != "events:PutEvents":
            return found
        try:
            sources = [entry["Source"] for entry in json.loads(body)["Entries"]]
        except (ValueError, KeyError, TypeError):
            return found
        return {**found, "events:source": sources[0] if len(sources) == 1 else sources}

    original = replace(iam_actions, "request_tag_context", context)


def correct_arns_of_rules() -> None:
    """Authorises a call about a rule of the default bus by the rule's ARN.

    AWS documents that only the ARN of a rule of another bus has the bus's name. The emulator puts
    `default` into the others, too, and doesn't see which rule a call about targets names.
    """

    def resource_arn(service: str, *rest: Any) -> str:
        arn = original(service, *rest)
        if service != "events":
            return arn
        if arn == "*":
            with contextlib.suppress(ValueError, KeyError, TypeError):
                region, account = rest[-2:]
                return f"arn:aws:events:{region}:{account}:rule/{json.loads(rest[3])['Rule']}"
        return arn.replace(":rule/default/", ":rule/")

    original = replace(iam_actions, "extract_resource_arn", resource_arn)


def correct_reads_of_concurrency() -> None:
    """Authorises reading a function's reserved concurrency as `lambda:GetFunctionConcurrency`.

    The emulator asks for the permission to write it.
    """

    def action(method: str, path: str) -> str | None:
        name = original(method, path)
        if method == "GET" and name == "PutFunctionConcurrency":
            return "GetFunctionConcurrency"
        return name

    original = replace(iam_actions, "_lambda_action", action)


def correct_policies_of_buckets() -> None:
    """Lets a bucket's policy tell the roles of another account apart by `aws:PrincipalArn`.

    The emulator takes every caller from another account for that account's root, so a policy that
    admits one role of an account denies that role too.
    """

    def allows(*request: Any) -> bool:
        headers, query = (request[6] if len(request) > 6 else None), request[4]
        session = sts._sessions.get(extract_access_key_id(headers or {}, query) or "", {})
        token = CALLER.set(session.get("Arn", ""))
        try:
            return original(*request)
        finally:
            CALLER.reset(token)

    original = replace(s3, "_foreign_bucket_allows", allows)


def correct_owners_of_buckets() -> None:
    """Makes `aws:ResourceAccount` of a bucket the account that owns it, and checks expected owners.

    A request fails if the bucket's owner isn't the one that its `x-amz-expected-bucket-owner`
    names. The emulator takes the caller for the owner, and ignores the header.
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


def let_objects_be_older() -> None:
    """Lets an upload say when its object was written, in the metadata `written`.

    S3 has no such thing. Without it, a test of old objects would have to wait until they are old.
    """

    def build(body: bytes, headers: dict, *rest: Any, **more: Any) -> dict:
        record = original(body, headers, *rest, **more)
        written = headers.get("x-amz-meta-written")
        return {**record, "last_modified": written} if written else record

    original = replace(s3, "_build_object_record", build)


def correct_ranges_of_versions() -> None:
    """Returns the requested range of a version. The emulator returns the whole version."""

    def get(bucket: str, key: str, headers: dict, query: dict | None = None) -> tuple:
        status, sent, body = original(bucket, key, headers, query)
        if status != 200 or not headers.get("range"):
            return status, sent, body
        found = s3._parse_range(headers["range"], len(body))
        if found is None:
            return s3._error("InvalidRange", "The requested range is not satisfiable", 416)
        part = body[found[0] : found[1] + 1]
        # The checksum is that of the whole version.
        sent = {name: sent[name] for name in sent if "checksum" not in name.lower()}
        where = f"bytes {found[0]}-{found[1]}/{len(body)}"
        return 206, {**sent, "Content-Length": str(len(part)), "Content-Range": where}, part

    original = replace(s3, "_get_object", get)


def correct_numbers_of_mappings() -> None:
    """Makes the settings of an event source mapping that count something numbers.

    CloudFormation turns a parameter's text into a number. The emulator keeps the text of a
    concurrency, and after an update that of any setting. Then its poller fails, and SDKs can't read
    its answers.
    """

    def count(mapping: dict) -> None:
        scaling = mapping.get("ScalingConfig") or {}
        for settings, name in (
            (scaling, "MaximumConcurrency"),
            (mapping, "BatchSize"),
            (mapping, "MaximumBatchingWindowInSeconds"),
        ):
            if isinstance(settings.get(name), str):
                settings[name] = int(settings[name])

    def concurrency(mapping: dict, *rest: Any) -> int:
        count(mapping)
        return polled(mapping, *rest)

    def response(mapping: dict) -> dict:
        count(mapping)
        return answered(mapping)

    polled = replace(lambda_svc, "_sqs_esm_concurrency", concurrency)
    answered = replace(lambda_svc, "_esm_response", response)


def correct_batches_of_messages() -> None:
    """Authorises a call with several messages by the action for one, as SQS does.

    IAM has no action for several messages. The emulator takes the call's name for the action, and
    so denies calls that a policy admits.
    """

    def action(service: str, *rest: Any) -> str | None:
        found = original(service, *rest)
        return found.removesuffix("Batch") if service == "sqs" and found else found

    original = replace(iam_actions, "extract_iam_action", action)


def correct_failed_creates() -> None:
    """Sends Delete for a custom resource whose Create got the answer FAILED.

    CloudFormation does that, because the answer names what may be half made, and the function must
    remove it. The emulator leaves it. Even with this correction, it does so if a Create gets no
    answer.
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
    """Lets a change set import an existing bucket.

    The emulator prepares the import, but then fails because the bucket's name is taken.
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
