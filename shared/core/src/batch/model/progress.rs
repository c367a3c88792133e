//! Whether the end can always be reached. A checker's "eventually" says little where there are
//! circles, and there are: somebody may look again and again. So this asks: is there a way to the end
//! from every state that can be reached?

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use stateright::Model;

use super::{State, World};

/// The first state from which no way leads to one that is `end`, or how many states there are.
pub(crate) fn dead_end(world: &World, end: impl Fn(&State) -> bool) -> Result<usize, Box<State>> {
    let hasher = BuildHasherDefault::<DefaultHasher>::default();
    let mut known: HashMap<u64, usize> = HashMap::new();
    let (mut parents, mut ends): (Vec<Vec<usize>>, Vec<usize>) = (Vec::new(), Vec::new());
    let mut states = world.init_states();
    for (at, state) in states.iter().enumerate() {
        known.insert(hasher.hash_one(state), at);
        parents.push(Vec::new());
    }
    let mut at = 0;
    while at < states.len() {
        if end(&states[at]) {
            ends.push(at);
        }
        let mut actions = Vec::new();
        world.actions(&states[at], &mut actions);
        for action in actions {
            let Some(after) = world.next_state(&states[at], action) else { continue };
            match known.entry(hasher.hash_one(&after)) {
                Entry::Occupied(entry) => parents[*entry.get()].push(at),
                Entry::Vacant(entry) => {
                    entry.insert(states.len());
                    states.push(after);
                    parents.push(vec![at]);
                }
            }
        }
        at += 1;
    }
    let mut leads_there = vec![false; states.len()];
    while let Some(at) = ends.pop() {
        if !std::mem::replace(&mut leads_there[at], true) {
            ends.extend(&parents[at]);
        }
    }
    match leads_there.iter().position(|leads| !leads) {
        Some(at) => Err(Box::new(states.swap_remove(at))),
        None => Ok(states.len()),
    }
}
