"""Glue's job runs as its API shows them: IDs, arguments, limits, lists, and how they stop."""

from __future__ import annotations

import json
import secrets
import threading
import time
from typing import Any

from ministack.core.iam_evaluator import validate_policy_document
from ministack.services import glue
from ministack.services.cloudformation import provisioners

import glue_scripts
from corrections import replace

LIVE = ("STARTING", "RUNNING", "STOPPING", "WAITING")
PAGE = 200
"""The maximum and the default number of runs on a page."""
SESSION_POLICY = 2048
"""The maximum number of characters of a session policy."""


def correct_ids_of_runs() -> None:
    """Makes run IDs look as in Glue. The emulator's are UUIDs.

    The emulator makes the IDs of workflow runs with the same function, but nothing here uses those.
    """
    replace(glue, "new_uuid", lambda: f"jr_{secrets.token_hex(32)}")


def correct_arguments_of_runs() -> None:
    """Shows only the arguments that a run was started with, as Glue does.

    The emulator adds the job's defaults, which could hide that an argument is missing.
    """

    def start(request: dict) -> tuple:
        answer = original(request)
        if (started := json.loads(answer[2]).get("JobRunId")) is not None:
            for run in glue._job_runs[request["JobName"]]:
                if run["Id"] == started:
                    run["Arguments"] = dict(request.get("Arguments") or {})
        return answer

    original = replace(glue, "_start_job_run", start)


def correct_session_policies_of_runs() -> None:
    """Keeps and shows a run's `ExecutionRoleSessionPolicy`, and lets it narrow the job's role.

    The emulator forgets it. This rejects a policy that STS would not accept. Glue doesn't document
    when it notices that.
    """

    def start(request: dict) -> tuple:
        if (policy := request.get("ExecutionRoleSessionPolicy")) is None:
            return original(request)
        problem = validate_policy_document(policy)
        if not 2 <= len(policy) <= SESSION_POLICY:
            problem = f"The session policy has {len(policy)} characters"
        if problem:
            return glue.error_response_json("InvalidInputException", problem, 400)
        # The run's thread copies the context when it is made.
        token = glue_scripts.session_policy.set(policy)
        try:
            answer = original(request)
        finally:
            glue_scripts.session_policy.reset(token)
        if (started := json.loads(answer[2]).get("JobRunId")) is not None:
            for run in glue._job_runs[request["JobName"]]:
                if run["Id"] == started:
                    run["ExecutionRoleSessionPolicy"] = policy
        return answer

    original = replace(glue, "_start_job_run", start)


def correct_concurrent_runs() -> None:
    """Rejects a run beyond the job's `MaxConcurrentRuns`, which is 1 by default.

    The emulator forgets the setting, whether it comes from the API or CloudFormation, and rejects
    no run.
    """
    starting = threading.Lock()
    default = {"MaxConcurrentRuns": 1}

    def remembering(change: Any) -> Any:
        def changed(request: dict) -> tuple:
            answer = change(request)
            job = glue._jobs.get(request.get("Name") or request.get("JobName"))
            if answer[0] == 200 and job is not None:
                settings = request.get("JobUpdate", request).get("ExecutionProperty")
                settings = settings or job.get("ExecutionProperty") or default
                # CloudFormation turns a parameter's text into a number, and the emulator doesn't.
                limit = int(settings["MaxConcurrentRuns"])
                job["ExecutionProperty"] = {"MaxConcurrentRuns": limit}
            return answer

        return changed

    def start(request: dict) -> tuple:
        name = request.get("JobName")
        with starting:
            job = glue._jobs.get(name) or {}
            limit = job.get("ExecutionProperty", default)["MaxConcurrentRuns"]
            runs = glue._job_runs.get(name) or []
            if sum(run["JobRunState"] in LIVE for run in runs) >= limit:
                message = f"Concurrent runs exceeded for {name}"
                return glue.error_response_json("ConcurrentRunsExceededException", message, 400)
            return original(request)

    for name in ("_create_job", "_update_job"):
        replace(glue, name, remembering(getattr(glue, name)))
    provisioners._GLUE_JOB_DEFAULTS["ExecutionProperty"] = default
    original = replace(glue, "_start_job_run", start)


def correct_lists_of_runs() -> None:
    """Lists the runs of a job newest first and in pages, and fails if there is no such job.

    The emulator lists all runs at once, oldest first.
    """

    def list_runs(request: dict) -> tuple:
        name, size = request.get("JobName"), int(request.get("MaxResults") or PAGE)
        if name not in glue._jobs:
            message = f"Job {name} not found"
            return glue.error_response_json("EntityNotFoundException", message, 400)
        runs = list(reversed(glue._job_runs.get(name) or []))
        ids = [run["Id"] for run in runs]
        token = request.get("NextToken")
        if not 1 <= size <= PAGE or (token and token not in ids):
            return glue.error_response_json("InvalidInputException", "no such page", 400)
        # Goes on after the previous page's last run, so runs that have begun since don't matter.
        start = ids.index(token) + 1 if token else 0
        page = runs[start : start + size]
        more = {"NextToken": page[-1]["Id"]} if start + size < len(runs) else {}
        return glue.json_response({"JobRuns": page, **more})

    replace(glue, "_get_job_runs", list_runs)


def correct_allocated_capacity() -> None:
    """Makes `AllocatedCapacity` of a job run an integer, as Glue's model defines it.

    The emulator copies a fraction from the job's `MaxCapacity`, which typed SDKs reject.
    """

    def corrected(answer: Any) -> Any:
        def whole(request: dict) -> Any:
            for run in glue._job_runs.get(request.get("JobName"), []):
                run["AllocatedCapacity"] = int(run["AllocatedCapacity"] or 0)
            return answer(request)

        return whole

    for name in ("_get_job_run", "_get_job_runs"):
        replace(glue, name, corrected(getattr(glue, name)))


def correct_repeated_runs() -> None:
    """Repeats a run that failed as often as the job's `MaxRetries` says, as Glue does.

    The emulator repeats none. Glue's IDs of the repeats have `_attempt_1` and so on behind the
    run's. Their arguments are the run's. The end of each is an event of its own.
    """

    def execute(run: dict, job: dict, arguments: dict[str, str], script: str) -> None:
        given = dict(arguments)
        original(run, job, arguments, script)
        attempt = int(run.get("Attempt") or 0) + 1
        if run["JobRunState"] != "FAILED" or attempt > int(job.get("MaxRetries") or 0):
            return
        first = run["Id"].split("_attempt_")[0]
        repeat = {
            **run,
            "Id": f"{first}_attempt_{attempt}",
            "Attempt": attempt,
            "PreviousRunId": run["Id"],
            "JobRunState": "RUNNING",
            "ErrorMessage": "",
            "StartedOn": int(time.time()),
        }
        repeat.pop("CompletedOn", None)
        glue._job_runs[run["JobName"]].append(repeat)
        execute(repeat, job, given, script)

    original = replace(glue, "_execute_subprocess", execute)


def correct_stopped_runs() -> None:
    """Ends a stopped run as STOPPED, and its script with it.

    The emulator lets the script go on, and the script's end then replaces the state.
    """

    def stop(request: dict) -> tuple:
        name = request.get("JobName")
        runs = {run["Id"]: run for run in glue._job_runs.get(name) or []}
        stopped, errors = [], []
        for run_id in request.get("JobRunIds", []):
            named = {"JobName": name, "JobRunId": run_id}
            if (run := runs.get(run_id)) is None:
                detail = {"ErrorCode": "EntityNotFoundException", "ErrorMessage": "no such run"}
            elif not glue_scripts.stop(run):
                detail = {"ErrorCode": "InvalidInputException", "ErrorMessage": "it is not live"}
            else:
                stopped.append(named)
                continue
            errors.append({**named, "ErrorDetail": detail})
        return glue.json_response({"SuccessfulSubmissions": stopped, "Errors": errors})

    replace(glue, "_batch_stop_job_run", stop)
