//! DynamoDB: conditions, updates, pages, and what is counted.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use landfall_stand_ins::{StandIn, Table};
use serde_json::json;

use crate::config;
use crate::transactions::{new, transact};

pub const LEDGER: &str = "landfall-ledger";
pub const CLAIMS: &str = "landfall-claims";

pub type Item = HashMap<String, AttributeValue>;

pub async fn start() -> (StandIn, Client) {
    let aws = StandIn::start(vec![Table::ledger(LEDGER), Table::claims(CLAIMS)]);
    let client = Client::new(&config(&aws).await);
    (aws, client)
}

pub fn s(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

pub fn n(number: u64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

pub fn item(pk: &str, more: &[(&str, AttributeValue)]) -> Item {
    let key = [("pk", s(pk)), ("sk", s("batch"))];
    let all = key.iter().chain(more);
    all.map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

pub async fn put(client: &Client, item: Item) {
    client.put_item().table_name(LEDGER).set_item(Some(item)).send().await.expect("put");
}

/// Evaluates a condition for an item with the number 9 and the text `b`.
async fn holds(condition: &str) -> Result<bool, String> {
    let (_aws, client) = start().await;
    put(&client, item("a", &[("count", n(9)), ("word", s("b")), ("hello", s("x"))])).await;
    let given = [(":ten", n(10)), (":nine", AttributeValue::N("9.0".into())), (":b", s("b"))];
    let mut call = client.put_item().table_name(LEDGER).set_item(Some(item("a", &[])));
    for (name, value) in given.into_iter().filter(|(name, _)| condition.contains(name)) {
        call = call.expression_attribute_values(name, value);
    }
    for name in ["count", "word"].into_iter().filter(|name| condition.contains(&format!("#{name}")))
    {
        call = call.expression_attribute_names(format!("#{name}"), name);
    }
    match call.condition_expression(condition).send().await {
        Ok(_) => Ok(true),
        Err(error) if error.code() == Some("ConditionalCheckFailedException") => Ok(false),
        Err(error) => Err(error.message().unwrap_or_default().to_owned()),
    }
}

#[tokio::test]
async fn conditions_hold_as_on_dynamodb() {
    for (condition, expected) in [
        ("attribute_exists(pk)", true),
        ("attribute_not_exists(pk)", false),
        ("attribute_not_exists(absent)", true),
        ("#count = :nine", true),
        ("#count < :ten", true),
        ("#count <> :ten AND NOT word <> :b", true),
        ("#count >= :ten OR #word = :b", true),
        ("(#count >= :ten OR #word = :b) AND #word > :b", false),
        ("#count >= :ten OR word = :b AND word > :b", false),
        ("#count BETWEEN :nine AND :ten", true),
        ("#count IN (:ten, :nine)", true),
        ("begins_with(word, :b)", true),
        // An absent operand, or one of another type, is neither less nor greater.
        ("absent < :ten", false),
        ("absent <> :ten", true),
        ("word < :ten", false),
        ("absent <= another", false),
        ("size(word) < :ten", true),
    ] {
        assert_eq!(holds(condition).await, Ok(expected), "{condition}");
    }
}

#[tokio::test]
async fn expressions_that_dynamodb_does_not_take_are_refused() {
    for (condition, problem) in [
        ("batch = :b", "reserved keyword: batch"),
        ("State = :b", "reserved keyword: State"),
        ("#word = :b AND #other = :b", "attribute name: #other"),
        ("word = :c", "attribute value: :c"),
        ("word = :b AND", "an attribute is expected"),
        ("word = :b)", "something follows"),
        ("word", "a comparison is expected"),
        ("word = 'b'", "Syntax error"),
    ] {
        let refusal = holds(condition).await.expect_err(condition);
        assert!(refusal.contains(problem), "{condition}: {refusal}");
    }
    let (_aws, client) = start().await;
    let call = client.put_item().table_name(LEDGER).set_item(Some(item("a", &[])));
    let call = call.condition_expression("attribute_exists(pk)");
    let error = call.expression_attribute_values(":idle", n(1)).send().await.unwrap_err();
    assert!(error.message().is_some_and(|message| message.contains("unused")), "{error:?}");
}

#[tokio::test]
async fn an_update_sets_calculates_and_removes_by_what_was_there_before() {
    let (aws, client) = start().await;
    put(&client, item("a", &[("count", n(9)), ("gone", s("x"))])).await;
    let update = |expression: &str| {
        let call = client.update_item().table_name(LEDGER).key("pk", s("a")).key("sk", s("batch"));
        call.update_expression(expression).expression_attribute_values(":one", n(1))
    };
    let answer = update(
        "SET amount = if_not_exists(amount, #count) + :one, former = #count, #count = :one REMOVE gone",
    )
    .expression_attribute_names("#count", "count")
    .return_values(ReturnValue::AllNew)
    .send()
    .await
    .expect("updated");
    let expected = item("a", &[("count", n(1)), ("amount", n(10)), ("former", n(9))]);
    assert_eq!(answer.attributes, Some(expected));
    for expression in ["SET amount = absent + :one", "SET pk = :one", "SET a = :one, a = :one"] {
        let error = update(expression).send().await.unwrap_err();
        assert_eq!(error.code(), Some("ValidationException"), "{expression}");
    }
    // An update that creates an item knows its key.
    let call = client.update_item().table_name(CLAIMS).key("batch_id", s("b"));
    let call = call.update_expression("SET ended = :one").expression_attribute_values(":one", n(1));
    call.send().await.expect("created");
    let created = json!({ "batch_id": { "S": "b" }, "ended": { "N": "1" } });
    assert_eq!(aws.item(CLAIMS, &["b"]), Some(created));
}

#[tokio::test]
async fn an_index_holds_what_has_its_keys_and_is_read_in_pages_both_ways() {
    let (aws, client) = start().await;
    for at in 0..25 {
        // Every fifth item isn't due.
        let due = [("due_shard", s("due#0")), ("due_at", n(at)), ("doc", s("x"))];
        let due = if at % 5 == 0 { &due[1..] } else { &due };
        put(&client, item(&format!("batch#{at}"), due)).await;
    }
    for (is_forward, expected) in [(true, [1, 2, 3]), (false, [19, 18, 17])] {
        let (mut found, mut pages, mut from) = (Vec::new(), 0, None);
        loop {
            let answer = client
                .query()
                .table_name(LEDGER)
                .index_name("due")
                .key_condition_expression("due_shard = :shard AND due_at < :now")
                .expression_attribute_values(":shard", s("due#0"))
                .expression_attribute_values(":now", n(20))
                .scan_index_forward(is_forward)
                .limit(7)
                .set_exclusive_start_key(from)
                .send()
                .await
                .expect("found");
            assert_eq!(answer.items().first().map_or(4, HashMap::len), 4, "keys only");
            pages += 1;
            found.extend(answer.items().iter().map(|item| item["due_at"].clone()));
            from = answer.last_evaluated_key;
            if from.is_none() {
                break;
            }
        }
        assert_eq!((found.len(), pages), (16, 3));
        assert_eq!(found[..3], expected.map(n));
    }
    // An item that isn't due any more leaves the index.
    put(&client, item("batch#1", &[])).await;
    let first = client.query().table_name(LEDGER).index_name("due").limit(1);
    let first = first.key_condition_expression("due_shard = :shard");
    let answer = first.expression_attribute_values(":shard", s("due#0")).send().await;
    assert_eq!(answer.expect("found").items()[0]["pk"], s("batch#2"));
    assert_eq!(aws.items(LEDGER).len(), 25);
}

#[tokio::test]
async fn a_query_of_a_table_and_a_scan_of_an_index_find_what_their_conditions_say() {
    let (_aws, client) = start().await;
    for (sk, at) in [("a 1", 1), ("a 2", 2), ("b 1", 3)] {
        let more = [("sk", s(sk)), ("route", s("orders")), ("created_at", n(at))];
        put(&client, item("object#x", &more)).await;
    }
    let found = client
        .query()
        .table_name(LEDGER)
        .key_condition_expression("pk = :pk AND begins_with(sk, :route)")
        .filter_expression("created_at > :at")
        .expression_attribute_values(":pk", s("object#x"))
        .expression_attribute_values(":route", s("a "))
        .expression_attribute_values(":at", n(1))
        .consistent_read(true)
        .send()
        .await
        .expect("found");
    assert_eq!((found.count, found.scanned_count), (1, 2));
    assert_eq!(found.items()[0]["sk"], s("a 2"));
    let scan = client.scan().table_name(LEDGER).index_name("routes").limit(2);
    let scan = scan.filter_expression("created_at >= :at").expression_attribute_values(":at", n(2));
    let page = scan.clone().send().await.expect("a page");
    assert_eq!((page.count, page.scanned_count), (1, 2));
    let rest =
        scan.set_exclusive_start_key(page.last_evaluated_key).send().await.expect("the rest");
    assert_eq!((rest.count, rest.last_evaluated_key), (1, None));
    let query = client.query().table_name(LEDGER).key_condition_expression("sk = :sk");
    let error = query.expression_attribute_values(":sk", s("a 1")).send().await.unwrap_err();
    assert_eq!(error.code(), Some("ValidationException"));
}

#[tokio::test]
async fn units_are_counted_as_aws_counts_them() {
    let (aws, client) = start().await;
    let long = ("doc", s(&"x".repeat(1_500)));
    let due = [long.clone(), ("due_shard", s("due#0")), ("due_at", n(1))];
    let usage = || {
        let usage = aws.usage();
        aws.clear_calls();
        (usage.write_units, usage.index_write_units, usage.read_units)
    };
    put(&client, item("a", &due)).await;
    assert_eq!(usage(), (3.0, 1.0, 0.0), "two KB, and a place in an index");
    put(&client, item("a", &due)).await;
    assert_eq!(usage(), (2.0, 0.0, 0.0), "the place is the same");
    put(&client, item("a", &[due[1].clone(), ("due_at", n(2))])).await;
    assert_eq!(usage(), (4.0, 2.0, 0.0), "the larger of before and after; one place for another");
    transact(&client, vec![new("b", &[long]), new("c", &[])], Some("t")).await.expect("new");
    assert_eq!(usage(), (6.0, 0.0, 0.0), "twice two KB, twice one");
    transact(&client, vec![new("d", &[]), new("c", &[])], None).await.unwrap_err();
    assert_eq!(usage(), (2.0, 0.0, 0.0));
    for is_consistent in [true, false] {
        let get = client.get_item().table_name(LEDGER).key("pk", s("b")).key("sk", s("batch"));
        let answer = get.consistent_read(is_consistent).send().await.expect("read");
        assert!(answer.item.is_some());
    }
    assert_eq!(usage(), (0.0, 0.0, 1.5));
}

#[tokio::test]
async fn several_items_are_read_at_once() {
    let (_aws, client) = start().await;
    put(&client, item("a", &[("word", s("x"))])).await;
    let keys = ["a", "b"].map(|pk| item(pk, &[])).to_vec();
    let requested = aws_sdk_dynamodb::types::KeysAndAttributes::builder().set_keys(Some(keys));
    let requested = requested.projection_expression("word").build().expect("complete");
    let answer =
        client.batch_get_item().request_items(LEDGER, requested).send().await.expect("read");
    let found = &answer.responses.expect("of tables")[LEDGER];
    assert_eq!(found, &[HashMap::from([("word".to_owned(), s("x"))])]);
}
