//! S2: connections that Redis closed while they were idle (its `timeout`, a restarted middlebox) fail no
//! request.

use goat_engines::{Redis, RedisOptions};

use crate::support::node::{LONG_STALENESS, Tokens, database, node_with};
use crate::support::two_nodes::{Fixture, NodePair, Operation};

#[test]
fn closed_idle_connections_to_redis_fail_no_request() {
    let (database, redis) = (database(), Redis::start(RedisOptions::default()));
    let program = || node_with(&database, &redis.url()).with(LONG_STALENESS.0, LONG_STALENESS.1);
    let pair = NodePair::start_connected([program(), program()]);
    let admin = pair.first.admin();
    let close = || {
        let closed = redis.cli(&["CLIENT", "KILL", "TYPE", "normal"]);
        assert!(closed.parse::<u32>().is_ok_and(|closed| closed > 0), "{closed}");
    };
    for operation in Operation::ALL {
        let mut fixture = Fixture::new(pair.first, &admin);
        operation.prepare(pair.first, &mut fixture);
        for node in pair.nodes() {
            // Both have a connection to lose.
            assert_eq!(node.profile(&fixture.first).status, 200);
        }
        close();
        let response = operation.perform(pair.first, &fixture).expect("a response");
        assert!((200..300).contains(&response.status), "{operation:?}: {response:?}");
    }
    let fixture = Fixture::new(pair.first, &admin);
    for node in pair.nodes() {
        assert_eq!(node.profile(&fixture.first).status, 200);
    }
    close();
    let response = fixture.login(pair.first);
    assert_eq!(response.status, 200, "{response:?}");
    let tokens = Tokens::of(&response);
    close();
    assert_eq!(pair.second.profile(&tokens).status, 200);
    close();
    let response = pair.first.refresh(&tokens);
    assert_eq!(response.status, 200, "{response:?}");
    pair.stop();
}
