//! Rules of the proxy: the fate of each message and reply.

use std::time::Duration;

use super::Cut;

/// The current fault, or the fault at the message with a number.
#[derive(Clone, Copy)]
pub(super) enum Fault {
    None,
    CutAt(u64, Cut),
    BlackHoleAt(u64),
    BlackHole,
    Refuse,
}

/// The fate of a message or a reply.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Pass,
    /// The message is forwarded, and the connection is cut instead of the reply.
    PassAndCutAtAnswer,
    /// It is dropped without notice.
    Vanish,
    Cut,
}

/// Selects the messages that count.
type Filter = Box<dyn Fn(&[u8]) -> bool + Send>;

pub(super) struct Rules {
    pub(super) fault: Fault,
    pub(super) delay: Duration,
    pub(super) filter: Filter,
    pub(super) count: u64,
    pub(super) triggered: bool,
    pub(super) connections: usize,
    /// Number of heals: connections that lost data before a heal are cut.
    pub(super) heals: u64,
    /// Number of times that all connections were cut.
    pub(super) cuts: u64,
}

impl Default for Rules {
    fn default() -> Self {
        Rules {
            fault: Fault::None,
            delay: Duration::ZERO,
            filter: Box::new(|_| true),
            count: 0,
            triggered: false,
            connections: 0,
            heals: 0,
            cuts: 0,
        }
    }
}

impl Rules {
    pub(super) fn break_now(&mut self, fault: Fault) {
        self.fault = fault;
        self.triggered = true;
        if matches!(fault, Fault::Refuse) {
            self.cuts += 1;
        }
    }

    /// Counts a client's message and returns its fate.
    pub(super) fn message(&mut self, bytes: &[u8]) -> Fate {
        let counts = (self.filter)(bytes);
        self.count += u64::from(counts);
        match self.fault {
            Fault::CutAt(at, place) if counts && self.count == at => {
                self.triggered = true;
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

    /// Returns the fate of a server's reply.
    pub(super) fn answer(&self) -> Fate {
        match self.fault {
            Fault::None | Fault::CutAt(..) | Fault::BlackHoleAt(_) => Fate::Pass,
            Fault::BlackHole => Fate::Vanish,
            Fault::Refuse => Fate::Cut,
        }
    }
}
