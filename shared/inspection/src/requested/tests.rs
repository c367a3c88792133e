use expect_test::expect;
use serde_json::json;

use super::*;

const STACK: &str = "arn:aws-cn:cloudformation:cn-north-1:111111111111:stack/landfall/1";

fn values(parameters: &[(&str, &str)]) -> BTreeMap<String, String> {
    parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn requested(properties: &Json) -> Requested {
    let template = json!({
        "Parameters": {
            "Names": { "Type": "CommaDelimitedList" },
            "Secret": { "Type": "String", "NoEcho": true },
            "Empty": { "Type": "String", "Default": "" },
            "Price": { "Type": "Number" },
        },
        "Conditions": {
            "IsEmpty": { "Fn::Equals": [{ "Ref": "Empty" }, ""] },
            "IsThree": { "Fn::Equals": [{ "Ref": "Price" }, 3] },
            "IsBoth": { "Fn::And": [{ "Condition": "IsEmpty" }, { "Fn::Not": [{ "Condition": "IsThree" }] }] },
        },
        "Resources": {
            "It": { "Type": "Custom::LandfallReaderRole", "Properties": properties },
            "Queue": { "Type": "AWS::SQS::Queue" },
            "Table": { "Type": "AWS::DynamoDB::Table" },
            "Absent": { "Type": "AWS::SQS::Queue" },
            "Removed": { "Type": "AWS::SQS::Queue", "Condition": "IsBoth" },
        },
    });
    let ids = [
        ("It", "It-0123456789abcdef"),
        ("Queue", "https://sqs.cn-north-1.amazonaws.com.cn/111111111111/landfall-arrivals"),
        ("Table", "landfall-claims"),
        ("Removed", "https://sqs.cn-north-1.amazonaws.com.cn/111111111111/landfall-removed"),
    ];
    let ids = ids.map(|(logical, physical)| (logical.to_owned(), physical.to_owned()));
    let parameters =
        values(&[("Names", "a, b"), ("Secret", "****"), ("Empty", ""), ("Price", "3")]);
    Requested::new(&template.to_string(), STACK, &parameters, ids.into()).expect("a stack")
}

#[test]
fn properties_are_resolved_as_cloudformation_resolves_them() {
    let properties = json!({
        "Names": { "Ref": "Names" },
        "Joined": { "Fn::Join": ["+", { "Ref": "Names" }] },
        "Split": { "Fn::Split": [",", { "Fn::Sub": ["${Both},${Empty}c", { "Both": { "Ref": "Price" } }] }] },
        "Secret": { "Ref": "Secret" },
        "Queue": { "Fn::GetAtt": ["Queue", "Arn"] },
        "Table": { "Fn::Sub": "${Table.Arn}/${Table} in ${AWS::Region}, ${!literal}" },
        "Left": { "Fn::If": ["IsEmpty", { "Ref": "AWS::NoValue" }, "right"] },
        "Chosen": { "Fn::If": ["IsThree", "three", "other"] },
        "Neither": { "Fn::If": ["IsBoth", "both", "not both"] },
        "Routes": { "version": 1, "routes": [{ "wide": true }] },
    });
    let resolved = requested(&properties).properties("It").expect("resolved");
    expect![[r#"
        {
          "Chosen": "three",
          "Joined": "a+b",
          "Names": [
            "a",
            "b"
          ],
          "Neither": "not both",
          "Queue": "arn:aws-cn:sqs:cn-north-1:111111111111:landfall-arrivals",
          "Routes": {
            "routes": [
              {
                "wide": true
              }
            ],
            "version": 1
          },
          "Secret": "not-known-here",
          "Split": [
            "3",
            "c"
          ],
          "Table": "arn:aws-cn:dynamodb:cn-north-1:111111111111:table/landfall-claims/landfall-claims in cn-north-1, ${literal}"
        }"#]]
    .assert_eq(&format!("{resolved:#}"));
}

#[test]
fn what_only_the_stack_knows_is_an_error_and_no_guess() {
    for (part, reason) in [
        (json!({ "Ref": "Nothing" }), "`Nothing` has no value"),
        (json!({ "Fn::GetAtt": ["Queue", "QueueName"] }), "`Queue.QueueName` is not known here"),
        (json!({ "Fn::GetAtt": "Absent.Arn" }), "`Absent.Arn` is not known here"),
        (json!({ "Fn::ImportValue": "x" }), "`Fn::ImportValue` is not known here"),
        (json!({ "Fn::If": ["Unheard", 1, 2] }), "failed to decide condition `Unheard`"),
    ] {
        let error = requested(&json!({ "Part": part })).properties("It").expect_err(reason);
        let error = format!("{error:#}");
        assert!(error.contains(reason) && error.contains("`It`"), "{error}");
    }
}

#[test]
fn only_resources_that_the_stack_has_are_told() {
    let resources = requested(&json!({})).resources();
    let ids: Vec<&str> = resources.iter().map(|it| it.logical_id.as_str()).collect();
    assert_eq!(ids, ["It", "Queue", "Table"]);
    let first = resources.first().expect("a resource");
    assert_eq!(
        (first.kind.as_str(), first.physical_id.as_str()),
        ("Custom::LandfallReaderRole", "It-0123456789abcdef")
    );
}

#[test]
fn a_template_in_yaml_reads_like_one_in_json() {
    let template = "
Conditions:
  Holds: !Equals [!Ref Price, '3']
  Fails: !Not [!Condition Holds]
Resources:
  It:
    Type: Custom::LandfallReaderRole
    Properties:
      Arn: !GetAtt Table.Arn
      Name: !Sub ${AWS::Partition}-x
      Chosen: !If [Fails, !Ref AWS::NoValue, [!Ref Price]]
  Table:
    Type: AWS::DynamoDB::Table
";
    let ids = [("It", "It-1"), ("Table", "claims")];
    let ids = ids.map(|(logical, physical)| (logical.to_owned(), physical.to_owned()));
    let parameters = values(&[("Price", "3")]);
    let requested = Requested::new(template, STACK, &parameters, ids.into()).expect("a stack");
    assert_eq!(
        requested.properties("It").expect("resolved"),
        json!({ "Arn": "arn:aws-cn:dynamodb:cn-north-1:111111111111:table/claims", "Name": "aws-cn-x", "Chosen": ["3"] })
    );
}
