"""The examples call `batch.fence()` right before they commit: a run that is over has no effect."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import csv_to_parquet_spark
import decrypt
import landfall
import landfall.testing

WRITTEN = ["out/test-batch-00000", "out/test-batch-00001"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in "a", "b":
        (tmp_path / name).write_text(name)
    return tmp_path


class Effects(list[str]):
    """What was written, after how many fences."""

    def __init__(self, batch: landfall.testing.LocalBatch) -> None:
        super().__init__()
        self.batch = batch
        self.fences: list[int] = []

    def add(self, name: str) -> None:
        self.append(name)
        self.fences.append(self.batch.fences)


def decrypts(monkeypatch: pytest.MonkeyPatch, batch: landfall.testing.LocalBatch) -> Effects:
    effects = Effects(batch)
    target = SimpleNamespace(put_object=lambda **request: effects.add(request["Key"]))
    monkeypatch.setattr(landfall, "batch", lambda *_: batch)
    monkeypatch.setattr(decrypt, "decrypting", lambda batch: batch.session.client("s3"))
    monkeypatch.setattr(decrypt, "boto3", SimpleNamespace(client=lambda _: target))
    decrypt.main()
    return effects


def test_the_example_that_decrypts_calls_the_fence_before_each_object(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = landfall.testing.batch(folder, arguments={"output": "s3://lake/out/"})
    effects = decrypts(monkeypatch, batch)
    assert (effects, effects.fences) == (WRITTEN, [1, 2])


def test_the_example_that_decrypts_writes_nothing_once_its_run_is_over(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = landfall.testing.batch(folder, arguments={"output": "s3://lake/out/"}, exit=False)
    monkeypatch.setattr(batch, "_holds", lambda: False)
    assert (decrypts(monkeypatch, batch), batch.outcome) == ([], None)


class Rows:
    """Stands for Spark's rows: it takes a writer's settings, and records each write."""

    columns, schema = ["day", "weather"], "day INT, weather STRING"

    def __init__(self, effects: Effects) -> None:
        self.effects = effects
        self.write = self

    def parquet(self, target: str) -> None:
        self.effects.add(target)

    def __getattr__(self, name: str) -> Any:
        assert name in ("mode", "option", "partitionBy"), name
        return lambda *_: self


def test_the_spark_example_calls_the_fence_before_it_writes(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = {"output": "s3://lake/out/", "partition-by": "day"}
    counted = SimpleNamespace(count=lambda: 2)
    reader = SimpleNamespace(schema=lambda _: SimpleNamespace(parquet=lambda _: counted))
    session: Any = SimpleNamespace(read=reader)
    monkeypatch.setattr(csv_to_parquet_spark, "checked", lambda rows, _: rows)
    target = "s3://lake/out/batch=test-batch"
    for is_lost, written, fences in (False, [target], [1]), (True, [], []):
        with landfall.testing.batch(folder, arguments=arguments, exit=False) as batch:
            effects = Effects(batch)
            rows = Rows(effects)
            monkeypatch.setattr(csv_to_parquet_spark, "read", lambda _, __, rows=rows: rows)
            if is_lost:
                batch.lose()
            csv_to_parquet_spark.convert(batch, session)
        assert (effects, effects.fences) == (written, fences)
        assert batch.outcome == (None if is_lost else "succeeded")
