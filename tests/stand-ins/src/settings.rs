//! Settings that are only read: Lambda's functions and their mappings, KMS's keys, EventBridge's
//! rules, the policies of SQS's queues, and what IAM Access Analyzer has found. A test sets them, and
//! no call changes them.

use std::collections::BTreeMap;

use hyper::http::request::Parts;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use crate::call::{Answer, Call};

/// A Lambda function.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LambdaFunction {
    pub variables: BTreeMap<String, String>,
    /// The reserved concurrency, if any is reserved.
    pub reserved: Option<u32>,
    /// The ARNs of the queues that feed it.
    pub queues: Vec<String>,
}

/// A rule on the default bus.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventRule {
    /// The pattern, as JSON. A rule without one has a schedule.
    pub pattern: Option<String>,
    /// The ARNs of the targets.
    pub targets: Vec<String>,
}

#[derive(Debug, Default)]
pub(crate) struct Settings {
    /// The functions by name.
    pub(crate) functions: BTreeMap<String, LambdaFunction>,
    /// The policies of keys, as JSON, by the keys' ARNs.
    pub(crate) keys: BTreeMap<String, String>,
    /// The rules by name.
    pub(crate) rules: BTreeMap<String, EventRule>,
    /// The policies of queues, as JSON, by the queues' names.
    pub(crate) queues: BTreeMap<String, String>,
    /// The findings of analyzers of external access, by the analyzers' ARNs.
    pub(crate) analyzers: BTreeMap<String, Vec<Value>>,
}

/// Identifies a call of a service whose operations are paths. `scope` is the service that the request was signed for.
pub(crate) fn identify(scope: &str, parts: &Parts, content: &[u8]) -> Option<Call> {
    let decoded = |text| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let path: Vec<&str> = parts.uri.path().trim_matches('/').split('/').collect();
    let query = parts.uri.query().unwrap_or_default();
    let parameter = |name: &str| {
        let mut all = query.split('&').filter_map(|it| it.split_once('='));
        all.find(|(of, _)| *of == name).map(|(_, value)| decoded(value))
    };
    let (service, operation, body) = match (scope, path.as_slice()) {
        ("lambda", [_, "functions", name, what]) => {
            let operation = match *what {
                "configuration" => "GetFunctionConfiguration",
                "concurrency" => "GetFunctionConcurrency",
                _ => return None,
            };
            ("lambda", operation, json!({ "FunctionName": decoded(name) }))
        }
        ("lambda", [_, "event-source-mappings"]) => {
            let body = json!({ "FunctionName": parameter("FunctionName") });
            ("lambda", "ListEventSourceMappings", body)
        }
        ("access-analyzer", ["analyzer"]) => ("access-analyzer", "ListAnalyzers", Value::Null),
        ("access-analyzer", ["finding"]) => {
            let body = serde_json::from_slice(content).unwrap_or(Value::Null);
            ("access-analyzer", "ListFindings", body)
        }
        _ => return None,
    };
    Some(Call { service, operation: operation.to_owned(), body })
}

impl Settings {
    pub(crate) fn lambda(&self, operation: &str, body: &Value) -> Answer {
        let name = body["FunctionName"].as_str().unwrap_or_default();
        let Some(LambdaFunction { variables, reserved, queues }) = self.functions.get(name) else {
            let message = format!("Function not found: {name}");
            return Answer::error("lambda", 404, "ResourceNotFoundException", &message);
        };
        let answer = match operation {
            "GetFunctionConfiguration" => json!({
                "FunctionName": name,
                "Runtime": "provided.al2023",
                "State": "Active",
                "LastUpdateStatus": "Successful",
                "Environment": { "Variables": variables },
                "VpcConfig": { "SubnetIds": [], "SecurityGroupIds": [], "VpcId": "" },
            }),
            // Without a reservation, the answer is empty.
            "GetFunctionConcurrency" => match reserved {
                Some(reserved) => json!({ "ReservedConcurrentExecutions": reserved }),
                None => json!({}),
            },
            _ => {
                let mapping = |(at, queue): (usize, &String)| {
                    json!({
                        "UUID": format!("14e0db71-0000-4000-8000-{at:012}"),
                        "EventSourceArn": queue,
                        "FunctionArn": name,
                        "State": "Enabled",
                        "StateTransitionReason": "USER_INITIATED",
                    })
                };
                let mappings: Vec<Value> = queues.iter().enumerate().map(mapping).collect();
                json!({ "EventSourceMappings": mappings })
            }
        };
        Answer::json(200, &answer)
    }

    pub(crate) fn kms(&self, operation: &str, body: &Value) -> Answer {
        let id = body["KeyId"].as_str().unwrap_or_default();
        let Some((arn, policy)) = self.keys.get_key_value(id) else {
            let message = format!("Key '{id}' does not exist");
            return Answer::error("kms", 400, "NotFoundException", &message);
        };
        let answer = match operation {
            "DescribeKey" => json!({ "KeyMetadata": {
                "Arn": arn,
                "KeyId": arn.rsplit('/').next(),
                "AWSAccountId": arn.split(':').nth(4),
                "Enabled": true,
                "KeyState": "Enabled",
                "KeyManager": "CUSTOMER",
                "KeyUsage": "ENCRYPT_DECRYPT",
            } }),
            "GetKeyPolicy" => json!({ "Policy": policy, "PolicyName": "default" }),
            _ => return unknown("kms", operation),
        };
        Answer::json(200, &answer)
    }

    pub(crate) fn events(&self, operation: &str, body: &Value) -> Answer {
        let name = match operation {
            "DescribeRule" => &body["Name"],
            "ListTargetsByRule" => &body["Rule"],
            _ => return unknown("events", operation),
        };
        let name = name.as_str().unwrap_or_default();
        let Some(EventRule { pattern, targets }) = self.rules.get(name) else {
            let message = format!("Rule {name} does not exist on EventBus default.");
            return Answer::error("events", 400, "ResourceNotFoundException", &message);
        };
        if operation == "ListTargetsByRule" {
            let target = |(at, arn): (usize, &String)| json!({ "Id": at.to_string(), "Arn": arn });
            let targets: Vec<Value> = targets.iter().enumerate().map(target).collect();
            return Answer::json(200, &json!({ "Targets": targets }));
        }
        let mut rule = json!({ "Name": name, "State": "ENABLED", "EventBusName": "default" });
        match pattern {
            Some(pattern) => rule["EventPattern"] = pattern.as_str().into(),
            None => rule["ScheduleExpression"] = "rate(1 minute)".into(),
        }
        Answer::json(200, &rule)
    }

    /// Answers `GetQueueAttributes`. `waiting` is how many messages wait in the queue.
    pub(crate) fn queue(&self, body: &Value, waiting: usize) -> Answer {
        let url = body["QueueUrl"].as_str().unwrap_or_default();
        let Some(policy) = url.rsplit('/').next().and_then(|name| self.queues.get(name)) else {
            let code = "com.amazonaws.sqs#QueueDoesNotExist";
            return Answer::error("sqs", 400, code, "The specified queue does not exist.");
        };
        let asked = body["AttributeNames"].as_array().cloned().unwrap_or_default();
        let attributes = [
            ("ApproximateNumberOfMessages", waiting.to_string()),
            ("ApproximateNumberOfMessagesNotVisible", "0".to_owned()),
            ("Policy", policy.clone()),
        ];
        let is_told =
            |(name, value): &(&str, String)| !value.is_empty() && asked.iter().any(|it| it == name);
        let told: BTreeMap<&str, String> = attributes.into_iter().filter(is_told).collect();
        Answer::json(200, &json!({ "Attributes": told }))
    }

    pub(crate) fn access_analyzer(&self, operation: &str, body: &Value) -> Answer {
        if operation == "ListAnalyzers" {
            let analyzer = |arn: &String| {
                json!({
                    "arn": arn,
                    "name": arn.rsplit('/').next(),
                    "type": "ACCOUNT",
                    "status": "ACTIVE",
                    "createdAt": "2026-01-31T12:00:00Z",
                })
            };
            let analyzers: Vec<Value> = self.analyzers.keys().map(analyzer).collect();
            return Answer::json(200, &json!({ "analyzers": analyzers }));
        }
        let arn = body["analyzerArn"].as_str().unwrap_or_default();
        match self.analyzers.get(arn) {
            Some(findings) => Answer::json(200, &json!({ "findings": findings })),
            None => {
                let message = format!("Analyzer {arn} not found");
                Answer::error("access-analyzer", 404, "ResourceNotFoundException", &message)
            }
        }
    }
}

fn unknown(service: &str, operation: &str) -> Answer {
    let message = format!("the stand-in does not know {operation}");
    Answer::error(service, 400, "UnknownOperationException", &message)
}
