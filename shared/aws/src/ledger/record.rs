//! Records arrivals: each in exactly one batch of its route, however often its event is delivered.

use std::time::{Duration, SystemTime};

use aws_sdk_dynamodb::types::{Put, TransactWriteItem};
use landfall_core::batch::{Batch, Chunk, Draft, Member, SCHEMA_VERSION, chunk};
use landfall_core::moment::{Moment, Time};

use super::item::{self, Item};
use super::{ARRIVALS_KEPT, Ledger, LedgerError};
use crate::clock;
use crate::dynamodb::number;

/// The most items in one transaction.
const MAX_ITEMS: usize = 100;

/// The pause before the next attempt to write to a group that others write to. It grows, and is
/// random.
const FIRST_PAUSE: Duration = Duration::from_millis(25);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What became of the arrivals.
#[derive(Debug, Default)]
pub struct Recorded {
    /// The batches that took them, as last written.
    pub batches: Vec<Batch>,
    /// How many arrivals the ledger already knew.
    pub duplicates: usize,
}

impl Ledger {
    /// Records the arrivals of `draft`. `id` gives the ID of a batch that a member opens. After
    /// success, each arrival is in the ledger, through this call or an earlier one.
    ///
    /// # Errors
    /// Fails if not all arrivals were recorded. None is lost, and recording them again is safe.
    /// Returns [`LedgerError::Contended`] if the time until `deadline` was too short.
    pub async fn record(
        &self,
        draft: &Draft,
        id: impl Fn(&Member) -> String,
        moment: impl Fn() -> Moment,
        deadline: SystemTime,
    ) -> Result<Recorded, LedgerError> {
        let mut rest: Vec<&Member> = draft.members.iter().collect();
        let mut markers: Vec<&Member> = draft.markers.iter().collect();
        let mut recorded = Recorded::default();
        let mut open: Option<Batch> = None;
        let mut pause = FIRST_PAUSE;
        while let Some(first) = rest.first().or(markers.first()) {
            let head = match (&open, draft.closing.is_at_once()) {
                (Some(_), _) | (None, true) => None,
                (None, false) => {
                    let head = self.head(draft).await?;
                    open = head.open.clone();
                    Some(head)
                }
            };
            let moment = moment();
            let base = match open.take() {
                Some(batch) => batch,
                None => draft.batch(id(first), &moment),
            };
            let attempt = Attempt::new(draft, &base, &rest, &markers, &moment);
            let items =
                self.items(draft, &attempt, head.filter(|_| base.revision == 0), moment.now)?;
            let answer =
                self.client.transact_write_items().set_transact_items(Some(items)).send().await;
            let error = match answer {
                Ok(_) => {
                    rest.drain(..attempt.members);
                    markers.drain(..attempt.markers);
                    recorded.note(&attempt.batch);
                    open = Some(attempt.batch).filter(Batch::is_open);
                    pause = FIRST_PAUSE;
                    continue;
                }
                Err(error) => error,
            };
            let reasons = item::reasons(&error);
            if reasons.is_empty() || item::is_hopeless(&reasons) {
                return Err(self.failed("record arrivals of", &draft.route, &error));
            }
            let is_known = |at: usize| reasons.get(at).is_some_and(|r| r == item::REASON_REFUSED);
            let claims = attempt.members + attempt.markers;
            let known = (0..claims).filter(|at| is_known(*at)).count();
            // If nobody else writes to the batch, because it takes only this invocation's arrivals,
            // or if it met only repetitions, the next attempt goes on with it. Otherwise others
            // have written to the batch, or closed it, so it is read again.
            let is_as_read = !(claims..reasons.len()).any(is_known);
            open = Some(base).filter(|batch| {
                batch.revision > 0 && is_as_read && (known > 0 || draft.closing.is_at_once())
            });
            if known > 0 {
                // These were recorded before: they are in this batch or another one.
                recorded.duplicates += known;
                let mut at = 0..;
                rest.retain(|_| !at.next().is_some_and(|at| at < attempt.members && is_known(at)));
                let mut at = attempt.members..;
                markers.retain(|_| !at.next().is_some_and(|at| at < claims && is_known(at)));
                continue;
            }
            let left = clock::left(deadline);
            let wait = pause.mul_f64(0.5 + fastrand::f64());
            if left < wait {
                return Err(LedgerError::Contended { route: draft.route.clone() });
            }
            clock::sleep(wait).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        // The last arrivals of this invocation were repetitions, so nothing more comes.
        if let Some(batch) = open.filter(|_| draft.closing.is_at_once()) {
            let whole = batch.with(0, false, true, &moment());
            if let Some(whole) = self.write(whole).await? {
                recorded.note(&whole);
            }
        }
        Ok(recorded)
    }

    /// Reads the group's head, and the batch that it names if that still takes members.
    async fn head(&self, draft: &Draft) -> Result<Head, LedgerError> {
        let (pk, sk) = item::head_key(&draft.route, draft.group.iter());
        let Some(found) = self.get(&pk, &sk).await? else {
            return Ok(Head { pk, sk, names: None, open: None });
        };
        let names = found.get("batch").and_then(|value| value.as_s().ok()).cloned();
        let batch = match &names {
            Some(id) => match self.batch(id).await {
                // After a rollback, this version cannot add to the batch, so the group gets a new
                // one.
                Err(error @ (LedgerError::Newer { .. } | LedgerError::Unreadable { .. })) => {
                    tracing::warn!(code = error.code(), batch_id = id, route = draft.route, %error, "batch left alone");
                    None
                }
                batch => batch?,
            },
            None => None,
        };
        // A route may have moved to another bucket, and a batch has only one.
        let takes =
            |batch: &Batch| batch.is_open() && batch.room() > 0 && batch.bucket == draft.bucket;
        let open = batch.filter(takes);
        Ok(Head { pk, sk, names, open })
    }

    /// Returns the items of one transaction: the arrivals, the batch, its chunk, and the head if
    /// the batch is new.
    fn items(
        &self,
        draft: &Draft,
        attempt: &Attempt<'_>,
        head: Option<Head>,
        now: Time,
    ) -> Result<Vec<TransactWriteItem>, LedgerError> {
        let batch = &attempt.batch;
        let put = |item: Item| Put::builder().table_name(&self.table).set_item(Some(item));
        let absent = |item: Item| put(item).condition_expression("attribute_not_exists(pk)");
        let built = |put: aws_sdk_dynamodb::types::builders::PutBuilder| {
            // The table and the item are set.
            let put = put.build().unwrap_or_else(|_| unreachable!("a put with all its parts"));
            TransactWriteItem::builder().put(put).build()
        };
        let mut items: Vec<TransactWriteItem> = attempt
            .arrivals
            .iter()
            .map(|member| {
                let pk = item::object_key(&draft.bucket, &member.key);
                let sk = member.arrival_key(&draft.route);
                built(absent(item::arrival(&pk, &sk, &batch.id, now, ARRIVALS_KEPT)))
            })
            .collect();
        items.push(TransactWriteItem::builder().put(self.put_batch(batch)?).build());
        if let Some(chunk_number) = attempt.chunk_number {
            let (pk, sk) = item::chunk_key(&batch.id, chunk_number);
            let members = attempt.arrivals[..attempt.members].iter().map(|m| (*m).clone());
            let chunk = Chunk { v: SCHEMA_VERSION, members: members.collect() };
            let mut item = item::doc(&pk, &sk, SCHEMA_VERSION, 1, &chunk)?;
            item.insert("expires".to_owned(), number((now + ARRIVALS_KEPT).seconds()));
            items.push(built(absent(item)));
        }
        if let Some(Head { pk, sk, names, .. }) = head {
            let item = Item::from([
                ("pk".to_owned(), item::text(pk)),
                ("sk".to_owned(), item::text(sk)),
                ("v".to_owned(), number(SCHEMA_VERSION.into())),
                ("batch".to_owned(), item::text(&batch.id)),
                // Without a head, a group has no open batch, so the next arrival opens one.
                ("expires".to_owned(), number((now + ARRIVALS_KEPT).seconds())),
            ]);
            items.push(built(match names {
                Some(names) => put(item)
                    // `batch` is a reserved word in DynamoDB.
                    .condition_expression("#batch = :names")
                    .expression_attribute_names("#batch", "batch")
                    .expression_attribute_values(":names", item::text(names)),
                None => absent(item),
            }));
        }
        Ok(items)
    }
}

impl Recorded {
    fn note(&mut self, batch: &Batch) {
        match self.batches.iter_mut().find(|known| known.id == batch.id) {
            Some(known) => *known = batch.clone(),
            None => self.batches.push(batch.clone()),
        }
    }
}

/// The item that names the open batch of a group.
struct Head {
    pk: String,
    sk: String,
    names: Option<String>,
    open: Option<Batch>,
}

/// What one transaction should record.
struct Attempt<'a> {
    /// The members, then the markers.
    arrivals: Vec<&'a Member>,
    members: usize,
    markers: usize,
    chunk_number: Option<u32>,
    /// The batch after the transaction.
    batch: Batch,
}

impl<'a> Attempt<'a> {
    fn new(
        draft: &Draft,
        base: &Batch,
        rest: &[&'a Member],
        markers: &[&'a Member],
        moment: &Moment,
    ) -> Self {
        // If others may add to the batch, the transaction that opens it names it in the group's
        // head.
        let has_head = base.revision == 0 && !draft.closing.is_at_once();
        let room = if draft.closing.is_at_once() {
            usize::MAX
        } else {
            usize::try_from(base.room()).unwrap_or(usize::MAX)
        };
        let members = chunk(rest, has_head).min(room);
        // The transaction also writes the batch, its chunk and the head.
        let left = (MAX_ITEMS - 3).saturating_sub(members);
        let is_last = members == rest.len();
        let with_markers = if is_last { markers.len().min(left) } else { 0 };
        let is_whole = is_last && with_markers == markers.len();
        let batch = base.with(members, with_markers > 0, is_whole, moment);
        let arrivals = rest[..members].iter().chain(&markers[..with_markers]).copied().collect();
        let chunk_number = (members > 0).then_some(base.chunks);
        let batch = Batch { revision: base.revision + 1, ..batch };
        Self { arrivals, members, markers: with_markers, chunk_number, batch }
    }
}
