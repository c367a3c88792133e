//! The provisioner: what an invocation does, one step at a time, around the real
//! [`decide`](crate::lifecycle::decide).
//!
//! The model takes a guard away by hiding from `decide` what the guard relies on. `decide` has no
//! switches.

use std::sync::Arc;

use super::{Action, FirstDelivery, Id, IssuedRequest, Lock, Role, State, World};
use crate::lifecycle::{self, Decision, Memory, Request, RequestType, decide};

/// The next step of an invocation. An invocation that was superseded, or that refuses, has no side
/// effects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Stage {
    Superseded,
    Refuse,
    Replay,
    Save,
    Sweep,
    Ensure,
    Write,
    Remove,
    Record,
    Send,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Worker {
    pub request: usize,
    pub stage: Stage,
    pub memory: Arc<Memory>,
    pub ok: bool,
}

impl World {
    pub(crate) fn may_lock(&self, state: &State) -> bool {
        match state.lock {
            _ if !self.guards.lock || !self.guards.lease_outlasts_the_invocation => true,
            Lock::Free => true,
            Lock::Held { dead, .. } => dead,
        }
    }

    pub(crate) fn worker_actions(&self, state: &State, worker: usize, actions: &mut Vec<Action>) {
        let Some(it) = &state.workers[worker] else { return };
        if it.stage == Stage::Send {
            actions.push(Action::Send { worker, keep: false });
            if self.has_choice(state, it.request, it.ok) {
                actions.push(Action::Send { worker, keep: true });
            }
        } else {
            actions.push(Action::Step { worker });
        }
        if state.budget.failures > 0
            && matches!(it.stage, Stage::Ensure | Stage::Write | Stage::Remove)
        {
            actions.push(Action::Fail { worker });
        }
        if state.budget.crashes > 0 {
            actions.push(Action::Crash { worker });
        }
    }

    pub(crate) fn take(&self, state: &mut State, worker: usize, request: usize) {
        Arc::make_mut(&mut state.requests[request]).copies -= 1;
        state.lock = Lock::Held { worker, dead: false };
        if self.guards.confirmed
            && self.undated.holds(request)
            && state.stack.waits_for() != Some(request)
        {
            let memory = state.memory.clone();
            state.workers[worker] =
                Some(Worker { request, stage: Stage::Superseded, memory, ok: false });
            return;
        }
        let decision = self.decide(&state.memory, &state.requests[request], request);
        let (stage, memory, ok) = match decision {
            Decision::Superseded => (Stage::Superseded, None, false),
            Decision::Gone => (Stage::Refuse, None, false),
            Decision::Replay(answer) => (Stage::Replay, None, answer == "ok"),
            Decision::Converge(memory) | Decision::Remove(memory) => {
                (Stage::Save, Some(memory), true)
            }
        };
        let memory = memory.map_or_else(|| state.memory.clone(), Arc::new);
        state.workers[worker] = Some(Worker { request, stage, memory, ok });
    }

    fn decide(&self, memory: &Memory, issued: &IssuedRequest, request: usize) -> Decision {
        let mut memory = memory.clone();
        let request_type = issued.request_type;
        if !self.guards.tombstone {
            memory.gone.clear();
        }
        if !self.guards.superseded {
            memory.requests.clear();
        }
        if !self.guards.replay
            && let Some(latest) = &mut memory.latest
        {
            latest.answer = None;
        }
        if !self.guards.invented_ids && request_type == RequestType::Delete
            || !self.guards.forgotten_ids && request_type == RequestType::Update
        {
            memory.standing.clear();
        }
        if !self.guards.latest_date
            && let Some(latest) = &mut memory.latest
            && latest
                .request_id
                .strip_prefix('r')
                .and_then(|number| number.parse().ok())
                .is_some_and(|number| self.undated.holds(number))
        {
            latest.issued = None;
        }
        let second = match self.first_delivery {
            FirstDelivery::AnyTime => request as u64,
            FirstDelivery::InOrder | FirstDelivery::AnyTimeInOneSecond => 0,
        };
        let date = lifecycle::Issued::of_digits(19_700_101_000_000 + second);
        let named = issued.named.map(text);
        decide(
            &memory,
            &Request {
                request_type,
                request_id: &format!("r{request}"),
                named: named.as_deref(),
                physical_id: &text(issued.target),
                issued: date.filter(|_| self.guards.issue_order && !self.undated.holds(request)),
            },
        )
    }

    pub(crate) fn step(&self, state: &mut State, worker: usize) {
        let Some(mut it) = state.workers[worker].take() else { return };
        let request = state.requests[it.request].clone();
        it.stage = match it.stage {
            Stage::Superseded => {
                state.release(worker);
                return;
            }
            Stage::Refuse | Stage::Replay => {
                state.release(worker);
                Stage::Send
            }
            Stage::Save => {
                if self.guards.memory_before_effects && !self.write(state, worker, &it.memory) {
                    return;
                }
                Arc::make_mut(&mut state.requests[it.request]).begun = true;
                match request.request_type {
                    RequestType::Delete => Stage::Remove,
                    _ if request.old.is_some_and(|old| old.name != request.props.name) => {
                        Stage::Sweep
                    }
                    _ => Stage::Ensure,
                }
            }
            Stage::Sweep => {
                if let Some(old) = request.old {
                    self.delete_role(state, &it, old.name);
                }
                Stage::Ensure
            }
            Stage::Ensure => match state.roles[request.props.name] {
                Some(Role::Foreign) if self.guards.owner_on_create => {
                    it.ok = false;
                    Stage::Record
                }
                found => {
                    let policy = match found {
                        Some(Role::Ours { policy, .. }) => policy,
                        _ => None,
                    };
                    let tag = request.target;
                    state.roles[request.props.name] = Some(Role::Ours { tag, policy });
                    Stage::Write
                }
            },
            Stage::Write => {
                match &mut state.roles[request.props.name] {
                    Some(Role::Ours { policy, .. }) => *policy = Some(request.props.policy),
                    _ => it.ok = false,
                }
                Stage::Record
            }
            Stage::Remove => {
                self.delete_role(state, &it, request.props.name);
                Stage::Record
            }
            Stage::Record | Stage::Send => {
                let memory = Arc::make_mut(&mut it.memory);
                memory.answered(&format!("r{}", it.request), if it.ok { "ok" } else { "failed" });
                if !self.write(state, worker, &it.memory) {
                    return;
                }
                state.release(worker);
                Stage::Send
            }
        };
        if it.stage == Stage::Send {
            // The memory is no longer used after the lock is released.
            it.memory = Arc::default();
        }
        state.workers[worker] = Some(it);
    }

    /// Writes the memory. Returns `false` if the worker doesn't hold the lock and therefore can't
    /// write it.
    fn write(&self, state: &mut State, worker: usize, memory: &Arc<Memory>) -> bool {
        let holds = matches!(state.lock, Lock::Held { worker: holder, .. } if holder == worker);
        if holds || !self.guards.lock {
            state.memory = memory.clone();
            return true;
        }
        false
    }

    fn delete_role(&self, state: &mut State, it: &Worker, name: usize) {
        if let Some(Role::Ours { tag, .. }) = state.roles[name]
            && (it.memory.is_gone(&text(tag)) || !self.guards.tag_on_delete)
        {
            state.roles[name] = None;
        }
    }

    pub(crate) fn send(&self, state: &mut State, worker: usize, keep: bool) {
        if let Some(it) = state.workers[worker].take() {
            Arc::make_mut(&mut state.requests[it.request]).sent.get_or_insert(it.ok);
            self.answered(state, it.request, it.ok, keep);
        }
    }

    pub(crate) fn fail(&self, state: &mut State, worker: usize) {
        state.budget.failures -= 1;
        if let Some(it) = &mut state.workers[worker] {
            it.ok = false;
            it.stage = Stage::Record;
        }
    }

    /// The invocation ends, its lock stays, and Lambda tries again.
    pub(crate) fn crash(&self, state: &mut State, worker: usize) {
        state.budget.crashes -= 1;
        if let Some(it) = state.workers[worker].take() {
            Arc::make_mut(&mut state.requests[it.request]).copies += 1;
        }
        if let Lock::Held { worker: holder, dead } = &mut state.lock
            && *holder == worker
        {
            // It makes no difference which of the two died.
            *holder = 0;
            *dead = true;
        }
    }
}

impl State {
    fn release(&mut self, worker: usize) {
        if matches!(self.lock, Lock::Held { worker: holder, .. } if holder == worker) {
            self.lock = Lock::Free;
        }
    }
}

fn text(id: Id) -> String {
    format!("p{id}")
}
