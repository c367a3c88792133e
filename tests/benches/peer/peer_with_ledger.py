"""The same Lambda with a ledger: for a batch it makes the same calls as Landfall.

It records arrivals in transactions that refuse what was recorded before, writes the start ahead,
and gives the run a manifest. `make bench` compares the cost of an invocation.
"""

import hashlib
import json
import os
import time
from collections import defaultdict
from typing import Any

import boto3
from aws_lambda_powertools.utilities.batch.exceptions import BatchProcessingError
from boto3.dynamodb.types import TypeSerializer
from peer import arrivals, glue, logger, processor

TABLE = os.environ["LANDFALL_LEDGER_TABLE"]
BUCKET = os.environ["LANDFALL_MANIFESTS_BUCKET"]
MAX = 98

dynamodb = boto3.client("dynamodb")
s3 = boto3.client("s3")
serialize = TypeSerializer().serialize
_checked = set()


def put(condition: str | None = None, **item: Any) -> dict:
    values = {name: serialize(value) for name, value in item.items()}
    operation = {"TableName": TABLE, "Item": values}
    if condition:
        operation["ConditionExpression"] = condition
    return {"Put": operation}


def record(batch: str, city: str, members: list) -> list:
    """Records arrivals, each once, and returns the new ones."""
    new = []
    for number, at in enumerate(range(0, len(members), MAX)):
        part = members[at : at + MAX]
        items = [
            put("attribute_not_exists(pk)", pk=f"object#{uri}", sk="at-once", v=1, batch=batch)
            for uri, _ in part
        ]
        chunk = json.dumps([uri for uri, _ in part])
        items.append(put(pk=f"chunk#{batch}#{number}", sk="chunk", v=1, doc=chunk))
        items.append(batch_item(batch, "sealed", city, at + len(part)))
        try:
            dynamodb.transact_write_items(TransactItems=items)
            new += part
        except dynamodb.exceptions.TransactionCanceledException as error:
            reasons = error.response["CancellationReasons"]
            known = [reason["Code"] == "ConditionalCheckFailed" for reason in reasons]
            fresh = [member for member, is_known in zip(part, known, strict=False) if not is_known]
            new += record(f"{batch}-{number}", city, fresh) if fresh and any(known) else []
    return new


def batch_item(batch: str, state: str, city: str, objects: int, **more: Any) -> dict:
    known = {"id": batch, "state": state, "city": city, "objects": objects, "at": time.time()}
    doc = json.dumps(known | more)
    return put(pk=f"batch#{batch}", sk="batch", v=1, revision=1, state=state, doc=doc)


def start(batch: str, city: str, members: list) -> None:
    if "job" not in _checked:
        if glue().get_job(JobName="job")["Job"].get("MaxRetries", 0):
            raise RuntimeError("Glue repeats runs of the job by itself")
        _checked.add("job")
    entries = [{"url": uri, "mandatory": True} for uri, _ in members]
    manifest = f"manifests/{batch}.json"
    body = json.dumps({"entries": entries})
    s3.put_object(Bucket=BUCKET, Key=manifest, Body=body, ContentType="application/json")
    chunk = {"pk": {"S": f"chunk#{batch}#0"}, "sk": {"S": "chunk"}}
    dynamodb.get_item(TableName=TABLE, Key=chunk, ConsistentRead=True)
    dynamodb.transact_write_items(TransactItems=[batch_item(batch, "starting", city, len(members))])
    arguments = {"--city": city, "--manifest": f"s3://{BUCKET}/{manifest}", "--batch": batch}
    run = glue().start_job_run(JobName="job", Arguments=arguments)["JobRunId"]
    dynamodb.put_item(**batch_item(batch, "started", city, len(members), run=run)["Put"])
    logger.info("run started", city=city, objects=len(members), run=run, batch=batch)


def handler(event: dict, _context: object) -> dict:
    try:
        with processor(records=event["Records"], handler=arrivals):
            processed = processor.process()
    except BatchProcessingError:
        logger.exception("no message could be read")
        raise
    response = processor.response()
    groups = defaultdict(list)
    for status, found, message in processed:
        if status == "success":
            for city, uri in found:
                groups[city].append((uri, message["messageId"]))
    for city, members in groups.items():
        batch = hashlib.sha256(f"{city}\0{members[0][0]}".encode()).hexdigest()[:32]
        try:
            if new := record(batch, city, members):
                start(batch, city, new)
        except Exception:
            logger.exception("failed to start a run", city=city)
            ids = {message for _, message in members}
            response["batchItemFailures"] += [{"itemIdentifier": id} for id in ids]
    return response
