//! Goes through the objects that were named, and sends what the route is to take.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::anyhow;
use landfall_aws::clock::{now, sleep, system_time};
use landfall_aws::listed;
use landfall_aws::queue::Queue;
use landfall_core::arrivals::Listed;
use landfall_core::backfill::{Backfill, Counts, Mode, Place, Sifted, Standing, Survey, Taken};
use landfall_core::moment::Time;
use landfall_core::routes::Route;

use super::Desk;
use super::source::{Keys, Names, Page};
use crate::args::backfill::BoundArgs;
use crate::terminal::printable;
use crate::terminal::progress::say;

/// The most objects that S3 lists at once.
const PAGE: u32 = 1_000;

/// How many objects that are gone are named.
const MAX_NAMED: usize = 1_000;

/// How long the calls for one page may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// A backfill at work.
pub struct Work<'a> {
    desk: &'a Desk,
    route: &'a Route,
    names: Names<'a>,
    queue: Queue,
    backfill: Backfill,
    bounds: BoundArgs,
    /// The keys of what is gone, as far as they were told.
    gone: BTreeSet<String>,
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
        keys: Option<Keys>,
    ) -> anyhow::Result<Self> {
        let queue = Queue::new(&desk.queue, desk.connection.config());
        let prefix = &backfill.selection.prefix;
        let names = Names::new(desk, &route.bucket, prefix, &backfill.source, keys).await?;
        Ok(Self { desk, route, names, queue, backfill, bounds, gone: BTreeSet::new() })
    }

    pub fn backfill(&self) -> &Backfill {
        &self.backfill
    }

    /// Goes through everything, and sends nothing. The bounds don't count here, and what an inventory lists counts as it
    /// was then.
    pub async fn look(&mut self, mut tell: impl FnMut(&Counts)) -> anyhow::Result<Survey> {
        let mut survey = Survey::new(self.route.closing);
        let mut after = None;
        loop {
            let page = self.names.page(after.as_ref(), PAGE).await?;
            let (sifted, is_known) = self.sifted(page.listed()).await?;
            survey.add(sifted, &is_known);
            self.miss(&mut survey, &page);
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
        if !self.note(Standing::Running, self.backfill.place()).await? {
            return Ok(Stop::Elsewhere);
        }
        loop {
            let place = self.backfill.place();
            let mut page = self.names.page(place.as_ref(), most).await?;
            let (mut sifted, mut is_known) = self.sifted(page.listed()).await?;
            let fitting = self.fitting(&survey, &sifted, &is_known);
            // What comes before the first object that doesn't fit is done with; the rest is for the next time.
            let cut = sifted.taken.get(fitting).map(|taken| taken.at);
            if let Some(cut) = cut {
                page.truncate(cut, place);
                sifted.truncate(cut);
                is_known.truncate(fitting);
            }
            if self.names.are_of_the_past()
                && let Some(now) = self.as_it_is_now(&page, &sifted, &is_known).await?
            {
                (sifted, is_known) = self.sifted(now.listed()).await?;
                page = Page { after: page.after, ..now };
            }
            let taken = survey.add(sifted, &is_known);
            self.miss(&mut survey, &page);
            self.bring(&taken).await?;
            self.backfill.counts = before;
            self.backfill.counts += survey.counts;
            tell(&self.backfill.counts);
            let standing = match &page.after {
                _ if cut.is_some() => Standing::Paused,
                Some(_) => Standing::Running,
                None => Standing::Done,
            };
            if !self.note(standing, page.after).await? {
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

    /// Looks at what is to be sent of a page. Returns the page with these objects as they are now; `None` if that is what it
    /// has already.
    async fn as_it_is_now(
        &self,
        page: &Page,
        sifted: &Sifted,
        is_known: &[bool],
    ) -> anyhow::Result<Option<Page>> {
        let sent = sifted.to_send(is_known);
        let (ask, keep): (Vec<_>, Vec<_>) =
            page.objects.iter().cloned().enumerate().partition(|(at, _)| sent.contains(at));
        let named = ask.iter().map(|(_, (place, listed))| (place.clone(), listed.key.clone()));
        let mut now = self.names.now(named.collect()).await?;
        let was = ask.iter().map(|(_, object)| object);
        if now.gone.is_empty() && was.eq(&now.objects) {
            return Ok(None);
        }
        now.objects.extend(keep.into_iter().map(|(_, object)| object));
        now.objects.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(Some(now))
    }

    /// Counts and names what is gone.
    fn miss(&mut self, survey: &mut Survey, page: &Page) {
        survey.counts.found += page.gone.len() as u64;
        survey.counts.gone += page.gone.len() as u64;
        for (_, key) in &page.gone {
            if self.gone.len() < MAX_NAMED && self.gone.insert(key.clone()) {
                let uri = format!("s3://{}/{key}", self.route.bucket);
                say(&format!("gone: {}", printable(&uri)));
            }
        }
    }

    /// Returns what of these objects the route takes, and what of that is in a batch already.
    async fn sifted(&self, objects: Vec<Listed>) -> anyhow::Result<(Sifted, Vec<bool>)> {
        let Desk { connection, routes, .. } = self.desk;
        let (selection, listing) = (&self.backfill.selection, self.backfill.listing());
        let (ledger, deadline) = (&connection.ledger, system_time() + PATIENCE);
        let sifted = listed::sifted(ledger, routes, selection, &listing, objects, deadline).await;
        sifted.map_err(|error| connection.explained(error))
    }

    fn fitting(&self, survey: &Survey, sifted: &Sifted, is_known: &[bool]) -> usize {
        let BoundArgs { max_objects, max_runs, .. } = self.bounds;
        let (objects, runs) = (max_objects.unwrap_or(u64::MAX), max_runs.unwrap_or(u64::MAX));
        survey.fitting(sifted, is_known, objects, runs)
    }

    async fn bring(&self, taken: &[Taken]) -> anyhow::Result<()> {
        let (bucket, listing) = (&self.backfill.selection.bucket, self.backfill.listing());
        let sent = listed::send(&self.queue, bucket, &listing, taken, system_time() + PATIENCE);
        sent.await.map_err(|error| anyhow!("{}", printable(&error.to_string())))
    }

    /// Writes how far it came. Returns `false` if somebody else has written meanwhile.
    async fn note(&mut self, standing: Standing, place: Option<Place>) -> anyhow::Result<bool> {
        let backfill = Backfill { standing, ..self.backfill.clone() }.reached(place);
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
