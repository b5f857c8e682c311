//! Connections that silently lead nowhere while new ones reach the server, as after the loss of a
//! host or of a firewall's state (O1).

use std::net::SocketAddr;
use std::time::Duration;

use goat_core::store::sql::{PostgresDatabase, PostgresOptions};
use goat_engines::Postgres;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::postgres::support::{Deadline, account, open, put, role};

/// Timeout of a call, and the statement timeout.
const BOUND: Duration = Duration::from_millis(250);

/// Forwards traffic until its connections are stranded: these stay open without any traffic.
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    strandings: watch::Sender<u32>,
}

impl Relay {
    pub(crate) async fn start(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let strandings = watch::Sender::new(0);
        let watched = strandings.subscribe();
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut watched = watched.clone();
                let created = *watched.borrow();
                tokio::spawn(async move {
                    let mut server = TcpStream::connect(upstream).await.expect("the server");
                    tokio::select! {
                        _ = copy_bidirectional(&mut client, &mut server) => {}
                        () = stranded(&mut watched, created) => std::future::pending().await,
                    }
                });
            }
        });
        Self { address, strandings }
    }

    pub(crate) fn strand(&self) {
        self.strandings.send_modify(|strandings| *strandings += 1);
    }
}

async fn stranded(watched: &mut watch::Receiver<u32>, created: u32) {
    // Also ends when the test is over.
    drop(watched.wait_for(|strandings| *strandings != created).await);
}

/// Retries a write with a timeout until it succeeds; all errors before must be unavailable.
async fn recovers(database: &PostgresDatabase, phase: &str) {
    let (deadline, owner) = (Deadline::after(15), account(&role("client")));
    loop {
        assert!(!deadline.has_passed(), "{phase}: the connections are never closed");
        match timeout(BOUND, put(&database.users(), None, &owner)).await {
            Ok(Ok(_)) => return,
            Ok(Err(error)) => assert!(error.is_unavailable(), "{error:?}"),
            Err(_) => {}
        }
    }
}

/// O1
#[tokio::test(flavor = "multi_thread")]
async fn stranded_connections_are_replaced() {
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
    put(&users, None, &owner).await.expect("the store responds");

    relay.strand();
    let read = timeout(BOUND, users.by_id(owner.user.id)).await;
    assert!(!matches!(read, Ok(Ok(_))), "no traffic: {read:?}");
    recovers(&database, "after reads").await;

    relay.strand();
    let write = timeout(BOUND, put(&users, None, &owner)).await;
    assert!(!matches!(write, Ok(Ok(_))), "no traffic: {write:?}");
    recovers(&database, "after writes").await;
}
