"""The batch's filesystem: pyarrow and fsspec find exactly what arrived."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.dataset
import pyarrow.parquet
import pytest

import landfall
from emulator import Emulator
from job_side import AWKWARD_KEYS, command_line
from staging import Stage

TABLE = pa.table({"n": list(range(1000)), "word": [f"word {n}" for n in range(1000)]})


def parquet(table: pa.Table = TABLE) -> bytes:
    sink = io.BytesIO()
    pa.parquet.write_table(table, sink, row_group_size=100)
    return sink.getvalue()


@pytest.fixture(scope="module")
def staged(launched: Emulator) -> Stage:
    return Stage(launched, "files")


def test_awkward_keys_are_found_and_read_exactly(stage: Stage) -> None:
    keys = [f"in/{key}"[:1024] for key in AWKWARD_KEYS]
    with stage.batch("awkward", [stage.put(key, key.encode()) for key in keys]) as batch:
        files = batch.filesystem()
        for one in batch.objects:
            for path in f"{one.bucket}/{one.key}", one.url:
                assert files.exists(path)
                assert files.isfile(path)
                assert files.info(path)["size"] == len(one.key.encode())
                with files.open(path) as file:
                    assert file.read() == one.key.encode()


@pytest.mark.parametrize("key", ["in/a b.parquet", "in/ü=東/+%20.parquet", "in/?#;&.parquet"])
def test_parquet_is_read_through_it_by_path_and_by_file(stage: Stage, key: str) -> None:
    with stage.batch(f"parquet-{key}", [stage.put(key, parquet())]) as batch:
        files, (one,) = batch.filesystem(), batch.objects
        path = f"{one.bucket}/{one.key}"
        assert pa.parquet.read_table(path, filesystem=files, columns=["n"]).num_rows == 1000
        with files.open(path) as file:
            assert pa.parquet.ParquetFile(file).read_row_group(3).column("n")[0].as_py() == 300
        dataset = pa.dataset.dataset([path], format="parquet", filesystem=files)
        assert dataset.to_table(filter=pa.dataset.field("n") > 989).num_rows == 10


def test_a_dataset_of_all_objects_has_their_partitions(stage: Stage) -> None:
    part = TABLE.slice(0, 10)
    entries = [stage.put(f"in/set/dt=2026-01-0{n}/part.parquet", parquet(part)) for n in (1, 2, 3)]
    with stage.batch("dataset", entries, scope="batch") as batch:
        options = {"format": "parquet", "filesystem": batch.filesystem()}
        everything = [f"{one.bucket}/{one.key}" for one in batch.objects]
        folder = f"{stage.landing}/in/set"
        for paths in everything, folder:
            found = pa.dataset.dataset(paths, partitioning="hive", **options)
            assert found.count_rows() == 30
            assert set(found.to_table().column("dt").to_pylist()) == {
                "2026-01-01",
                "2026-01-02",
                "2026-01-03",
            }


def test_csv_is_read_through_it(stage: Stage) -> None:
    with stage.batch("csv", [stage.put("in/a b.csv", b"n,word\n1,one\n2,two\n")]) as batch:
        files, (one,) = batch.filesystem(), batch.objects
        with files.open(one.url) as file:
            assert pa.csv.read_csv(file).to_pylist() == [
                {"n": 1, "word": "one"},
                {"n": 2, "word": "two"},
            ]
        dataset = pa.dataset.dataset(f"{one.bucket}/{one.key}", format="csv", filesystem=files)
        assert dataset.count_rows() == 2
        with files.open(one.url, "r", encoding="utf-8") as lines:
            assert next(lines) == "n,word\n"


def test_folders_hold_what_lies_in_them_and_nothing_else(stage: Stage) -> None:
    keys = ["in/a.csv", "in/b/c.csv", "in/b/d/e.csv", "in/bb.csv"]
    stage.put("in/b/other.csv")
    with stage.batch("folders", [stage.put(key) for key in keys]) as batch:
        files, top = batch.filesystem(), stage.landing
        assert files.ls("", detail=False) == [top]
        assert files.ls(top, detail=False) == [f"{top}/in"]
        assert files.ls(f"s3://{top}/in/", detail=False) == [
            f"{top}/in/a.csv",
            f"{top}/in/b",
            f"{top}/in/bb.csv",
        ]
        [file, folder, _] = files.ls(f"{top}/in")
        assert (file["type"], file["size"]) == ("file", 4)
        assert (folder["type"], folder["size"]) == ("directory", 0)
        assert files.isdir(f"{top}/in/b")
        assert sorted(files.find(top)) == [f"{top}/{key}" for key in keys]
        assert files.glob(f"{top}/in/*.csv") == [f"{top}/in/a.csv", f"{top}/in/bb.csv"]
        assert files.glob(f"{top}/**/e.csv") == [f"{top}/in/b/d/e.csv"]
        assert files.du(top) == 16


def test_what_is_not_of_the_batch_is_not_found(stage: Stage) -> None:
    stage.put("in/other.csv")
    with stage.batch("only", [stage.put("in/only.csv")]) as batch:
        files = batch.filesystem()
        for key in ("in/other.csv", "in/onl", "in/only.csv/", "elsewhere"):
            path = f"{stage.landing}/{key}"
            assert not files.exists(path), path
            for attempt in (files.open, files.info, files.ls):
                with pytest.raises(FileNotFoundError):
                    attempt(path)


def test_nothing_can_be_written(stage: Stage) -> None:
    with stage.batch("written", [stage.put("in/a.csv")]) as batch:
        files, path = batch.filesystem(), f"{stage.landing}/in/a.csv"
        for attempt in (
            lambda: files.open(path, "wb"),
            lambda: files.open(path, "ab"),
            lambda: files.rm(path),
            lambda: files.cp_file(path, f"{path}-2"),
            lambda: files.mv(path, f"{path}-2"),
            lambda: files.mkdir(f"{stage.landing}/new"),
            lambda: files.makedirs(f"{stage.landing}/new"),
            lambda: files.makedirs(f"{stage.landing}/in", exist_ok=True),
            lambda: files.rmdir(f"{stage.landing}/in"),
            lambda: files.pipe_file(path, b""),
            lambda: files.touch(path),
        ):
            with pytest.raises(PermissionError, match="a batch is read-only"):
                attempt()


@pytest.mark.parametrize(
    "cache", ["all", "bytes", "first", "mmap", "none", "readahead", "blockcache", "background"]
)
def test_an_empty_object_is_read_whatever_the_cache(stage: Stage, cache: str) -> None:
    with (
        stage.batch(f"empty-{cache}", [stage.put("in/empty", b"")]) as batch,
        batch.filesystem().open(batch.objects[0].url, cache_type=cache) as file,
    ):
        assert file.read() == b""


def test_an_object_that_was_overwritten_is_not_read_by_any_range(stage: Stage) -> None:
    content = parquet()
    with stage.batch("changed", [stage.put("in/changed", content)]) as batch:
        file = batch.filesystem().open(batch.objects[0].url, block_size=1024)
        file.seek(len(content) - 8)
        assert file.read(8).endswith(b"PAR1")
        stage.put("in/changed", content[::-1])
        file.seek(0)
        with pytest.raises(landfall.ObjectChanged, match="it was overwritten"):
            file.read(8)


def test_of_an_object_without_an_etag_the_size_is_compared(stage: Stage) -> None:
    entry = stage.put("in/bare")
    del entry["etag"]
    with stage.batch("bare", [entry]) as batch:
        stage.put("in/bare", b"longer rows")
        with (
            batch.filesystem().open(batch.objects[0].url) as file,
            pytest.raises(landfall.ObjectChanged, match="it has 11 bytes now, but had 4"),
        ):
            file.read()


def test_of_an_object_of_which_nothing_is_known_the_size_is_asked_for(stage: Stage) -> None:
    entry = {"url": stage.put("in/unknown", b"four")["url"], "mandatory": True}
    with stage.batch("unknown", [entry]) as batch:
        files = batch.filesystem()
        assert files.info(entry["url"])["size"] == 4
        assert files.cat_file(entry["url"]) == b"four"


def test_a_size_that_may_not_be_asked_for_is_an_error_that_says_so(stage: Stage) -> None:
    entry = {"url": stage.put("elsewhere/unknown")["url"], "mandatory": True}
    with stage.batch("hidden", [entry]) as batch:
        files = batch.filesystem()
        # S3 gives no reason in its answer to HEAD.
        with pytest.raises(landfall.ObjectError, match=r": 403: role .* needs `s3:GetObject`"):
            files.info(entry["url"])


def test_a_versioned_object_is_read_by_its_version(launched: Emulator, stage: Stage) -> None:
    versioned = "files-versioned"
    stage.s3.create_bucket(
        Bucket=versioned, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    stage.s3.put_bucket_versioning(Bucket=versioned, VersioningConfiguration={"Status": "Enabled"})
    stage.permit((["s3:GetObject*"], f"arn:aws:s3:::{versioned}/*"))
    first = stage.s3.put_object(Bucket=versioned, Key="k", Body=parquet())
    entry = {"url": f"s3://{versioned}/k", "version_id": first["VersionId"]}
    stage.s3.put_object(Bucket=versioned, Key="k", Body=b"newer")
    with stage.batch("versioned", [entry], scope="batch") as batch:
        read = pa.parquet.read_table(f"{versioned}/k", filesystem=batch.filesystem())
        assert read == TABLE
        with batch.open(batch.objects[0]) as body:
            assert body.read() == parquet()


def test_a_refused_read_is_the_same_error_as_without_a_filesystem(stage: Stage) -> None:
    with stage.batch("refused", [stage.put("elsewhere/a.csv")]) as batch:
        file = batch.filesystem().open(batch.objects[0].url)
        with pytest.raises(landfall.ObjectError, match="does not allow `s3:GetObject`"):
            file.read()


WITHOUT = """
import sys
sys.modules["fsspec"] = None  # What Python takes for a module that is not there.
import landfall
with landfall.batch(ARGV) as batch:
    try:
        batch.filesystem()
    except landfall.LandfallError as error:
        print(error)
heavy = {"pyarrow", "s3fs", "pyspark", "awsglue"} & set(sys.modules)
print(sorted(heavy))
"""


def test_what_is_missing_is_said_when_it_is_needed(stage: Stage) -> None:
    argv = json.dumps(command_line(stage.arguments("missing", [stage.put("in/a")])))
    ended = subprocess.run(
        [sys.executable, "-c", WITHOUT.replace("ARGV", argv)],
        env={**stage.environment(), "PYTHONPATH": str(Path(landfall.__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.stdout.splitlines() == [
        "failed to make a filesystem: fsspec is not installed; "
        "add it to the job's `--additional-python-modules`",
        "[]",
    ], ended.stderr
