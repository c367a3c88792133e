"""`landfall.testing` makes batches for the tests of jobs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import moto
import pyarrow.dataset
import pytest

import csv_to_parquet
import landfall
import landfall.testing
from job_side import REGION

pytest_plugins = ["pytester"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with two files, one of them in a partition."""
    folder = tmp_path / "in"
    (folder / "dt=2026-01-01").mkdir(parents=True)
    (folder / "dt=2026-01-01/b c.csv").write_text("n\n2\n3\n")
    (folder / "a.csv").write_text("n\n1\n")
    return folder


def test_a_batch_of_local_files_is_read_as_a_jobs_is(folder: Path) -> None:
    batch = landfall.testing.batch(folder, arguments={"--city": "oslo", "limit": 3}, epoch=2)
    with batch:
        assert batch.claimed
        assert (batch.batch_id, batch.epoch) == ("test-batch", 2)
        assert batch.arguments == {"city": "oslo", "limit": "3"}
        assert [one.url for one in batch.objects] == [
            "s3://landing/a.csv",
            "s3://landing/dt=2026-01-01/b c.csv",
        ]
        with batch.open(batch.objects[1]) as body:
            assert list(body.iter_lines()) == [b"n", b"2", b"3"]
        client = batch.session.client("s3", region_name=REGION)
        assert client.get_object(**batch.objects[0].request)["Body"].read() == b"n\n1\n"
        files = batch.filesystem()
        with files.open("landing/a.csv") as file:
            file.seek(2)
            assert file.read(1) == b"1"
        dataset = pyarrow.dataset.dataset(files.find(""), filesystem=files, format="csv")
        assert dataset.to_table().column("n").to_pylist() == [1, 2, 3]
    assert (batch.outcome, batch.error, batch.fences) == ("succeeded", None, 0)


def test_a_single_file_has_its_name_as_the_key(folder: Path) -> None:
    with landfall.testing.batch(folder / "a.csv", str(folder / "dt=2026-01-01/b c.csv")) as batch:
        assert [one.key for one in batch.objects] == ["a.csv", "b c.csv"]


def test_spark_gets_local_paths_and_its_session_back(tmp_path: Path) -> None:
    (tmp_path / "a[1].csv").write_text("n\n")
    session = object()
    with landfall.testing.batch(tmp_path) as batch:
        assert batch.spark(session) is session
        assert batch.paths == [f"{tmp_path}/a\\[1\\].csv"]
    (tmp_path / "_hidden.csv").write_text("n\n")
    with landfall.testing.batch(tmp_path) as batch, pytest.raises(landfall.PathError):
        print(batch.paths)


def test_a_file_that_changes_or_goes_is_an_error_as_in_a_job(folder: Path) -> None:
    with landfall.testing.batch(folder) as batch:
        first, second = batch.objects
        (folder / first.key).write_text("n\n9\n")
        with pytest.raises(landfall.ObjectChanged, match="overwritten"):
            batch.open(first)
        (folder / second.key).unlink()
        with pytest.raises(landfall.ObjectChanged, match="deleted"):
            batch.open(second)
        with pytest.raises(landfall.ObjectChanged, match="deleted"):
            batch.open(landfall.Object("elsewhere", "a.csv"))


def test_what_the_job_would_record_is_told(folder: Path) -> None:
    batch = landfall.testing.batch(folder)

    def job() -> None:
        with batch:
            batch.fence()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        job()
    assert (batch.outcome, batch.error, batch.fences) == ("failed", "ZeroDivisionError", 1)


def test_a_batch_that_another_run_holds_behaves_as_in_a_job(folder: Path) -> None:
    with (
        pytest.raises(landfall.ClaimedElsewhere),
        landfall.testing.batch(folder, claimed=False),
    ):
        raise AssertionError("the body is entered")
    with landfall.testing.batch(folder, claimed=False, exit=False) as batch:
        assert not batch.claimed
        for attempt in (lambda: batch.paths, lambda: batch.spark(None), lambda: len(batch)):
            with pytest.raises(landfall.LandfallError, match="another run holds it"):
                attempt()
    assert batch.outcome is None


def test_a_batch_that_is_lost_stops_at_the_fence(folder: Path) -> None:
    steps = []
    with landfall.testing.batch(folder, exit=False) as batch:
        batch.fence()
        batch.lose()
        batch.fence()
        steps.append("too late")
    assert (steps, batch.claimed, batch.outcome, batch.fences) == ([], False, None, 1)


@pytest.mark.parametrize(
    ("sources", "why"),
    [
        ([], "it has no objects"),
        (["absent"], "there is no `.*absent`"),
        (["one/a.csv", "two/a.csv"], "two files have the key `a.csv`"),
        (["one", "s3://bucket/in/"], "it has local files and objects of S3"),
    ],
)
def test_a_batch_that_cannot_be_made_says_why(tmp_path: Path, sources: list[str], why: str) -> None:
    for name in "one", "two":
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.csv").write_text("n\n")
    found = [one if "://" in one else tmp_path / one for one in sources]
    with pytest.raises(ValueError, match=why):
        landfall.testing.batch(*found)


def test_what_a_batch_of_local_files_does_not_have_says_what_to_use(folder: Path) -> None:
    with landfall.testing.batch(folder) as batch:
        attempts: list[Callable[[], Any]] = [
            lambda: batch.session.client("sts"),
            lambda: batch.session.client("s3").list_objects_v2(Bucket="landing"),
        ]
        for attempt in attempts:
            with pytest.raises(landfall.LandfallError, match=r"use `s3://bucket/prefix` with moto"):
                attempt()


def test_a_job_that_reads_and_writes_a_bucket_is_tested_with_moto() -> None:
    with moto.mock_aws():
        s3 = boto3.client("s3", region_name="us-east-1")
        for bucket in "landing", "lake":
            s3.create_bucket(Bucket=bucket)
        s3.put_bucket_versioning(Bucket="landing", VersioningConfiguration={"Status": "Enabled"})
        s3.put_object(Bucket="landing", Key="in/a.csv", Body=b"old")
        s3.put_object(Bucket="landing", Key="in/a.csv", Body=b"n,c\n1,x\n2,y\n")
        s3.put_object(Bucket="landing", Key="in/gone.csv", Body=b"")
        s3.delete_object(Bucket="landing", Key="in/gone.csv")
        s3.put_object(Bucket="landing", Key="other/b.csv", Body=b"")
        arguments = {"output": "s3://lake/out/", "partition-by": "c"}
        with landfall.testing.batch("s3://landing/in/", arguments=arguments) as batch:
            assert [one.key for one in batch.objects] == ["in/a.csv"]
            assert batch.objects[0].version_id
            assert batch.paths == ["s3a://landing/in/a.csv"]
            summary = csv_to_parquet.convert(batch)
        assert (summary["rows_written"], batch.fences) == (2, 1)
        written = s3.list_objects_v2(Bucket="lake")["Contents"]
        assert [one["Key"] for one in written] == [
            "out/c=x/test-batch-00000.parquet",
            "out/c=y/test-batch-00000.parquet",
        ]


def test_the_fixture_gives_an_entered_batch_and_leaves_it_when_the_test_ends(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(landfall.__file__).parents[1]))
    pytester.makeconftest("from landfall.testing import landfall_batch\n")
    pytester.makepyfile(
        """
        made = []

        def test_lines_are_counted(landfall_batch, tmp_path):
            (tmp_path / "a.csv").write_text("1\\n2\\n")
            batch = landfall_batch(tmp_path, arguments={"city": "oslo"})
            made.append(batch)
            assert batch.open(batch.objects[0]).read() == b"1\\n2\\n"
            assert batch.outcome is None

        def test_the_batch_was_left():
            assert made[0].outcome == "succeeded"
        """
    )
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=2)


def test_the_script_of_a_job_is_tested_with_its_own_call_of_batch(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "a.csv").unlink()
    arguments = {"output": "s3://lake/out/", "partition-by": "n"}
    batch = landfall.testing.batch(folder, arguments=arguments)
    monkeypatch.setattr(landfall, "batch", lambda *_, **__: batch)
    with pytest.raises(csv_to_parquet.JobError, match="its only column is `n`"):
        csv_to_parquet.main()
    assert (batch.outcome, batch.error) == ("failed", "JobError")
    assert json.dumps(capsys.readouterr().out) == '""'
