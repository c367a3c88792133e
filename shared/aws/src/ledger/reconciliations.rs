//! Reconciliations: how far each route's passes have come.

use std::collections::BTreeMap;

use landfall_core::moment::Time;
use landfall_core::reconcile::Reconciliation;

use super::index::IndexQuery;
use super::item::{self, Item};
use super::{ARRIVALS_KEPT, Ledger, LedgerError};
use crate::dynamodb::number;

/// The partition key of all reconciliations. The role of the function that writes them names it.
const PARTITION: &str = "reconciliation";

impl Ledger {
    /// Reads what is known of the reconciliations of all routes that have any, by route. What cannot be understood of one
    /// hides nothing of the others.
    ///
    /// # Errors
    /// Fails if the table does not answer.
    pub async fn reconciliations(
        &self,
    ) -> Result<BTreeMap<String, Result<Reconciliation, LedgerError>>, LedgerError> {
        let mut all = BTreeMap::new();
        let mut from: Option<Item> = None;
        loop {
            let (found, next) = self.partition(PARTITION, None, from).await?;
            for found in &found {
                if let Some(route) = found.get("sk").and_then(|sk| sk.as_s().ok()) {
                    all.insert(route.clone(), read(route, found));
                }
            }
            from = next;
            if from.is_none() {
                return Ok(all);
            }
        }
    }

    /// Writes a reconciliation over the revision that it has. Returns it with its new revision, or `None` if the ledger has
    /// another revision by now.
    ///
    /// # Errors
    /// Fails if the table does not answer. Then it is unknown whether it was written.
    pub async fn write_reconciliation(
        &self,
        reconciliation: Reconciliation,
        now: Time,
    ) -> Result<Option<Reconciliation>, LedgerError> {
        let revision = reconciliation.revision + 1;
        let written = Reconciliation { revision, updated_at: now, ..reconciliation };
        let route = &written.route;
        let mut item = item::doc(PARTITION, route, written.v, written.revision, &written)?;
        item.insert("expires".to_owned(), number((now + ARRIVALS_KEPT).seconds()));
        if self.put_if_held(self.put(item, written.revision), route).await? {
            return Ok(Some(written));
        }
        // An attempt whose answer was lost may have written it: then the ledger has it.
        let found =
            self.get(PARTITION, route).await?.map(|found| read(route, &found)).transpose()?;
        Ok(found.filter(|found| *found == written))
    }

    /// Returns when the first batch of the route was opened that the ledger still has.
    ///
    /// # Errors
    /// Fails if the table does not answer.
    pub async fn first_batch_at(&self, route: &str) -> Result<Option<Time>, LedgerError> {
        let query = IndexQuery {
            index: "routes",
            id: route,
            condition: "route = :route",
            values: vec![(":route", item::text(route))],
            at: "created_at",
            newest_first: false,
            limit: 1,
        };
        let (found, _) = self.page(&query, None).await?;
        Ok(found.first().map(|first| first.at))
    }
}

fn read(route: &str, found: &Item) -> Result<Reconciliation, LedgerError> {
    let read: Reconciliation = item::read_doc(route, found)?;
    Ok(Reconciliation { revision: item::revision(route, found)?, ..read })
}
