"""A job with a batch, for versions of Python and boto3 that the other tests don't run on.

`test_any_python` runs it. A small server stands for AWS, because the emulator needs a newer Python.
The job takes no arguments, prints the versions of Python and boto3 that it ran on, and fails at the
first wrong result.
"""

from __future__ import annotations

import io
import json
import os
import sys
import tempfile
import threading
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import boto3
import botocore.session
from botocore.config import Config

import landfall
import landfall.testing
from landfall import _spark

OBJECTS = {
    "in/a b.csv": b"n\n1\n" * 5000,
    "in/e.csv": b"",
    "in/?+%20=\xc3\xbc.csv": b"n\n\xc3\xbc\n",
}
MANIFEST = {
    "entries": [
        {"url": "s3://landing/" + key, "mandatory": True, "meta": {"content_length": len(content)}}
        for key, content in ((name, OBJECTS[name]) for name in OBJECTS)
    ]
}
SESSION = """<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<AssumeRoleResult><Credentials><AccessKeyId>ASIAOFTHEREADER</AccessKeyId>
<SecretAccessKey>secret</SecretAccessKey><SessionToken>token</SessionToken>
<Expiration>{}</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"""
ARGUMENTS = {
    "--landfall-batch-id": "orders-1",
    "--landfall-epoch": "1",
    "--landfall-manifest": "s3://manifests/orders-1.json",
    "--landfall-reader-role": "arn:aws:iam::111111111111:role/reader",
    "--landfall-claims-table": "arn:aws:dynamodb:eu-west-1:111111111111:table/claims",
    "--landfall-scope": "batch",
    "--output": "s3://lake/",
}
calls: list[Any] = []


class Aws(BaseHTTPRequestHandler):
    """STS, DynamoDB and S3, as far as this job needs them."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if "DynamoDB" in self.headers.get("X-Amz-Target", ""):
            calls.append(json.loads(body.decode())["UpdateExpression"].split()[1])
            self.answer(200, b"{}", Content_Type="application/x-amz-json-1.0")
            return
        form = parse_qs(body.decode())
        calls.append([form["ExternalId"], "Policy" in form])
        ends = datetime.now(timezone.utc) + timedelta(hours=1)
        session = SESSION.format(ends.strftime("%Y-%m-%dT%H:%M:%SZ"))
        self.answer(200, session.encode(), Content_Type="text/xml")

    def do_GET(self) -> None:
        _, bucket, key = unquote(urlsplit(self.path).path).split("/", 2)
        content = json.dumps(MANIFEST).encode() if bucket == "manifests" else OBJECTS.get(key)
        span = self.headers.get("Range")
        if self.headers.get("x-amz-expected-bucket-owner") != "111111111111":
            self.answer(403, b"<Error><Code>AccessDenied</Code></Error>")
        elif content is None:
            self.answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
        elif span is None:
            self.answer(200, content, ETag='"e"')
        else:
            first, last = (int(one) for one in span[len("bytes=") :].split("-"))
            part = content[first : last + 1]
            where = f"bytes {first}-{first + len(part) - 1}/{len(content)}"
            self.answer(206, part, Content_Range=where, ETag='"e"')


def job() -> None:
    argv = ["script.py", *(word for pair in ARGUMENTS.items() for word in pair)]
    with landfall.batch(argv, external_id="shared") as batch:
        assert dict(batch.arguments) == {"output": "s3://lake/"}
        assert [one.key for one in batch.objects] == list(OBJECTS)
        for one in batch.objects:
            content = OBJECTS[one.key]
            with batch.open(one) as body:
                assert body.read() == content
            with batch.open(one) as body:
                assert b"".join(body) == content
            with batch.open(one) as body:
                assert list(body.iter_lines()) == content.splitlines()
            with batch.open(one) as body:
                assert body.readlines() == content.splitlines(True)
            with batch.open(one) as body:
                text = io.TextIOWrapper(io.BufferedReader(body), encoding="utf-8")
                assert text.read() == content.decode()
        files = batch.filesystem()
        assert files.find("") == sorted("landing/" + key for key in OBJECTS)
        for path in files.find(""):
            content = OBJECTS[path[len("landing/") :]]
            for cache in "readahead", "all", "none":
                with files.open("s3://" + path, cache_type=cache) as file:
                    assert file.read() == content, (path, cache)
            with files.open(path, "r", encoding="utf-8") as lines:
                assert lines.read() == content.decode()
        for attempt in (files.makedirs, files.rmdir, files.rm, files.touch):
            try:
                attempt("landing/in/e.csv")
            except PermissionError:
                continue
            raise AssertionError(attempt)
        gone = landfall.Object("landing", "in/gone.csv")
        try:
            batch.open(gone)
        except landfall.ObjectChanged as error:
            text = str(error)
        assert text == "failed to read `s3://landing/in/gone.csv`: it was deleted since it arrived"
        assert _spark.paths(batch.objects)[0] == "s3a://landing/in/a b.csv"
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "a.csv").write_bytes(OBJECTS["in/a b.csv"])
        with landfall.testing.batch(folder, arguments={"output": "s3://lake/"}) as local:
            assert dict(local.arguments) == {"output": "s3://lake/"}
            with local.open(local.objects[0]) as body:
                assert body.read() == OBJECTS["in/a b.csv"]
            with local.filesystem().open("landing/a.csv") as file:
                assert file.read() == OBJECTS["in/a b.csv"]
        assert local.outcome == "succeeded"
    try:
        landfall.batch(["script.py"])
    except landfall.ArgumentError as error:
        problems = error.problems
    assert len(problems) == 5


def main() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Aws)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    # Older botocore has no environment variable for it.
    create = botocore.session.Session.create_client

    def create_here(self: Any, *rest: Any, **named: Any) -> Any:
        named.update(endpoint_url=url, config=Config(s3={"addressing_style": "path"}))
        return create(self, *rest, **named)

    botocore.session.Session.create_client = create_here
    job()
    # Both sessions are narrowed, and the job has recorded both outcomes.
    assert calls == [[["shared"], True], "#holder", [["shared"], True], "#outcome"], calls
    print(json.dumps([list(sys.version_info[:2]), boto3.__version__]))
    sys.stdout.flush()
    os._exit(0)  # Otherwise Python would wait for connections that are kept open.


if __name__ == "__main__":
    main()
