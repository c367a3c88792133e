//! Goes on with the pass of one route, or begins one if it is due.

use std::time::{Duration, SystemTime};

use landfall_aws::clock::{has_time, now};
use landfall_aws::{events, listed};
use landfall_core::backfill::Survey;
use landfall_core::moment::Time;
use landfall_core::reconcile::{Reconciliation, Whose};
use landfall_core::routes::{Action, Reconcile, Route};
use landfall_inspection::cloudformation;

use crate::names::{Names, newest_inventory};
use crate::{Context, Error, Reconciled};

/// How long the calls for one page may take. A page isn't begun with less time left.
const PAGE_TIME: Duration = Duration::from_secs(60);

/// Goes on with the pass of a route, and adds what it comes to to `total`. Keeps in `reached` how far the route is reconciled,
/// as soon as that is known. If somebody else works on the route, it leaves the rest to them.
pub(crate) async fn go_on(
    context: &Context,
    (route, reconcile): (&Route, &Reconcile),
    kept: Option<Reconciliation>,
    deadline: SystemTime,
    reached: &mut Option<Time>,
    total: &mut Reconciled,
) -> Result<(), Error> {
    let Context { settings, ledger, queue, .. } = context;
    let Some(known) = known(context, route, kept).await? else { return Ok(()) };
    *reached = Some(known.reached());
    let inventory = match &reconcile.inventory {
        Some(place) if known.is_due(reconcile, now()) => {
            Some(newest_inventory(context, (route, reconcile), place, now()).await?)
        }
        Some(_) | None => None,
    };
    let Some(begun) = known.begun(reconcile, inventory, now()) else { return Ok(()) };
    // This write also tells whoever works on the same route that somebody else does.
    let Some(mut state) = ledger.write_reconciliation(begun, now()).await? else { return Ok(()) };
    let bucket = &route.bucket;
    let Some(pass) = &state.pass else { return Ok(()) };
    let Some(mut names) = Names::new(context, (route, reconcile), pass).await? else {
        tracing::warn!(route = route.name, source = ?pass.source, "what the pass reads isn't there any more");
        ledger.write_reconciliation(state.without_pass(), now()).await?;
        return Ok(());
    };
    while let Some(pass) = &state.pass {
        if !has_time(deadline, PAGE_TIME) {
            let (route, after) = (&route.name, pass.place());
            tracing::info!(route, ?after, found = pass.counts.found, "the next run goes on");
            return Ok(());
        }
        let (selection, listing) = (pass.selection(route), pass.listing(&route.name));
        let sift = |objects| {
            listed::sifted(ledger, &settings.routes, &selection, &listing, objects, deadline)
        };
        let mut page = names.page(route, pass.place().as_ref()).await?;
        let (mut sifted, mut is_known) = sift(page.objects.clone()).await?;
        let missing = sifted.to_send(&is_known);
        if names.are_of_the_past() && !missing.is_empty() {
            page = names.as_it_is_now(page, &missing).await?;
            (sifted, is_known) = sift(page.objects.clone()).await?;
        }
        if let Some((key, reason)) = &sifted.refusal {
            let (code, route) = ("object_refused", &route.name);
            tracing::warn!(code, route, key, reason, "the route can start nothing for an object");
        }
        let mut survey = Survey::new(route.closing);
        let missed = survey.add(sifted, &is_known);
        survey.counts.found += page.gone;
        survey.counts.gone += page.gone;
        if pass.action == Action::Start {
            listed::send(queue, bucket, &listing, &missed, deadline).await?;
        }
        let keys = missed.iter().map(|missed| missed.listed.key.as_str());
        let after = state.after_page(survey.counts, keys, page.after, now());
        announce(context, route, &state, &after).await?;
        let Some(written) = ledger.write_reconciliation(after, now()).await? else {
            tracing::info!(route = route.name, "another invocation goes on with the route");
            return Ok(());
        };
        total.listed += survey.counts.found;
        total.missed += survey.counts.taken;
        state = written;
    }
    *reached = Some(state.reached());
    total.ended += 1;
    if let Some(last) = &state.last {
        let (route, action) = (&route.name, last.action.as_str());
        let (listed, missed) = (last.counts.found, last.counts.taken);
        let pass = last.started_at.to_string();
        tracing::info!(route, pass, listed, missed, action, "the pass has ended");
    }
    Ok(())
}

/// Returns what is known of the route, and keeps it if the route is new. Returns `None` if somebody else does so.
async fn known(
    context: &Context,
    route: &Route,
    kept: Option<Reconciliation>,
) -> Result<Option<Reconciliation>, Error> {
    let Context { settings, clients, ledger, .. } = context;
    if let Some(kept) = &kept
        && kept.is_of(route)
    {
        return Ok(Some(kept.clone()));
    }
    let stack = &settings.stack;
    let deployed_at = cloudformation::changed_at(clients, stack).await;
    let deployed_at = deployed_at.map_err(|why| Error::Stack { stack: stack.clone(), why })?;
    let new = match kept {
        Some(kept) => kept.changed(route, deployed_at, now()),
        None => {
            let first_batch = ledger.first_batch_at(&route.name).await?;
            Reconciliation::new(route, deployed_at, first_batch, now())
        }
    };
    let (name, since) = (&route.name, new.since.to_string());
    tracing::info!(route = name, since, "the route is reconciled from now on");
    Ok(ledger.write_reconciliation(new, now()).await?)
}

/// Announces what became of the route with the pass that has just ended. Killed before this is kept, the next run announces
/// it once more.
async fn announce(
    context: &Context,
    route: &Route,
    before: &Reconciliation,
    after: &Reconciliation,
) -> Result<(), Error> {
    if after.pass.is_some() {
        return Ok(());
    }
    let Context { settings, events, .. } = context;
    let whose =
        Whose { stack: &settings.stack, account: &settings.account, region: &settings.region };
    let Some(event) = after.event(before, &whose) else { return Ok(()) };
    let (code, route, missing) = ("arrivals_missed", &route.name, after.missing_since.is_some());
    tracing::warn!(code, route, missing, evidence = %event["evidence"], "what a route misses has changed");
    let put = events::put(events, events::FINDING, event.to_string()).await;
    put.map_err(|message| Error::Event { route: route.clone(), message })
}
