"""Each correction of Glue's job runs is still needed, and it works."""

from __future__ import annotations

import json
import re
import threading
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from emulator import ANALYTICS, Emulator, Job, job, wait_until


def spark_job(emulator: Emulator, name: str, **settings: Any) -> Job:
    """A job that runs nothing and succeeds at once."""
    command = {"Name": "glueetl", "ScriptLocation": "s3://none/none.py"}
    arn = f"arn:aws:iam::{ANALYTICS}:role/none"
    glue = emulator.client("glue", ANALYTICS)
    glue.create_job(Name=name, Role=arn, Command=command, **settings)
    return Job(emulator, name, arn)


def endless(emulator: Emulator, name: str, **settings: Any) -> Job:
    """A job whose runs end only when they are stopped."""
    return job(emulator, name, "import time\ntime.sleep(600)", **settings)


def code_of(error: pytest.ExceptionInfo[ClientError]) -> str:
    return error.value.response["Error"]["Code"]


# Ids


def test_the_plain_emulator_still_names_runs_otherwise(plain: Emulator) -> None:
    assert not spark_job(plain, "named").start().startswith("jr_")


def test_a_run_id_looks_as_in_glue(launched: Emulator) -> None:
    assert re.fullmatch(r"jr_[0-9a-f]{64}", spark_job(launched, "named").start())


# Arguments


def arguments_of_run(emulator: Emulator) -> dict[str, str]:
    given = spark_job(emulator, "given", DefaultArguments={"--default": "1"})
    return given.run(one="2")["Arguments"]


def test_the_plain_emulator_still_mixes_defaults_into_arguments(plain: Emulator) -> None:
    assert arguments_of_run(plain) == {"--default": "1", "--one": "2"}


def test_the_arguments_of_a_run_are_those_it_was_given(launched: Emulator) -> None:
    assert arguments_of_run(launched) == {"--one": "2"}


# Lists


def pages(emulator: Emulator, name: str, **parameters: int) -> list[list[str]]:
    glue = emulator.client("glue", ANALYTICS)
    found, token = [], {}
    while True:
        answer = glue.get_job_runs(JobName=name, **parameters, **token)
        found.append([run["Id"] for run in answer["JobRuns"]])
        if "NextToken" not in answer:
            return found
        token = {"NextToken": answer["NextToken"]}


def test_the_plain_emulator_still_lists_all_runs_oldest_first(plain: Emulator) -> None:
    listed = spark_job(plain, "listed")
    ids = [listed.start() for _ in range(3)]
    assert pages(plain, "listed", MaxResults=2) == [ids]


def test_runs_are_listed_newest_first_in_pages(launched: Emulator) -> None:
    listed = spark_job(launched, "listed", ExecutionProperty={"MaxConcurrentRuns": 10})
    ids = [listed.start() for _ in range(5)][::-1]
    assert pages(launched, "listed", MaxResults=2) == [ids[:2], ids[2:4], ids[4:]]
    assert pages(launched, "listed", MaxResults=5) == [ids]
    assert pages(launched, "listed") == [ids]


def test_a_page_is_not_shifted_by_runs_that_have_begun_since(launched: Emulator) -> None:
    shifted = spark_job(launched, "shifted", ExecutionProperty={"MaxConcurrentRuns": 10})
    first, second = shifted.start(), shifted.start()
    glue = launched.client("glue", ANALYTICS)
    page = glue.get_job_runs(JobName="shifted", MaxResults=1)
    shifted.start()
    following = glue.get_job_runs(JobName="shifted", NextToken=page["NextToken"])
    assert [run["Id"] for run in page["JobRuns"] + following["JobRuns"]] == [second, first]


def test_a_page_holds_at_most_200_runs(launched: Emulator) -> None:
    many = spark_job(launched, "many", ExecutionProperty={"MaxConcurrentRuns": 1000})
    for _ in range(201):
        many.start()
    assert [len(page) for page in pages(launched, "many")] == [200, 1]
    with pytest.raises(ClientError) as error:
        launched.client("glue", ANALYTICS).get_job_runs(JobName="many", MaxResults=201)
    assert code_of(error) == "InvalidInputException"


def test_the_runs_of_no_job_are_not_listed(launched: Emulator) -> None:
    with pytest.raises(ClientError) as error:
        launched.client("glue", ANALYTICS).get_job_runs(JobName="no-such-job")
    assert code_of(error) == "EntityNotFoundException"


# AllocatedCapacity


def capacity(emulator: Emulator) -> object:
    run = job(emulator, "small", "", MaxCapacity=0.0625).run()
    return run["AllocatedCapacity"]


def test_the_plain_emulator_still_allocates_a_fraction(plain: Emulator) -> None:
    assert capacity(plain) == 0.0625


def test_a_capacity_is_a_whole_number(launched: Emulator) -> None:
    assert capacity(launched) == 0
    runs = launched.client("glue", ANALYTICS).get_job_runs(JobName="small")["JobRuns"]
    assert isinstance(runs[0]["AllocatedCapacity"], int)


# MaxConcurrentRuns


def test_the_plain_emulator_still_refuses_no_run(plain: Emulator) -> None:
    limited = job(
        plain, "limited", "import time\ntime.sleep(2)", ExecutionProperty={"MaxConcurrentRuns": 1}
    )
    runs = [limited.start(), limited.start()]
    assert {limited.state(run) for run in runs} <= {"STARTING", "RUNNING"}
    found = plain.client("glue", ANALYTICS).get_job(JobName="limited")["Job"]
    assert "ExecutionProperty" not in found


def test_runs_beyond_the_limit_are_refused_until_one_ends(launched: Emulator) -> None:
    limited = endless(launched, "limited", ExecutionProperty={"MaxConcurrentRuns": 2})
    runs = [limited.start(), limited.start()]
    with pytest.raises(ClientError) as error:
        limited.start()
    assert code_of(error) == "ConcurrentRunsExceededException"
    limited.stop(runs[0])
    limited.wait(runs[0])
    runs.append(limited.start())
    assert len(pages(launched, "limited")[0]) == 3
    for run in runs[1:]:
        limited.stop(run)
        limited.wait(run)


def test_a_job_that_says_nothing_has_one_run_at_a_time(launched: Emulator) -> None:
    silent = endless(launched, "says-nothing")
    run = silent.start()
    with pytest.raises(ClientError) as error:
        silent.start()
    assert code_of(error) == "ConcurrentRunsExceededException"
    silent.stop(run)
    assert silent.wait(run)["JobRunState"] == "STOPPED"


def test_starts_side_by_side_do_not_exceed_the_limit(launched: Emulator) -> None:
    crowded = endless(launched, "crowded", ExecutionProperty={"MaxConcurrentRuns": 3})
    started: list[str] = []
    refused: list[str] = []

    def start() -> None:
        try:
            started.append(crowded.start())
        except ClientError as error:
            refused.append(error.response["Error"]["Code"])

    threads = [threading.Thread(target=start) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(started), refused) == (3, ["ConcurrentRunsExceededException"] * 9)
    for run in started:
        crowded.stop(run)
        crowded.wait(run)


def test_the_limit_of_a_job_is_what_api_and_cloudformation_set(launched: Emulator) -> None:
    glue = launched.client("glue", ANALYTICS)
    spark_job(launched, "by-api")

    def limit(name: str) -> int:
        return glue.get_job(JobName=name)["Job"]["ExecutionProperty"]["MaxConcurrentRuns"]

    assert limit("by-api") == 1
    update = {"Role": "none", "Command": {"Name": "glueetl", "ScriptLocation": "s3://none/none"}}
    limited = {**update, "ExecutionProperty": {"MaxConcurrentRuns": 4}}
    glue.update_job(JobName="by-api", JobUpdate=limited)
    assert limit("by-api") == 4

    template = {
        "Parameters": {"Limit": {"Type": "Number"}},
        "Resources": {
            "Job": {
                "Type": "AWS::Glue::Job",
                "Properties": {
                    "Name": "by-stack",
                    **update,
                    "ExecutionProperty": {"MaxConcurrentRuns": {"Ref": "Limit"}},
                },
            }
        },
    }
    stacks = launched.client("cloudformation", ANALYTICS)
    stacks.create_stack(
        StackName="jobs",
        TemplateBody=json.dumps(template),
        Parameters=[{"ParameterKey": "Limit", "ParameterValue": "7"}],
    )
    stacks.get_waiter("stack_create_complete").wait(
        StackName="jobs", WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
    assert limit("by-stack") == 7


# Stopped runs


def test_the_plain_emulator_still_lets_a_stopped_run_succeed(plain: Emulator) -> None:
    slow = job(plain, "slow", "import time\ntime.sleep(2)")
    run = slow.start()
    assert slow.stop(run) == []
    assert slow.state(run) == "STOPPED"
    wait_until(lambda: slow.state(run) == "SUCCEEDED")


def test_a_stopped_run_ends_stopped_and_its_script_with_it(
    launched: Emulator, tmp_path: Path
) -> None:
    begun, ended = tmp_path / "begun", tmp_path / "ended"
    script = (
        "import pathlib, time\n"
        f"pathlib.Path({str(begun)!r}).touch()\n"
        "time.sleep(600)\n"
        f"pathlib.Path({str(ended)!r}).touch()\n"
    )
    stopped = job(launched, "stopped", script)
    run = stopped.start()
    wait_until(begun.exists)
    assert stopped.stop(run) == []
    found = stopped.wait(run)
    assert (found["JobRunState"], found["ErrorMessage"]) == ("STOPPED", "")
    assert "CompletedOn" in found
    assert stopped.stop(run) == ["InvalidInputException"]
    assert stopped.stop("jr_none") == ["EntityNotFoundException"]
    assert not ended.exists()


def test_a_run_that_waits_for_its_script_can_be_stopped(launched: Emulator) -> None:
    waiting = endless(launched, "waiting", ExecutionProperty={"MaxConcurrentRuns": 5})
    runs = [waiting.start() for _ in range(5)]
    for run in reversed(runs):
        assert waiting.stop(run) == []
    assert {waiting.wait(run)["JobRunState"] for run in runs} == {"STOPPED"}


# Repeats


def failing(emulator: Emulator, name: str, **settings: Any) -> Job:
    return job(emulator, name, "import sys\nprint(sys.argv[1:])\nsys.exit(1)", **settings)


def runs_of(failed: Job) -> list[dict[str, Any]]:
    """The runs, oldest first."""
    runs = failed.emulator.client("glue", ANALYTICS).get_job_runs(JobName=failed.name)["JobRuns"]
    return sorted(runs, key=lambda run: int(run.get("Attempt") or 0))


def test_the_plain_emulator_still_repeats_no_run_that_failed(plain: Emulator) -> None:
    failed = failing(plain, "repeated", MaxRetries=1)
    failed.run()
    assert len(runs_of(failed)) == 1


def test_a_run_that_failed_is_repeated_as_often_as_its_job_says(launched: Emulator) -> None:
    failed = failing(launched, "repeated", MaxRetries=2)
    started = failed.start(one="1")
    last = wait_until(lambda: next((r for r in runs_of(failed) if r.get("Attempt") == 2), None))
    failed.wait(last["Id"])
    runs = runs_of(failed)
    ids = [started, f"{started}_attempt_1", f"{started}_attempt_2"]
    assert [run["Id"] for run in runs] == ids
    assert [run["JobRunState"] for run in runs] == ["FAILED"] * 3
    assert [run.get("PreviousRunId") for run in runs[1:]] == ids[:2]
    assert all(run["Arguments"] == {"--one": "1"} for run in runs)


def test_a_run_that_was_stopped_is_not_repeated(launched: Emulator) -> None:
    stopped = endless(launched, "stopped-once", MaxRetries=1)
    run_id = stopped.start()
    assert stopped.stop(run_id) == []
    assert stopped.wait(run_id)["JobRunState"] == "STOPPED"
    assert len(runs_of(stopped)) == 1
