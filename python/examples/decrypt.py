"""An example of a job for objects that were encrypted before they were uploaded.

It writes each object decrypted to a file of its own, named by the batch and the object's place in
it. It needs Python 3.10 (Glue 4.0 and later) and `amazon-s3-encryption-client-python`. Its own
arguments:

    --key ARN                        the KMS key under which the objects' own keys are encrypted
    --output s3://bucket/prefix/     where to write, in the analytics account

The key must be in the data account, and its own policy must name the reader role as a principal
that may `kms:Decrypt`. Landfall lets the role use keys only for S3's calls to KMS, not for the
client's. If you add a grant to the role by hand, Landfall removes it again.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import boto3
from s3_encryption import S3EncryptionClient, S3EncryptionClientConfig
from s3_encryption.materials.kms_keyring import KmsKeyring

import landfall


def main(argv: list[str] | None = None) -> None:
    """Decrypts the batch's objects if this run holds the batch."""
    with landfall.batch(argv) as batch:
        bucket, _, prefix = batch.arguments["output"][len("s3://") :].partition("/")
        source, target = decrypting(batch), boto3.client("s3")
        for index, item in enumerate(batch.objects):
            # The client decrypts the whole object before it returns a byte, and raises an error if
            # somebody has tampered with the object.
            content = source.get_object(**item.request)["Body"].read()
            name = f"{quote(batch.batch_id, safe='')}-{index:05}"
            batch.fence()  # Call it last, right before the effect.
            target.put_object(Bucket=bucket, Key=f"{prefix}{name}", Body=content)


def decrypting(batch: landfall.Batch) -> Any:
    """Returns an S3 client that acts as the reader role and decrypts what it reads."""
    key = batch.arguments["key"]
    kms = batch.session.client("kms", region_name=key.split(":")[3])
    config = S3EncryptionClientConfig(keyring=KmsKeyring(kms, key))
    return S3EncryptionClient(batch.session.client("s3"), config)


if __name__ == "__main__":
    main()
