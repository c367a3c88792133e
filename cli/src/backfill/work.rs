//! Lists a bucket, and sends what the route is to take.

use std::time::Duration;

use anyhow::anyhow;
use landfall_aws::clock::{now, sleep, system_time};
use landfall_aws::queue::{Message, Queue};
use landfall_core::arrivals::{Listed, messages};
use landfall_core::backfill::{Backfill, Counts, Mode, Sifted, Standing, Survey, Taken, sift};
use landfall_core::batch::Member;
use landfall_core::moment::Time;
use landfall_core::routes::Route;
use landfall_inspection::listing::{Lister, Page};
use serde_json::Map;

use super::Desk;
use crate::args::backfill::BoundArgs;
use crate::terminal::printable;

/// The most bytes of a message. SQS takes 256 KiB, and the trigger reads four at once.
const MAX_BYTES: usize = 180_000;

/// The most objects that S3 lists at once.
const PAGE: u32 = 1_000;

/// How long the calls for one page may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// A backfill at work.
pub struct Work<'a> {
    desk: &'a Desk,
    route: &'a Route,
    lister: Lister<'a>,
    queue: Queue,
    backfill: Backfill,
    bounds: BoundArgs,
}

/// Why a backfill sends no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    Done,
    /// It met one of its bounds.
    Bound,
    /// Somebody paused or cancelled it.
    Told,
    /// Somebody else goes on with it.
    Elsewhere,
}

/// Returns the ID of a new backfill.
pub fn id(mode: Mode, now: Time) -> anyhow::Result<String> {
    let what = match mode {
        Mode::Missing => "backfill",
        Mode::All => "replay",
    };
    let at = now.to_string().replace(['-', ':'], "");
    let mut random = [0; 2];
    getrandom::fill(&mut random).map_err(|error| anyhow!("failed to get random bytes: {error}"))?;
    Ok(format!("{what}-{at}-{:02x}{:02x}", random[0], random[1]))
}

impl<'a> Work<'a> {
    pub async fn new(
        desk: &'a Desk,
        route: &'a Route,
        backfill: Backfill,
        bounds: BoundArgs,
    ) -> anyhow::Result<Self> {
        let queue = Queue::new(&desk.queue, desk.connection.config());
        let bucket = &route.bucket;
        let prefix = backfill.selection.prefix.clone();
        let lister = Lister::new(&desk.clients, &desk.place.account, bucket, prefix).await;
        let lister = lister.map_err(|why| anyhow!("failed to look at bucket `{bucket}`: {why}"))?;
        Ok(Self { desk, route, lister, queue, backfill, bounds })
    }

    pub fn backfill(&self) -> &Backfill {
        &self.backfill
    }

    /// Lists everything, and sends nothing. The bounds don't count here.
    pub async fn look(&self, mut tell: impl FnMut(&Counts)) -> anyhow::Result<Survey> {
        let mut survey = Survey::new(self.route.closing);
        let mut after = None;
        loop {
            let page = self.page(after.as_deref(), PAGE).await?;
            let (sifted, is_known) = self.sifted(page.objects).await?;
            survey.add(sifted, &is_known);
            tell(&survey.counts);
            after = page.after;
            if after.is_none() {
                return Ok(survey);
            }
        }
    }

    /// Sends page by page, and writes after each how far it came: a page that was sent and not noted is sent again, and the
    /// ledger knows what is in it.
    pub async fn send(&mut self, mut tell: impl FnMut(&Counts)) -> anyhow::Result<Stop> {
        let before = self.backfill.counts;
        let mut survey = Survey::new(self.route.closing);
        // So a rate is kept from one second to the next.
        let most = self.bounds.rate.unwrap_or(PAGE).min(PAGE);
        if !self.note(Standing::Running, self.backfill.after.clone()).await? {
            return Ok(Stop::Elsewhere);
        }
        loop {
            let page = self.page(self.backfill.after.as_deref(), most).await?;
            let (mut after, mut objects) = (page.after, page.objects);
            let mut sifted = self.sifted(objects.clone()).await?;
            let fitting = self.fitting(&survey, &sifted);
            let is_bound = fitting < sifted.0.taken.len();
            if is_bound {
                // Everything up to the last object that fits is done with; the rest is for the next time.
                let last = fitting.checked_sub(1).map(|at| sifted.0.taken[at].listed.key.clone());
                objects.retain(|object| last.as_ref().is_some_and(|last| object.key <= *last));
                sifted = self.sifted(objects).await?;
                after = last.or_else(|| self.backfill.after.clone());
            }
            let taken = survey.add(sifted.0, &sifted.1);
            self.bring(&taken).await?;
            self.backfill.counts = before;
            self.backfill.counts += survey.counts;
            tell(&self.backfill.counts);
            let standing = match &after {
                _ if is_bound => Standing::Paused,
                Some(_) => Standing::Running,
                None => Standing::Done,
            };
            if !self.note(standing, after).await? {
                return Ok(if self.is_told_to_stand().await? {
                    Stop::Told
                } else {
                    Stop::Elsewhere
                });
            }
            match standing {
                Standing::Done => return Ok(Stop::Done),
                Standing::Paused => return Ok(Stop::Bound),
                Standing::Running | Standing::Cancelled => {}
            }
            if let Some(rate) = self.bounds.rate {
                sleep(Duration::from_secs_f64(taken.len() as f64 / f64::from(rate))).await;
            }
        }
    }

    async fn page(&self, after: Option<&str>, most: u32) -> anyhow::Result<Page> {
        let bucket = &self.backfill.selection.bucket;
        self.lister
            .page(after, most)
            .await
            .map_err(|why| anyhow!("failed to list bucket `{bucket}`: {why}"))
    }

    /// Returns what of a page the route takes, and what of that is in a batch already.
    async fn sifted(&self, objects: Vec<Listed>) -> anyhow::Result<(Sifted, Vec<bool>)> {
        let Backfill { selection, .. } = &self.backfill;
        let sifted = sift(&self.desk.routes, selection, &self.backfill.listing(), objects, now());
        let members: Vec<Member> =
            sifted.taken.iter().map(|taken| Member::from(&taken.arrival)).collect();
        let ledger = &self.desk.connection.ledger;
        let deadline = system_time() + PATIENCE;
        let known = ledger.has(&selection.route, &selection.bucket, &members, deadline).await;
        let known = known.map_err(|error| self.desk.connection.explained(error))?;
        Ok((sifted, known))
    }

    fn fitting(&self, survey: &Survey, (sifted, is_known): &(Sifted, Vec<bool>)) -> usize {
        let BoundArgs { max_objects, max_runs, .. } = self.bounds;
        let (objects, runs) = (max_objects.unwrap_or(u64::MAX), max_runs.unwrap_or(u64::MAX));
        survey.fitting(sifted, is_known, objects, runs)
    }

    async fn bring(&self, taken: &[Taken]) -> anyhow::Result<()> {
        let Backfill { selection, .. } = &self.backfill;
        let listing = self.backfill.listing();
        let records: Vec<String> =
            taken.iter().map(|taken| taken.listed.record(&selection.bucket, &listing)).collect();
        let messages: Vec<Message> = messages(&records, MAX_BYTES)
            .into_iter()
            .map(|body| Message { body, attributes: Map::new(), delay_seconds: 0 })
            .collect();
        let (sent, error) = self.queue.send(&messages, system_time() + PATIENCE).await;
        match error {
            Some(error) => Err(anyhow!("{}", printable(&error.to_string()))),
            None if sent.contains(&false) => {
                Err(anyhow!("not all messages were sent in time to `{}`", self.queue.arn()))
            }
            None => Ok(()),
        }
    }

    /// Writes how far it came. Returns `false` if somebody else has written meanwhile.
    async fn note(&mut self, standing: Standing, after: Option<String>) -> anyhow::Result<bool> {
        let backfill = Backfill { standing, after, ..self.backfill.clone() };
        let written = self.desk.connection.ledger.write_backfill(backfill, now()).await;
        match written.map_err(|error| self.desk.connection.explained(error))? {
            Some(written) => {
                self.backfill = written;
                Ok(true)
            }
            None => Ok(false),
        }
    }

    /// Returns `true` if somebody paused or cancelled it. The page that was sent last isn't noted then: it is sent again.
    async fn is_told_to_stand(&mut self) -> anyhow::Result<bool> {
        let found = super::read(&self.desk.connection, &self.backfill.id).await?;
        let Some(found) = found else { return Ok(false) };
        let is_told = matches!(found.standing, Standing::Paused | Standing::Cancelled);
        self.backfill.standing = found.standing;
        Ok(is_told)
    }
}
