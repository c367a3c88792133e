"""Starts the emulator `ministack` with a handful of corrections; everything else is as it comes.

    python tests/python/launcher.py

takes the environment of the `ministack` command (`AUTH`, `GATEWAY_PORT`, `BIND_HOST`,
`MINISTACK_REGION`, `AWS_ENDPOINT_URL`); `AWS_ENDPOINT_URL` must be the emulator's own address, for
that is what job scripts get. Each correction is a function below, with its reason; the tests beside
this file fail when the emulator no longer needs it.

What a Python shell run prints is found where Glue puts it: CloudWatch Logs of the job's account and
region, log groups `/aws-glue/python-jobs/output` and `/aws-glue/python-jobs/error`, the log stream
named by the run id. It is written with the job role, which needs the permission, before the run
reaches its last state.

Scripts run with this interpreter and its packages, at most `MAX_SCRIPTS` at once (other runs are
RUNNING, and wait). They, and their temporary directories, go when the server ends; a server that is
killed outright takes the scripts along (on Linux) but leaves the directories in `TMPDIR`.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import logging
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextvars import ContextVar
from pathlib import Path
from types import ModuleType
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from ministack import app
from ministack.core import iam_actions, iam_evaluator
from ministack.core.responses import get_account_id, get_region
from ministack.services import glue, iam, lambda_svc, sts
from ministack.services.cloudformation import custom_resource, stacks

# The parameters of the call to IAM that is being judged.
IAM_PARAMETERS: ContextVar[dict] = ContextVar("IAM_PARAMETERS")

MAX_SCRIPTS = 2
"""How many scripts run at once: each is a Python of its own, and a flood would starve all."""

LOG_GROUP = "/aws-glue/python-jobs"
SESSION_NAME = "GlueJobRunnerSession"
SESSION_SECONDS = 12 * 3600

# The script replaces this first program, and inherits from it that the kernel kills it when the
# server dies, however the server dies. (`preexec_fn` is not safe in a server with threads.)
DIE_WITH_SERVER = """
import ctypes, os, signal, sys
if hasattr(libc := ctypes.CDLL(None), "prctl"):
    libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
if os.getppid() != int(sys.argv[1]):
    sys.exit("the server is gone")
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""

logger = logging.getLogger("launcher")
slots = threading.BoundedSemaphore(MAX_SCRIPTS)
live: set[subprocess.Popen[bytes]] = set()
scratch = Path(tempfile.gettempdir()) / f"glue-python-scripts-{os.getpid()}"
clients_lock = threading.Lock()
clients = botocore.session.Session()


class RunError(RuntimeError):
    """Why a run could not be started; it becomes the run's error message."""


def main() -> None:
    correct_principal_arn()
    correct_paths_of_roles()
    correct_boundary_condition()
    correct_wildcards()
    correct_secure_transport()
    correct_maximum_concurrency()
    correct_allocated_capacity()
    correct_failed_creates()
    correct_python_shell_runs()
    app.main()


def replace(module: ModuleType, name: str, function: Any) -> Any:
    """Put `function` in the place of the module's own, and return that one."""
    original = getattr(module, name)  # An emulator that lost this function is an error.
    setattr(module, name, function)
    return original


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


def parameter(parameters: dict, name: str) -> str:
    """A parameter of a request of the query protocol."""
    value = parameters.get(name, "")
    return value[0] if isinstance(value, list) else value


def correct_wildcards() -> None:
    """Make `*` and `?` of a policy match line breaks, which keys may hold, as all else."""

    def compile_pattern(pattern: str, ignore_case: bool) -> re.Pattern[str]:
        regex = original(pattern, ignore_case)
        return re.compile(regex.pattern.removesuffix("$") + r"\Z", regex.flags | re.DOTALL)

    original = replace(iam_evaluator, "_fnmatch_compile", compile_pattern)


def correct_secure_transport() -> None:
    """Make `aws:SecureTransport` true.

    The emulator speaks plain HTTP, and the templates' policies deny what comes without TLS, as they
    should. This stands for a proxy in front of it that ends TLS.
    """
    original = replace(app, "pin_request_origin", lambda address, _: original(address, True))


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


def correct_allocated_capacity() -> None:
    """Make `AllocatedCapacity` of a job run an integer, as Glue's model has it.

    SDKs with types refuse the fraction that the emulator takes from a job's `MaxCapacity`.
    """

    def corrected(answer: Any) -> Any:
        def whole(request: dict) -> Any:
            for run in glue._job_runs.get(request.get("JobName"), []):
                run["AllocatedCapacity"] = int(run["AllocatedCapacity"] or 0)
            return answer(request)

        return whole

    for name in ("_get_job_run", "_get_job_runs"):
        replace(glue, name, corrected(getattr(glue, name)))


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


def correct_python_shell_runs() -> None:
    """Make a Python shell run what it is in Glue: the script, its arguments, and the job's role.

    The emulator runs the script without arguments, and with the server's environment in place of
    the role's credentials and the region; a script it cannot find counts as a success.
    """
    # The script is fetched with the job's role, in the run: this only has to be found.
    replace(glue, "_resolve_script", lambda location: f"{location}#.py")
    replace(glue, "_execute_subprocess", run_script)
    scratch.mkdir(mode=0o700)
    atexit.register(clean_up)


def run_script(run: dict, job: dict, arguments: dict[str, str], _resolved: str) -> None:
    """Run the job's script to its end, and put the outcome into `run`.

    Called on the run's own thread, in the context of the job's account and region.
    """
    with slots:
        try:
            credentials = job_role_credentials(job)
            with tempfile.TemporaryDirectory(dir=scratch, ignore_cleanup_errors=True) as folder:
                state, message = execute(run, job, arguments, Path(folder), credentials)
        except Exception as error:
            # Whatever it is, it is the run's end: nobody else would ever end it.
            state, message = "FAILED", str(error) or repr(error)
    run["ErrorMessage"] = message
    run["JobRunState"] = state


def execute(
    run: dict, job: dict, arguments: dict[str, str], folder: Path, credentials: dict[str, str]
) -> tuple[str, str]:
    """Fetch, run, log: the run's last state and its error message."""
    # Glue lets a job pin arguments against whoever starts it.
    arguments = {**arguments, **job.get("NonOverridableArguments", {})}
    extra = [url.strip() for url in arguments.pop("--extra-py-files", "").split(",")]
    script = fetch(job["Command"]["ScriptLocation"], folder, credentials)
    modules = [fetch(url, folder / "extra", credentials) for url in extra if url]
    # A plain module is imported from its folder, an archive as itself.
    paths = {str(m.parent if m.suffix == ".py" else m) for m in modules}
    words = [word for name, value in arguments.items() for word in (name, str(value))]
    work = folder / "work"
    work.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-ISc", DIE_WITH_SERVER, str(os.getpid()), str(script), *words],
        cwd=work,
        env={
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(work),
            "TMPDIR": str(work),
            "LANG": "C.UTF-8",
            "PYTHONPATH": os.pathsep.join(sorted(paths)),
            "PYTHONDONTWRITEBYTECODE": "1",
            "AWS_ENDPOINT_URL": os.environ["AWS_ENDPOINT_URL"],
            "AWS_REGION": get_region(),
            "AWS_DEFAULT_REGION": get_region(),
            "AWS_EC2_METADATA_DISABLED": "true",
            **credentials,
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    live.add(process)
    timed_out = False
    try:
        output = process.communicate(timeout=60 * int(job.get("Timeout") or 2880))
    except subprocess.TimeoutExpired:
        timed_out = True
        kill(process)
        output = process.communicate()
    finally:
        live.discard(process)
    stdout, stderr = (text.decode(errors="replace") for text in output)
    log(run["Id"], "output", stdout, credentials)
    log(run["Id"], "error", stderr, credentials)
    if timed_out:
        return "TIMEOUT", "the run exceeded the job's timeout"
    if process.returncode == 0:
        return "SUCCEEDED", ""
    lines = stderr.strip().splitlines() or [f"the script ended with {process.returncode}"]
    return "FAILED", lines[-1][:2000]


def job_role_credentials(job: dict) -> dict[str, str]:
    """A session of the job's role, as the Glue service would get it: its trust policy must agree.

    The emulator cannot be asked: to it, any trusted service is the root of the account.
    """
    account = get_account_id()
    name = job["Role"].rsplit("/", 1)[-1]
    role = iam._roles.get_scoped(account, None, name)
    if role is None:
        raise RunError(f"failed to assume role `{job['Role']}`: no such role in `{account}`")
    if not trusts_glue(role, account, job["Name"]):
        message = "its trust policy does not admit glue.amazonaws.com"
        raise RunError(f"failed to assume role `{role['Arn']}`: {message}")
    key, secret, token = ("ASIA" + secrets.token_hex(8).upper(), *map(secrets.token_hex, (20, 64)))
    session = {
        "Arn": f"arn:aws:sts::{account}:assumed-role/{name}/{SESSION_NAME}",
        "UserId": f"{role['RoleId']}:{SESSION_NAME}",
        "SecretAccessKey": secret,
        "SessionToken": token,
        "AccountId": account,
        "PrincipalType": "AssumedRole",
        "Expiration": time.time() + SESSION_SECONDS,
    }
    sts.register_session(key, session)
    return {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret, "AWS_SESSION_TOKEN": token}


def trusts_glue(role: dict, account: str, job: str) -> bool:
    """Whether the role's trust policy, of which only what names Glue counts, admits this job."""
    policy = json.loads(role["AssumeRolePolicyDocument"])
    statements = policy["Statement"]
    statements = [statements] if isinstance(statements, dict) else statements
    glues = [
        statement
        for statement in statements
        if iam_evaluator._service_principal_matches(
            statement.get("Principal"), "glue.amazonaws.com"
        )
    ]
    root = f"arn:aws:iam::{account}:root"
    context = iam_evaluator.EvalContext(
        principal_arn=root,
        principal_type="Root",
        principal_account=account,
        action="sts:AssumeRole",
        resource_arn=role["Arn"],
        region=get_region(),
        service_context={
            "aws:sourceaccount": account,
            "aws:sourcearn": f"arn:aws:glue:{get_region()}:{account}:job/{job}",
        },
    )
    return iam_evaluator.evaluate_trust_policy({**policy, "Statement": glues}, root, context)


def fetch(url: str, folder: Path, credentials: dict[str, str]) -> Path:
    """Copy an object into `folder` with the job's role, as Glue does."""
    bucket, _, key = url.removeprefix("s3://").partition("/")
    name = key.rsplit("/", 1)[-1]
    if not url.startswith("s3://") or not name:
        raise RunError(f"failed to fetch `{url}`: it is not `s3://bucket/key`")
    try:
        body = client("s3", credentials).get_object(Bucket=bucket, Key=key)["Body"].read()
    except (BotoCoreError, ClientError) as error:
        raise RunError(f"failed to fetch `{url}` with the job's role: {error}") from error
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_bytes(body)
    return path


def log(run_id: str, kind: str, text: str, credentials: dict[str, str]) -> None:
    """Put what a script printed into CloudWatch Logs, an event a line.

    A role that may not do that loses its logs and not its run, as in Glue.
    """
    lines = [line for line in text.splitlines() if line]
    if not lines:
        return
    group = {"logGroupName": f"{LOG_GROUP}/{kind}"}
    stream = {**group, "logStreamName": run_id}
    now = int(time.time() * 1000)
    logs = client("logs", credentials)
    try:
        for create, names in (logs.create_log_group, group), (logs.create_log_stream, stream):
            with contextlib.suppress(logs.exceptions.ResourceAlreadyExistsException):
                create(**names)
        for start in range(0, len(lines), 1000):
            batch = lines[start : start + 1000]
            logs.put_log_events(
                **stream, logEvents=[{"timestamp": now, "message": line} for line in batch]
            )
    except (BotoCoreError, ClientError) as error:
        logger.warning("failed to log %s of run `%s`: %s", kind, run_id, error)


def client(service: str, credentials: dict[str, str]) -> Any:
    with clients_lock:  # Making a client is not safe in threads; using one is.
        return clients.create_client(
            service,
            region_name=get_region(),
            endpoint_url=os.environ["AWS_ENDPOINT_URL"],
            aws_access_key_id=credentials["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=credentials["AWS_SECRET_ACCESS_KEY"],
            aws_session_token=credentials["AWS_SESSION_TOKEN"],
            config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 2}),
        )


def kill(process: subprocess.Popen[bytes]) -> None:
    """End the script and what it started: it leads a process group of its own."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def clean_up() -> None:
    """At the server's end: no script and no directory is left."""
    for process in list(live):
        kill(process)
        process.wait(timeout=5)
    shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
