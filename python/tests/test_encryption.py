"""KMS-encrypted objects can be read with all grants. If one is missing, the error names it."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError
from s3_encryption import S3EncryptionClient, S3EncryptionClientConfig
from s3_encryption.exceptions import S3EncryptionClientError
from s3_encryption.materials.kms_keyring import KmsKeyring

import decrypt
import landfall
from emulator import ANALYTICS, DATA, REGION, Emulator, role, trust
from job_side import command_line
from staging import Stage, policy

SSE_S3, SSE_KMS, DSSE = "AES256", "aws:kms", "aws:kms:dsse"


@dataclass
class Key:
    """A KMS key, and the roles that it admits."""

    kms: Any
    arn: str

    def admit(self, *principals: str) -> None:
        """Lets only these principals decrypt."""
        statement = {
            "Effect": "Allow",
            "Principal": {"AWS": list(principals)},
            "Action": "kms:Decrypt",
            "Resource": "*",
        }
        document = {"Version": "2012-10-17", "Statement": [statement] if principals else []}
        self.kms.put_key_policy(KeyId=self.arn, PolicyName="default", Policy=json.dumps(document))


def key(emulator: Emulator, account: str) -> Key:
    kms = emulator.client("kms", account)
    return Key(kms, kms.create_key()["KeyMetadata"]["Arn"])


@pytest.fixture(scope="module")
def staged(launched: Emulator) -> Stage:
    return Stage(launched, "encrypted")


def put(stage: Stage, kind: str, of: Key | None = None) -> dict[str, Any]:
    named = {"SSEKMSKeyId": of.arn} if of else {}
    return stage.put(f"in/{kind}.csv", ServerSideEncryption=kind, **named)


def read(stage: Stage, entry: dict[str, Any], **more: Any) -> str:
    """Returns the content, or the part of the error after the object's name."""
    with stage.batch(f"encrypted-{next(batches)}", [entry], **more) as batch:
        try:
            return batch.open(batch.objects[0]).read().decode()
        except landfall.ObjectError as error:
            what, _, why = str(error).partition(": ")
            assert what == f"failed to read `{entry['url']}`"
            return why


batches = itertools.count()


def test_an_object_that_s3s_own_key_encrypts_needs_no_other_grant(stage: Stage) -> None:
    stage.permit()
    assert read(stage, put(stage, SSE_S3)) == "rows"


@pytest.mark.parametrize("owner", [DATA, ANALYTICS], ids=["same account", "another account"])
@pytest.mark.parametrize("kind", [SSE_KMS, DSSE])
def test_an_encrypted_object_is_read_with_every_grant_and_each_that_is_missing_is_named(
    stage: Stage, kind: str, owner: str
) -> None:
    one = key(stage.emulator, owner)
    entry = put(stage, kind, one)
    denied = f"AccessDenied: {{}} does not allow {{}} for role `{stage.reader}`"
    with_key = f"`kms:Decrypt` with key `{one.arn}`"
    for principal in f"arn:aws:iam::{DATA}:root", stage.reader:
        one.admit(principal)
        stage.permit(key=one.arn)
        assert read(stage, entry) == "rows"
        assert read(stage, entry, scope="batch") == "rows"

    one.admit(f"arn:aws:iam::{DATA}:root")
    stage.permit()
    assert read(stage, entry) == denied.format("the role's own policy", with_key)

    stage.permit(key=one.arn)
    for others in ([], [f"arn:aws:iam::{ANALYTICS}:root"]):
        one.admit(*others)
        assert read(stage, entry) == denied.format("the key's policy", with_key)

    one.admit(f"arn:aws:iam::{DATA}:root")
    stage.permit(key=one.arn, reads="other/*")
    assert read(stage, entry) == denied.format("the role's own policy", "`s3:GetObject`")


@pytest.mark.parametrize("kind", [SSE_KMS, DSSE])
def test_what_a_buckets_default_encrypts_needs_the_same_grants(stage: Stage, kind: str) -> None:
    one = key(stage.emulator, DATA)
    one.admit(f"arn:aws:iam::{DATA}:root")
    default = {"SSEAlgorithm": kind, "KMSMasterKeyID": one.arn}
    stage.s3.put_bucket_encryption(
        Bucket=stage.landing,
        ServerSideEncryptionConfiguration={
            "Rules": [{"ApplyServerSideEncryptionByDefault": default}]
        },
    )
    try:
        entry = stage.put(f"in/default/{kind}")
    finally:
        stage.s3.delete_bucket_encryption(Bucket=stage.landing)
    stage.permit(key=one.arn)
    assert read(stage, entry) == "rows"
    stage.permit()
    assert f"`kms:Decrypt` with key `{one.arn}`" in read(stage, entry)


def test_an_encrypted_manifest_is_read_with_the_grant_and_without_it_named(stage: Stage) -> None:
    one = key(stage.emulator, DATA)
    one.admit(f"arn:aws:iam::{DATA}:root")
    entry = put(stage, SSE_S3)
    named = {"Bucket": stage.manifests, "Key": "manifests/secret.json"}
    for granted, outcome in [(one.arn, ""), ("", "the role's own policy does")]:
        stage.permit(key=granted)
        batch = stage.batch("secret", [entry])
        content = stage.s3.get_object(**named)["Body"].read()
        stage.s3.put_object(
            **named, Body=content, ServerSideEncryption=SSE_KMS, SSEKMSKeyId=one.arn
        )
        with batch:
            if not outcome:
                assert len(batch.objects) == 1
                continue
            with pytest.raises(landfall.ManifestError, match=outcome) as raised:
                _ = batch.objects
            assert f"`kms:Decrypt` with key `{one.arn}`" in str(raised.value)


# Client-side encryption


def test_what_was_encrypted_before_it_was_uploaded_is_decrypted_by_the_example(
    stage: Stage,
) -> None:
    one = key(stage.emulator, DATA)
    writer = S3EncryptionClient(
        stage.emulator.client("s3", DATA),
        S3EncryptionClientConfig(keyring=KmsKeyring(one.kms, one.arn)),
    )
    answer = writer.put_object(Bucket=stage.landing, Key="in/sealed", Body=b"secret rows")
    entry = {"url": f"s3://{stage.landing}/in/sealed", "etag": answer["ETag"].strip('"')}
    stored = stage.s3.get_object(Bucket=stage.landing, Key="in/sealed")["Body"].read()
    assert b"secret rows" not in stored
    lake = stage.emulator.client("s3", ANALYTICS)
    lake.create_bucket(Bucket="decrypted", CreateBucketConfiguration={"LocationConstraint": REGION})
    stage.emulator.client("iam", ANALYTICS).put_role_policy(
        RoleName="encrypted-job",
        PolicyName="output",
        PolicyDocument=policy(("s3:PutObject", "arn:aws:s3:::decrypted/*")),
    )
    own = {"key": one.arn, "output": "s3://decrypted/out/"}

    def run(batch_id: str) -> None:
        decrypt.main(command_line(stage.arguments(batch_id, [entry], arguments=own, scope="batch")))

    stage.permit(key=one.arn)
    one.admit(stage.reader)
    run("sealed-1")
    written = lake.get_object(Bucket="decrypted", Key="out/sealed-1-00000")
    assert written["Body"].read() == b"secret rows"
    assert stage.item("sealed-1")["outcome"] == "succeeded"

    # The provisioner's grant covers S3's calls to KMS, not the client's own.
    one.admit(f"arn:aws:iam::{DATA}:root")
    with pytest.raises(S3EncryptionClientError, match="AccessDenied"):
        run("sealed-2")
    one.admit(stage.reader)
    stage.put("in/sealed", b"other rows")
    with pytest.raises(S3EncryptionClientError, match="PreconditionFailed"):
        run("sealed-3")
    assert stage.item("sealed-3")["error"] == "S3EncryptionClientError"


# The emulator still needs the correction


def outcomes(emulator: Emulator) -> dict[str, str]:
    """Reads encrypted objects with a role that has no grant on the key."""
    s3 = emulator.client("s3", DATA)
    bucket = "encrypted-plainly"
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    one = key(emulator, DATA)
    root = trust(Principal={"AWS": f"arn:aws:iam::{DATA}:root"})
    role(emulator, DATA, "keyless", root, policy(("s3:GetObject", "*")))
    reader = emulator.client("s3", DATA, **emulator.session_of(DATA, "keyless"))
    found = {}
    for kind in SSE_KMS, DSSE:
        place = {"Bucket": bucket, "Key": kind}
        try:
            s3.put_object(**place, Body=b"", ServerSideEncryption=kind, SSEKMSKeyId=one.arn)
            reader.get_object(**place)
            found[kind] = "read"
        except ClientError as error:
            found[kind] = error.response["Error"]["Code"]
    return found


def test_the_plain_emulator_still_decrypts_for_everybody(plain: Emulator) -> None:
    assert outcomes(plain) == {SSE_KMS: "read", DSSE: "InvalidArgument"}


def test_who_may_not_decrypt_may_not_read(launched: Emulator) -> None:
    assert outcomes(launched) == {SSE_KMS: "AccessDenied", DSSE: "AccessDenied"}
