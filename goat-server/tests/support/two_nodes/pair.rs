//! Two running nodes.

use crate::support::node::Node;
use crate::support::process::{Program, Server};

/// Two processes on the same backends; killed when dropped.
pub(crate) struct NodePair {
    pub(crate) first: Node,
    pub(crate) second: Node,
    servers: [Server; 2],
    _programs: [Program; 2],
}

impl NodePair {
    /// Starts both nodes and waits until they are ready.
    pub(crate) fn start(programs: [Program; 2]) -> Self {
        // The second creates the administrator: the first may be the one with short timeouts.
        let (other, second) = programs[1].serve();
        let (server, first) = programs[0].serve();
        let [first, second] = [first, second].map(Node::at);
        Self { first, second, servers: [server, other], _programs: programs }
    }

    /// Like [`NodePair::start`], and waits until both are connected to the invalidation channel, so
    /// that they use their caches.
    pub(crate) fn start_connected(programs: [Program; 2]) -> Self {
        let pair = Self::start(programs);
        pair.nodes().into_iter().for_each(Node::wait_until_connected);
        pair
    }

    pub(crate) fn nodes(&self) -> [Node; 2] {
        [self.first, self.second]
    }

    /// The warnings and errors that the first node logged since the last call.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let mut lines = self.servers[0].new_lines();
        lines.retain(|line| line.contains("ERROR") || line.contains("WARN"));
        lines
    }

    /// Shuts both nodes down.
    pub(crate) fn stop(self) {
        self.servers.iter().for_each(|server| server.signal("TERM"));
        for server in self.servers {
            server.wait_for_success();
        }
    }
}
