//! `Query` and `Scan`, of a table or of an index that projects keys only.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use serde_json::{Value, json};

use super::expression::{Comparison, Condition, Operand};
use super::table::{Row, Rows};
use super::value::{Item, Key, Scalar, item_size, scalar};
use super::words::{Names, Reader};
use super::{DynamoDb, Refused};

/// The maximum number of bytes that one call reads.
const MAX_BYTES: usize = 1024 * 1024;

/// The attributes to return. `None` returns all of them.
pub(super) struct Projection<'a>(Option<Vec<&'a str>>);

impl<'a> Projection<'a> {
    pub(super) fn read(body: &'a Value, names: &Names<'a>) -> Result<Projection<'a>, Refused> {
        let Some(text) = body["ProjectionExpression"].as_str() else { return Ok(Projection(None)) };
        let mut reader = Reader::new(text, names)?;
        let mut attributes = vec![reader.attribute()?];
        while reader.sign(",")? {
            attributes.push(reader.attribute()?);
        }
        match reader.is_at_end() {
            true => Ok(Projection(Some(attributes))),
            false => Err(reader.error("Syntax error; something follows its end")),
        }
    }

    pub(super) fn of(&self, item: &Item) -> Item {
        match &self.0 {
            None => item.clone(),
            Some(names) => only(item, names.iter().copied()),
        }
    }
}

/// Returns an item with the attributes of these names only.
fn only<'n>(item: &Item, names: impl Iterator<Item = &'n str>) -> Item {
    names.filter_map(|name| Some((name.to_owned(), item.get(name)?.clone()))).collect()
}

/// The bounds of a search, in either direction.
type Range = (Bound<Key>, Bound<Key>);

/// The table or index that is searched.
struct Source<'r> {
    rows: &'r BTreeMap<Key, Arc<Row>>,
    /// The attributes that sort it: those of the index, then those of the table.
    key: Vec<&'r str>,
    /// The number of these that a key condition may name.
    own: usize,
    is_index: bool,
}

impl Rows {
    fn source(&self, body: &Value) -> Result<Source<'_>, Refused> {
        let table = self.table.key.iter().map(String::as_str);
        let Some(name) = body["IndexName"].as_str() else {
            let own = self.table.key.len();
            return Ok(Source { rows: &self.rows, key: table.collect(), own, is_index: false });
        };
        let found = self.table.indexes.iter().position(|index| index.name == name);
        let number = found.ok_or_else(|| {
            Refused::invalid(format!("The table does not have the specified index: {name}"))
        })?;
        if body["ConsistentRead"] == true {
            return Err(Refused::invalid(
                "Consistent reads are not supported on global secondary indexes".to_owned(),
            ));
        }
        let own = &self.table.indexes[number].key;
        let key = own.iter().map(String::as_str).chain(table).collect();
        let indexes = self.shown.as_ref().unwrap_or(&self.indexes);
        Ok(Source { rows: &indexes[number], key, own: own.len(), is_index: true })
    }
}

impl DynamoDb {
    pub(super) fn query(&mut self, body: &Value) -> Result<Value, Refused> {
        let names = Names::read(body)?;
        let condition = Condition::read(body, "KeyConditionExpression", &names)?;
        let condition = condition.ok_or_else(|| {
            Refused::invalid("Either the KeyConditions or KeyConditionExpression parameter must be specified in the request.".to_owned())
        })?;
        self.search(body, names, Some(condition))
    }

    pub(super) fn scan(&mut self, body: &Value) -> Result<Value, Refused> {
        self.search(body, Names::read(body)?, None)
    }

    fn search(
        &mut self,
        body: &Value,
        names: Names<'_>,
        condition: Option<Condition<'_>>,
    ) -> Result<Value, Refused> {
        let filter = Condition::read(body, "FilterExpression", &names)?;
        let projection = Projection::read(body, &names)?;
        names.finish()?;
        let table = self.find(body)?;
        let source = self.tables[table].source(body)?;
        let (mut low, mut high) = match &condition {
            Some(condition) => range(condition, &source)?,
            None => (Bound::Unbounded, Bound::Unbounded),
        };
        let is_forward = body["ScanIndexForward"] != false;
        if let Some(start) = body["ExclusiveStartKey"].as_object() {
            let parts = source.key.iter().map(|name| start.get(*name).and_then(scalar));
            let start = parts.collect::<Option<Key>>().ok_or_else(|| {
                Refused::invalid("The provided starting key is invalid".to_owned())
            })?;
            let bound = if is_forward { &mut low } else { &mut high };
            *bound = Bound::Excluded(start);
        }
        let limit = body["Limit"].as_u64().map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(0));
        if limit == 0 {
            return Err(Refused::invalid("Limit must be greater than or equal to 1".to_owned()));
        }

        let (mut items, mut scanned, mut count, mut bytes) =
            (Vec::new(), 0_usize, 0_usize, 0_usize);
        let mut last = None;
        let mut next = rows_between(source.rows, (low, high));
        while let Some(row) = if is_forward { next.next() } else { next.next_back() } {
            let seen = match source.is_index {
                true => &only(&row.item, source.key.iter().copied()),
                false => &row.item,
            };
            scanned += 1;
            bytes += if source.is_index { item_size(seen).unwrap_or(0) } else { row.size };
            if filter.as_ref().is_none_or(|filter| filter.holds(seen)) {
                count += 1;
                if body["Select"] != "COUNT" {
                    items.push(Value::from(projection.of(seen)));
                }
            }
            if scanned == limit || Some(scanned) == self.page || bytes > MAX_BYTES {
                last = Some(only(seen, source.key.iter().copied()));
                break;
            }
        }
        drop(next);
        let share = if body["ConsistentRead"] == true { 1.0 } else { 0.5 };
        self.usage.read_units += share * super::read_units(bytes);
        let mut answer = json!({ "Count": count, "ScannedCount": scanned });
        if body["Select"] != "COUNT" {
            answer["Items"] = items.into();
        }
        if let Some(last) = last {
            answer["LastEvaluatedKey"] = last.into();
        }
        Ok(answer)
    }
}

/// Returns the rows of a range, or none if the range is empty.
fn rows_between(
    rows: &BTreeMap<Key, Arc<Row>>,
    (low, high): Range,
) -> impl DoubleEndedIterator<Item = &Arc<Row>> {
    // `BTreeMap::range` panics if a range ends before it begins.
    let is_empty = match (&low, &high) {
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        (Bound::Included(low), Bound::Included(high)) => low > high,
        (
            Bound::Included(low) | Bound::Excluded(low),
            Bound::Included(high) | Bound::Excluded(high),
        ) => low >= high,
    };
    let found = (!is_empty).then(|| rows.range((low, high)));
    found.into_iter().flatten().map(|(_, row)| row)
}

/// Returns the range in which the key condition holds: an equal first part of the key, and a
/// comparison of the second.
fn range(condition: &Condition<'_>, source: &Source<'_>) -> Result<Range, Refused> {
    let parts = match condition {
        Condition::And(one, other) => vec![&**one, &**other],
        one => vec![one],
    };
    let unsupported = || Refused::invalid("Query key condition not supported".to_owned());
    let about = |place: usize| {
        let name = source.key.get(place).filter(|_| place < source.own).copied();
        parts.iter().copied().find(|part| name.is_some() && subject(part) == name)
    };
    let hash = match about(0) {
        Some(Condition::Compare(_, Comparison::Equal, Operand::Value(value))) => {
            scalar(value).ok_or_else(unsupported)?
        }
        _ => {
            return Err(Refused::invalid(format!(
                "Query condition missed key schema element: {}",
                source.key[0]
            )));
        }
    };
    let from = |part: Scalar| Bound::Included(vec![hash.clone(), part]);
    let behind = |part: Scalar| Bound::Included(vec![hash.clone(), part, Scalar::Last]);
    let before = |part: Scalar| Bound::Excluded(vec![hash.clone(), part]);
    let (first, end) = (Bound::Included(vec![hash.clone()]), from(Scalar::Last));
    let value = |operand: &Operand<'_>| match operand {
        Operand::Value(value) => scalar(value).ok_or_else(unsupported),
        _ => Err(unsupported()),
    };
    let Some(part) = about(1) else {
        return if parts.len() == 1 { Ok((first, end)) } else { Err(unsupported()) };
    };
    Ok(match part {
        Condition::Compare(_, comparison, operand) => {
            let part = value(operand)?;
            match comparison {
                Comparison::Equal => (from(part.clone()), behind(part)),
                Comparison::Less => (first, before(part)),
                Comparison::LessOrEqual => (first, behind(part)),
                Comparison::Greater => (behind(part), end),
                Comparison::GreaterOrEqual => (from(part), end),
                Comparison::NotEqual => return Err(unsupported()),
            }
        }
        Condition::Between(_, low, high) => (from(value(low)?), behind(value(high)?)),
        Condition::BeginsWith(_, prefix) => match value(prefix)? {
            Scalar::Text(prefix) => {
                let after = Scalar::Text(format!("{prefix}{}", char::MAX));
                (from(Scalar::Text(prefix)), from(after))
            }
            _ => return Err(unsupported()),
        },
        _ => return Err(unsupported()),
    })
}

/// Returns the attribute that a key condition is about.
fn subject<'a>(condition: &Condition<'a>) -> Option<&'a str> {
    match condition {
        Condition::Compare(Operand::Attribute(name), ..)
        | Condition::Between(Operand::Attribute(name), ..)
        | Condition::BeginsWith(Operand::Attribute(name), _) => Some(name),
        _ => None,
    }
}
