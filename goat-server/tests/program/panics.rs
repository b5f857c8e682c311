//! The panic hook: a panicking handler is one line in the log.

use std::io;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use goat_server::observe::logging::log_panics;
use goat_server::serve::catch_panic::CatchPanicLayer;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use tower::{Layer, ServiceExt, service_fn};

use crate::own_process::in_own_process;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic in here").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// H5, L1
#[test]
fn panic_is_one_line_that_names_the_place_and_not_the_message() {
    in_own_process("panics::panic_is_one_line_that_names_the_place_and_not_the_message", || {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.expect("a runtime").block_on(handler_panics());
    });
}

async fn handler_panics() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    log_panics();

    let broken = service_fn(async |_: Request<()>| -> io::Result<Response<Full<Bytes>>> {
        panic!("the secret is {}", "hunter2")
    });
    let caught = || Response::new(Full::from("caught"));
    let response = CatchPanicLayer::new(caught).layer(broken);
    let response = response.oneshot(Request::new(())).await.expect("a response");
    assert_eq!(response.into_body().collect().await.expect("a body").to_bytes(), "caught");

    let text = String::from_utf8(log.0.lock().expect("no panic in here").clone()).expect("text");
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.contains("\"location\":\"goat-server/tests/program/panics.rs:"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
}
