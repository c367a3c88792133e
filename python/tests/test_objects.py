"""The library reads the objects of a batch as they were when they arrived."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from botocore.response import StreamingBody
from botocore.stub import Stubber

import landfall
from job_side import AWKWARD_KEYS, READER, REGION
from landfall import _objects


def read(item: landfall.Object, expected: dict[str, Any], content: bytes = b"rows") -> bytes:
    """Returns what `open_object` yields, and checks that it sends exactly `expected` to S3."""
    s3 = boto3.client("s3", region_name=REGION)
    with Stubber(s3) as stub:
        answer = {
            "Body": StreamingBody(io.BytesIO(content), len(content)),
            "ContentLength": len(content),
        }
        stub.add_response(
            "get_object", answer, {"Bucket": item.bucket, "Key": item.key, **expected}
        )
        with _objects.open_object(s3, READER, item) as body:
            return body.read()


def refused(
    item: landfall.Object, code: str, status: int, message: str = "words of S3"
) -> landfall.ObjectError:
    s3 = boto3.client("s3", region_name=REGION)
    with Stubber(s3) as stub:
        stub.add_client_error("get_object", code, message, status)
        with pytest.raises(landfall.ObjectError) as raised:
            _objects.open_object(s3, READER, item)
    assert isinstance(raised.value.__cause__, ClientError)
    return raised.value


def test_a_versioned_object_is_read_by_its_version() -> None:
    item = landfall.Object("b", "k", 4, "v1", "e1")
    assert read(item, {"VersionId": "v1"}) == b"rows"


def test_an_unversioned_object_is_read_only_if_it_is_the_one_that_arrived() -> None:
    item = landfall.Object("b", "k", 4, None, "e1")
    assert read(item, {"IfMatch": '"e1"'}) == b"rows"


def test_a_null_version_is_overwritten_in_place_and_so_compared() -> None:
    item = landfall.Object("b", "k", 4, "null", "e1")
    assert read(item, {"VersionId": "null", "IfMatch": '"e1"'}) == b"rows"


def test_an_object_of_which_nothing_is_known_is_read_as_it_is() -> None:
    assert read(landfall.Object("b", "k"), {}) == b"rows"


@pytest.mark.parametrize("key", AWKWARD_KEYS)
def test_awkward_keys_are_asked_for_exactly(key: str) -> None:
    assert read(landfall.Object("b", key), {}) == b"rows"


@pytest.mark.parametrize(
    ("code", "status", "why"),
    [
        ("PreconditionFailed", 412, "overwritten"),
        ("NoSuchKey", 404, "deleted"),
        ("NoSuchVersion", 404, "deleted"),
    ],
)
def test_an_object_that_changed_is_an_error_of_its_own(code: str, status: int, why: str) -> None:
    error = refused(landfall.Object("b", "in/a.csv", 4, None, "e1"), code, status)
    assert isinstance(error, landfall.ObjectChanged)
    assert str(error) == f"failed to read `s3://b/in/a.csv`: it was {why} since it arrived"


WHO = "arn:aws:sts::111111111111:assumed-role/landfall-reader/landfall-orders-1"
KEY = "arn:aws:kms:eu-west-1:333333333333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
DECRYPT = f"User: {WHO} is not authorized to perform: kms:Decrypt on resource: {KEY} "
READ = f"User: {WHO} is not authorized to perform: s3:GetObject on resource: "


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (
            DECRYPT + "because no identity-based policy allows the kms:Decrypt action",
            f"the role's own policy does not allow `kms:Decrypt` with key `{KEY}`",
        ),
        (
            DECRYPT + "because no resource-based policy allows the kms:Decrypt action",
            f"the key's policy does not allow `kms:Decrypt` with key `{KEY}`",
        ),
        (
            DECRYPT + "because the resource does not exist in this Region, no resource-based "
            "policies allow access, or a resource-based policy explicitly denies access",
            f"the key's policy does not allow `kms:Decrypt` with key `{KEY}`",
        ),
        (
            DECRYPT + "because no session policy allows the kms:Decrypt action",
            f"the session's policy does not allow `kms:Decrypt` with key `{KEY}`",
        ),
        (
            DECRYPT + "with an explicit deny in a resource-based policy",
            f"the key's policy denies `kms:Decrypt` with key `{KEY}`",
        ),
        (
            READ + '"arn:aws:s3:::b/in/a b.csv" because no identity-based policy allows the '
            "s3:GetObject action",
            "the role's own policy does not allow `s3:GetObject`",
        ),
        (
            READ + '"arn:aws:s3:::b/in/a.csv" because no resource-based policy allows the '
            "s3:GetObject action",
            "the bucket's policy does not allow `s3:GetObject`",
        ),
        (
            READ + '"arn:aws:s3:::b/k" with an explicit deny in a permissions boundary',
            "the role's permissions boundary denies `s3:GetObject`",
        ),
        (
            READ + '"arn:aws:s3:::b/k" with an explicit deny in a service control policy',
            "a service control policy denies `s3:GetObject`",
        ),
    ],
)
def test_a_refused_read_says_which_policy_lacks_which_grant(message: str, why: str) -> None:
    error = refused(landfall.Object("b", "in/a\n.csv"), "AccessDenied", 403, message)
    assert not isinstance(error, landfall.ObjectChanged)
    assert str(error) == (
        f"failed to read `s3://b/in/a\\n.csv`: AccessDenied: {why} for role `{READER}`"
    )


# AWS documents these messages in "Troubleshoot access denied (403 Forbidden) errors in Amazon S3"
# and, in IAM's user guide, in "Troubleshoot access denied error messages".
MARY = "User: arn:aws:iam::123456789012:user/MaryMajor is not authorized to perform: s3:GetObject "
ON = 'on resource: "arn:aws:s3:::amzn-s3-demo-bucket1/object-name" '
DENY = "with an explicit deny in "
POLICY = "arn:aws:iam::123456789012:policy/DenyPolicy"
DOCUMENTED = {
    MARY + ON + DENY + "a resource control policy": "a resource control policy denies",
    MARY + "because no service control policy allows the s3:GetObject action": (
        "a service control policy does not allow"
    ),
    MARY + DENY + "a service control policy": "a service control policy denies",
    MARY + "because no VPC endpoint policy allows the s3:GetObject action": (
        "the VPC endpoint's policy does not allow"
    ),
    MARY + ON + DENY + "a VPC endpoint policy": "the VPC endpoint's policy denies",
    MARY + ON + "because no permissions boundary allows the s3:GetObject action": (
        "the role's permissions boundary does not allow"
    ),
    MARY + DENY + "a permissions boundary": "the role's permissions boundary denies",
    MARY + "because no session policy allows the s3:GetObject action": (
        "the session's policy does not allow"
    ),
    MARY + ON + DENY + "a session policy": "the session's policy denies",
    MARY + "because no resource-based policy allows the s3:GetObject action": (
        "the bucket's policy does not allow"
    ),
    MARY + ON + DENY + "a resource-based policy": "the bucket's policy denies",
    MARY + "because no identity-based policy allows the s3:GetObject action": (
        "the role's own policy does not allow"
    ),
    MARY + ON + DENY + "an identity-based policy": "the role's own policy denies",
    MARY + ON + DENY + f"a service control policy: {POLICY}": "a service control policy denies",
    # The message quotes the exact key.
    MARY + ON.replace("object-name", "a b") + DENY + "a session policy": (
        "the session's policy denies"
    ),
}


@pytest.mark.parametrize(("message", "why"), DOCUMENTED.items())
def test_a_refusal_as_aws_documents_it_is_understood(message: str, why: str) -> None:
    assert str(refused(landfall.Object("b", "k"), "AccessDenied", 403, message)) == (
        f"failed to read `s3://b/k`: AccessDenied: {why} `s3:GetObject` for role `{READER}`"
    )


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("KMS.DisabledException", f"{KEY} is disabled."),
        ("KMS.KMSInvalidStateException", f"{KEY} is pending deletion."),
        ("KMS.NotFoundException", f"Key '{KEY}' does not exist"),
    ],
)
def test_a_key_that_cannot_be_used_is_named(code: str, message: str) -> None:
    one = landfall.Object("b", "k")
    assert (
        str(refused(one, code, 400, message)) == f"failed to read `s3://b/k`: {code}: key `{KEY}`"
    )
    assert str(refused(one, code, 400, "secret words")) == f"failed to read `s3://b/k`: {code}"


SSE_C = (
    "The object was stored using a form of Server Side Encryption. The correct parameters must be "
    "provided to retrieve the object."
)


@pytest.mark.parametrize(
    ("code", "status", "message", "more", "why"),
    [
        (
            "InvalidObjectState",
            403,
            "The operation is not valid for the object's storage class",
            {"StorageClass": "DEEP_ARCHIVE"},
            "it is archived (DEEP_ARCHIVE); restore it (`aws s3api restore-object`), wait until it "
            "is restored, then use `landfall retry`",
        ),
        (
            "InvalidObjectState",
            403,
            "",
            {"StorageClass": "secret words"},
            "it is archived; restore it (`aws s3api restore-object`), wait until it is restored, "
            "then use `landfall retry`",
        ),
        (
            "InvalidRequest",
            400,
            SSE_C,
            {},
            "it is encrypted with a key that the writer sends with each request (SSE-C); read it "
            'with that key (`batch.session.client("s3")`), or upload it with SSE-KMS',
        ),
        *(
            (
                name,
                301,
                "The bucket you are attempting to access must be addressed using …",
                {},
                "bucket `b` is in another region, and the request did not get there; run the job "
                "in the bucket's region, or give the job a way to S3 there if a VPC endpoint or "
                "`AWS_ENDPOINT_URL` keeps it in its own",
            )
            for name in ("PermanentRedirect", "IncorrectEndpoint")
        ),
    ],
)
def test_an_object_that_nobody_can_read_like_this_says_what_it_is_and_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
    code: str,
    status: int,
    message: str,
    more: dict[str, str],
    why: str,
) -> None:
    s3 = boto3.client("s3", region_name=REGION)
    error = {"Error": {"Code": code, "Message": message, **more}}
    monkeypatch.setattr(s3, "get_object", raising(ClientError(error, "GetObject")))
    with pytest.raises(landfall.ObjectError) as raised:
        _objects.open_object(s3, READER, landfall.Object("b", "k"))
    assert str(raised.value) == f"failed to read `s3://b/k`: {code}: {why}"


def raising(error: Exception) -> Callable[..., None]:
    def fail(**_: Any) -> None:
        raise error

    return fail


def test_the_region_of_a_bucket_elsewhere_is_named_where_s3_says_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    s3 = boto3.client("s3", region_name=REGION)
    headers = {"HTTPHeaders": {"x-amz-bucket-region": "us-west-2"}}
    # For a HEAD, S3 sends no body, so the status stands for the code.
    error: Any = {"Error": {"Code": "301", "Message": "Moved"}, "ResponseMetadata": headers}
    monkeypatch.setattr(s3, "head_object", raising(ClientError(error, "HeadObject")))
    with pytest.raises(landfall.ObjectError, match="301: bucket `b` is in region `us-west-2`, and"):
        _objects.size_of(s3, READER, landfall.Object("b", "k"))


def test_an_invalid_request_of_another_kind_is_not_taken_for_a_customers_key() -> None:
    error = refused(landfall.Object("b", "k"), "InvalidRequest", 400, "secret words")
    assert str(error) == "failed to read `s3://b/k`: InvalidRequest"


def test_an_object_that_is_gone_is_told_so_to_who_may_not_list() -> None:
    message = (
        f'User: {WHO} is not authorized to perform: s3:ListBucket on resource: "arn:aws:s3:::b" '
        "because no session policy allows the s3:ListBucket action"
    )
    error = refused(landfall.Object("b", "k"), "AccessDenied", 403, message)
    assert isinstance(error, landfall.ObjectChanged)
    assert str(error) == "failed to read `s3://b/k`: it was deleted since it arrived"


@pytest.mark.parametrize(
    "message",
    [
        "Access Denied",
        "",
        "secret words of S3",
        f"User: {WHO} is not authorized to perform: secret words because no reason",
    ],
)
def test_a_refused_read_that_s3_does_not_explain_says_what_the_role_needs(message: str) -> None:
    versioned = landfall.Object("b", "k", version_id="v1")
    for item, action in (landfall.Object("b", "k"), "GetObject"), (versioned, "GetObjectVersion"):
        assert str(refused(item, "AccessDenied", 403, message)) == (
            f"failed to read `s3://b/k`: AccessDenied: role `{READER}` needs `s3:{action}`, "
            "and `kms:Decrypt` if a KMS key encrypts it; or it does not exist"
        )


def test_of_an_odd_message_nothing_is_told_but_what_is_known() -> None:
    message = (
        "User: x is not authorized to perform: kms:Decrypt on resource: secret-words "
        "because no unheard-of policy allows it"
    )
    assert str(refused(landfall.Object("b", "k"), "AccessDenied", 403, message)) == (
        "failed to read `s3://b/k`: AccessDenied: "
        f"a policy does not allow `kms:Decrypt` for role `{READER}`"
    )


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (ReadTimeoutError(endpoint_url="https://s3"), "ReadTimeoutError"),
        (landfall.ReaderRoleError("failed to assume role `r`"), "failed to assume role `r`"),
    ],
)
def test_a_read_without_an_answer_names_the_object_and_the_reason(
    monkeypatch: pytest.MonkeyPatch, error: Exception, why: str
) -> None:
    s3 = boto3.client("s3", region_name=REGION)

    def fail(**request: Any) -> None:
        raise error

    monkeypatch.setattr(s3, "get_object", fail)
    with pytest.raises(landfall.ObjectError) as raised:
        _objects.open_object(s3, READER, landfall.Object("b", "k"))
    assert str(raised.value) == f"failed to read `s3://b/k`: {why}"


def test_an_object_of_another_size_has_changed() -> None:
    with pytest.raises(landfall.ObjectChanged, match="it has 4 bytes now, but had 5"):
        read(landfall.Object("b", "k", 5), {})


def cut_off(read: Callable[[landfall.Body], Any]) -> None:
    """Reads an object whose connection breaks two bytes before the end."""
    s3 = boto3.client("s3", region_name=REGION)
    with Stubber(s3) as stub:
        answer = {"Body": StreamingBody(io.BytesIO(b"1\n2\n"), 6), "ContentLength": 6}
        stub.add_response("get_object", answer, {"Bucket": "b", "Key": "k"})
        with _objects.open_object(s3, READER, landfall.Object("b", "k", 6)) as body:
            read(body)


@pytest.mark.parametrize(
    "read",
    [
        lambda body: body.read(),
        lambda body: [body.read(3), body.read(3), body.read(3)],
        lambda body: list(body.iter_lines()),
        lambda body: list(body.iter_chunks(2)),
        lambda body: list(body),
        lambda body: body.readlines(),
        lambda body: [body.readinto(bytearray(4)), body.readinto(bytearray(4))],
    ],
)
def test_an_object_that_breaks_off_is_an_error_and_never_a_shorter_one(
    read: Callable[[landfall.Body], Any],
) -> None:
    with pytest.raises(landfall.ObjectError) as raised:
        cut_off(read)
    assert str(raised.value) == "failed to read `s3://b/k`: IncompleteReadError"


def test_ios_own_readers_take_an_object() -> None:
    s3 = boto3.client("s3", region_name=REGION)
    with Stubber(s3) as stub:
        answer = {"Body": StreamingBody(io.BytesIO("ü\n2".encode()), 4), "ContentLength": 4}
        stub.add_response("get_object", answer, {"Bucket": "b", "Key": "k"})
        with _objects.open_object(s3, READER, landfall.Object("b", "k")) as body:
            lines = io.TextIOWrapper(io.BufferedReader(body), encoding="utf-8")
            assert list(lines) == ["ü\n", "2"]


def test_lines_of_an_object_are_those_that_it_has() -> None:
    s3 = boto3.client("s3", region_name=REGION)
    with Stubber(s3) as stub:
        answer = {"Body": StreamingBody(io.BytesIO(b"1\n2"), 3), "ContentLength": 3}
        stub.add_response("get_object", answer, {"Bucket": "b", "Key": "k"})
        with _objects.open_object(s3, READER, landfall.Object("b", "k")) as body:
            assert body.readlines() == [b"1\n", b"2"]
