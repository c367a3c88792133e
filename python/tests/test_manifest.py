"""The library reads the batch's manifest and the objects that it lists."""

from __future__ import annotations

import io
import json
import re
import textwrap
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, IncompleteReadError
from botocore.response import StreamingBody
from botocore.stub import Stubber
from hypothesis import given
from hypothesis import strategies as st
from urllib3.exceptions import ProtocolError

import landfall
from job_side import AWKWARD_KEYS, MANIFEST, READER, entry
from landfall import _manifest


class Session:
    """A reader's session in which S3 returns one object, or an error."""

    def __init__(self, body: Any, error: str = "") -> None:
        self.s3 = boto3.client("s3", region_name="eu-west-1")
        stub = Stubber(self.s3)
        if error:
            stub.add_client_error("get_object", error, "words of S3")
        else:
            expected = {"Bucket": "acme-landfall", "Key": "manifests/orders-1.json"}
            stub.add_response("get_object", {"Body": body}, expected)
        stub.activate()

    def client(self, service: str) -> Any:
        assert service == "s3"
        return self.s3


def objects_of(manifest: Any) -> tuple[landfall.Object, ...]:
    """Reads a manifest, given as bytes or as a JSON value, and returns its objects."""
    text = manifest if isinstance(manifest, bytes) else json.dumps(manifest).encode()
    return _manifest.read(Session(StreamingBody(io.BytesIO(text), len(text))), READER, MANIFEST)


def refused(session: Session) -> str:
    with pytest.raises(landfall.ManifestError) as raised:
        _manifest.read(session, READER, MANIFEST)
    what, _, why = str(raised.value).partition(": ")
    assert what == f"failed to read manifest `{MANIFEST}`"
    return why


def problem_of(text: bytes) -> str:
    return refused(Session(StreamingBody(io.BytesIO(text), len(text))))


def test_a_manifest_as_the_functions_write_it_is_read() -> None:
    # The text that the functions' own test expects. The literal is indented, but a manifest isn't.
    source = Path(__file__).parents[2] / "shared/core/src/batch/tests/manifest.rs"
    literals = re.findall(r'r#"(.*?)"#', source.read_text("utf-8"), re.DOTALL)
    [written] = [literal for literal in literals if '{"entries":[' in literal]
    assert objects_of(textwrap.dedent(written).lstrip("\n").encode()) == (
        landfall.Object("landing", "orders/a.csv", None, None, None),
        landfall.Object("landing", "orders/ü.csv", 42, "v", "e"),
    )


def test_the_inputs_are_what_the_manifest_lists_in_its_order() -> None:
    entries = [
        entry("in/b.csv", meta={"content_length": 7}, version_id="v1", etag="e1"),
        entry("in/a.csv"),
    ]
    found = objects_of({"entries": entries})
    assert found == (
        landfall.Object("acme-landing", "in/b.csv", 7, "v1", "e1"),
        landfall.Object("acme-landing", "in/a.csv", None, None, None),
    )
    assert found[0].url == "s3://acme-landing/in/b.csv"
    assert found[0].key == "in/b.csv"


@pytest.mark.parametrize("key", AWKWARD_KEYS)
@pytest.mark.parametrize("ascii_only", [True, False])
def test_awkward_keys_arrive_exactly(key: str, ascii_only: bool) -> None:
    text = json.dumps({"entries": [entry(key)]}, ensure_ascii=ascii_only)
    (found,) = objects_of(text.encode())
    assert (found.bucket, found.key) == ("acme-landing", key)
    assert found.url == f"s3://acme-landing/{key}"


@given(st.text(min_size=1, max_size=256))
def test_any_key_arrives_exactly(key: str) -> None:
    (found,) = objects_of({"entries": [entry(key)]})
    assert found.key == key


def test_unknown_fields_of_a_manifest_are_left_alone() -> None:
    (found,) = objects_of({"entries": [entry(later=1, meta={"record_count": 1})], "later": 2})
    assert found == landfall.Object("acme-landing", "in/a.csv")


def test_a_quoted_etag_is_the_same_etag() -> None:
    (found,) = objects_of({"entries": [entry(etag='"abc"')]})
    assert found.etag == "abc"


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=9),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["url", "meta", "content_length", "version_id", "etag"]), inner
            )
        ),
    )
)
def test_no_manifest_does_anything_but_give_inputs_or_a_manifest_error(value: Any) -> None:
    for manifest in (value, {"entries": value}, {"entries": [value]}):
        try:
            found = objects_of(manifest)
        except landfall.ManifestError:
            continue
        assert found


def test_every_problem_of_a_manifest_is_reported_at_once() -> None:
    entries = [
        entry(meta={"content_length": -1}),
        {"url": "https://acme-landing/in/a.csv"},
        {"url": "s3://acme-landing/"},
        entry("k" * 1025),
        entry(version_id=7, etag=""),
        entry(meta=[]),
    ]
    assert problem_of(json.dumps({"entries": entries}).encode()) == (
        "entry 0: `meta.content_length` is not a number of bytes; "
        "entry 1: `url` is not `s3://bucket/key`; "
        "entry 2: `url` is not `s3://bucket/key`; "
        "entry 3: `url` has no valid object key; "
        "entry 4: `version_id` is not a non-empty string; "
        "entry 4: `etag` is not a non-empty string; "
        "entry 5: `meta.content_length` is not a number of bytes"
    )


def test_a_manifest_that_is_wrong_throughout_shows_ten_problems_and_counts_the_rest() -> None:
    shown = problem_of(json.dumps({"entries": [None] * 1000}).encode())
    assert shown == "; ".join(
        [*(f"entry {i} is not an object" for i in range(10)), "and 990 more"],
    )
    assert problem_of(json.dumps({"entries": [None] * 10}).encode()).endswith(
        "entry 9 is not an object"
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"", "not JSON"),
        (b" ", "not JSON"),
        (b'{"entries": ' + b"[" * 100_000, "not JSON"),
        (b'{"entries": [' + b"1" * 2_000_000, "not JSON"),
        (b'{"entries": [{"url": "s3://b/k"}]} x', "not JSON"),
        (b'{"entries": [{"url": "s3://b/k"},]}', "not JSON"),
        (b'{"entries": [{"url": "s3://b/k"}] "later": 1}', "not JSON"),
        (b'{"entries": [{"url": "s3://b/k"}],}', "not JSON"),
        (b'{"entries": [{"url": "s3://b/k"} {"url": "s3://b/k"}]}', "not JSON"),
        (b'{"entries": [1], "entries": [2]}', "`entries` is given twice"),
        (b"[" * 100_000, "no `entries`"),
        (b"{}", "no `entries`"),
        (b'{"later": 1}', "no `entries`"),
        (b"{'entries': []}", "not JSON"),
        (b'{"entries": [{"url": "s3://b/\xff"}]}', "not JSON"),
        (b'{"entries": [{"url": "s3://b/k"}', "not JSON"),
        (b"[]", "no `entries`"),
        (b'{"entries": []}', "no `entries`"),
        (b'{"entries": {"url": "s3://b/k"}}', "no `entries`"),
        (b'{"entries": [null]}', "entry 0 is not an object"),
        (b'{"entries": [{"url": "s3://b/\\ud800"}]}', "entry 0: `url` has no valid object key"),
    ],
)
def test_an_ill_formed_manifest_is_one_clear_problem(text: bytes, problem: str) -> None:
    assert problem_of(text) == problem


@pytest.mark.parametrize("code", ["NoSuchKey", "NoSuchBucket", "SlowDown"])
def test_a_refused_manifest_is_an_error_that_names_the_code(code: str) -> None:
    with pytest.raises(landfall.ManifestError) as raised:
        _manifest.read(Session(None, code), READER, MANIFEST)
    assert str(raised.value) == f"failed to read manifest `{MANIFEST}`: {code}"
    assert isinstance(raised.value.__cause__, ClientError)


def test_a_manifest_that_breaks_off_is_an_error_and_never_a_shorter_list() -> None:
    text = json.dumps({"entries": [entry()]}).encode()
    with pytest.raises(landfall.ManifestError) as raised:
        _manifest.read(Session(StreamingBody(io.BytesIO(text), len(text) + 1)), READER, MANIFEST)
    assert isinstance(raised.value.__cause__, IncompleteReadError)


def test_a_connection_that_breaks_under_an_older_botocore_is_the_same_error() -> None:
    class Broken(io.BytesIO):
        def read(self, *_: Any) -> bytes:
            raise ProtocolError("connection broken")

    assert refused(Session(Broken())) == "ProtocolError"


def test_a_reader_role_that_cannot_be_assumed_is_told_as_the_reason() -> None:
    class Refusing:
        def client(self, service: str) -> Any:
            raise landfall.ReaderRoleError("failed to assume role `r` as `s`: AccessDenied")

    assert refused(Refusing()) == "failed to assume role `r` as `s`: AccessDenied"


LAYOUTS = st.builds(
    lambda indent, separators, ascii_only: {
        "indent": indent,
        "separators": separators,
        "ensure_ascii": ascii_only,
    },
    st.sampled_from([None, 0, 4, "\t"]),
    st.sampled_from([(",", ":"), (" , ", " : "), ("\r\n,", ":\n\n")]),
    st.booleans(),
)
OTHERS = st.dictionaries(
    st.text(max_size=5).filter(lambda name: name != "entries"),
    st.floats(allow_nan=False) | st.text(max_size=9) | st.lists(st.integers(), max_size=3),
    max_size=3,
)


@given(st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=5), OTHERS, OTHERS, LAYOUTS)
def test_a_manifest_is_read_whatever_its_layout_and_wherever_its_chunks_end(
    keys: list[str], before: dict[str, Any], after: dict[str, Any], layout: dict[str, Any]
) -> None:
    entries = [entry(key, meta={"content_length": len(key)}) for key in keys]
    text = json.dumps({**before, "entries": entries, **after}, **layout).encode()

    class Trickle(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return super().read(1)

    found = _manifest.read(Session(Trickle(text)), READER, MANIFEST)
    expected = json.loads(text)["entries"]
    assert [one.url for one in found] == [one["url"] for one in expected]
    assert [one.size for one in found] == [len(key) for key in keys]


def test_a_byte_order_mark_is_no_part_of_the_manifest() -> None:
    (found,) = objects_of(b"\xef\xbb\xbf" + json.dumps({"entries": [entry()]}).encode())
    assert found.key == "in/a.csv"


class Generated(io.RawIOBase):
    """A manifest of 100,000 objects with keys of that many bytes, never in memory as a whole."""

    def __init__(self, key_bytes: int) -> None:
        self.parts = self.text(key_bytes)
        self.rest = b""

    def text(self, key_bytes: int) -> Iterator[bytes]:
        yield b'{"entries":['
        for n in range(100_000):
            key = b"in/%06d" % n
            yield b'%s{"url":"s3://acme-landing/%s","mandatory":true,' % (
                b"," if n else b"",
                key.ljust(key_bytes, b"k"),
            )
            yield b'"meta":{"content_length":%d},"version_id":"%032d","etag":"%032x"}' % (
                10**6 + n,
                n,
                n,
            )
        yield b"]}"

    def read(self, size: int = -1) -> bytes:
        while len(self.rest) < size and (part := next(self.parts, b"")):
            self.rest += part
        taken, self.rest = self.rest[:size], self.rest[size:]
        return taken


@pytest.mark.parametrize(("key_bytes", "megabytes"), [(50, 50), (1024, 150)])
def test_of_a_manifest_of_100_000_objects_only_the_objects_are_in_memory(
    key_bytes: int, megabytes: int
) -> None:
    session = Session(Generated(key_bytes))
    tracemalloc.start()
    try:
        found = _manifest.read(session, READER, MANIFEST)
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(found) == 100_000
    assert found[-1].key == "in/099999".ljust(key_bytes, "k")
    assert peak < megabytes * 10**6, peak
    # The bytes of a read, and a second list of references.
    assert peak - held < 3 * 10**6, (held, peak)


def test_a_manifest_that_the_role_may_not_read_says_who_needs_what() -> None:
    assert refused(Session(None, "AccessDenied")) == (
        f"AccessDenied: role `{READER}` needs `s3:GetObject`, "
        "and `kms:Decrypt` if a KMS key encrypts it; or it does not exist"
    )
