//! Mail of the program: letters in a folder and to a mail server, their metrics, the drain at shutdown, and the
//! templates of an operator.

use std::fs;
use std::net::SocketAddr;

use serde_json::json as object;

use crate::support::process::{ADMIN, ADMIN_PASSWORD, Client, Program, json, message, mode};
use crate::support::smtp_sink::{Fault, Sink, Stage};

/// Signs the administrator in and creates an API key, of which a letter tells.
fn create_key(address: SocketAddr, name: &str) {
    let client = Client::new(address);
    let credentials = object!({"email": ADMIN, "password": ADMIN_PASSWORD});
    let login = client.post("/api/v1/auth/login", None, &credentials).expect("a response");
    let token = login.body["data"]["access_token"].as_str().expect("a token").to_owned();
    let new = object!({"name": name, "scopes": "*"});
    let created = client.post("/api/v1/keys", Some(&token), &new).expect("a response");
    assert_eq!(created.status, 201, "{created:?}");
}

fn program() -> Program {
    Program::new().with("GOAT_ADMIN_PASSWORD", ADMIN_PASSWORD)
}

fn with_sink(sink: &Sink) -> Program {
    program()
        .with("GOAT_MAIL_URL", &format!("smtp://{}", sink.address()))
        .with("GOAT_MAIL_FROM", "The goat <goat@example.org>")
        .with("GOAT_PUBLIC_URL", "https://app.example.org")
}

/// Runs a part of a test that waits for the program.
async fn blocking<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(run).await.expect("no panic")
}

/// L1: neither a letter's address nor its content is in the log.
#[test]
fn letters_are_files_in_development() {
    let program = program();
    let (mut server, address) = program.serve();
    create_key(address, "canary-key");
    let line = server.wait_for_message("letter written");
    let folder = program.path("data/mail");
    let names: Vec<_> = fs::read_dir(&folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("text"))
        .collect();
    let [name] = names.as_slice() else { panic!("{names:?}") };
    assert!(name.ends_with("-key-created.eml"), "{name}");
    assert!(line["file"].as_str().is_some_and(|file| file.ends_with(name.as_str())), "{line}");
    assert_eq!((mode(&folder), mode(&folder.join(name))), (0o700, 0o600));
    let letter = fs::read_to_string(folder.join(name)).expect("a file");
    assert!(letter.contains("\r\nTo: admin@goat.local\r\n"), "{letter}");
    assert!(
        letter.contains("\r\nSubject: New API key for your account at localhost\r\n"),
        "{letter}"
    );
    assert!(letter.contains("\r\nName: canary-key\r\n"), "{letter}");
    for line in server.stop() {
        assert!(!line.contains("admin@goat.local") && !line.contains("canary-key"), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_reach_the_mail_server() {
    let sink = Sink::start([]).await;
    let program = with_sink(&sink);
    let (program, server) = blocking(move || {
        let (server, address) = program.serve();
        create_key(address, "a key");
        (program, server)
    })
    .await;
    sink.until(|counts| counts.accepted == 1).await;
    let received = sink.received();
    assert_eq!(received[0].from, "goat@example.org");
    assert_eq!(received[0].to, "admin@goat.local");
    let from = "From: \"The goat\" <goat@example.org>\r\n";
    assert!(received[0].content.starts_with(from), "{received:?}");
    assert!(received[0].content.contains("account at app.example.org"), "{received:?}");
    blocking(move || server.stop()).await;
    drop(program);
}

/// O3: a letter that waits for its next try is tried at once, and leaves before the program ends.
#[tokio::test(flavor = "multi_thread")]
async fn shutdown_delivers_the_letters_that_wait() {
    let sink = Sink::start([(Stage::Rcpt, Fault::Reply("451 4.7.1 greylisted"))]).await;
    let program = with_sink(&sink);
    let output = blocking(move || {
        let (mut server, address) = program.serve();
        create_key(address, "a key");
        let line = server.wait_for_message("delivery of a letter failed; it is tried again");
        assert_eq!(line["fault"], "RCPT: reply 451 4.7.1", "{line}");
        assert_eq!(line["letter"], "key-created", "{line}");
        let metrics = Client::new(address).get("/api/metrics", "").expect("a response").text;
        for sample in [
            "goat_letters_sent_total{letter=\"key-created\"} 0\n",
            "goat_letter_retries_total 1\n",
            "goat_letters_waiting 1\n",
            "goat_letters_dropped_total{reason=\"unknown\"} 0\n",
            "goat_letter_queue_rejections_total 0\n",
        ] {
            assert!(metrics.contains(sample), "{sample} in {metrics}");
        }
        server.stop()
    })
    .await;
    assert_eq!(sink.counts().accepted, 1);
    assert_eq!(sink.received().len(), 1);
    assert_eq!(message(&json(output.last().expect("a line"))), "stopped");
    assert!(!output.iter().any(|line| line.contains("letter dropped")), "{output:?}");
}

/// O3: a mail server that does not respond does not delay the shutdown further.
#[tokio::test(flavor = "multi_thread")]
async fn letters_left_at_the_shutdown_timeout_are_dropped() {
    let sink = Sink::start([(Stage::End, Fault::Stall)]).await;
    let program =
        with_sink(&sink).with("GOAT_REQUEST_TIMEOUT", "3s").with("GOAT_SHUTDOWN_TIMEOUT", "3s");
    let (program, server) = blocking(move || {
        let (server, address) = program.serve();
        create_key(address, "a key");
        (program, server)
    })
    .await;
    sink.until(|counts| counts.faults == 1).await;
    let output = blocking(move || server.stop()).await;
    let line = output.iter().find(|line| line.contains("letters dropped at shutdown"));
    assert_eq!(json(line.expect("a line"))["left"], 1, "{output:?}");
    drop(program);
    assert_eq!(sink.received().len(), 1);
}

#[test]
fn faulty_templates_are_refused_before_anything_is_changed() {
    let program = Program::new();
    let folder = program.path("templates");
    fs::create_dir(&folder).expect("made");
    fs::write(folder.join("verify-email.en.txt"), "Subject\nNo link").expect("written");
    let program = program.with("GOAT_MAIL_TEMPLATES", folder.to_str().expect("text"));
    for arguments in [&["serve"][..], &["check"]] {
        let exit = program.run(arguments);
        assert_eq!(exit.status, Some(78), "{exit:?}");
        assert!(exit.text().contains("verify-email.en.txt has no {link}"), "{exit:?}");
    }
    assert!(!program.path("data/goat.db").exists());
    fs::write(folder.join("verify-email.en.txt"), "Subject\n{link}").expect("written");
    let (server, _) = program.serve();
    server.stop();
}

#[test]
fn templates_of_the_operator_are_used() {
    let program = program();
    let folder = program.path("templates");
    fs::create_dir(&folder).expect("made");
    fs::write(folder.join("key-created.en.txt"), "Ours\n\nThe key: {name}").expect("written");
    let program = program.with("GOAT_MAIL_TEMPLATES", folder.to_str().expect("text"));
    let (mut server, address) = program.serve();
    create_key(address, "a key");
    let line = server.wait_for_message("letter written");
    let letter = fs::read_to_string(program.path(line["file"].as_str().expect("a path")));
    let letter = letter.expect("a file");
    assert!(
        letter.contains("\r\nSubject: Ours\r\n") && letter.contains("The key: a key"),
        "{letter}"
    );
    server.stop();
}
