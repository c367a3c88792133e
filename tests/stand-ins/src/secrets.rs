//! Secrets Manager: `GetSecretValue`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::call::Answer;

pub(crate) fn serve(secrets: &BTreeMap<String, String>, operation: &str, body: &Value) -> Answer {
    let error = |code, message: &str| Answer::error("secretsmanager", 400, code, message);
    if operation != "GetSecretValue" {
        return error("InvalidAction", "the stand-in does not know it");
    }
    let arn = body["SecretId"].as_str().unwrap_or_default();
    match secrets.get(arn) {
        None => error("ResourceNotFoundException", "Secrets Manager can't find the secret."),
        Some(value) => Answer::json(200, &json!({ "ARN": arn, "SecretString": value })),
    }
}
