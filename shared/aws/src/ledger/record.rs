//! Records arrivals: each in exactly one batch of its route, however often its event is delivered.

use std::borrow::Borrow;
use std::time::{Duration, SystemTime};

use aws_sdk_dynamodb::types::{Put, TransactWriteItem};
use landfall_core::batch::{
    Batch, Chunk, Draft, Look, Member, SCHEMA_VERSION, arrivals_room, chunk,
};
use landfall_core::moment::{Moment, Time};

use super::item::{self, Item};
use super::looks::{self, Known};
use super::{ARRIVALS_KEPT, Ledger, LedgerError};
use crate::clock;
use crate::dynamodb::number;
use crate::sdk_error::chain;

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
    /// Records the arrivals of `draft`, and starts nothing (see [`Ledger::record_and_begin`]).
    ///
    /// # Errors
    /// Fails in the same cases as [`Ledger::record_and_begin`].
    pub async fn record(
        &self,
        draft: &Draft,
        id: impl Fn(&Member) -> String,
        moment: impl Fn() -> Moment,
        deadline: SystemTime,
    ) -> Result<Recorded, LedgerError> {
        self.record_and_begin(draft, id, |_, _| None, moment, deadline).await
    }

    /// Records the arrivals of `draft`. `id` gives the ID of a batch that a member opens. After
    /// success, each arrival is in the ledger, through this call or an earlier one.
    ///
    /// `begun` gets the closed batch of all of them. What it returns is written in the batch's
    /// place, if the first transaction holds. Otherwise the batch is recorded as closed.
    ///
    /// # Errors
    /// Fails if not all arrivals were recorded. None is lost, and recording them again is safe.
    /// Returns [`LedgerError::Contended`] if the time until `deadline` was too short.
    pub async fn record_and_begin(
        &self,
        draft: &Draft,
        id: impl Fn(&Member) -> String,
        begun: impl Fn(&Batch, &Moment) -> Option<Batch>,
        moment: impl Fn() -> Moment,
        deadline: SystemTime,
    ) -> Result<Recorded, LedgerError> {
        let mut begun = Some(begun);
        let mut recorded = Recorded::default();
        let mut rest = self.pending(draft, &draft.members, deadline).await?;
        let mut markers = self.pending(draft, &draft.markers, deadline).await?;
        recorded.drop_known(&mut rest);
        recorded.drop_known(&mut markers);
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
                None => draft.batch(id(first.member), &moment),
            };
            let mut attempt = Attempt::new(draft, &base, &rest, &markers, &moment);
            if let Some(begun) = begun.take()
                && attempt.members == draft.members.len()
                && let Some(batch) = begun(&attempt.batch, &moment)
            {
                attempt.batch = batch;
            }
            let items = self.items(&attempt, head.filter(|_| base.revision == 0), moment.now)?;
            let answer =
                self.client.transact_write_items().set_transact_items(Some(items)).send().await;
            let (members, batch, claims) = (attempt.members, attempt.batch, attempt.claims);
            let error = match answer {
                Ok(_) => {
                    rest.drain(..members);
                    markers.drain(..attempt.markers);
                    recorded.note(&batch);
                    open = Some(batch).filter(Batch::is_open);
                    pause = FIRST_PAUSE;
                    continue;
                }
                Err(error) => error,
            };
            let reasons = item::reasons(&error);
            if reasons.is_empty() || item::is_hopeless(&reasons) {
                return Err(self.failed("record arrivals of", &draft.route, &error));
            }
            let is_refused = |at: usize| reasons.get(at).is_some_and(|r| r == item::REASON_REFUSED);
            // If nobody else writes to the batch, because it takes only this invocation's arrivals,
            // or if it met only repetitions, the next attempt goes on with it. Otherwise others
            // have written to the batch, or closed it, so it is read again.
            let is_as_read = !(claims.len()..reasons.len()).any(is_refused);
            let is_met = (0..claims.len()).any(is_refused);
            open = Some(base).filter(|batch| {
                batch.revision > 0 && is_as_read && (is_met || draft.closing.is_at_once())
            });
            for (_, claim) in claims.iter().enumerate().filter(|(at, _)| is_refused(*at)) {
                let pending = match claim.at.checked_sub(members) {
                    None => &mut rest[claim.at],
                    Some(marker) => &mut markers[marker],
                };
                pending.known = match (&claim.look, &pending.known) {
                    // These were recorded before: they are in this batch or another one.
                    (None, _) | (_, Known::Yes) => Known::Yes,
                    (Some(_), Known::No(_)) => {
                        self.known_by_look(&claim.pk, &claim.sk, pending.member).await?
                    }
                };
            }
            if recorded.drop_known(&mut rest) + recorded.drop_known(&mut markers) > 0 {
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

    /// Returns what is known of these members before the first write: of events nothing.
    async fn pending<'m>(
        &self,
        draft: &Draft,
        members: &'m [Member],
        deadline: SystemTime,
    ) -> Result<Vec<Pending<'m>>, LedgerError> {
        let pending = |member| Pending { member, known: Known::No(Look::default()) };
        let mut all: Vec<Pending<'_>> = members.iter().map(pending).collect();
        let mut listed: Vec<&mut Pending<'_>> =
            all.iter_mut().filter(|pending| pending.member.is_found_by_look()).collect();
        let members: Vec<&Member> = listed.iter().map(|pending| pending.member).collect();
        let known = self.known(&draft.route, &draft.bucket, &members, deadline).await?;
        for (pending, known) in listed.iter_mut().zip(known) {
            pending.known = known;
        }
        Ok(all)
    }

    /// Reads the group's head, and the batch that it names if that still takes members.
    async fn head(&self, draft: &Draft) -> Result<Head, LedgerError> {
        let (pk, sk) = item::head_key(&draft.route, draft.listing.as_deref(), draft.group.iter());
        let Some(found) = self.get(&pk, &sk).await? else {
            return Ok(Head { pk, sk, names: None, open: None });
        };
        let names = found.get("batch").and_then(|value| value.as_s().ok()).cloned();
        let batch = match &names {
            Some(id) => match self.batch(id).await {
                // After a rollback, this version cannot add to the batch, so the group gets a new
                // one.
                Err(error @ (LedgerError::Newer { .. } | LedgerError::Unreadable { .. })) => {
                    tracing::warn!(
                        code = error.code(),
                        batch_id = id,
                        route = draft.route,
                        error = chain(&error),
                        "batch left alone"
                    );
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
        let mut items = Vec::with_capacity(MAX_ITEMS);
        for Claim { at, pk, sk, look } in &attempt.claims {
            let member = attempt.arrivals[*at];
            let batch_id = (look.is_none() || member.listing.is_some()).then_some(&*batch.id);
            let arrival = item::arrival(pk, sk, batch_id, now, ARRIVALS_KEPT);
            items.push(match look {
                None => built(absent(looks::told(arrival, member, now))),
                Some(look) => {
                    let mut item = item::doc(pk, sk, SCHEMA_VERSION, look.revision, look)?;
                    item.extend(arrival);
                    TransactWriteItem::builder().put(self.put(item, look.revision)).build()
                }
            });
        }
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

    /// Counts those that are known as duplicates, and leaves them out. Returns their number.
    fn drop_known(&mut self, pending: &mut Vec<Pending<'_>>) -> usize {
        let before = pending.len();
        pending.retain(|pending| matches!(pending.known, Known::No(_)));
        let known = before - pending.len();
        self.duplicates += known;
        known
    }
}

/// A member that is not recorded yet, as far as is known.
struct Pending<'m> {
    member: &'m Member,
    known: Known,
}

impl Borrow<Member> for Pending<'_> {
    fn borrow(&self) -> &Member {
        self.member
    }
}

/// The item that names the open batch of a group.
struct Head {
    pk: String,
    sk: String,
    names: Option<String>,
    open: Option<Batch>,
}

/// One item of an arrival.
struct Claim {
    /// The index of the arrival.
    at: usize,
    pk: String,
    sk: String,
    /// The look with this arrival; `None` if the item is of the arrival's identity.
    look: Option<Look>,
}

/// What one transaction should record.
struct Attempt<'m> {
    /// The members, then the markers.
    arrivals: Vec<&'m Member>,
    members: usize,
    markers: usize,
    /// The items of the arrivals, in their order.
    claims: Vec<Claim>,
    chunk_number: Option<u32>,
    /// The batch after the transaction.
    batch: Batch,
}

impl<'m> Attempt<'m> {
    fn new(
        draft: &Draft,
        base: &Batch,
        rest: &[Pending<'m>],
        markers: &[Pending<'m>],
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
        let now = moment.now;
        let within = &rest[..rest.len().min(room)];
        let (members, items) = chunk(within, arrivals_room(has_head), now);
        let is_last = members == rest.len();
        // The transaction also writes the batch, its chunk and the head.
        let left = if is_last { (MAX_ITEMS - 3).saturating_sub(items) } else { 0 };
        let (with_markers, _) = chunk(markers, left, now);
        let is_whole = is_last && with_markers == markers.len();
        let batch = base.with(members, with_markers > 0, is_whole, moment);
        let chunk_number = (members > 0).then_some(base.chunks);
        let batch = Batch { revision: base.revision + 1, ..batch };
        let pending = || rest[..members].iter().chain(&markers[..with_markers]);
        let arrivals = pending().map(|pending| pending.member).collect();
        let claims =
            pending().enumerate().flat_map(|(at, pending)| claims(draft, at, pending, now));
        Self {
            arrivals,
            members,
            markers: with_markers,
            claims: claims.collect(),
            chunk_number,
            batch,
        }
    }
}

/// Returns the items of an arrival.
fn claims(
    draft: &Draft,
    at: usize,
    pending: &Pending<'_>,
    now: Time,
) -> impl Iterator<Item = Claim> {
    let Pending { member, known } = pending;
    let route = &draft.route;
    let pk = || item::object_key(&draft.bucket, &member.key);
    let under = member.recorded_under(now);
    let by_identity =
        under.identity.then(|| Claim { at, pk: pk(), sk: member.arrival_key(route), look: None });
    let look = match known {
        Known::No(look) if under.look => Some(look.with(member)),
        _ => None,
    };
    let by_look = look.and_then(|look| {
        Some(Claim { at, pk: pk(), sk: member.look_key(route)?, look: Some(look) })
    });
    by_identity.into_iter().chain(by_look)
}
