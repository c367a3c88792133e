//! A model of everything around [`next`](super::next), for a model checker to walk through.
//!
//! `recording` and `worker` are what the functions do, one call at a time: take a message, record its
//! arrivals, carry out what `next` says. `at_once` is a start that is recorded with its arrivals. `glue` is the jobs' side: runs that are hidden for a while,
//! claim, succeed and fail. `clock` lets time go by. `properties` says what must never be, and
//! `progress` asks whether the end can always be reached; `checks` holds the tests, `claim_modes` those
//! of jobs that need not claim and of Glue's own repeats, and `wide` those that take minutes. This file has the
//! state and the guards.
//!
//! What is shared with production is every decision: `next`, `Batch::with`, `Batch::returned`,
//! `Claim`, `Slot`. What is the model's own is that a conditional write is atomic, and that whoever
//! decides takes the time before the call whose answer is decided on.
//!
//! Small on purpose: a batch or two, two or three workers, a clock of minutes, and a bounded number of each
//! misfortune. Left out are markers, the starts of an hour, and runs too old for a search. A guard is taken away in what is
//! around `next`, never by a switch in it.

mod announced;
mod at_once;
mod checks;
mod claim_modes;
mod clock;
mod glue;
mod kept;
mod progress;
mod properties;
mod recording;
mod wide;
mod worker;

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use stateright::{Model, Property};

use self::glue::{How, Run};
use self::kept::Kept;
use self::worker::{Age, Worker};
use super::{Batch, Claim, ClaimMode, Closing, Slot, Started, State as BatchState};

/// Each can be taken away alone, to see what it is for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Guards {
    /// `starting` is written before the call.
    pub write_ahead: bool,
    /// A write holds only if the ledger has what was decided on.
    pub revision: bool,
    /// Nobody else looks for a run before its caller is certainly gone.
    pub lease: bool,
    /// For so long a run that is not seen may still be there.
    pub reconciliation: bool,
    /// Nothing between `next` and Glue makes a call again.
    pub one_attempt: bool,
    pub ack_after_record: bool,
    /// A message that waits is sent anew before it was received too often.
    pub sent_anew: bool,
    /// The claims of arrivals and their batch are written together.
    pub one_transaction: bool,
    /// A run asks for the claim before any effect.
    pub claim: bool,
    /// A batch's outcome is that of the run that holds the claim.
    pub outcome_by_holder: bool,
    /// Only a run that has ended is said to have ended.
    pub ended_once_final: bool,
    /// The slot changes with the batch.
    pub slot_with_batch: bool,
    /// The time that is decided with was taken before the look. It is what makes a search serve several
    /// batches: each decides with the time at which it began.
    pub time_before_look: bool,
    /// A run that Glue does not know is missed for long before it counts as gone.
    pub missed_over_time: bool,
    /// A run that is followed is counted in its slot, if it was not any more.
    pub counted_again: bool,
    /// A start whose outcome nobody learned is not accounted for.
    pub accounted: bool,
    /// A run that failed is over when Glue does not repeat it.
    pub waits_for_repeat: bool,
    /// A repeat that Glue should make and never shows may still be there.
    pub repeat_in_doubt: bool,
    /// An attempt of a run that ended may hold the claim that the next one asks for.
    pub earlier_holder: bool,
    /// A batch counts as announced once its event was taken.
    pub event_taken: bool,
    /// A manifest that is put before its batch is recorded has a key that names what it says.
    pub manifest_of_its_own: bool,
    /// A start that was recorded with its arrivals, and not made, is prepared anew.
    pub prepared_anew: bool,
}

impl Guards {
    pub(crate) const ALL: Self = Self {
        write_ahead: true,
        revision: true,
        lease: true,
        reconciliation: true,
        one_attempt: true,
        ack_after_record: true,
        sent_anew: true,
        one_transaction: true,
        claim: true,
        outcome_by_holder: true,
        ended_once_final: true,
        slot_with_batch: true,
        time_before_look: true,
        missed_over_time: true,
        counted_again: true,
        accounted: true,
        waits_for_repeat: true,
        repeat_in_doubt: true,
        earlier_holder: true,
        event_taken: true,
        manifest_of_its_own: true,
        prepared_anew: true,
    };
}

/// Whether a run asks for the claim before it has effects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claims {
    Always,
    Sometimes,
    Never,
}

/// What an event announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Announces {
    Nothing,
    /// A batch, before its start.
    Starts,
    /// A batch that starts no job.
    Ends,
}

/// How often each misfortune can happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Budget {
    pub crashes: u8,
    /// Messages that are delivered once more.
    pub duplicates: u8,
    /// Recordings that the ledger does not answer.
    pub outages: u8,
    /// Calls of `StartJobRun` whose answer is lost, with or without effect.
    pub ambiguous: u8,
    /// Events that are not taken.
    pub untaken: u8,
    /// Events that are taken, though nobody is told.
    pub unheard: u8,
    /// Calls that are refused for now.
    pub refusals: u8,
    /// Runs that fail.
    pub failures: u8,
    /// Searches from which nobody can tell.
    pub unclear: u8,
    /// Searches without an answer.
    pub unanswered: u8,
    /// Looks at a run of which Glue says that it does not know it, once.
    pub blips: u8,
    /// Events that arrive: all others are lost, and what they tell is found when it is due.
    pub events: u8,
    /// Parked batches that somebody returns.
    pub returns: u8,
}

#[derive(Clone, Debug)]
pub(crate) struct World {
    pub guards: Guards,
    /// The arrivals that each message brings.
    pub messages: Vec<Vec<usize>>,
    /// How often a message is received before it goes to the dead-letter queue; `None`: as often as it comes.
    pub max_receive_count: Option<u8>,
    pub closing: Closing,
    /// Whether the story begins when all is recorded, each arrival in a batch of its own.
    pub recorded: bool,
    /// Whether it goes on when a batch is closed.
    pub starts: bool,
    /// Whether a start is recorded with its arrivals.
    pub at_once: bool,
    pub max_concurrent_runs: Option<u32>,
    pub claim: ClaimMode,
    pub announces: Announces,
    pub claims: Claims,
    /// How often Glue itself repeats a run that fails.
    pub max_retries: u32,
    /// Whether Glue shows a run that was refused the claim as failed.
    pub losers_fail: bool,
    /// For how many minutes after its call a run may stay hidden; `None`: for ever.
    pub hidden: Option<u8>,
    /// In minutes, as `next` is told.
    pub reconciliation: u8,
    /// For how many minutes an invocation may live.
    pub time_out: u8,
    /// How many invocations there may be at a time.
    pub workers: usize,
    /// How many minutes some of their clocks are ahead of the others. Leases allow for one.
    pub skew: u8,
    pub budget: Budget,
}

/// Without guards there can be ever more of them.
const MANY: usize = 5;

/// A batch in the ledger, and what is known of it elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Item {
    pub batch: Kept<Batch>,
    /// The arrivals in its chunks.
    pub members: Vec<usize>,
    pub claim: Claim,
    /// Runs that did their work to the end.
    pub effects: u8,
    /// Whether two of its runs were ever at work at a time.
    pub overlapped: bool,
    /// How often an event announced it; more than twice is the same as twice.
    pub announced: u8,
    /// Whether a run found no manifest, or one of something else.
    pub misled: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    /// For each message its copies that are to be delivered.
    pub queue: Vec<u8>,
    /// For each message how often it was received since it was sent, where that counts.
    pub received: Vec<u8>,
    /// For each arrival whether the ledger holds its claim.
    pub claimed: Vec<bool>,
    /// The batch that the group's head names.
    pub head: Option<usize>,
    pub batches: Vec<Item>,
    /// What manifests say that were put at the same time as their batches were recorded, by their keys.
    pub manifests: BTreeMap<at_once::Key, Vec<usize>>,
    pub slot: Kept<Slot>,
    pub runs: Vec<Run>,
    pub workers: Vec<Option<Worker>>,
    pub budget: Budget,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// A worker takes a message; `ahead` is its clock's, in minutes.
    Take {
        message: usize,
        ahead: u8,
    },
    Duplicate {
        message: usize,
    },
    /// The minute's tick finds a batch that is due.
    Look {
        batch: usize,
        ahead: u8,
    },
    /// An event tells that a run has ended, once or again.
    Event {
        batch: usize,
    },
    Step {
        worker: usize,
        how: How,
    },
    Crash {
        worker: usize,
    },
    /// A run becomes visible.
    Appear {
        run: usize,
    },
    /// Somebody returns a batch that is parked.
    Return {
        batch: usize,
    },
    /// A run asks for the claim.
    Claim {
        run: usize,
    },
    End {
        run: usize,
        well: bool,
    },
    /// A minute goes by.
    Minute,
}

impl Model for World {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let arrivals = self.messages.iter().flatten().max().map_or(0, |last| last + 1);
        let batches: Vec<Item> = if self.recorded {
            (0..arrivals).map(|arrival| self.item(arrival)).collect()
        } else {
            Vec::new()
        };
        vec![State {
            queue: vec![u8::from(!self.recorded); self.messages.len()],
            received: vec![0; self.messages.len()],
            claimed: vec![self.recorded; arrivals],
            head: None,
            batches,
            manifests: BTreeMap::new(),
            slot: Slot::default().into(),
            runs: Vec::new(),
            workers: vec![None; self.workers],
            budget: self.budget,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.workers.iter().any(Option::is_none) {
            self.invocations(state, actions);
        }
        if state.budget.duplicates > 0 {
            let delivered = (0..state.queue.len()).filter(|message| state.queue[*message] == 0);
            actions.extend(delivered.map(|message| Action::Duplicate { message }));
        }
        if state.budget.returns > 0 {
            let parked = (0..state.batches.len()).filter(|at| state.batches[*at].is_parked());
            actions.extend(parked.map(|batch| Action::Return { batch }));
        }
        for worker in 0..state.workers.len() {
            self.worker_actions(state, worker, actions);
        }
        self.run_actions(state, actions);
        if self.may_go_by(state) {
            actions.push(Action::Minute);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Take { message, ahead } => self.take(&mut state, message, ahead),
            Action::Duplicate { message } => {
                state.budget.duplicates -= 1;
                state.queue[message] += 1;
            }
            Action::Look { batch, ahead } => self.look(&mut state, batch, false, ahead),
            Action::Event { batch } => {
                state.budget.events -= 1;
                self.look(&mut state, batch, true, 0);
            }
            Action::Step { worker, how } => self.step(&mut state, worker, how),
            Action::Crash { worker } => state.crash(self, worker),
            Action::Appear { run } => state.runs[run].appear(),
            Action::Return { batch } => self.give_back(&mut state, batch),
            Action::Claim { run } => self.claim(&mut state, run),
            Action::End { run, well } => self.end(&mut state, run, well),
            Action::Minute => self.minute(&mut state),
        }
        self.give_up(&mut state);
        state.order_workers();
        (state != *last).then_some(state)
    }

    fn within_boundary(&self, state: &State) -> bool {
        state.runs.len() <= MANY
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::properties()
    }
}

impl World {
    /// What a worker that is free may be invoked for, whatever its clock.
    fn invocations(&self, state: &State, actions: &mut Vec<Action>) {
        let clocks = [0, self.skew];
        for ahead in clocks.into_iter().take(if self.skew == 0 { 1 } else { 2 }) {
            let waiting = (0..state.queue.len()).filter(|message| state.queue[*message] > 0);
            actions.extend(waiting.map(|message| Action::Take { message, ahead }));
            let now = self.moment(Age { minutes: 0, ahead }).now;
            for batch in 0..state.batches.len() {
                let it = &state.batches[batch].batch;
                if self.waits(it) && it.due().is_some_and(|due| due <= now) {
                    actions.push(Action::Look { batch, ahead });
                } else if ahead == 0 && state.budget.events > 0 && state.is_told_of(batch) {
                    actions.push(Action::Event { batch });
                }
            }
        }
    }

    /// Whether something is still to be done about a batch.
    pub(crate) fn waits(&self, batch: &Batch) -> bool {
        batch.due().is_some() && (self.starts || matches!(batch.state, BatchState::Open { .. }))
    }

    /// Nobody is at work, nothing is to be delivered, and nothing is due any more.
    pub(crate) fn is_at_rest(&self, state: &State) -> bool {
        state.workers.iter().all(Option::is_none)
            && state.queue.iter().all(|copies| *copies == 0)
            && state.runs.iter().all(|run| !run.is_live())
            && state.batches.iter().all(|it| !self.waits(&it.batch))
    }

    fn is_served(&self, state: &State) -> bool {
        self.is_at_rest(state)
            && state.claimed.iter().all(|claimed| *claimed)
            && state.batches.iter().all(|it| !self.starts || it.has_succeeded())
    }
}

impl Item {
    fn is_parked(&self) -> bool {
        matches!(self.batch.state, BatchState::Parked { .. })
    }

    fn has_succeeded(&self) -> bool {
        matches!(self.batch.state, BatchState::Succeeded { .. } | BatchState::Announced)
    }

    fn has_succeeded_unclaimed(&self) -> bool {
        matches!(self.batch.state, BatchState::Succeeded { claimed: false, .. })
    }
}

impl State {
    fn is_to_be_delivered(&self, messages: &[Vec<usize>], arrival: usize) -> bool {
        (0..messages.len()).any(|message| {
            messages[message].contains(&arrival)
                && (self.queue[message] > 0
                    || self.workers.iter().flatten().any(|it| it.message == Some(message)))
        })
    }

    /// Whether an event can tell what this batch waits for.
    fn is_told_of(&self, batch: usize) -> bool {
        let ended = |run: usize| self.runs.get(run).is_some_and(|run| !run.is_live());
        match &self.batches[batch].batch.state {
            BatchState::Started(Started { run_id, .. }) => self.index(run_id).is_some_and(ended),
            BatchState::Sealed { waits_for_slot: true, .. } => (0..self.runs.len()).any(ended),
            _ => false,
        }
    }

    /// Two states that differ in who is who are the same.
    fn order_workers(&mut self) {
        self.workers.sort_by_cached_key(|worker| {
            let mut hasher = DefaultHasher::new();
            worker.hash(&mut hasher);
            (worker.is_none(), hasher.finish())
        });
    }
}
