//! Exhaustive exploration of small models: breadth-first search over every interleaving of their actions,
//! with the shortest trace to a violation.

use std::collections::{HashSet, VecDeque};
use std::fmt::Debug;
use std::hash::{DefaultHasher, Hash, Hasher as _};

/// A protocol with finitely many states.
pub(crate) trait Model {
    type State: Clone;
    type Action: Clone + Debug;

    fn initial(&self) -> Self::State;

    /// Returns what can happen next.
    fn actions(&self, state: &Self::State) -> Vec<Self::Action>;

    fn apply(&self, state: &mut Self::State, action: &Self::Action);

    /// Returns everything that distinguishes a state from others. Of two states with the same hash of it,
    /// one is visited.
    fn key(&self, state: &Self::State) -> impl Hash;

    /// Returns the violated property, if any.
    fn violation(&self, state: &Self::State) -> Option<String>;
}

/// A violated property, and the actions that lead to it.
#[derive(Debug)]
pub(crate) struct Violation {
    pub(crate) property: String,
    pub(crate) trace: Vec<String>,
}

/// Visits every reachable state; returns their number.
///
/// # Panics
///
/// If there are more than `most` states, so that a test stays within its time.
pub(crate) fn explore<M: Model>(model: &M, most: usize) -> Result<usize, Violation> {
    // The action and the predecessor of each state, in the order of discovery.
    let mut found: Vec<Option<(usize, M::Action)>> = vec![None];
    let hash = |state: &M::State| {
        let mut hasher = DefaultHasher::new();
        model.key(state).hash(&mut hasher);
        hasher.finish()
    };
    let first = model.initial();
    let mut seen = HashSet::from([hash(&first)]);
    let mut pending = VecDeque::from([(0, first)]);
    while let Some((number, state)) = pending.pop_front() {
        if let Some(property) = model.violation(&state) {
            return Err(Violation { property, trace: trace::<M>(&found, number) });
        }
        for action in model.actions(&state) {
            let mut next = state.clone();
            model.apply(&mut next, &action);
            if seen.insert(hash(&next)) {
                assert!(found.len() < most, "more than {most} states");
                pending.push_back((found.len(), next));
                found.push(Some((number, action)));
            }
        }
    }
    Ok(found.len())
}

fn trace<M: Model>(found: &[Option<(usize, M::Action)>], mut number: usize) -> Vec<String> {
    let mut trace = Vec::new();
    while let Some((before, action)) = &found[number] {
        trace.push(format!("{action:?}"));
        number = *before;
    }
    trace.reverse();
    trace
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two counters that stop at a number.
    struct Counters(u8);

    impl Model for Counters {
        type State = [u8; 2];
        type Action = usize;

        fn initial(&self) -> [u8; 2] {
            [0, 0]
        }

        fn actions(&self, state: &[u8; 2]) -> Vec<usize> {
            (0..2).filter(|&index| state[index] < 3).collect()
        }

        fn apply(&self, state: &mut [u8; 2], action: &usize) {
            state[*action] += 1;
        }

        fn key(&self, state: &[u8; 2]) -> impl Hash {
            *state
        }

        fn violation(&self, state: &[u8; 2]) -> Option<String> {
            (state.iter().sum::<u8>() == self.0).then(|| format!("the sum is {}", self.0))
        }
    }

    #[test]
    fn every_state_is_visited_once_and_a_violation_has_the_shortest_trace() {
        assert_eq!(explore(&Counters(7), 100).expect("no violation"), 16);
        let violation = explore(&Counters(2), 100).expect_err("a violation");
        assert_eq!((violation.property.as_str(), violation.trace.len()), ("the sum is 2", 2));
    }
}
