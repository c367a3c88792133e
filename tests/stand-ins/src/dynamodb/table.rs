//! Tables: their keys and indexes, their rows, and what a write to them consumes.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::Refused;
use super::value::{Item, Key, Scalar, item_size, scalar};

/// The most bytes of an item.
const MAX_BYTES: usize = 400 * 1024;

/// What a table is called, its key, and its indexes. Attributes of keys are texts, unless
/// [`Table::numbers`] names them.
#[derive(Clone, Debug)]
pub struct Table {
    pub(super) name: String,
    pub(super) key: Vec<String>,
    pub(super) indexes: Vec<Index>,
    numbers: Vec<String>,
}

/// Holds the items that have both attributes of its key; of them, their keys only.
#[derive(Clone, Debug)]
pub(super) struct Index {
    pub(super) name: String,
    pub(super) key: Vec<String>,
}

impl Table {
    pub fn new(name: &str, hash: &str, range: Option<&str>) -> Self {
        let key = [Some(hash), range].into_iter().flatten().map(str::to_owned).collect();
        Self { name: name.to_owned(), key, indexes: Vec::new(), numbers: Vec::new() }
    }

    /// With a global index of keys only.
    #[must_use]
    pub fn index(mut self, name: &str, hash: &str, range: &str) -> Self {
        let key = vec![hash.to_owned(), range.to_owned()];
        self.indexes.push(Index { name: name.to_owned(), key });
        self
    }

    /// Attributes of keys that are numbers.
    #[must_use]
    pub fn numbers(mut self, names: &[&str]) -> Self {
        self.numbers.extend(names.iter().map(|name| (*name).to_owned()));
        self
    }

    /// Landfall's ledger.
    pub fn ledger(name: &str) -> Self {
        Self::new(name, "pk", Some("sk"))
            .index("due", "due_shard", "due_at")
            .index("awaits", "awaits", "awaits_since")
            .index("routes", "route", "created_at")
            .numbers(&["due_at", "awaits_since", "created_at"])
    }

    /// Landfall's claims.
    pub fn claims(name: &str) -> Self {
        Self::new(name, "batch_id", None)
    }

    /// The value of an attribute of a key.
    fn part(&self, name: &str, value: &Value) -> Result<Scalar, Refused> {
        let is_number = self.numbers.iter().any(|number| number == name);
        match scalar(value) {
            Some(Scalar::Text(text)) if text.is_empty() => Err(Refused::invalid(format!(
                "One or more parameter values are not valid. The AttributeValue for a key attribute \
                 cannot contain an empty string value. Key: {name}"
            ))),
            Some(part @ Scalar::Text(_)) if !is_number => Ok(part),
            Some(part @ Scalar::Number(_)) if is_number => Ok(part),
            _ => Err(Refused::invalid(format!(
                "One or more parameter values were invalid: Type mismatch for key {name}"
            ))),
        }
    }

    /// The key that an item has.
    pub(super) fn key_of(&self, item: &Item) -> Result<Key, Refused> {
        let part = |name: &String| match item.get(name) {
            Some(value) => self.part(name, value),
            None => Err(Refused::invalid(format!(
                "One or more parameter values were invalid: Missing the key {name} in the item"
            ))),
        };
        self.key.iter().map(part).collect()
    }

    /// What a request gives for a key: its attributes and no others.
    pub(super) fn exact_key(&self, key: &Value) -> Result<Key, Refused> {
        let mismatch =
            || Refused::invalid("The provided key element does not match the schema".to_owned());
        let key = key.as_object().filter(|key| key.len() == self.key.len()).ok_or_else(mismatch)?;
        if !self.key.iter().all(|name| key.contains_key(name)) {
            return Err(mismatch());
        }
        self.key_of(key)
    }

    /// The place of an item in an index; none if it lacks an attribute of its key.
    fn index_key(&self, index: &Index, item: &Item, key: &Key) -> Result<Option<Key>, Refused> {
        let mut found = Vec::with_capacity(index.key.len() + key.len());
        for name in &index.key {
            let Some(value) = item.get(name) else { return Ok(None) };
            found.push(self.part(name, value)?);
        }
        found.extend_from_slice(key);
        Ok(Some(found))
    }
}

/// An item, with what is calculated of it once.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) item: Item,
    pub(super) size: usize,
    /// Its places in the indexes.
    places: Vec<Option<Key>>,
}

/// A table and what is in it.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) table: Table,
    pub(super) rows: BTreeMap<Key, Arc<Row>>,
    /// One for each index of the table.
    pub(super) indexes: Vec<BTreeMap<Key, Arc<Row>>>,
    /// What they showed when they were made to show nothing newer.
    pub(super) shown: Option<Vec<BTreeMap<Key, Arc<Row>>>>,
}

impl Rows {
    pub(super) fn new(table: Table) -> Self {
        let indexes = table.indexes.iter().map(|_| BTreeMap::new()).collect();
        Self { table, rows: BTreeMap::new(), indexes, shown: None }
    }

    /// An item as it will stand in the table.
    pub(super) fn row(&self, key: &Key, item: Item) -> Result<Row, Refused> {
        let size = item_size(&item).map_err(Refused::invalid)?;
        if size > MAX_BYTES {
            return Err(Refused::invalid("Item size has exceeded the maximum allowed size".into()));
        }
        let indexes = self.table.indexes.iter();
        let places = indexes.map(|index| self.table.index_key(index, &item, key));
        Ok(Row { places: places.collect::<Result<_, _>>()?, size, item })
    }

    /// Puts `new` in the place of what is there; returns what the indexes consume of it: one unit for
    /// each place that is taken, left, or both.
    pub(super) fn replace(&mut self, key: &Key, new: Option<Arc<Row>>) -> f64 {
        let old = match &new {
            Some(row) => self.rows.insert(key.clone(), Arc::clone(row)),
            None => self.rows.remove(key),
        };
        let mut units = 0.0;
        for (number, index) in self.indexes.iter_mut().enumerate() {
            let place =
                |row: &Option<Arc<Row>>| row.as_ref().and_then(|r| r.places[number].clone());
            let (before, after) = (place(&old), place(&new));
            let is_moved = before != after;
            if let Some(before) = before.filter(|_| is_moved) {
                index.remove(&before);
                units += 1.0;
            }
            if let (Some(after), Some(row)) = (after, &new) {
                // Where the place is the same, the keys that are in the index are too: nothing is
                // written on AWS. Here the item in it is exchanged.
                index.insert(after, Arc::clone(row));
                units += if is_moved { 1.0 } else { 0.0 };
            }
        }
        units
    }
}

/// Of a write; also of one whose condition does not hold.
pub(super) fn write_units(bytes: usize) -> f64 {
    bytes.div_ceil(1024).max(1) as f64
}

/// Of a strongly consistent read; one that is eventually consistent takes half of it.
pub(super) fn read_units(bytes: usize) -> f64 {
    bytes.div_ceil(4096).max(1) as f64
}
