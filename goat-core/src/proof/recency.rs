//! Recency: whether a session was proven a short time ago.

use std::time::Duration;

use crate::clock::Timestamp;

use super::Assurance;

/// The times of a session's proofs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProofTimes {
    /// Of the last proof.
    pub(crate) authenticated_at: Timestamp,
    /// Of the last one of several factors, if there was one.
    pub(crate) multi_at: Option<Timestamp>,
}

impl ProofTimes {
    pub(crate) fn assurance(self) -> Assurance {
        if self.multi_at.is_some() { Assurance::Multi } else { Assurance::Single }
    }

    /// Whether the last proof is at most `within` old. In a session with a proof of several factors, only
    /// such proofs count, so that a password alone makes none of its sensitive changes.
    ///
    /// A clock that was set back makes no proof recent for longer.
    pub(crate) fn are_recent(self, within: Duration, now: Timestamp) -> bool {
        let at = self.multi_at.unwrap_or(self.authenticated_at);
        now <= at + within && at <= now + within
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// G5: exact to the millisecond, in either direction of the clock.
    #[test]
    fn window_is_measured_from_the_last_proof_that_counts() {
        let at = Timestamp::from_millis;
        let minute = Duration::from_secs(60);
        let single = ProofTimes { authenticated_at: at(100_000), multi_at: None };
        let multi = ProofTimes { authenticated_at: at(200_000), multi_at: Some(at(100_000)) };
        for times in [single, multi] {
            for (now, expected) in [
                (39_999, false),
                (40_000, true),
                (100_000, true),
                (160_000, true),
                (160_001, false),
                (200_000, false),
            ] {
                assert_eq!(times.are_recent(minute, at(now)), expected, "{times:?} at {now}");
            }
        }
        assert_eq!(single.assurance(), Assurance::Single);
        assert_eq!(multi.assurance(), Assurance::Multi);
    }
}
