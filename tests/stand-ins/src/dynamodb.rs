//! DynamoDB: the calls, and the tables that they read and write.
//!
//! It leaves out streams, local indexes, projections other than of keys, access to parts of a
//! value, binary keys, and calls that change tables. Items don't expire by themselves.

mod expression;
mod search;
mod table;
mod update;
pub(crate) mod value;
mod words;
mod write;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

pub use self::table::Table;
use self::table::{Rows, read_units};
use crate::call::Answer;

/// The attribute that says when an item of any table expires.
const EXPIRES: &str = "expires";

/// The error that refuses a call.
#[derive(Debug)]
struct Refused {
    code: &'static str,
    message: String,
    /// Additional members of the answer.
    more: Map<String, Value>,
}

impl Refused {
    fn new(code: &'static str, message: impl Into<String>) -> Refused {
        Refused { code, message: message.into(), more: Map::new() }
    }

    fn invalid(message: String) -> Refused {
        Refused::new("ValidationException", message)
    }

    fn answer(self) -> Answer {
        let space = match self.code {
            "ValidationException" => "com.amazon.coral.validate",
            _ => "com.amazonaws.dynamodb.v20120810",
        };
        let mut body =
            json!({ "__type": format!("{space}#{}", self.code), "message": self.message });
        if let Some(body) = body.as_object_mut() {
            body.extend(self.more);
        }
        Answer::json(400, &body)
    }
}

/// Consumed units, as AWS counts them. See `Usage`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Units {
    pub write_units: f64,
    pub index_write_units: f64,
    pub read_units: f64,
}

#[derive(Debug, Default)]
pub(crate) struct DynamoDb {
    tables: Vec<Rows>,
    names: HashMap<String, usize>,
    /// The transactions that succeeded, by token: a hash of the request, and the bytes of the
    /// items.
    tokens: HashMap<String, (u64, usize)>,
    pub(crate) usage: Units,
    /// The most items in a page of a search; `None` if only their size counts.
    pub(crate) page: Option<usize>,
}

impl DynamoDb {
    pub(crate) fn new(tables: Vec<Table>) -> DynamoDb {
        let names = tables.iter().enumerate().map(|(at, table)| (table.name.clone(), at)).collect();
        let tables = tables.into_iter().map(Rows::new).collect();
        DynamoDb { tables, names, ..DynamoDb::default() }
    }

    pub(crate) fn serve(&mut self, operation: &str, body: &Value) -> Answer {
        let answer = match operation {
            "GetItem" => self.get(body),
            "BatchGetItem" => self.batch_get(body),
            "PutItem" => self.write("Put", body),
            "UpdateItem" => self.write("Update", body),
            "DeleteItem" => self.write("Delete", body),
            "TransactWriteItems" => self.transact(body),
            "Query" => self.query(body),
            "Scan" => self.scan(body),
            "DescribeTable" => self.described(
                body,
                |name| json!({ "Table": { "TableName": name, "TableStatus": "ACTIVE" } }),
            ),
            "DescribeTimeToLive" => self.described(body, |_| {
                let about = json!({ "TimeToLiveStatus": "ENABLED", "AttributeName": EXPIRES });
                json!({ "TimeToLiveDescription": about })
            }),
            _ => Err(Refused::new("UnknownOperationException", "the stand-in does not know it")),
        };
        match answer {
            Ok(body) => Answer::json(200, &body),
            Err(refused) => refused.answer(),
        }
    }

    /// Describes a table, if there is one of this name.
    fn described(&self, body: &Value, describe: impl Fn(&str) -> Value) -> Result<Value, Refused> {
        let name = body["TableName"].as_str().unwrap_or_default();
        match self.names.contains_key(name) {
            true => Ok(describe(name)),
            false => Err(Refused::new(
                "ResourceNotFoundException",
                format!("Requested resource not found: Table: {name} not found"),
            )),
        }
    }

    pub(crate) fn show_indexes(&mut self) {
        for table in &mut self.tables {
            table.shown = Some(table.indexes.clone());
        }
    }

    /// Removes the items whose time to live is before `time`.
    pub(crate) fn expire(&mut self, time: SystemTime) {
        let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let is_over = |row: &Arc<table::Row>| {
            let expires = row.item.get(EXPIRES).and_then(|value| value["N"].as_str()?.parse().ok());
            expires.is_some_and(|expires: u64| expires < seconds)
        };
        for table in &mut self.tables {
            let over = table.rows.iter().filter(|(_, row)| is_over(row));
            for key in over.map(|(key, _)| key.clone()).collect::<Vec<_>>() {
                table.replace(&key, None);
            }
        }
    }

    /// Returns the answer to a transaction that conflicts with another one.
    pub(crate) fn conflict(body: &Value) -> Answer {
        write::conflict(body).answer()
    }

    /// Returns all items of a table, in the order of their keys.
    pub(crate) fn items(&self, table: &str) -> Option<Vec<Value>> {
        let rows = self.tables[*self.names.get(table)?].rows.values();
        Some(rows.map(|row| row.item.clone().into()).collect())
    }

    /// Counts the items whose key has a first part that begins with `prefix`.
    pub(crate) fn count(&self, table: &str, prefix: &str) -> Option<usize> {
        let keys = self.tables[*self.names.get(table)?].rows.keys();
        let begins = |key: &&value::Key| matches!(key.first(), Some(value::Scalar::Text(text)) if text.starts_with(prefix));
        Some(keys.filter(begins).count())
    }

    /// Returns one item, by the texts of its key.
    pub(crate) fn item(&self, table: &str, key: &[&str]) -> Option<Value> {
        let key: value::Key =
            key.iter().map(|part| value::Scalar::Text((*part).to_owned())).collect();
        let row = self.tables[*self.names.get(table)?].rows.get(&key)?;
        Some(row.item.clone().into())
    }

    /// Finds the table that a request names, by name or by ARN.
    fn find(&self, body: &Value) -> Result<usize, Refused> {
        self.find_name(body["TableName"].as_str().unwrap_or_default())
    }

    fn find_name(&self, name: &str) -> Result<usize, Refused> {
        let name = name.rsplit('/').next().unwrap_or(name);
        self.names.get(name).copied().ok_or_else(|| {
            Refused::new("ResourceNotFoundException", "Requested resource not found")
        })
    }

    fn get(&mut self, body: &Value) -> Result<Value, Refused> {
        let table = self.find(body)?;
        match self.read(table, &body["Key"], body)? {
            Some(item) => Ok(json!({ "Item": item })),
            None => Ok(json!({})),
        }
    }

    fn batch_get(&mut self, body: &Value) -> Result<Value, Refused> {
        let nothing = Map::new();
        let requested = body["RequestItems"].as_object().unwrap_or(&nothing);
        let keys = |requested: &Value| requested["Keys"].as_array().cloned().unwrap_or_default();
        let all: usize = requested.values().map(|requested| keys(requested).len()).sum();
        if !(1..=100).contains(&all) {
            return Err(Refused::invalid(
                "Too many items requested for the BatchGetItem call".into(),
            ));
        }
        let mut responses = Map::new();
        for (name, requested) in requested {
            let table = self.find_name(name)?;
            let keys = keys(requested);
            if (1..keys.len()).any(|at| keys[..at].contains(&keys[at])) {
                return Err(Refused::invalid(
                    "Provided list of item keys contains duplicates".into(),
                ));
            }
            let mut items = Vec::new();
            for key in &keys {
                items.extend(self.read(table, key, requested)?);
            }
            responses.insert(name.clone(), items.into());
        }
        Ok(json!({ "Responses": responses, "UnprocessedKeys": {} }))
    }

    /// Reads an item, with the attributes that `options` asks for.
    fn read(
        &mut self,
        table: usize,
        key: &Value,
        options: &Value,
    ) -> Result<Option<Value>, Refused> {
        let key = self.tables[table].table.exact_key(key)?;
        let names = words::Names::read(options)?;
        let projection = search::Projection::read(options, &names)?;
        names.finish()?;
        let row = self.tables[table].rows.get(&key);
        let share = if options["ConsistentRead"] == true { 1.0 } else { 0.5 };
        self.usage.read_units += share * read_units(row.map_or(0, |row| row.size));
        Ok(row.map(|row| projection.of(&row.item).into()))
    }
}
