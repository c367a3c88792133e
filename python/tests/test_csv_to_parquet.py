"""The Python shell example: what it reads, what it writes, and under which names."""

from __future__ import annotations

import importlib.util
import io
import json
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import boto3
import pyarrow as pa
import pyarrow.parquet
import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

import csv_to_parquet
import landfall
from job_side import READER, TABLE
from landfall import _reader

WEATHER = b"date,temp,weather\n2026-01-01,1.5,rain\n2026-01-02,2.5,sun\n2026-01-03,3.5,rain\n"


class Store:
    """The buckets of both accounts and the claims, as far as the job uses them."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], bytes] = {}
        self.conditions: list[str] = []
        self.held_by_another = False
        self.over_after = sys.maxsize
        """After this many writes to the claim, another run holds the batch."""
        self.owners: set[str] = set()

    def update_item(self, ConditionExpression: str, **_: Any) -> None:
        self.conditions.append(ConditionExpression)
        if self.held_by_another or len(self.conditions) > self.over_after:
            code = "ConditionalCheckFailedException"
            raise ClientError({"Error": {"Code": code, "Message": ""}}, "UpdateItem")

    def get_object(self, Bucket: str, Key: str) -> dict[str, Any]:
        assert self.conditions, "read before the batch was claimed"
        content = self.objects[Bucket, Key]
        return {"Body": io.BytesIO(content), "ContentLength": len(content)}

    def put_object(
        self, Bucket: str, Key: str, Body: bytes, ExpectedBucketOwner: str = "anybody"
    ) -> None:
        self.owners.add(ExpectedBucketOwner)
        self.objects[Bucket, Key] = Body

    def files(self) -> dict[str, pa.Table]:
        """Returns the Parquet files by key, without the column that is only in the path."""
        return {
            key: pa.parquet.ParquetFile(io.BytesIO(content)).read()
            for (bucket, key), content in self.objects.items()
            if bucket == "lake"
        }


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    store = Store()

    class Session:
        def client(self, service: str, region_name: str = "") -> Store:
            assert service in ("s3", "dynamodb")
            return store

    monkeypatch.setattr(_reader, "session", lambda *_: Session())
    monkeypatch.setattr(boto3, "client", lambda service: store)
    return store


def run(store: Store, keys: list[str], *own: str, batch_id: str = "weather-1") -> None:
    """Runs the job on a batch of objects in the bucket `landing`."""
    entries = [{"url": f"s3://landing/{key}", "mandatory": True} for key in keys]
    manifest = f"manifests/{batch_id}.json"
    store.objects["landfall", manifest] = json.dumps({"entries": entries}).encode()
    csv_to_parquet.main(
        [
            "script.py",
            *("--landfall-batch-id", batch_id),
            *("--landfall-epoch", "1"),
            *("--landfall-manifest", f"s3://landfall/{manifest}"),
            *("--landfall-reader-role", READER),
            *("--landfall-claims-table", TABLE),
            *(own or ("--output", "s3://lake/weather/", "--partition-by", "weather")),
        ]
    )


def convert(store: Store, capsys: pytest.CaptureFixture[str], *own: str, **named: bytes) -> Any:
    """Runs the job on the objects `named`, and returns its summary."""
    for key, content in named.items():
        store.objects["landing", key] = content
    run(store, list(named), *own)
    (line,) = capsys.readouterr().out.splitlines()
    return json.loads(line)


def test_each_partition_of_each_input_is_one_file(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    summary = convert(store, capsys, a=WEATHER, b=WEATHER[:38])
    assert summary == {
        "batch_id": "weather-1",
        "inputs": 2,
        "rows_read": 4,
        "rows_written": 4,
        "files_written": 3,
        "output": "s3://lake/weather/",
    }
    files = store.files()
    assert sorted(files) == [
        "weather/weather=rain/weather-1-00000.parquet",
        "weather/weather=rain/weather-1-00001.parquet",
        "weather/weather=sun/weather-1-00000.parquet",
    ]
    rain = files["weather/weather=rain/weather-1-00000.parquet"]
    assert rain.column_names == ["date", "temp"]
    assert rain.column("temp").to_pylist() == [1.5, 3.5]


def test_the_output_is_written_to_a_bucket_of_the_owner_who_is_named(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    own = ("--output", "s3://lake/", "--partition-by", "weather")
    convert(store, capsys, *own, a=WEATHER)
    assert store.owners == {"anybody"}
    convert(store, capsys, *own, "--output-owner", "222222222222", b=WEATHER)
    assert store.owners == {"anybody", "222222222222"}


def test_running_a_batch_again_replaces_its_own_files_only(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    convert(store, capsys, a=WEATHER)
    once = store.files()
    convert(store, capsys, a=WEATHER)
    assert store.files() == once
    run(store, ["a"], batch_id="weather-2")
    assert len(store.files()) == 2 * len(once)


def test_a_batch_that_another_run_holds_is_left_without_a_trace(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    store.held_by_another = True
    # It doesn't check the job's own arguments either: only the run that holds the batch does.
    for own in ((), ("--output", "lake")):
        with pytest.raises(landfall.ClaimedElsewhere):
            convert(store, capsys, *own, a=b"not,the\nexpected,columns\n")
    assert capsys.readouterr().out == ""
    assert store.files() == {}


def test_a_run_that_is_over_for_landfall_writes_no_more(store: Store) -> None:
    store.objects |= {("landing", key): WEATHER for key in "ab"}
    store.over_after = 2  # The claim, and the first fence.
    with pytest.raises(landfall.ClaimedElsewhere):
        run(store, ["a", "b"])
    files = store.files()
    assert files
    assert all(key.endswith("-00000.parquet") for key in files), "of the first object only"


def test_the_demos_data_set_keeps_every_row(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    # Importing the package would import pandas, which these tests don't need.
    package = importlib.util.find_spec("vega_datasets")
    assert package is not None
    assert package.origin is not None
    content = Path(package.origin).with_name("_data").joinpath("seattle-weather.csv").read_bytes()
    summary = convert(store, capsys, seattle=content)
    assert summary["rows_read"] == summary["rows_written"] == content.count(b"\n") - 1 == 1461
    assert sum(table.num_rows for table in store.files().values()) == 1461
    assert {key.split("/")[1] for key in store.files()} == {
        f"weather={value}" for value in ("drizzle", "fog", "rain", "snow", "sun")
    }


@pytest.mark.parametrize("content", [b"", b"\n", b"date,temp,weather\n", b"date,temp,weather"])
def test_a_file_without_rows_writes_nothing(
    store: Store, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    summary = convert(store, capsys, a=content)
    assert (summary["rows_read"], summary["rows_written"], summary["files_written"]) == (0, 0, 0)
    assert store.files() == {}


def test_rows_without_a_partition_value_share_hives_default_partition(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = b'temp,weather\n1,\n2,""\n3,__HIVE_DEFAULT_PARTITION__\n4,NA\n'
    summary = convert(store, capsys, a=rows)
    assert summary["rows_written"] == 4
    found = {key.split("/")[1]: t.column("temp").to_pylist() for key, t in store.files().items()}
    assert found == {"weather=__HIVE_DEFAULT_PARTITION__": [1, 2, 3], "weather=NA": [4]}


def test_a_partition_value_stays_as_it_was_written(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    convert(store, capsys, a=b"temp,weather\n1,01\n2,1\n3,a/b c=d%\n")
    assert [key.split("/")[1] for key in store.files()] == [
        "weather=01",
        "weather=1",
        "weather=a%2Fb%20c%3Dd%25",
    ]


@given(st.lists(st.text(min_size=1), min_size=2, max_size=2, unique=True))
def test_different_partition_values_have_different_paths_that_read_back(values: list[str]) -> None:
    paths = [csv_to_parquet.partition_path("a column", value) for value in values]
    assert len(set(paths)) == 2
    for path, value in zip(paths, values, strict=True):
        assert path.isascii()
        assert "/" not in path
        assert unquote(path) == f"a column={value}"


def test_arguments_named_as_constants_become_columns(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    own = ("--output", "s3://lake", "--partition-by", "city", "--constants", "city,dt")
    convert(store, capsys, *own, "--city", "Seattle", "--dt", "2026-01-01", a=WEATHER)
    ((key, table),) = store.files().items()
    assert key == "city=Seattle/weather-1-00000.parquet"
    assert table.column_names == ["date", "temp", "weather", "dt"]
    assert table.column("dt").to_pylist() == ["2026-01-01"] * 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b"temp,weather\n1,rain\n2,rain,secret\n",
            "failed to parse `s3://landing/bad` as CSV: row 3 has 3 fields, the header has 2",
        ),
        (
            b'temp,weather\n1,"two\nlines"\n2\n',
            "failed to parse `s3://landing/bad` as CSV: row 3 has 1 fields, the header has 2",
        ),
        (b"temp,weather\n1,\xff\n", "failed to parse `s3://landing/bad` as CSV"),
        (
            b"temp\n1\n",
            "failed to partition `s3://landing/bad`: it has no column `weather`",
        ),
        (
            b"weather,weather\nrain,sun\n",
            "failed to partition `s3://landing/bad`: it has 2 columns `weather`",
        ),
        (
            b"weather\nrain\n",
            "failed to partition `s3://landing/bad`: its only column is `weather`",
        ),
        (
            b"temp,weather\n" + b"".join(b"1,%d\n" % n for n in range(1001)),
            "failed to partition `s3://landing/bad`: column `weather` has 1001 values, "
            "more than 1000",
        ),
    ],
)
def test_a_bad_file_is_one_clear_error_that_names_it(
    store: Store, capsys: pytest.CaptureFixture[str], content: bytes, message: str
) -> None:
    with pytest.raises(csv_to_parquet.JobError) as raised:
        convert(store, capsys, bad=content)
    assert str(raised.value) == message
    assert store.files() == {}


@pytest.mark.parametrize(
    ("own", "message"),
    [
        (("--partition-by", "weather"), "`--output` is not `s3://bucket/prefix/`"),
        (("--output", "lake"), "`--output` is not `s3://bucket/prefix/`"),
        (("--output", "s3://lake/"), "`--partition-by` is missing"),
        (
            ("--output", "s3://lake/", "--partition-by", "weather", "--output-owner", "222"),
            "`--output-owner` is not an account ID of 12 digits",
        ),
        (
            ("--output", "s3://lake/", "--partition-by", "weather", "--constants", "city,dt"),
            "`--constants` names `--city`, `--dt`: missing",
        ),
        (
            ("--output", "s3://l", "--partition-by", "temp", "--constants", "temp", "--temp", "1"),
            "failed to add column `temp` to `s3://landing/a`: it already has one",
        ),
    ],
)
def test_arguments_that_make_no_sense_are_refused(
    store: Store, capsys: pytest.CaptureFixture[str], own: tuple[str, ...], message: str
) -> None:
    with pytest.raises(csv_to_parquet.JobError) as raised:
        convert(store, capsys, *own, a=WEATHER)
    assert message in str(raised.value)
    assert store.files() == {}
