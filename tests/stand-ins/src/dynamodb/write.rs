//! Writes, alone and in transactions.

use std::collections::HashSet;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::expression::Condition;
use super::table::{Row, Rows, read_units, write_units};
use super::update::Update;
use super::value::{Item, Key};
use super::words::Names;
use super::{DynamoDb, Refused};

/// The limits of a transaction: its number of actions, and the bytes of its items.
const MAX_ACTIONS: usize = 100;
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// A write that was read but not yet evaluated.
struct Write<'a> {
    table: usize,
    key: Key,
    /// The attributes of the key, for an item that an update creates.
    key_item: &'a Map<String, Value>,
    change: Change<'a>,
    condition: Option<Condition<'a>>,
    returns_old: bool,
}

enum Change<'a> {
    Put(&'a Item),
    Update(Update<'a>),
    Delete,
    Check,
}

/// The effect of a write on its item.
struct Effect {
    old: Option<Arc<Row>>,
    new: Option<Arc<Row>>,
}

impl Effect {
    fn bytes(&self) -> usize {
        let size = |row: &Option<Arc<Row>>| row.as_ref().map_or(0, |row| row.size);
        size(&self.old).max(size(&self.new))
    }
}

enum Failure {
    Condition(Option<Arc<Row>>),
    Refused(Refused),
}

impl<'a> Write<'a> {
    fn read(database: &DynamoDb, kind: &str, body: &'a Value) -> Result<Write<'a>, Refused> {
        let table = database.find(body)?;
        let schema = &database.tables[table].table;
        let names = Names::read(body)?;
        let missing = |what: &str| Refused::invalid(format!("`{what}` is missing"));
        let (key, key_item) = match kind {
            "Put" => {
                let item = body["Item"].as_object().ok_or_else(|| missing("Item"))?;
                (schema.key_of(item)?, item)
            }
            _ => {
                let key = body["Key"].as_object().ok_or_else(|| missing("Key"))?;
                (schema.exact_key(&body["Key"])?, key)
            }
        };
        let change = match kind {
            "Put" => Change::Put(key_item),
            "Update" => Change::Update(Update::read(body, &names)?),
            "Delete" => Change::Delete,
            "ConditionCheck" => Change::Check,
            _ => return Err(Refused::invalid(format!("no action is called `{kind}`"))),
        };
        if let Change::Update(update) = &change
            && let Some(name) =
                update.attributes().find(|name| schema.key.iter().any(|key| key == name))
        {
            return Err(Refused::invalid(format!(
                "One or more parameter values were invalid: Cannot update attribute {name}. This \
                 attribute is part of the key"
            )));
        }
        let condition = Condition::read(body, "ConditionExpression", &names)?;
        if condition.is_none() && kind == "ConditionCheck" {
            return Err(missing("ConditionExpression"));
        }
        names.finish()?;
        let returns_old = body["ReturnValuesOnConditionCheckFailure"] == "ALL_OLD";
        Ok(Write { table, key, key_item, change, condition, returns_old })
    }

    /// Returns the effect that the write would have now.
    fn effect(&self, rows: &Rows) -> Result<Effect, Failure> {
        let old = rows.rows.get(&self.key).cloned();
        if let Some(condition) = &self.condition {
            let nothing = Item::new();
            if !condition.holds(old.as_ref().map_or(&nothing, |row| &row.item)) {
                return Err(Failure::Condition(old));
            }
        }
        let item = match &self.change {
            Change::Check => return Ok(Effect { new: old.clone(), old }),
            Change::Delete => return Ok(Effect { old, new: None }),
            Change::Put(item) => (*item).clone(),
            Change::Update(update) => {
                let before = old.as_ref().map_or(self.key_item, |row| &row.item);
                let mut item = before.clone();
                update
                    .apply(&mut item)
                    .map_err(|problem| Failure::Refused(Refused::invalid(problem)))?;
                item
            }
        };
        let new = rows.row(&self.key, item).map_err(Failure::Refused)?;
        Ok(Effect { old, new: Some(Arc::new(new)) })
    }
}

impl DynamoDb {
    /// Carries out `PutItem`, `UpdateItem` or `DeleteItem`. `kind` is the name of the action in a
    /// transaction.
    pub(super) fn write(&mut self, kind: &str, body: &Value) -> Result<Value, Refused> {
        let write = Write::read(self, kind, body)?;
        match write.effect(&self.tables[write.table]) {
            Err(Failure::Refused(refused)) => Err(refused),
            Err(Failure::Condition(old)) => {
                self.usage.write_units += write_units(old.as_ref().map_or(0, |row| row.size));
                let mut refused = Refused::new(
                    "ConditionalCheckFailedException",
                    "The conditional request failed",
                );
                if let Some(old) = old.filter(|_| write.returns_old) {
                    refused.more.insert("Item".to_owned(), old.item.clone().into());
                }
                Err(refused)
            }
            Ok(effect) => {
                self.usage.write_units += write_units(effect.bytes());
                self.commit(&write, &effect);
                let returned = match body["ReturnValues"].as_str() {
                    Some("ALL_OLD") => effect.old,
                    Some("ALL_NEW") => effect.new,
                    None | Some("NONE") => None,
                    Some(other) => {
                        return Err(Refused::invalid(format!("the stand-in has no `{other}`")));
                    }
                };
                Ok(returned.map_or(json!({}), |row| json!({ "Attributes": row.item })))
            }
        }
    }

    fn commit(&mut self, write: &Write<'_>, effect: &Effect) {
        if matches!(write.change, Change::Check) {
            return;
        }
        let units = self.tables[write.table].replace(&write.key, effect.new.clone());
        self.usage.index_write_units += units;
    }

    /// Carries out `TransactWriteItems`. A transaction that is cancelled counts once, as the one
    /// that prepares it. AWS doesn't document its consumption.
    pub(super) fn transact(&mut self, body: &Value) -> Result<Value, Refused> {
        let nothing = Vec::new();
        let actions = body["TransactItems"].as_array().unwrap_or(&nothing);
        if !(1..=MAX_ACTIONS).contains(&actions.len()) {
            return Err(Refused::invalid(
                "1 validation error detected: Value at 'transactItems' failed to satisfy \
                 constraint: Member must have length less than or equal to 100 and greater than or \
                 equal to 1"
                    .to_owned(),
            ));
        }
        let token = body["ClientRequestToken"].as_str();
        let mut hasher = DefaultHasher::new();
        body["TransactItems"].hash(&mut hasher);
        let content = hasher.finish();
        if let Some((before, bytes)) = token.and_then(|token| self.tokens.get(token)) {
            if *before != content {
                return Err(Refused::new(
                    "IdempotentParameterMismatchException",
                    "The token was used with other parameters",
                ));
            }
            self.usage.read_units += 2.0 * read_units(*bytes);
            return Ok(json!({}));
        }
        let mut writes = Vec::with_capacity(actions.len());
        for action in actions {
            let one = action.as_object().filter(|action| action.len() == 1);
            let (kind, body) = one.and_then(|action| action.iter().next()).ok_or_else(|| {
                Refused::invalid("an item can hold one of Check, Put, Update and Delete".to_owned())
            })?;
            let write = Write::read(self, kind, body)?;
            writes.push(write);
        }
        let mut items = HashSet::new();
        if !writes.iter().all(|write| items.insert((write.table, &write.key))) {
            return Err(Refused::invalid(
                "Transaction request cannot include multiple operations on one item".to_owned(),
            ));
        }
        let effects: Vec<_> =
            writes.iter().map(|write| write.effect(&self.tables[write.table])).collect();
        let sizes = effects.iter().map(|effect| match effect {
            Ok(effect) => effect.bytes(),
            Err(Failure::Condition(old)) => old.as_ref().map_or(0, |row| row.size),
            Err(Failure::Refused(_)) => 0,
        });
        let sizes: Vec<usize> = sizes.collect();
        if sizes.iter().sum::<usize>() > MAX_BYTES {
            return Err(Refused::invalid(
                "Collection size of items in transaction exceeds the limit of 4 MB".to_owned(),
            ));
        }
        let units: f64 = sizes.iter().map(|size| write_units(*size)).sum();
        if effects.iter().any(Result::is_err) {
            self.usage.write_units += units;
            let reasons =
                effects.into_iter().zip(&writes).map(|(effect, write)| reason(effect, write));
            return Err(cancelled(reasons.collect()));
        }
        self.usage.write_units += 2.0 * units;
        for (write, effect) in writes.iter().zip(&effects) {
            if let Ok(effect) = effect {
                self.commit(write, effect);
            }
        }
        if let Some(token) = token {
            self.tokens.insert(token.to_owned(), (content, sizes.iter().sum()));
        }
        Ok(json!({}))
    }
}

fn reason(effect: Result<Effect, Failure>, write: &Write<'_>) -> Value {
    match effect {
        Ok(_) => json!({ "Code": "None" }),
        Err(Failure::Condition(old)) => {
            let mut reason = json!({
                "Code": "ConditionalCheckFailed", "Message": "The conditional request failed"
            });
            if let Some(old) = old.filter(|_| write.returns_old) {
                reason["Item"] = old.item.clone().into();
            }
            reason
        }
        Err(Failure::Refused(refused)) => {
            json!({ "Code": "ValidationError", "Message": refused.message })
        }
    }
}

/// Returns the refusal of a transaction whose first item conflicts with another transaction.
pub(super) fn conflict(body: &Value) -> Refused {
    let others = body["TransactItems"].as_array().map_or(0, |items| items.len().saturating_sub(1));
    let message = "Transaction is ongoing for the item";
    let first = json!({ "Code": "TransactionConflict", "Message": message });
    let others = std::iter::repeat_n(json!({ "Code": "None" }), others);
    cancelled(std::iter::once(first).chain(others).collect())
}

fn cancelled(reasons: Vec<Value>) -> Refused {
    let codes: Vec<&str> = reasons.iter().filter_map(|reason| reason["Code"].as_str()).collect();
    let message = format!(
        "Transaction cancelled, please refer cancellation reasons for specific reasons [{}]",
        codes.join(", ")
    );
    let mut refused = Refused::new("TransactionCanceledException", message);
    refused.more.insert("CancellationReasons".to_owned(), reasons.into());
    refused
}
