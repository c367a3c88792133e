"""What the package offers is documented and typed, and says first what matters first."""

from __future__ import annotations

import inspect
import pydoc
import subprocess
import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import landfall
import landfall.testing
from landfall import _batch


def public() -> Iterator[tuple[str, Any]]:
    """Yields everything that a user can name, and the attributes that the library defines."""
    for module in landfall, landfall.testing:
        yield module.__name__, module
    named = [(f"landfall.{name}", getattr(landfall, name)) for name in landfall.__all__]
    local = (landfall.testing.batch, landfall.testing.LocalBatch)
    for name, found in [*named, *((f"testing.{one.__name__}", one) for one in local)]:
        yield name, found
        if name in ("landfall.Batch", "landfall.Object", "testing.LocalBatch"):
            for attribute, value in vars(found).items():
                if not attribute.startswith("_") and (
                    callable(value) or inspect.isdatadescriptor(value)
                ):
                    yield f"{name}.{attribute}", value


def test_everything_public_has_a_docstring() -> None:
    found = dict(public())
    assert {"landfall.batch", "landfall.Batch.claimed", "landfall.Object.request"} <= set(found)
    assert [name for name, one in found.items() if not (inspect.getdoc(one) or "").strip()] == []


def test_help_begins_with_the_forms_of_a_job_and_what_it_needs_first() -> None:
    text = pydoc.plain(pydoc.render_doc(landfall))
    beginning = text[: text.index("PACKAGE CONTENTS")]
    forms = ["with landfall.batch() as batch:", "with landfall.batch(exit=False) as batch:"]
    needed = ["batch.open(item)", "len(batch)", "batch.fence()", "landfall.testing"]
    places = [beginning.index(one) for one in [*forms, "What you need first:"]]
    assert places == sorted(places)
    assert [one for one in needed if one not in beginning] == []


def test_paths_are_a_list_as_spark_wants_them_and_a_session_keeps_its_type() -> None:
    paths = typing.get_type_hints(landfall.Batch.paths.fget)
    assert paths["return"] == list[str]
    spark = typing.get_type_hints(landfall.Batch.spark)
    assert spark["spark"] is spark["return"] is _batch._Spark


def test_the_length_of_a_batch_is_the_number_of_its_objects(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).write_bytes(b"rows")
    batch = landfall.testing.batch(tmp_path)
    with batch:
        assert len(batch) == len(batch.objects) == 2


def test_the_package_can_be_imported_without_pytest_and_fsspec() -> None:
    code = (
        "import sys; sys.modules['pytest'] = sys.modules['fsspec'] = None\n"
        "import landfall.testing\n"
        "print(landfall.__version__, hasattr(landfall.testing, 'landfall_batch'))"
    )
    folder = Path(landfall.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [landfall.__version__, "False"]
