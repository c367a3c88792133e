"""A Lambda that starts Glue jobs in another account for objects that land here, in the usual way.

This is the peer of `make bench`. It does less than Landfall: it remembers nothing, so an event
that is delivered twice starts two runs. It writes no manifest, checks no limit, and has its only
route in the code. It keeps its clients, and the session of the assumed role, between invocations.
"""

import os
import re
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote_plus

import boto3
from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType
from aws_lambda_powertools.utilities.batch.exceptions import BatchProcessingError
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

KEY = re.compile(r"sales/city=(?P<city>[^/]+)/(?P<file>[^/]+)\.csv")
ROLE = f"arn:aws:iam::{os.environ['ANALYTICS_ACCOUNT']}:role/landfall/starter"

logger = Logger(service="peer")
processor = BatchProcessor(event_type=EventType.SQS)
sts = boto3.client("sts")
_glue = None
_expires = datetime.min.replace(tzinfo=UTC)


def glue() -> Any:
    """Returns the client in the analytics account, with a role that is assumed again in time."""
    global _glue, _expires
    if datetime.now(UTC) + timedelta(minutes=5) > _expires:
        session = sts.assume_role(
            RoleArn=ROLE, RoleSessionName="peer", ExternalId=os.environ["EXTERNAL_ID"]
        )["Credentials"]
        _glue = boto3.client(
            "glue",
            aws_access_key_id=session["AccessKeyId"],
            aws_secret_access_key=session["SecretAccessKey"],
            aws_session_token=session["SessionToken"],
        )
        _expires = session["Expiration"]
    return _glue


def arrivals(record: SQSRecord) -> list[tuple[str, str]]:
    """Returns the objects of a message, by their group."""
    found = []
    for s3 in record.decoded_nested_s3_event.records:
        key = unquote_plus(s3.s3.get_object.key)
        if match := KEY.fullmatch(key):
            found.append((match["city"], f"s3://{s3.s3.bucket.name}/{key}"))
    return found


def handler(event: dict, _context: object) -> dict:
    try:
        with processor(records=event["Records"], handler=arrivals):
            processed = processor.process()
    except BatchProcessingError:
        logger.exception("no message could be read")
        raise
    response = processor.response()
    groups = defaultdict(list)
    for status, found, record in processed:
        if status == "success":
            for city, uri in found:
                groups[city].append((uri, record["messageId"]))
    for city, members in groups.items():
        try:
            run = glue().start_job_run(JobName="job", Arguments={"--city": city})
            logger.info("run started", city=city, objects=len(members), run=run["JobRunId"])
        except Exception:
            logger.exception("failed to start a run", city=city)
            ids = {message for _, message in members}
            response["batchItemFailures"] += [{"itemIdentifier": id} for id in ids]
    return response
