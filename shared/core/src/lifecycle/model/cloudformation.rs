//! CloudFormation, which plays the script, one request at a time, and undoes what fails.
//!
//! - A Delete follows a Create that fails, times out or is cancelled. It names the ID in the
//!   response or, if CloudFormation got no response, one that it invents. With `keep`, the next
//!   Create comes before that Delete (failed resources were preserved).
//! - The inverse follows an Update that fails. If the response brought a new ID, CloudFormation
//!   deletes that ID in the end. The inverse names the old ID or, with `keep`, the new one.
//! - A changed ID in a successful response is a replacement: CloudFormation deletes the old ID.

use std::sync::Arc;

use super::{Action, FirstDelivery, Id, Intent, IssuedRequest, Props, RequestType, State, World};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Stack {
    /// What the stack believes to exist.
    pub view: Option<(Id, Props)>,
    pub task: Task,
    /// The number of intents in the script that have begun.
    pub played: usize,
    /// The old IDs that are still to be deleted.
    pub cleanup: Vec<(Id, Props)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Task {
    Idle,
    Next(Goal),
    Waiting(usize, Goal),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Goal {
    Create(Props),
    Update(Props),
    /// Goes back from `failed` to the view. `named` is the ID that CloudFormation takes for the
    /// current one.
    Rollback {
        named: Id,
        failed: Props,
    },
    Delete(Id, Props),
}

/// The first of the IDs that CloudFormation invents, and the first of the IDs that are made of
/// names.
const INVENTED: Id = 100;
const NAMED: Id = 200;

impl Stack {
    pub(crate) fn new() -> Self {
        Self { view: None, task: Task::Idle, played: 0, cleanup: Vec::new() }
    }

    pub(crate) fn waits_for(&self) -> Option<usize> {
        match self.task {
            Task::Waiting(request, _) => Some(request),
            _ => None,
        }
    }

    /// Moves on to what follows when there is nothing to undo.
    fn proceed(&mut self) {
        self.task = match self.cleanup.pop() {
            Some((id, props)) => Task::Next(Goal::Delete(id, props)),
            None => Task::Idle,
        };
    }
}

impl World {
    pub(crate) fn stack_actions(&self, state: &State, actions: &mut Vec<Action>) {
        match state.stack.task {
            Task::Idle if state.stack.played < self.script.len() => actions.push(Action::Issue),
            Task::Next(_) => actions.push(Action::Issue),
            Task::Waiting(request, goal) if state.budget.give_ups > 0 => {
                actions.push(Action::GiveUp { request, keep: false });
                // A preserved Create that nobody has begun can't be distinguished from the next
                // one.
                let begun = state.requests[request].begun;
                if matches!(goal, Goal::Create(_)) && begun && self.creates_next(state) {
                    actions.push(Action::GiveUp { request, keep: true });
                }
            }
            _ => {}
        }
    }

    pub(crate) fn may_be_delivered(&self, state: &State, request: usize) -> bool {
        state.requests[request].begun
            || request + 1 == state.requests.len()
            || self.first_delivery != FirstDelivery::InOrder
    }

    /// Returns `true` if CloudFormation can go on in two ways after this response.
    pub(crate) fn has_choice(&self, state: &State, request: usize, ok: bool) -> bool {
        match state.stack.task {
            Task::Waiting(waiting, goal) if waiting == request && !ok => match goal {
                Goal::Create(_) => self.creates_next(state),
                Goal::Update(_) => {
                    state.requests[request].named != Some(state.requests[request].target)
                }
                _ => false,
            },
            _ => false,
        }
    }

    fn creates_next(&self, state: &State) -> bool {
        matches!(self.script.get(state.stack.played), Some(Intent::Create(_)))
    }

    pub(crate) fn issue(&self, state: &mut State) {
        let goal = match state.stack.task {
            Task::Next(goal) => goal,
            _ => match self.play(state) {
                Some(goal) => goal,
                None => return,
            },
        };
        let view = state.stack.view;
        let (request_type, named, props, old) = match goal {
            Goal::Create(props) => (RequestType::Create, None, props, None),
            Goal::Update(props) => {
                (RequestType::Update, view.map(|it| it.0), props, view.map(|it| it.1))
            }
            Goal::Rollback { named, failed } => {
                let back = view.map_or(failed, |it| it.1);
                (RequestType::Update, Some(named), back, Some(failed))
            }
            Goal::Delete(id, props) => (RequestType::Delete, Some(id), props, None),
        };
        let replaces = old.is_some_and(|old| old.name != props.name);
        let target = match named {
            Some(named) if !replaces => named,
            _ if self.guards.id_from_request => state.requests.len() as Id + 1,
            _ => NAMED + props.name as Id,
        };
        state.stack.task = Task::Waiting(state.requests.len(), goal);
        state.requests.push(Arc::new(IssuedRequest {
            request_type,
            named,
            target,
            props,
            old,
            copies: 1,
            begun: false,
            sent: None,
        }));
    }

    /// Returns the goal of the next intent, or `None` if the intent makes no sense. After a Create
    /// that failed, only another Create makes sense.
    fn play(&self, state: &mut State) -> Option<Goal> {
        let intent = self.script[state.stack.played];
        state.stack.played += 1;
        match (intent, state.stack.view) {
            (Intent::Create(props), None) => Some(Goal::Create(props)),
            (Intent::Update(props), Some(_)) => Some(Goal::Update(props)),
            (Intent::Delete, Some((id, props))) => {
                state.stack.view = None;
                Some(Goal::Delete(id, props))
            }
            _ => None,
        }
    }

    pub(crate) fn answered(&self, state: &mut State, request: usize, ok: bool, keep: bool) {
        let Task::Waiting(waiting, goal) = state.stack.task else { return };
        if waiting != request {
            return;
        }
        let id = state.requests[request].target;
        if !ok {
            return self.failed(state, goal, Some(id), id, keep);
        }
        let props = state.requests[request].props;
        let before = match goal {
            Goal::Rollback { named, failed } if state.stack.view.is_none_or(|it| it.0 != named) => {
                Some((named, failed))
            }
            _ => state.stack.view,
        };
        if !matches!(goal, Goal::Delete(..)) {
            state.stack.view = Some((id, props));
            state.stack.cleanup.extend(before.filter(|it| it.0 != id));
        }
        state.stack.proceed();
    }

    pub(crate) fn unanswered(&self, state: &mut State, request: usize, keep: bool) {
        if let Task::Waiting(_, goal) = state.stack.task {
            self.failed(state, goal, None, INVENTED + request as Id, keep);
        }
    }

    fn failed(&self, state: &mut State, goal: Goal, heard: Option<Id>, id: Id, keep: bool) {
        let view = state.stack.view;
        match (goal, view) {
            (Goal::Create(props), _) => {
                state.stack.cleanup.push((id, props));
                if keep && let Some(next) = self.play(state) {
                    state.stack.task = Task::Next(next);
                } else {
                    state.stack.proceed();
                }
            }
            (Goal::Update(failed), Some((current, _))) => {
                let named = if keep { id } else { current };
                if !keep && let Some(new) = heard.filter(|&new| new != current) {
                    state.stack.cleanup.push((new, failed));
                }
                state.stack.task = Task::Next(Goal::Rollback { named, failed });
            }
            // The operator of the stack tries these again.
            (goal, _) => state.stack.task = Task::Next(goal),
        }
    }
}
