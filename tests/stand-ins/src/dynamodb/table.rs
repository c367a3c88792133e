//! Tables: their keys, indexes and rows, and the consumption of writes.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::Refused;
use super::value::{Item, Key, Scalar, item_size, scalar};

/// The maximum size of an item in bytes.
const MAX_BYTES: usize = 400 * 1024;

/// A table's name, key and indexes. Key attributes are texts, unless [`Table::numbers`] names them.
#[derive(Clone, Debug)]
pub struct Table {
    pub(super) name: String,
    pub(super) key: Vec<String>,
    pub(super) indexes: Vec<Index>,
    numbers: Vec<String>,
}

/// A global index. It holds the items that have both attributes of its key, and projects their keys
/// only.
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

    /// Adds a global index that projects keys only.
    #[must_use]
    pub fn index(mut self, name: &str, hash: &str, range: &str) -> Self {
        let key = vec![hash.to_owned(), range.to_owned()];
        self.indexes.push(Index { name: name.to_owned(), key });
        self
    }

    /// Sets which key attributes are numbers.
    #[must_use]
    pub fn numbers(mut self, names: &[&str]) -> Self {
        self.numbers.extend(names.iter().map(|name| (*name).to_owned()));
        self
    }

    /// Returns Landfall's ledger.
    pub fn ledger(name: &str) -> Self {
        Self::new(name, "pk", Some("sk"))
            .index("due", "due_shard", "due_at")
            .index("awaits", "awaits", "awaits_since")
            .index("routes", "route", "created_at")
            .numbers(&["due_at", "awaits_since", "created_at"])
    }

    /// Returns Landfall's table of claims.
    pub fn claims(name: &str) -> Self {
        Self::new(name, "batch_id", None)
    }

    /// Returns the value of a key attribute.
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

    /// Returns the key of an item.
    pub(super) fn key_of(&self, item: &Item) -> Result<Key, Refused> {
        let part = |name: &String| match item.get(name) {
            Some(value) => self.part(name, value),
            None => Err(Refused::invalid(format!(
                "One or more parameter values were invalid: Missing the key {name} in the item"
            ))),
        };
        self.key.iter().map(part).collect()
    }

    /// Reads the key of a request, which must have the key's attributes and no others.
    pub(super) fn exact_key(&self, key: &Value) -> Result<Key, Refused> {
        let mismatch =
            || Refused::invalid("The provided key element does not match the schema".to_owned());
        let key = key.as_object().filter(|key| key.len() == self.key.len()).ok_or_else(mismatch)?;
        if !self.key.iter().all(|name| key.contains_key(name)) {
            return Err(mismatch());
        }
        self.key_of(key)
    }

    /// Returns the place of an item in an index, or `None` if it lacks an attribute of the index's
    /// key.
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

/// An item, with everything that is computed from it once.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) item: Item,
    pub(super) size: usize,
    /// The item's place in each index.
    places: Vec<Option<Key>>,
}

/// A table with its rows.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) table: Table,
    pub(super) rows: BTreeMap<Key, Arc<Row>>,
    /// One map for each index of the table.
    pub(super) indexes: Vec<BTreeMap<Key, Arc<Row>>>,
    /// What the indexes showed when they were frozen.
    pub(super) shown: Option<Vec<BTreeMap<Key, Arc<Row>>>>,
}

impl Rows {
    pub(super) fn new(table: Table) -> Self {
        let indexes = table.indexes.iter().map(|_| BTreeMap::new()).collect();
        Self { table, rows: BTreeMap::new(), indexes, shown: None }
    }

    /// Makes a row of an item that is to be stored.
    pub(super) fn row(&self, key: &Key, item: Item) -> Result<Row, Refused> {
        let size = item_size(&item).map_err(Refused::invalid)?;
        if size > MAX_BYTES {
            return Err(Refused::invalid("Item size has exceeded the maximum allowed size".into()));
        }
        let indexes = self.table.indexes.iter();
        let places = indexes.map(|index| self.table.index_key(index, &item, key));
        Ok(Row { places: places.collect::<Result<_, _>>()?, size, item })
    }

    /// Replaces the row of a key. Returns the units that the indexes consume: one for each place
    /// that is taken, left, or both.
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
                // If the place is the same, so are the keys in the index, and AWS writes nothing.
                // Here the index holds the item, so exchange it.
                index.insert(after, Arc::clone(row));
                units += if is_moved { 1.0 } else { 0.0 };
            }
        }
        units
    }
}

/// Returns the units of a write. A write whose condition fails consumes them too.
pub(super) fn write_units(bytes: usize) -> f64 {
    bytes.div_ceil(1024).max(1) as f64
}

/// Returns the units of a strongly consistent read. An eventually consistent read consumes half.
pub(super) fn read_units(bytes: usize) -> f64 {
    bytes.div_ceil(4096).max(1) as f64
}
