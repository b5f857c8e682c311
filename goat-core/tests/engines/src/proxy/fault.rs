//! The rules of the moment: what becomes of a message and of an answer.

use std::time::Duration;

use super::Cut;

/// What is broken, or will be at a message that is named by its number, which comes once.
#[derive(Clone, Copy)]
pub(super) enum Fault {
    None,
    CutAt(u64, Cut),
    BlackHoleAt(u64),
    BlackHole,
    Refuse,
}

/// What becomes of a message or an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Pass,
    /// It passes, and the answer to it is the end of the connection.
    PassAndCutAtAnswer,
    /// It is lost, and nobody notices.
    Vanish,
    Cut,
}

/// Which messages count.
type Filter = Box<dyn Fn(&[u8]) -> bool + Send>;

pub(super) struct Rules {
    pub(super) fault: Fault,
    pub(super) delay: Duration,
    pub(super) filter: Filter,
    pub(super) count: u64,
    pub(super) struck: bool,
    pub(super) connections: usize,
    /// How often it was healed: a connection that lost something before belongs to the past.
    pub(super) heals: u64,
    /// How often all connections were cut.
    pub(super) cuts: u64,
}

impl Default for Rules {
    fn default() -> Self {
        Rules {
            fault: Fault::None,
            delay: Duration::ZERO,
            filter: Box::new(|_| true),
            count: 0,
            struck: false,
            connections: 0,
            heals: 0,
            cuts: 0,
        }
    }
}

impl Rules {
    pub(super) fn break_now(&mut self, fault: Fault) {
        self.fault = fault;
        self.struck = true;
        if matches!(fault, Fault::Refuse) {
            self.cuts += 1;
        }
    }

    /// Counts a client's message and says what becomes of it.
    pub(super) fn message(&mut self, bytes: &[u8]) -> Fate {
        let counts = (self.filter)(bytes);
        self.count += u64::from(counts);
        match self.fault {
            Fault::CutAt(at, place) if counts && self.count == at => {
                self.struck = true;
                match place {
                    Cut::BeforeForwarding => Fate::Cut,
                    Cut::BeforeAnswer => Fate::PassAndCutAtAnswer,
                }
            }
            Fault::BlackHoleAt(at) if counts && self.count == at => {
                self.break_now(Fault::BlackHole);
                Fate::Vanish
            }
            _ => self.answer(),
        }
    }

    /// What becomes of a server's answer.
    pub(super) fn answer(&self) -> Fate {
        match self.fault {
            Fault::None | Fault::CutAt(..) | Fault::BlackHoleAt(_) => Fate::Pass,
            Fault::BlackHole => Fate::Vanish,
            Fault::Refuse => Fate::Cut,
        }
    }
}
