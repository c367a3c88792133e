"""The correction of Python shell runs is still needed, and it works."""

from __future__ import annotations

import ast
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from emulator import (
    ANALYTICS,
    DATA,
    GLUE,
    JOB_POLICY,
    LAUNCHER,
    REGION,
    Emulator,
    Job,
    allow,
    job,
    role,
    running,
    trust,
    wait_until,
    zipped,
)

REPORT = """
import json, os, sys
import boto3
try:
    who = boto3.client("sts").get_caller_identity()["Arn"]
except Exception as error:
    who = str(error)
report = {"argv": sys.argv[1:], "who": who, "region": os.environ.get("AWS_REGION"),
          "environment": sorted(os.environ), "folder": os.getcwd()}
with open(REPORT_FILE, "w") as file:
    json.dump(report, file)
print(json.dumps(report))
"""


def report_script(emulator: Emulator) -> tuple[Path, str]:
    file = emulator.folder / "report.json"
    file.unlink(missing_ok=True)
    return file, f"REPORT_FILE = {str(file)!r}\n{REPORT}"


def test_the_plain_emulator_still_runs_a_script_without_argv_role_and_region(
    plain: Emulator,
) -> None:
    file, script = report_script(plain)
    job(plain, "report", script).run(one="1")
    report = json.loads(file.read_text())
    assert report["argv"] == []
    assert "assumed-role/job/" not in report["who"]
    assert report["region"] is None


def test_a_script_runs_with_its_arguments_the_role_and_the_region(launched: Emulator) -> None:
    _, script = report_script(launched)
    reporter = job(
        launched,
        "report",
        script,
        DefaultArguments={"--default": "kept", "--one": "replaced"},
        NonOverridableArguments={"--pinned": "pinned"},
    )
    run = reporter.run(one='{"a": "b c"}', two="--three é", pinned="overridden")
    assert (run["JobRunState"], run.get("ErrorMessage", "")) == ("SUCCEEDED", "")
    report = json.loads("".join(reporter.logged(run)))
    given = dict(zip(report["argv"][::2], report["argv"][1::2], strict=True))
    assert given == {
        "--default": "kept",
        "--one": '{"a": "b c"}',
        "--two": "--three é",
        "--pinned": "pinned",
    }
    assert report["who"] == (f"arn:aws:sts::{ANALYTICS}:assumed-role/job/GlueJobRunnerSession")
    assert report["region"] == REGION
    assert "A_SECRET_OF_THE_SERVER" not in report["environment"]
    assert not Path(report["folder"]).exists()


def test_extra_py_files_can_be_imported(launched: Emulator) -> None:
    importing = job(launched, "importing", "import extra_one\nprint(extra_one.VALUE)")
    launched.client("s3", ANALYTICS).put_object(
        Bucket="scripts-of-jobs", Key="lib/extra_one.py", Body=b"VALUE = 42\n"
    )
    run = importing.run(**{"extra-py-files": "s3://scripts-of-jobs/lib/extra_one.py"})
    assert run["JobRunState"] == "SUCCEEDED", run
    assert importing.logged(run) == ["42"]


@pytest.mark.parametrize("name", ["one-0-py3-none-any.whl", "one.zip", "one.egg"])
def test_an_archive_of_extra_py_files_can_be_imported(
    launched: Emulator, tmp_path: Path, name: str
) -> None:
    package = tmp_path / "packaged_one"
    package.mkdir()
    (package / "__init__.py").write_text("from packaged_one._value import VALUE\n")
    (package / "_value.py").write_text("VALUE = 43\n")
    archive = zipped(package, tmp_path / name)
    importing = job(launched, f"importing-{name}", "import packaged_one\nprint(packaged_one.VALUE)")
    launched.client("s3", ANALYTICS).put_object(
        Bucket="scripts-of-jobs", Key=f"lib/{name}", Body=archive.read_bytes()
    )
    run = importing.run(**{"extra-py-files": f"s3://scripts-of-jobs/lib/{name}"})
    assert run["JobRunState"] == "SUCCEEDED", run
    assert importing.logged(run) == ["43"]


def test_a_failing_script_fails_its_run_with_its_last_word(launched: Emulator) -> None:
    failing = job(launched, "failing", "print('before')\nraise ValueError('no such thing')")
    run = failing.run()
    assert (run["JobRunState"], run["ErrorMessage"]) == ("FAILED", "ValueError: no such thing")
    assert failing.logged(run) == ["before"]
    assert failing.logged(run, "error")[-1] == "ValueError: no such thing"


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """The emulator, which runs scripts of Spark jobs with this Python, and without PySpark."""
    home = tmp_path_factory.mktemp("spark-home")
    for name in "bin", "jars":
        (home / "lib/python3/site-packages/pyspark" / name).mkdir(parents=True)
    (home / "bin").mkdir()
    (home / "bin/python").symlink_to(sys.executable)
    folder = tmp_path_factory.mktemp("spark")
    with running(LAUNCHER, folder, LOCAL_CLOUD_SPARK=str(home)) as emulator:
        yield emulator


def of_kind(emulator: Emulator, kind: str, name: str, script: str) -> Job:
    """A job that Glue runs as this kind of command."""
    made = job(emulator, name, script)
    command = {"Name": kind, "ScriptLocation": f"s3://scripts-of-jobs/glue/{name}.py"}
    update = {"Role": made.role, "Command": command}
    emulator.client("glue", ANALYTICS).update_job(JobName=name, JobUpdate=update)
    return made


@pytest.mark.parametrize(
    ("script", "in_a_shell", "in_spark"),
    [
        ("print('done')", ("SUCCEEDED", ""), ("SUCCEEDED", "")),
        ("import sys\nsys.exit()", ("SUCCEEDED", ""), ("FAILED", "SystemExit")),
        ("raise SystemExit(0)", ("SUCCEEDED", ""), ("FAILED", "SystemExit: 0")),
        ("raise SystemExit('why')", ("FAILED", "why"), ("FAILED", "SystemExit: why")),
        ("import no_such", *[("FAILED", "ModuleNotFoundError: No module named 'no_such'")] * 2),
    ],
    ids=["ends", "exits", "exits-with-0", "exits-with-a-message", "fails"],
)
def test_an_exit_fails_a_spark_run_whatever_its_code_and_a_shells_run_by_its_code(
    spark: Emulator,
    request: pytest.FixtureRequest,
    script: str,
    in_a_shell: tuple[str, str],
    in_spark: tuple[str, str],
) -> None:
    found = []
    for kind in "pythonshell", "glueetl":
        run = of_kind(spark, kind, f"{kind}-{request.node.callspec.id}", script).run()
        found.append((run["JobRunState"], run.get("ErrorMessage", "")))
    assert found == [in_a_shell, in_spark]


def test_a_spark_script_is_its_own_program(spark: Emulator) -> None:
    script = "import sys\nprint(__name__, sys.argv[0] == __file__, sys.argv[1:])"
    own = of_kind(spark, "glueetl", "own-program", script)
    run = own.run(one="1")
    streams = {"logGroupName": "/aws-glue/jobs/output", "logStreamName": run["Id"]}
    events = spark.client("logs", ANALYTICS).get_log_events(**streams)["events"]
    [line] = [event["message"] for event in events]
    assert line.startswith("__main__ True ['true', '--job-bookmark-option', ")
    assert line.endswith(", '--one', '1']")


def test_a_job_role_that_does_not_trust_glue_fails_the_run(launched: Emulator) -> None:
    trusted = trust(Principal={"Service": "lambda.amazonaws.com"})
    untrusting = role(launched, ANALYTICS, "untrusting", trusted, JOB_POLICY)
    run = job(launched, "untrusted", "print()", Role=untrusting).run()
    assert run["JobRunState"] == "FAILED"
    assert "does not admit glue.amazonaws.com" in run["ErrorMessage"]


def test_a_trust_policy_may_limit_glue_to_an_account(launched: Emulator) -> None:
    states = {}
    for account in (ANALYTICS, DATA):
        trusted = trust(
            Principal={"Service": "glue.amazonaws.com"},
            Condition={"StringEquals": {"aws:SourceAccount": account}},
        )
        limited = role(launched, ANALYTICS, f"limited-{account}", trusted, JOB_POLICY)
        states[account] = job(launched, f"limited-{account}", "print()", Role=limited).run()
    assert states[ANALYTICS]["JobRunState"] == "SUCCEEDED"
    assert states[DATA]["JobRunState"] == "FAILED"


def test_a_script_that_the_job_role_may_not_read_fails_the_run(launched: Emulator) -> None:
    blind = role(launched, ANALYTICS, "blind", GLUE, allow("logs:*"))
    run = job(launched, "blind", "print()", Role=blind).run()
    assert run["JobRunState"] == "FAILED"
    assert "failed to fetch `s3://scripts-of-jobs/glue/blind.py`" in run["ErrorMessage"]


def test_a_script_that_is_not_there_fails_the_run(launched: Emulator) -> None:
    missing = job(launched, "missing", "print()")
    launched.client("s3", ANALYTICS).delete_object(Bucket="scripts-of-jobs", Key="glue/missing.py")
    assert missing.run()["JobRunState"] == "FAILED"


def test_a_role_that_may_not_log_loses_its_logs_and_not_its_run(launched: Emulator) -> None:
    silent = role(launched, ANALYTICS, "silent", GLUE, allow("s3:GetObject"))
    run = job(launched, "silent", "print('unheard')", Role=silent).run()
    assert run["JobRunState"] == "SUCCEEDED"


def test_a_flood_of_runs_does_not_become_a_flood_of_scripts(
    launched: Emulator, tmp_path: Path
) -> None:
    script = (
        "import os, pathlib, time\n"
        f"folder = pathlib.Path({str(tmp_path)!r})\n"
        "(folder / str(os.getpid())).touch()\n"
        "time.sleep(0.2)\n"
        "print(len(list(folder.iterdir())))\n"
        "(folder / str(os.getpid())).unlink()\n"
    )
    crowd = job(launched, "crowd", script, ExecutionProperty={"MaxConcurrentRuns": 6})
    runs = [crowd.wait(run) for run in [crowd.start() for _ in range(6)]]
    assert [run["JobRunState"] for run in runs] == ["SUCCEEDED"] * 6
    assert {line for run in runs for line in crowd.logged(run)} <= {"1", "2"}


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGKILL])
def test_scripts_end_with_the_server(tmp_path: Path, signal_number: int) -> None:
    pid_file = tmp_path / "pid"
    script = (
        "import os, pathlib, time\n"
        f"pathlib.Path({str(tmp_path / 'new')!r}).write_text(str(os.getpid()))\n"
        f"os.rename({str(tmp_path / 'new')!r}, {str(pid_file)!r})\n"
        "time.sleep(600)\n"
    )
    with running(LAUNCHER, tmp_path) as emulator:
        job(emulator, "endless", script).start()
        wait_until(pid_file.exists)
        pid = int(pid_file.read_text())
        assert alive(pid)
        emulator.process.send_signal(signal_number)
        emulator.process.wait(timeout=20)
        wait_until(lambda: not alive(pid))
    if signal_number == signal.SIGTERM:
        assert list(tmp_path.glob("glue-python-scripts-*")) == []


def alive(pid: int) -> bool:
    """Returns True if a process runs. A zombie doesn't run."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


@pytest.mark.parametrize(
    ("printed", "words"),
    [
        ("", ""),
        ("one\ntwo\n", "two"),
        ('Traceback (most recent call last):\n  File "a.py"\nError: why\n', "Error: why"),
        (
            "Traceback (most recent call last):\n  x\nCause: deep\n\nThe above …\n\n"
            "Traceback (most recent call last):\n  y\nError: why\n\tat java.Thread\nWARN bye\n",
            "Error: why",
        ),
    ],
)
def test_what_a_run_failed_of_is_the_last_exception_even_if_more_is_printed_after_it(
    printed: str, words: str
) -> None:
    program = f"import glue_scripts; print(repr(glue_scripts.last_words({printed!r})))"
    folder = Path(LAUNCHER[1]).parent
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=True
    )
    assert ast.literal_eval(done.stdout) == words
