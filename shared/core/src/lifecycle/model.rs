//! A model of everything around [`decide`](super::decide), for a model checker to walk through.
//!
//! `cloudformation` plays a script of what the stack's owner does, and sends requests.
//! `provisioner` is two invocations that share the lock, the memory and IAM, and can die at any
//! step. `checks` holds the tests. This file has the state, the guards and the properties.
//!
//! The model is small on purpose: two role names, a handful of requests, and a bounded number of
//! crashes, duplicates, failures and requests that CloudFormation stops waiting for.

mod checks;
mod cloudformation;
mod provisioner;

use std::sync::Arc;

use stateright::{Model, Property};

use self::cloudformation::{Stack, Task};
use self::provisioner::{Stage, Worker};
use super::{Memory, RequestType};

pub(crate) const VIEW: &str = "at rest, IAM is what the stack says";
pub(crate) const FOREIGN: &str = "a foreign role is never touched";
pub(crate) const ONE_ANSWER: &str = "a request has one answer";
pub(crate) const HEARD: &str = "a request that is waited for is not refused";
pub(crate) const FEW: &str = "the requests are few";
pub(crate) const PLAYED: &str = "the script is played to its end";
pub(crate) const REFUSED: &str = "a tombstone refuses";
pub(crate) const SUPERSEDED: &str = "a later request supersedes";
pub(crate) const REPLAYED: &str = "an answer is replayed";
pub(crate) const TAKEN_OVER: &str = "a role is taken over";
pub(crate) const RECOVERED: &str = "a crash is recovered from";
pub(crate) const LATE: &str = "a request comes late for the first time";

/// The guards. A test can take each one away by itself, to show what it is for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Guards {
    pub tombstone: bool,
    pub lock: bool,
    pub lease_outlasts_the_invocation: bool,
    pub memory_before_effects: bool,
    pub superseded: bool,
    pub replay: bool,
    /// Requests say when they were issued.
    pub issue_order: bool,
    /// A request that doesn't say so is served only if CloudFormation waits for it.
    pub confirmed: bool,
    /// A request that doesn't say so leaves the latest date in the memory.
    pub latest_date: bool,
    /// An ID that nobody gave out stands for a cancelled Create.
    pub invented_ids: bool,
    /// The next Update removes what CloudFormation forgot.
    pub forgotten_ids: bool,
    /// Only a role with an ID that is gone is deleted.
    pub tag_on_delete: bool,
    pub owner_on_create: bool,
    pub id_from_request: bool,
}

impl Guards {
    pub(crate) const ALL: Self = Self {
        tombstone: true,
        lock: true,
        lease_outlasts_the_invocation: true,
        memory_before_effects: true,
        superseded: true,
        replay: true,
        issue_order: true,
        confirmed: true,
        latest_date: true,
        invented_ids: true,
        forgotten_ids: true,
        tag_on_delete: true,
        owner_on_create: true,
        id_from_request: true,
    };
}

/// When a request may be delivered for the first time. A duplicate of a request that has begun may
/// come at any time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FirstDelivery {
    /// At any time. All requests are issued in different seconds.
    AnyTime,
    /// Only until a later request is issued. All requests are issued in the same second.
    InOrder,
    /// At any time. All requests are issued in the same second.
    AnyTimeInOneSecond,
}

/// A role's properties: its name and a number that stands for its policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Props {
    pub name: usize,
    pub policy: u8,
}

/// What the owner of the stack does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Intent {
    Create(Props),
    Update(Props),
    Delete,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Budget {
    pub crashes: u8,
    pub duplicates: u8,
    pub failures: u8,
    pub give_ups: u8,
}

#[derive(Clone, Debug)]
pub(crate) struct World {
    pub guards: Guards,
    pub first_delivery: FirstDelivery,
    pub script: Vec<Intent>,
    pub budget: Budget,
    /// The name of a role that belongs to somebody else.
    pub foreign: Option<usize>,
    /// `true` if a request that is handled twice may get two different responses.
    pub answers_may_differ: bool,
    /// Which requests don't say when they were issued.
    pub undated: Undated,
}

/// The requests without a date. Some requests can have one and others none, however their URLs are
/// signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Undated {
    None,
    All,
    /// Only the request with this index, in the order of their issue.
    Only(usize),
}

impl Undated {
    pub(crate) fn holds(self, request: usize) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Only(one) => one == request,
        }
    }
}

/// The bound on the number of requests. Without guards, a request can be refused and repeated for
/// ever. With them, there are never that many.
const MANY: usize = 12;

/// A physical ID. Zero is never given out.
pub(crate) type Id = u8;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct IssuedRequest {
    pub request_type: RequestType,
    pub named: Option<Id>,
    pub target: Id,
    pub props: Props,
    pub old: Option<Props>,
    /// The number of copies that are still to be delivered.
    pub copies: u8,
    /// `true` if some handling got as far as saving the memory.
    pub begun: bool,
    /// The response that was sent.
    pub sent: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Role {
    Foreign,
    /// A role of ours. A second step writes its policies.
    Ours {
        tag: Id,
        policy: Option<u8>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Lock {
    Free,
    Held { worker: usize, dead: bool },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub stack: Stack,
    pub requests: Vec<Arc<IssuedRequest>>,
    pub lock: Lock,
    pub memory: Arc<Memory>,
    pub workers: [Option<Worker>; 2],
    pub roles: [Option<Role>; 2],
    pub budget: Budget,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// CloudFormation sends its next request.
    Issue,
    /// CloudFormation stops waiting, because of a time-out or because another resource failed.
    GiveUp {
        request: usize,
        keep: bool,
    },
    Duplicate {
        request: usize,
    },
    /// A worker takes a copy of the request, and with it the lock and the memory.
    Take {
        worker: usize,
        request: usize,
    },
    Step {
        worker: usize,
    },
    /// The response arrives. `cloudformation` explains `keep`.
    Send {
        worker: usize,
        keep: bool,
    },
    Fail {
        worker: usize,
    },
    Crash {
        worker: usize,
    },
}

impl Model for World {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let mut roles = [None, None];
        if let Some(name) = self.foreign {
            roles[name] = Some(Role::Foreign);
        }
        vec![State {
            stack: Stack::new(),
            requests: Vec::new(),
            lock: Lock::Free,
            memory: Arc::default(),
            workers: [None, None],
            roles,
            budget: self.budget,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        self.stack_actions(state, actions);
        for (request, it) in state.requests.iter().enumerate() {
            if it.copies == 0 && state.budget.duplicates > 0 {
                actions.push(Action::Duplicate { request });
            }
            // The workers are interchangeable, so a copy goes to the first idle one.
            let idle = state.workers.iter().position(Option::is_none);
            if let Some(worker) = idle
                && it.copies > 0
                && self.may_be_delivered(state, request)
                && self.may_lock(state)
            {
                actions.push(Action::Take { worker, request });
            }
        }
        for worker in 0..state.workers.len() {
            self.worker_actions(state, worker, actions);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Issue => self.issue(&mut state),
            Action::GiveUp { request, keep } => {
                state.budget.give_ups -= 1;
                self.unanswered(&mut state, request, keep);
            }
            Action::Duplicate { request } => {
                state.budget.duplicates -= 1;
                Arc::make_mut(&mut state.requests[request]).copies += 1;
            }
            Action::Take { worker, request } => self.take(&mut state, worker, request),
            Action::Step { worker } => self.step(&mut state, worker),
            Action::Send { worker, keep } => self.send(&mut state, worker, keep),
            Action::Fail { worker } => self.fail(&mut state, worker),
            Action::Crash { worker } => self.crash(&mut state, worker),
        }
        state.order_workers();
        Some(state)
    }

    fn within_boundary(&self, state: &State) -> bool {
        state.requests.len() <= MANY
    }

    fn properties(&self) -> Vec<Property<Self>> {
        fn deciding(state: &State, stage: Stage) -> bool {
            state.workers.iter().flatten().any(|it| it.stage == stage)
        }
        vec![
            Property::always(VIEW, |_, state: &State| !state.at_rest() || state.agrees()),
            Property::always(FOREIGN, |world: &World, state: &State| {
                world.foreign.is_none_or(|name| state.roles[name] == Some(Role::Foreign))
            }),
            Property::always(ONE_ANSWER, |world: &World, state: &State| {
                world.answers_may_differ
                    || state.workers.iter().flatten().all(|it| {
                        let sent = state.requests[it.request].sent;
                        it.stage != Stage::Send || sent.is_none_or(|sent| sent == it.ok)
                    })
            }),
            Property::always(HEARD, |_, state: &State| {
                state.workers.iter().flatten().all(|it| {
                    !matches!(it.stage, Stage::Superseded | Stage::Refuse)
                        || state.stack.waits_for() != Some(it.request)
                })
            }),
            Property::always(FEW, |_, state: &State| state.requests.len() < MANY),
            Property::sometimes(PLAYED, |world: &World, state: &State| {
                state.at_rest() && state.stack.played == world.script.len()
            }),
            Property::sometimes(REFUSED, |_, state: &State| deciding(state, Stage::Refuse)),
            Property::sometimes(SUPERSEDED, |_, state: &State| deciding(state, Stage::Superseded)),
            Property::sometimes(REPLAYED, |_, state: &State| deciding(state, Stage::Replay)),
            Property::sometimes(TAKEN_OVER, |_, state: &State| {
                state.workers.iter().flatten().any(|it| {
                    it.stage == Stage::Ensure
                        && matches!(state.roles[state.requests[it.request].props.name],
                            Some(Role::Ours { tag, .. }) if tag != state.requests[it.request].target)
                })
            }),
            Property::sometimes(RECOVERED, |world: &World, state: &State| {
                state.at_rest()
                    && state.budget.crashes < world.budget.crashes
                    && state.stack.played == world.script.len()
            }),
            Property::sometimes(LATE, |_, state: &State| {
                deciding(state, Stage::Superseded)
                    && state.workers.iter().flatten().any(|it| !state.requests[it.request].begun)
            }),
        ]
    }
}

impl State {
    /// Returns `true` if CloudFormation waits for nothing and no worker is busy. Copies may still
    /// be in flight. What they do is judged once they have done it.
    fn at_rest(&self) -> bool {
        self.stack.task == Task::Idle && self.workers.iter().all(Option::is_none)
    }

    fn agrees(&self) -> bool {
        (0..self.roles.len()).all(|name| {
            let wanted = self.stack.view.filter(|(_, props)| props.name == name);
            match (self.roles[name], wanted) {
                (None | Some(Role::Foreign), None) => true,
                (Some(Role::Ours { tag, policy }), Some((id, props))) => {
                    tag == id && policy == Some(props.policy)
                }
                _ => false,
            }
        })
    }

    /// Sorts the workers, because states that differ only in which worker is which are the same.
    fn order_workers(&mut self) {
        let key = |worker: &Option<Worker>| worker.as_ref().map(|it| (it.request, it.stage));
        if key(&self.workers[0]) < key(&self.workers[1]) {
            self.workers.swap(0, 1);
            if let Lock::Held { worker, dead: false } = &mut self.lock {
                *worker = 1 - *worker;
            }
        }
    }
}
