//! DynamoDB's transactions.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    AttributeValue, ConditionCheck, Delete, Put, TransactWriteItem, Update,
};
use landfall_stand_ins::Act;

use crate::dynamodb::{CLAIMS, LEDGER, item, n, put, s, start};

pub fn new(pk: &str, more: &[(&str, AttributeValue)]) -> TransactWriteItem {
    let put = Put::builder().table_name(LEDGER).set_item(Some(item(pk, more)));
    let put = put.condition_expression("attribute_not_exists(pk)").build().expect("complete");
    TransactWriteItem::builder().put(put).build()
}

pub async fn transact(
    client: &Client,
    items: Vec<TransactWriteItem>,
    token: Option<&str>,
) -> Result<(), SdkError<TransactWriteItemsError>> {
    let call = client.transact_write_items().set_transact_items(Some(items));
    call.set_client_request_token(token.map(str::to_owned)).send().await.map(|_| ())
}

/// Returns the reason for which each item was refused.
fn reasons(error: &SdkError<TransactWriteItemsError>) -> Vec<&str> {
    match error.as_service_error() {
        Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => {
            cancelled.cancellation_reasons().iter().filter_map(|reason| reason.code()).collect()
        }
        other => panic!("the transaction was not cancelled: {other:?}"),
    }
}

#[tokio::test]
async fn a_transaction_is_whole_or_not_at_all_and_tells_why() {
    let (aws, client) = start().await;
    put(&client, item("b", &[("revision", n(1))])).await;
    let error = transact(&client, vec![new("a", &[]), new("b", &[])], None).await.unwrap_err();
    assert_eq!(reasons(&error), ["None", "ConditionalCheckFailed"]);
    assert_eq!(aws.items(LEDGER).len(), 1);

    let key = |pk: &str| HashMap::from([("pk".to_owned(), s(pk)), ("sk".to_owned(), s("batch"))]);
    let update = Update::builder()
        .table_name(LEDGER)
        .set_key(Some(key("b")))
        .update_expression("SET revision = revision + :one")
        .expression_attribute_values(":one", n(1));
    let check = ConditionCheck::builder()
        .table_name(CLAIMS)
        .key("batch_id", s("b"))
        .condition_expression("attribute_not_exists(holder)");
    let delete = Delete::builder().table_name(LEDGER).set_key(Some(key("c")));
    put(&client, item("c", &[])).await;
    let items = vec![
        TransactWriteItem::builder().update(update.build().expect("complete")).build(),
        TransactWriteItem::builder().condition_check(check.build().expect("complete")).build(),
        TransactWriteItem::builder().delete(delete.build().expect("complete")).build(),
        new("a", &[]),
    ];
    transact(&client, items, None).await.expect("all hold");
    let keys: Vec<_> = aws.items(LEDGER).iter().map(|item| item["pk"]["S"].to_string()).collect();
    assert_eq!(keys, ["\"a\"", "\"b\""]);
    assert_eq!(aws.item(LEDGER, &["b", "batch"]).expect("there")["revision"]["N"], "2");
}

#[tokio::test]
async fn a_token_makes_a_transaction_succeed_again_without_effect() {
    let (aws, client) = start().await;
    for _ in 0..2 {
        transact(&client, vec![new("a", &[])], Some("t")).await.expect("the same");
    }
    let error = transact(&client, vec![new("b", &[])], Some("t")).await.unwrap_err();
    assert_eq!(error.code(), Some("IdempotentParameterMismatchException"));
    let error = transact(&client, vec![new("a", &[])], Some("u")).await.unwrap_err();
    assert_eq!(reasons(&error), ["ConditionalCheckFailed"]);
    assert_eq!(aws.items(LEDGER).len(), 1);
}

#[tokio::test]
async fn an_answer_that_was_lost_is_made_up_for_by_the_repetition_of_the_sdk() {
    let (aws, client) = start().await;
    aws.answer("TransactWriteItems", |_, number| match number {
        0 => Act::ServeThenFail { status: 500, code: "InternalServerError" },
        1 => Act::DropAfter,
        _ => Act::Serve,
    });
    transact(&client, vec![new("a", &[])], None).await.expect("the first attempt takes effect");
    assert_eq!(aws.usage().calls["TransactWriteItems"], 3);
    assert_eq!(aws.items(LEDGER).len(), 1);
}

#[tokio::test]
async fn the_limits_of_a_transaction_are_kept() {
    let (aws, client) = start().await;
    let many =
        |count: usize| (0..count).map(|at| new(&format!("{at:03}"), &[])).collect::<Vec<_>>();
    let long = |bytes: usize| ("doc", s(&"x".repeat(bytes)));
    let large: Vec<_> = (0..11).map(|at| new(&at.to_string(), &[long(400_000)])).collect();
    for items in [vec![], many(101), vec![new("a", &[]), new("a", &[])], large] {
        let error = transact(&client, items, None).await.unwrap_err();
        assert_eq!(error.code(), Some("ValidationException"), "{error:?}");
    }
    let items = vec![new("a", &[]), new("b", &[long(400 * 1024)])];
    let error = transact(&client, items, None).await.unwrap_err();
    assert_eq!(reasons(&error), ["None", "ValidationError"]);
    assert_eq!(aws.items(LEDGER).len(), 0);
    transact(&client, many(100), None).await.expect("as many actions as a transaction may have");
    let call = client.put_item().table_name(LEDGER);
    let error = call.set_item(Some(item("b", &[long(400 * 1024)]))).send().await.unwrap_err();
    assert_eq!(error.code(), Some("ValidationException"));
    let call = client.put_item().table_name("other").set_item(Some(item("b", &[])));
    assert_eq!(call.send().await.unwrap_err().code(), Some("ResourceNotFoundException"));
}

#[tokio::test]
async fn a_transaction_that_meets_another_is_cancelled_for_its_first_item() {
    let (aws, client) = start().await;
    aws.answer("TransactWriteItems", |_, number| match number {
        0 => Act::Conflict,
        _ => Act::Serve,
    });
    let items = || vec![new("a", &[]), new("b", &[])];
    let error = transact(&client, items(), None).await.unwrap_err();
    assert_eq!(reasons(&error), ["TransactionConflict", "None"]);
    transact(&client, items(), None).await.expect("the other transaction is over");
}
