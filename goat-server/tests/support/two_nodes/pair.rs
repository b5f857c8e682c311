//! Two nodes at work.

use crate::support::node::Node;
use crate::support::process::{Server, Site};

/// A staleness so long that only a notice brings a change to another node while a test waits, and so
/// short that a node that has begun hears soon.
pub(crate) const LONG: (&str, &str) = ("GOAT_SESSION_CACHE_STALENESS", "12s");

/// Two processes on the same engines; killed where it is dropped.
pub(crate) struct Pair {
    pub(crate) one: Node,
    pub(crate) other: Node,
    servers: [Server; 2],
    sites: [Site; 2],
}

impl Pair {
    /// Starts both and waits until each is ready.
    pub(crate) fn start(sites: [Site; 2]) -> Self {
        let [(first, one), (second, other)] = sites.each_ref().map(Site::serve);
        Self { one: Node::at(one), other: Node::at(other), servers: [first, second], sites }
    }

    /// The same, and waits until each hears, so that both remember what they have read.
    pub(crate) fn that_hear(sites: [Site; 2]) -> Self {
        let pair = Self::start(sites);
        pair.nodes().into_iter().for_each(Node::wait_until_it_hears);
        pair
    }

    pub(crate) fn nodes(&self) -> [Node; 2] {
        [self.one, self.other]
    }

    /// What the first has warned of lately.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let mut said = self.servers[0].said_lately();
        said.retain(|line| line.contains("ERROR") || line.contains("WARN"));
        said
    }

    /// Ends both in order.
    pub(crate) fn stop(self) {
        let _sites = self.sites;
        for server in self.servers {
            server.stop();
        }
    }
}
