"""Reads the batch's manifest, JSON in the form that Redshift's COPY reads, while it arrives."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import boto3

from landfall._errors import FAILURES, ManifestError, obstacle, printable, refusal
from landfall._objects import Object, bucket_and_key

_CHUNK = 64 * 1024  # Bytes per read.
_MAX_VALUE = 1024 * 1024  # Characters of an entry. Landfall writes none that is longer.
_MAX_PROBLEMS = 10  # Keeps a manifest that is wrong throughout from flooding the log.


def read(session: boto3.session.Session, role: str, manifest: str) -> tuple[Object, ...]:
    """Returns the objects of the batch, in the manifest's order. `session` acts as `role`.

    Only a chunk of the text is in memory at a time. 100,000 objects take 40 MB themselves, or 140
    MB if all keys have the maximum length. Raises ManifestError, which names the manifest.
    """
    what = f"failed to read manifest `{printable(manifest)}`"
    bucket, key = bucket_and_key(manifest)
    problems: list[str] = []
    objects: list[Object] = []
    try:
        # The body's own `with` would yield the raw stream, whose length botocore doesn't check.
        with closing(session.client("s3").get_object(Bucket=bucket, Key=key)["Body"]) as body:
            for at, entry in enumerate(_entries(body.read)):
                # All objects usually have one bucket, so they share one string for its name.
                last = objects[-1].bucket if objects else ""
                found = _object(entry, f"entry {at}", last, problems)
                if found is not None:
                    objects.append(found)
    except FAILURES as error:
        why = obstacle(error, bucket) or refusal(error, role, "s3:GetObject")
        raise ManifestError(f"{what}: {why}") from error
    except (ValueError, RecursionError) as error:
        why = error.args[0] if isinstance(error, _Malformed) else "not JSON"
        raise ManifestError(f"{what}: {why}") from error
    if problems:
        shown = "; ".join(problems[:_MAX_PROBLEMS])
        more = len(problems) - _MAX_PROBLEMS
        raise ManifestError(f"{what}: {shown}" + (f"; and {more} more" if more > 0 else ""))
    return tuple(objects)


class _Malformed(ValueError):
    """A problem with the manifest as a whole."""


def _entries(read_bytes: Callable[[int], bytes]) -> Iterator[Any]:
    """Yields the values of `entries`, one at a time. Raises ValueError or RecursionError."""
    text = _Text(read_bytes)
    if text.take("{[") != "{":
        raise _Malformed("no `entries`")
    seen = 0
    separator = "" if text.peek() == "}" else ","
    if not separator:
        text.take("}")
    while separator == ",":
        name = text.value()
        text.take(":")
        if name != "entries":
            text.value()
        else:
            if seen or text.peek() != "[":
                raise _Malformed("`entries` is given twice" if seen else "no `entries`")
            text.take("[")
            if text.peek() == "]":
                raise _Malformed("no `entries`")
            more = ","
            while more == ",":
                seen += 1
                yield text.value()
                more = text.take(",]")
        separator = text.take(",}")
    # Read to the very end, because only the end shows that nothing was cut off.
    if text.peek():
        raise _Malformed("not JSON")
    if not seen:
        raise _Malformed("no `entries`")


class _Text:
    """JSON text with a window in memory: what has arrived and has not been taken yet."""

    def __init__(self, read_bytes: Callable[[int], bytes]) -> None:
        self._read = read_bytes
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._json = json.JSONDecoder()
        self._window = ""
        self._at = 0
        self._ended = False

    def peek(self) -> str:
        """Returns the next character that isn't white space; empty at the end."""
        while True:
            found = _SPACE.match(self._window, self._at)
            self._at = found.end() if found else self._at
            if self._at < len(self._window) or not self._more():
                return self._window[self._at : self._at + 1]

    def take(self, expected: str) -> str:
        """Takes and returns the next character, which must be one of `expected`."""
        found = self.peek()
        if not found or found not in expected:
            raise _Malformed("not JSON")
        self._at += 1
        return found

    def value(self) -> Any:
        """Takes and returns the next value."""
        self.peek()
        while True:
            try:
                found, end = self._json.raw_decode(self._window, self._at)
                # `12` may be the beginning of `12.5`, so wait for what ends the value.
                if _END.match(self._window, end):
                    self._at = end
                    return found
            except ValueError:
                pass
            if len(self._window) - self._at > _MAX_VALUE or not self._more():
                raise _Malformed("not JSON")

    def _more(self) -> bool:
        """Reads more text. Returns False at the end.

        It drops what was taken. While a value doesn't end, each read is as long as the window.
        """
        if self._ended:
            return False
        chunk = self._read(max(_CHUNK, len(self._window) - self._at))
        self._ended = not chunk
        self._window = self._window[self._at :] + self._decoder.decode(chunk, self._ended)
        self._at = 0
        return not self._ended


_SPACE = re.compile(r"[ \t\n\r]*")
_END = re.compile(r"[ \t\n\r]*[,:\]}]")


def _object(entry: Any, where: str, bucket_before: str, problems: list[str]) -> Object | None:
    if not isinstance(entry, dict):
        problems.append(f"{where} is not an object")
        return None
    before = len(problems)
    url = entry.get("url")
    bucket, key = bucket_and_key(url) if isinstance(url, str) else ("", "")
    if not bucket or not key:
        problems.append(f"{where}: `url` is not `s3://bucket/key`")
    elif len(key.encode("utf-8", "surrogatepass")) > 1024 or re.search("[\ud800-\udfff]", key):
        problems.append(f"{where}: `url` has no valid object key")
    meta = entry.get("meta", {})
    size = meta.get("content_length") if isinstance(meta, dict) else False
    if size is not None and (type(size) is not int or size < 0):
        problems.append(f"{where}: `meta.content_length` is not a number of bytes")
    texts = {name: entry.get(name) for name in ("version_id", "etag")}
    for name, value in texts.items():
        if value is not None and (not isinstance(value, str) or not value):
            problems.append(f"{where}: `{name}` is not a non-empty string")
    if len(problems) > before:
        return None
    etag = texts["etag"].strip('"') if texts["etag"] else None
    bucket = bucket_before if bucket == bucket_before else bucket
    return Object(bucket, key, size, texts["version_id"], etag)
