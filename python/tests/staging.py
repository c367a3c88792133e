"""Stages a batch in the emulator: two accounts, IAM on, and this process with the job's role."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import boto3
import pytest

import landfall
from emulator import ANALYTICS, DATA, GLUE, REGION, Emulator, allow, role, trust
from job_side import arguments, command_line
from landfall._arguments import Arguments

Statement = tuple[list[str] | str, str]


def policy(*statements: Statement) -> str:
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Allow", "Action": action, "Resource": resource}
                for action, resource in statements
            ],
        }
    )


class Stage:
    """A batch's buckets for objects and manifests, claims table and roles, all named after it."""

    def __init__(self, emulator: Emulator, name: str, external_id: str = "") -> None:
        self.emulator = emulator
        self.name = name
        self.landing, self.manifests = f"{name}-landing", f"{name}-landfall"
        self.s3 = emulator.client("s3", DATA)
        for bucket in self.landing, self.manifests:
            self.s3.create_bucket(
                Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION}
            )
        self.dynamodb = emulator.client("dynamodb", DATA)
        self.dynamodb.create_table(
            TableName=name,
            KeySchema=[{"AttributeName": "batch_id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "batch_id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        self.table = f"arn:aws:dynamodb:{REGION}:{DATA}:table/{name}"
        assume = allow("sts:AssumeRole", f"arn:aws:iam::{DATA}:role/*")
        self.job = role(emulator, ANALYTICS, f"{name}-job", GLUE, assume)
        condition: dict[str, Any] = {"ArnEquals": {"aws:PrincipalArn": self.job}}
        if external_id:
            condition["StringEquals"] = {"sts:ExternalId": external_id}
        trusted = trust(Principal={"AWS": f"arn:aws:iam::{ANALYTICS}:root"}, Condition=condition)
        self.reader = role(emulator, DATA, f"{name}-reader", trusted)
        self.permit()

    def permit(self, *more: Statement, reads: str = "in/*", key: str = "") -> None:
        """Sets what the reader role may do: `more`, and use `key` as the provisioner grants it."""
        read = ["s3:GetObject", "s3:GetObjectVersion"]
        document = policy(
            (read, f"arn:aws:s3:::{self.landing}/{reads}"),
            ("s3:GetObject", f"arn:aws:s3:::{self.manifests}/manifests/*"),
            (["dynamodb:GetItem", "dynamodb:UpdateItem"], self.table),
            *more,
        )
        if key:
            landing, manifests = (f"arn:aws:s3:::{it}" for it in (self.landing, self.manifests))
            objects = [landing, f"{landing}/{reads}", manifests, f"{manifests}/manifests/*"]
            through_s3 = {
                "StringEquals": {"kms:ViaService": f"s3.{REGION}.amazonaws.com"},
                "StringLike": {"kms:EncryptionContext:aws:s3:arn": objects},
            }
            decrypt = json.loads(policy(("kms:Decrypt", key)))["Statement"][0]
            found = json.loads(document)
            found["Statement"].append({**decrypt, "Condition": through_s3})
            document = json.dumps(found)
        self.emulator.client("iam", DATA).put_role_policy(
            RoleName=f"{self.name}-reader", PolicyName="all", PolicyDocument=document
        )

    def put(self, key: str, content: bytes = b"rows", **more: Any) -> dict[str, Any]:
        """Uploads an object, and returns its entry in a manifest."""
        answer = self.s3.put_object(Bucket=self.landing, Key=key, Body=content, **more)
        found = {
            "url": f"s3://{self.landing}/{key}",
            "mandatory": True,
            "meta": {"content_length": len(content)},
            "etag": answer["ETag"].strip('"'),
        }
        return {**found, **({"version_id": answer["VersionId"]} if "VersionId" in answer else {})}

    def arguments(
        self, batch_id: str, entries: Iterable[dict[str, Any]] = (), epoch: int = 1, **more: Any
    ) -> Arguments:
        """Writes the objects' manifest, and returns the arguments of a run for the batch."""
        key = f"manifests/{batch_id}.json"
        manifest = json.dumps({"entries": list(entries)}).encode()
        self.s3.put_object(Bucket=self.manifests, Key=key, Body=manifest)
        named = {
            "manifest": f"s3://{self.manifests}/{key}",
            "claims_table": self.table,
            "reader_role": self.reader,
            **more,
        }
        return arguments(batch_id, epoch, **named)

    def batch(
        self,
        batch_id: str,
        entries: Iterable[dict[str, Any]] = (),
        external_id: str | None = None,
        exit: bool = True,
        **more: Any,
    ) -> landfall.Batch:
        argv = command_line(self.arguments(batch_id, entries, **more))
        return landfall.batch(argv, external_id=external_id, exit=exit)

    def item(self, batch_id: str) -> dict[str, Any]:
        """Returns the claim's attributes."""
        key = {"batch_id": {"S": batch_id}}
        found = self.dynamodb.get_item(TableName=self.name, Key=key, ConsistentRead=True)
        return {name: next(iter(value.values())) for name, value in found["Item"].items()}

    def end(self, batch_id: str, epoch: int) -> None:
        """Records that the runs of an epoch have ended, as the monitor does."""
        self.dynamodb.update_item(
            TableName=self.name,
            Key={"batch_id": {"S": batch_id}},
            UpdateExpression="SET ended = :epoch",
            ExpressionAttributeValues={":epoch": {"N": str(epoch)}},
        )

    def environment(self) -> dict[str, str]:
        """Returns the variables that Glue gives to a job's process, with a session of its role."""
        session = self.emulator.session_of(ANALYTICS, f"{self.name}-job")
        variables = {name.upper(): value for name, value in session.items()}
        return {"AWS_ENDPOINT_URL": self.emulator.url, "AWS_REGION": REGION, **variables}

    def act_as_job(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in self.environment().items():
            monkeypatch.setenv(name, value)
        # `boto3.client` uses a default session, which keeps the credentials of an earlier test.
        monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
