//! What a new reader role is refused, and what a role that already has it keeps: keys of other
//! accounts, and a whole bucket that no route asks for.

use landfall_stand_ins::{IamRole, Stack, StackResource};
use serde_json::{Value, json};

use crate::fixture::{Fixture, STACK, TABLE, TRUSTED, routes};

const READER: &str = "landfall-reader";
const KIND: &str = "Custom::LandfallReaderRole";
const OWN: &str = "arn:aws:kms:us-east-1:111111111111:key/own";
const FOREIGN: &str = "arn:aws:kms:us-east-1:999999999999:key/foreign";
const VARIABLE: &str = "arn:aws:kms:us-east-1:999999999999:key/${aws:PrincipalTag/k}";

fn stands(fixture: &Fixture, stack: &str, id: &str, resource: &str) {
    let resources = vec![StackResource::new("Role", id, KIND, resource)];
    fixture.aws.stack(
        STACK,
        Stack { status: stack.to_owned(), resources, events: vec![], ..Default::default() },
    );
}

fn reader(keys: &[&str], key: &str, is_wide: bool) -> Value {
    let mut routes = routes("acme-landing");
    routes["targets"]["here"]["account"] = json!(TRUSTED);
    routes["targets"]["here"]["starter_role"] = json!("landfall-starter");
    routes["routes"][0]["key"] = json!(key);
    routes["routes"][0]["wide"] = json!(is_wide.to_string());
    json!({
        "RoleName": READER, "Routes": routes, "KmsKeyArns": keys,
        "TrustedRoleArns": [format!("arn:aws:iam::{TRUSTED}:role/landfall/landfall-job")],
    })
}

fn request(fixture: &Fixture, id: &str, kind: &str, of: Option<&str>, properties: Value) -> Value {
    let mut request = fixture.request(id, kind, of);
    request["ResourceType"] = json!(KIND);
    if of.is_some() {
        request["OldResourceProperties"] = properties.clone();
    }
    request["ResourceProperties"] = properties;
    request
}

fn policy(fixture: &Fixture) -> String {
    fixture.aws.role(READER).expect("a role").policies["landfall"].clone()
}

#[tokio::test]
async fn a_key_of_another_account_is_refused_before_any_effect_unless_its_account_is_named() {
    for (accounts, key, is_made) in [
        (None, FOREIGN, false),
        (Some("888888888888"), FOREIGN, false),
        (Some("999999999999"), VARIABLE, false),
        (None, VARIABLE, false),
        (Some("888888888888,999999999999"), FOREIGN, true),
        (None, OWN, true),
    ] {
        let mut fixture = Fixture::new().await;
        fixture.set("LANDFALL_KEY_ACCOUNT_IDS", accounts);
        stands(&fixture, "CREATE_IN_PROGRESS", "", "CREATE_IN_PROGRESS");
        let create = request(&fixture, "made", "Create", None, reader(&[key], "x/{file}", false));
        let answered = fixture.serve(&create).await;
        if is_made {
            answered.id();
            assert!(policy(&fixture).contains(key), "{key}");
        } else {
            answered.is_refused("KeyAccountIds");
            assert!(answered.logged("key_not_admitted"), "{answered:#?}");
            assert_eq!(fixture.aws.role(READER), None, "{accounts:?} {key}");
        }
    }
    let mut fixture = Fixture::new().await;
    fixture.set("LANDFALL_KEY_ACCOUNT_IDS", Some("*"));
    let (status, said) = fixture.ends().await;
    assert!(!status.success() && said.contains("key_accounts_malformed"), "{said}");
}

#[tokio::test]
async fn all_of_a_bucket_is_read_only_if_the_route_asks_for_it() {
    for (key, is_wide, is_made) in [
        ("データ/{file}.csv", false, false),
        ("{file}.csv", false, false),
        ("データ/{file}.csv", true, true),
        ("**", false, true),
    ] {
        let fixture = Fixture::new().await;
        stands(&fixture, "CREATE_IN_PROGRESS", "", "CREATE_IN_PROGRESS");
        let create = request(&fixture, "made", "Create", None, reader(&[], key, is_wide));
        let answered = fixture.serve(&create).await;
        if is_made {
            answered.id();
        } else {
            answered.is_refused("wide: true");
            assert!(answered.logged("bucket_read_wholly"), "{answered:#?}");
            assert_eq!(fixture.aws.role(READER), None, "{key}");
        }
    }
}

/// Makes a role as an earlier version did, with a key of another account and a whole bucket. That
/// version recorded neither.
async fn of_earlier_version(fixture: &Fixture) -> String {
    stands(fixture, "CREATE_IN_PROGRESS", "", "CREATE_IN_PROGRESS");
    let create = request(fixture, "made", "Create", None, reader(&[OWN], "{file}.csv", true));
    let id = fixture.serve(&create).await.id();
    let role = fixture.aws.role(READER).expect("a role");
    let policies = role.policies.iter();
    let policies = policies.map(|(name, text)| (name.clone(), text.replace(OWN, VARIABLE)));
    fixture.aws.put_role(READER, IamRole { policies: policies.collect(), ..role.clone() });
    let mut item = fixture.item().expect("an item");
    let text = item["memory"]["S"].as_str().expect("a memory");
    let mut memory: Value = serde_json::from_str(text).expect("JSON");
    memory.as_object_mut().expect("an object").remove("scope").expect("the memory has a scope now");
    item["memory"]["S"] = json!(memory.to_string());
    assert!(fixture.aws.put_item(TABLE, &item));
    id
}

#[tokio::test]
async fn what_a_role_had_before_it_keeps_until_it_is_given_up_and_the_way_back_is_open() {
    let fixture = Fixture::new().await;
    let id = of_earlier_version(&fixture).await;
    let former = || reader(&[VARIABLE], "{file}.csv", false);
    let update =
        |name: &str, properties: Value| request(&fixture, name, "Update", Some(&id), properties);
    stands(&fixture, "UPDATE_IN_PROGRESS", &id, "UPDATE_IN_PROGRESS");
    let kept = fixture.serve(&update("kept", former())).await;
    kept.id();
    let notes = kept.response()["Data"]["Notes"].as_str().unwrap_or_default().to_owned();
    assert!(notes.contains("KeyAccountIds") && notes.contains("wide: true"), "{notes}");
    // The text now stands for itself, and not for a tag of the caller.
    assert!(policy(&fixture).contains("key/${$}{aws:PrincipalTag/k}"), "{}", policy(&fixture));

    fixture.serve(&update("narrow", reader(&[OWN], "x/{file}", false))).await.id();
    assert!(!policy(&fixture).contains("999999999999"));
    fixture
        .serve(&update("key", reader(&[VARIABLE], "x/{file}", false)))
        .await
        .is_refused("KeyAccountIds");
    fixture
        .serve(&update("wide", reader(&[OWN], "{file}.csv", false)))
        .await
        .is_refused("wide: true");

    stands(&fixture, "UPDATE_ROLLBACK_IN_PROGRESS", &id, "UPDATE_IN_PROGRESS");
    fixture.serve(&update("inverse", former())).await.id();
    assert!(policy(&fixture).contains("acme-landing/*"), "{}", policy(&fixture));
    fixture
        .serve(&update("forged", reader(&[FOREIGN], "x/{file}", false)))
        .await
        .is_refused("KeyAccountIds");
}
