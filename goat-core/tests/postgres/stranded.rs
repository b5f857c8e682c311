//! A server whose connections lead nowhere any more, while new ones reach its successor: as after a
//! machine is gone without a word, or a firewall has forgotten what went through it (O1).

use std::net::SocketAddr;
use std::time::Duration;

use goat_core::store::sql::{PostgresDatabase, PostgresOptions};
use goat_engines::Postgres;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::support::{Patience, account, open, put, role};

/// What a call may take, and what the server works on a statement at most.
const BOUND: Duration = Duration::from_millis(250);

/// Passes on what it is sent, until all connections that it has are stranded: those stay open, and
/// nothing passes any more.
struct Relay {
    address: SocketAddr,
    strandings: watch::Sender<u32>,
}

impl Relay {
    async fn start(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let strandings = watch::Sender::new(0);
        let watched = strandings.subscribe();
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut watched = watched.clone();
                let born = *watched.borrow();
                tokio::spawn(async move {
                    let mut server = TcpStream::connect(upstream).await.expect("the server");
                    tokio::select! {
                        _ = copy_bidirectional(&mut client, &mut server) => {}
                        () = stranded(&mut watched, born) => std::future::pending().await,
                    }
                });
            }
        });
        Self { address, strandings }
    }

    fn strand(&self) {
        self.strandings.send_modify(|strandings| *strandings += 1);
    }
}

async fn stranded(watched: &mut watch::Receiver<u32>, born: u32) {
    // Where the test is over, so is this.
    drop(watched.wait_for(|strandings| *strandings != born).await);
}

/// Asks as a watched store does, until there is an answer; nothing that comes before it is anything
/// but unavailable.
async fn comes_back(database: &PostgresDatabase, what: &str) {
    let (patience, owner) = (Patience::of(15), account(&role("client")));
    loop {
        assert!(!patience.is_over(), "{what}: the connections are never given up");
        match timeout(BOUND, put(&database.users(), None, &owner)).await {
            Ok(Ok(_)) => return,
            Ok(Err(error)) => assert!(error.is_unavailable(), "{error:?}"),
            Err(_) => {}
        }
    }
}

/// O1
#[tokio::test(flavor = "multi_thread")]
async fn connections_that_lead_nowhere_are_given_up() {
    let server = Postgres::shared();
    let url = server.create_database();
    let relay = Relay::start(server.address()).await;
    let url = url.replace(&server.address().to_string(), &relay.address.to_string());
    let options = PostgresOptions {
        connections: 1,
        acquire_timeout: BOUND * 9 / 10,
        statement_timeout: BOUND,
        ..PostgresOptions::new(url)
    };
    let database = open(&options).await;
    let users = database.users();
    let owner = account(&role("client"));
    put(&users, None, &owner).await.expect("the store answers");

    relay.strand();
    let read = timeout(BOUND, users.by_id(owner.user.id)).await;
    assert!(!matches!(read, Ok(Ok(_))), "nothing passes: {read:?}");
    comes_back(&database, "after reads").await;

    relay.strand();
    let write = timeout(BOUND, put(&users, None, &owner)).await;
    assert!(!matches!(write, Ok(Ok(_))), "nothing passes: {write:?}");
    comes_back(&database, "after writes").await;
}
