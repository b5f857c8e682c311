//! Tests of SMTP against a sink that fails at chosen stages.

mod real_server;
#[path = "../../../tests/support/smtp_sink.rs"]
mod sink;

use std::sync::Arc;

use goat_core::Email;
use goat_core::courier::{Courier as _, Letter, Message};
use goat_core::testing::ManualClock;
use lettre::transport::smtp::client::{CertificateStore, TlsParameters};
use sink::{Fault as SinkFault, Received, Sink, Stage as SinkStage};

use super::super::backoff::Backoff;
use super::super::delivery::Delivery;
use super::super::folder::Terminal;
use super::super::tests::{letters, renderer};
use super::super::{Deliveries, MailCourier};
use super::*;
use crate::observe::logging::tests::Log;
use crate::observe::metrics::{MailLoss, MailMetrics};
use crate::serve::Lifecycle;

/// Far above what a loopback connection takes. Tests of a stall pause the clock, which then jumps to it.
const WITHIN: Duration = Duration::from_secs(30);

fn server(address: std::net::SocketAddr, encryption: Encryption) -> Server {
    Server {
        host: address.ip().to_string(),
        port: address.port(),
        encryption,
        credentials: None,
        client: ClientId::Domain("app.example.org".into()),
    }
}

fn smtp(sink: &Sink) -> Smtp {
    Smtp::new(server(sink.address(), Encryption::None), WITHIN)
}

fn mail() -> Mail {
    Mail {
        message: "account-exists",
        from: "goat@example.org".parse().expect("an address"),
        to: "ann@example.com".parse().expect("an address"),
        content: b"Subject: a test\r\n\r\nfirst\r\n.\r\n..two\r\nlast\r\n".to_vec(),
        link: None,
    }
}

fn stage_of(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Delivered => "none",
        Outcome::Deferred(fault) | Outcome::Rejected(fault) | Outcome::Unknown(fault) => {
            fault.stage
        }
    }
}

#[test]
fn client_is_named_by_the_site() {
    for (site, expected) in [
        ("example.org", "example.org"),
        ("192.0.2.1", "[192.0.2.1]"),
        ("2001:db8::1", "[IPv6:2001:db8::1]"),
        ("", "[127.0.0.1]"),
        ("a\r\nb", "[127.0.0.1]"),
    ] {
        assert_eq!(client(site).to_string(), expected);
    }
}

/// L1
#[test]
fn debug_output_redacts_the_password() {
    let mut server = server(([127, 0, 0, 1], 465).into(), Encryption::None);
    server.credentials = Some(Credentials::new("the user".into(), "the password".into()));
    let shown = format!("{:?}", Smtp::new(server, WITHIN));
    assert!(shown.contains("127.0.0.1"), "{shown}");
    assert!(!shown.contains("the user") && !shown.contains("the password"), "{shown}");
}

#[tokio::test]
async fn letters_arrive_whole_over_one_connection() {
    let sink = Sink::start([]).await;
    let smtp = smtp(&sink);
    for _ in 0..3 {
        assert_eq!(smtp.deliver(&mail()).await, Outcome::Delivered);
    }
    let mail = mail();
    let expected = Received {
        from: "goat@example.org".into(),
        to: "ann@example.com".into(),
        content: String::from_utf8(mail.content).expect("ASCII") + "\r\n",
    };
    assert_eq!(sink.received(), vec![expected; 3]);
    assert_eq!(sink.counts().connections, 1);
}

/// The stage of a fault of the sink, as the log names it.
fn named(stage: SinkStage) -> &'static str {
    match stage {
        SinkStage::Banner | SinkStage::Ehlo => "connect",
        SinkStage::Mail | SinkStage::Idle => "MAIL",
        SinkStage::Rcpt => "RCPT",
        SinkStage::Data => "DATA",
        SinkStage::Content | SinkStage::End => "end of data",
    }
}

#[tokio::test]
async fn permanent_replies_reject_the_letter() {
    for stage in [SinkStage::Mail, SinkStage::Rcpt, SinkStage::Data, SinkStage::End] {
        let sink = Sink::start([(stage, SinkFault::Reply("550 5.1.1 no such user"))]).await;
        let outcome = smtp(&sink).deliver(&mail()).await;
        assert!(matches!(&outcome, Outcome::Rejected(_)), "{stage:?}: {outcome:?}");
        assert_eq!(stage_of(&outcome), named(stage));
        assert_eq!(sink.counts().accepted, 0);
    }
}

#[tokio::test]
async fn temporary_replies_defer_the_letter() {
    for stage in SinkStage::ALL {
        if matches!(stage, SinkStage::Idle | SinkStage::Content) {
            continue;
        }
        for fault in [
            SinkFault::Reply("451 4.7.1 greylisted"),
            SinkFault::ReplyAndClose("421 4.3.2 closing"),
        ] {
            let sink = Sink::start([(stage, fault)]).await;
            let smtp = smtp(&sink);
            let outcome = smtp.deliver(&mail()).await;
            assert!(matches!(&outcome, Outcome::Deferred(_)), "{stage:?}: {outcome:?}");
            assert_eq!(stage_of(&outcome), named(stage), "{outcome:?}");
            assert_eq!(smtp.deliver(&mail()).await, Outcome::Delivered, "{stage:?}");
            assert_eq!(sink.counts().accepted, 1);
        }
    }
}

/// A 5xx before the first command about the letter concerns the connection.
#[tokio::test]
async fn rejected_connection_defers_the_letter() {
    for stage in [SinkStage::Banner, SinkStage::Ehlo] {
        let sink = Sink::start([(stage, SinkFault::Reply("554 5.3.2 no service"))]).await;
        let outcome = smtp(&sink).deliver(&mail()).await;
        assert!(matches!(&outcome, Outcome::Deferred(_)), "{outcome:?}");
        assert_eq!(sink.received(), []);
    }
}

#[tokio::test]
async fn lost_connection_defers_the_letter_unless_its_end_was_sent() {
    for stage in SinkStage::ALL {
        let sink = Sink::start([(stage, SinkFault::Close)]).await;
        let outcome = smtp(&sink).deliver(&mail()).await;
        match stage {
            SinkStage::Idle => assert_eq!(outcome, Outcome::Delivered),
            SinkStage::End => assert!(matches!(outcome, Outcome::Unknown(_)), "{outcome:?}"),
            // The end may be sent before the client sees that the connection is closed.
            SinkStage::Content => assert_ne!(outcome, Outcome::Delivered),
            _ => assert!(matches!(outcome, Outcome::Deferred(_)), "{stage:?}: {outcome:?}"),
        }
    }
}

/// Delivers to a sink that stalls: the clock jumps as soon as it does.
async fn stalled(smtp: &Arc<Smtp>, sink: &Sink) -> Outcome {
    let faults = sink.counts().faults;
    let delivery = tokio::spawn({
        let smtp = Arc::clone(smtp);
        async move { smtp.deliver(&mail()).await }
    });
    sink.until(|counts| counts.faults > faults).await;
    tokio::time::pause();
    let outcome = delivery.await.expect("no panic");
    tokio::time::resume();
    outcome
}

#[tokio::test]
async fn each_delivery_ends_within_its_timeout() {
    for stage in SinkStage::ALL {
        if stage == SinkStage::Idle {
            continue;
        }
        let sink = Sink::start([(stage, SinkFault::Stall)]).await;
        let smtp = Arc::new(smtp(&sink));
        let outcome = stalled(&smtp, &sink).await;
        match stage {
            // The sink stalls while it reads the content, and the client has written all of it.
            SinkStage::Content | SinkStage::End => {
                assert!(matches!(outcome, Outcome::Unknown(_)), "{stage:?}: {outcome:?}");
            }
            _ => assert!(matches!(outcome, Outcome::Deferred(_)), "{stage:?}: {outcome:?}"),
        }
        assert_eq!(stage_of(&outcome), named(stage));
        assert!(format!("{outcome:?}").contains("GOAT_MAIL_TIMEOUT"), "{outcome:?}");
        // The stalled connection is not used again: a late reply on it would be taken for another one.
        assert_eq!(smtp.deliver(&mail()).await, Outcome::Delivered, "{stage:?}");
        assert_eq!(sink.counts().connections, 2);
    }
}

/// lettre #743: a server closes an idle connection at any time.
#[tokio::test]
async fn closed_idle_connection_is_replaced_at_once() {
    for fault in [SinkFault::Close, SinkFault::ReplyAndClose("421 4.4.2 idle for too long")] {
        let sink = Sink::start([(SinkStage::Idle, fault)]).await;
        let smtp = smtp(&sink);
        assert_eq!(smtp.deliver(&mail()).await, Outcome::Delivered);
        sink.until(|counts| counts.closed == 1).await;
        assert_eq!(smtp.deliver(&mail()).await, Outcome::Delivered);
        assert_eq!(sink.received().len(), 2);
        assert_eq!(sink.counts().connections, 2);
    }
}

#[tokio::test]
async fn kept_connection_that_is_lost_after_the_end_is_not_replaced() {
    let sink = Sink::start([]).await;
    let smtp = smtp(&sink);
    assert_eq!(smtp.deliver(&mail()).await, Outcome::Delivered);
    sink.fail_next([(SinkStage::End, SinkFault::Close)]);
    let second = smtp.deliver(&mail()).await;
    assert!(matches!(second, Outcome::Unknown(_)), "{second:?}");
    assert_eq!((sink.received().len(), sink.counts().connections), (2, 1));
}

#[tokio::test]
async fn stalled_idle_connection_is_replaced_by_the_next_try() {
    let sink = Sink::start([(SinkStage::Idle, SinkFault::Stall)]).await;
    let smtp = Arc::new(smtp(&sink));
    assert_eq!(smtp.deliver(&mail()).await, Outcome::Delivered);
    sink.until(|counts| counts.faults == 1).await;
    tokio::time::pause();
    let outcome = smtp.deliver(&mail()).await;
    tokio::time::resume();
    assert!(matches!(outcome, Outcome::Deferred(_)), "{outcome:?}");
    assert_eq!(smtp.deliver(&mail()).await, Outcome::Delivered);
    assert_eq!(sink.received().len(), 2);
}

#[tokio::test]
async fn idle_connections_are_closed_after_a_while() {
    let sink = Sink::start([]).await;
    let smtp = smtp(&sink);
    assert_eq!(smtp.deliver(&mail()).await, Outcome::Delivered);
    tokio::time::pause();
    tokio::select! {
        () = smtp.close_idle() => {}
        _ = sink.until(|counts| counts.closed == 1) => {}
    }
    assert!(smtp.idle.take().is_none());
}

#[tokio::test]
async fn server_without_starttls_gets_nothing() {
    for extensions in [&["8BITMIME"][..], &["AUTH PLAIN LOGIN"]] {
        let sink = Sink::with_extensions(extensions, []).await;
        let parameters = TlsParameters::builder("127.0.0.1".into())
            .certificate_store(CertificateStore::WebpkiRoots)
            .build()
            .expect("parameters");
        let mut server = server(sink.address(), Encryption::StartTls(parameters));
        server.credentials = Some(Credentials::new("name".into(), "password".into()));
        let outcome = Smtp::new(server, WITHIN).deliver(&mail()).await;
        assert!(matches!(outcome, Outcome::Deferred(_)), "{outcome:?}");
        assert_eq!(stage_of(&outcome), "STARTTLS");
        assert_eq!(sink.commands(), ["EHLO"], "neither a password nor an address");
    }
}

#[tokio::test]
async fn refused_connection_is_named() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let outcome = Smtp::new(server(address, Encryption::None), WITHIN).deliver(&mail()).await;
    let Outcome::Deferred(fault) = outcome else { panic!("{outcome:?}") };
    assert_eq!(fault.stage, "connect");
    assert!(fault.cause.contains("Connection refused"), "{fault}");
}

/// A courier over SMTP that retries at once.
fn courier(sink: &Sink) -> (MailCourier, Deliveries) {
    let delivery = Delivery {
        renderer: renderer(),
        carrier: Box::new(smtp(sink)),
        backoff: Backoff { first: Duration::from_millis(1), factor: 1, tries: 6 },
        clock: Arc::new(ManualClock::default()),
        metrics: MailMetrics::default(),
    };
    let (courier, mailbag) = MailCourier::over(delivery, 100, Terminal::default());
    let deliveries = mailbag.start(&Lifecycle::new());
    (courier, deliveries)
}

/// After no sequence of two faults at any stages is a letter sent again that may have been accepted, and every
/// letter is counted.
#[tokio::test]
async fn no_letter_is_sent_twice() {
    let faults = [
        SinkFault::Close,
        SinkFault::Reply("451 4.7.1 greylisted"),
        SinkFault::ReplyAndClose("421 4.3.2 closing"),
        SinkFault::Reply("550 5.1.1 no such user"),
    ];
    let mut all: Vec<_> =
        SinkStage::ALL.iter().flat_map(|stage| faults.map(|fault| (*stage, fault))).collect();
    // A reply in the middle of the content, after which the server goes on, is no SMTP.
    all.retain(|(stage, fault)| {
        *stage != SinkStage::Content || !matches!(fault, SinkFault::Reply(_))
    });
    let all = Arc::new(all);
    let mut tests = tokio::task::JoinSet::new();
    for first in all.iter().copied() {
        let all = Arc::clone(&all);
        tests.spawn(async move {
            for second in all.iter().copied() {
                send_through(first, second).await;
            }
        });
    }
    tests.join_all().await;
}

/// Sends a letter to a sink that fails twice, with retries, and checks the account of it.
async fn send_through(first: (SinkStage, SinkFault), second: (SinkStage, SinkFault)) {
    let script = format!("{first:?}, {second:?}");
    let sink = Sink::start([first, second]).await;
    let (courier, _deliveries) = courier(&sink);
    let to = Email::parse("ann@example.com").expect("an address");
    let letter = Letter::new(to, Default::default(), Message::AccountExists);
    courier.reserve().expect("a place").send(letter);
    courier.all_free().await;
    let metrics = courier.metrics();
    let sent = metrics.count_sent("account-exists");
    let lost = |loss| metrics.count_lost(loss);
    assert_eq!(sent + lost(MailLoss::Rejected) + lost(MailLoss::Unknown), 1, "{script}");
    // A reply to the end says that the sink did not take the letter.
    let is_refused = |(stage, fault)| stage == SinkStage::End && fault != SinkFault::Close;
    let refused = [first, second].into_iter().filter(|fault| is_refused(*fault)).count();
    assert!(sink.received().len() <= 1 + refused, "{script}: {:?}", sink.received());
    assert_eq!(sink.counts().accepted as u64, sent, "{script}");
}

#[tokio::test]
async fn every_letter_passes_a_mail_server() {
    let sink = Sink::start([]).await;
    let (courier, _deliveries) = courier(&sink);
    let all = letters("a text\r\n.\r\nwith lines");
    let count = all.len();
    for letter in all {
        courier.reserve().expect("a place").send(letter);
    }
    courier.all_free().await;
    assert_eq!(sink.received().len(), count);
    assert!(sink.counts().connections <= 4);
}

/// L1: a server's reply quotes the address, and no line of the log does.
#[tokio::test]
async fn log_names_codes_and_no_address_or_secret() {
    let (log, _guard) = Log::capture("trace");
    let quoting = "550 5.1.1 <ann@example.com>: no mailbox ann here";
    let sink = Sink::start([
        (SinkStage::Rcpt, SinkFault::Reply("451 4.7.1 <ann@example.com> is greylisted")),
        (SinkStage::Rcpt, SinkFault::Reply(quoting)),
        (SinkStage::Mail, SinkFault::Reply("ann@example.com is no reply")),
    ])
    .await;
    let (courier, _deliveries) = courier(&sink);
    let mut secrets = vec!["ann".to_owned()];
    for letter in letters("text").into_iter().filter(|letter| letter.message.secret().is_some()) {
        if let Some(secret) = letter.message.secret() {
            secrets.push(secret.link.text().expose()[26..].to_owned());
            secrets.extend(secret.code.iter().map(|code| code.text().expose().clone()));
        }
        courier.reserve().expect("a place").send(letter);
        courier.all_free().await;
    }
    let text = log.text();
    assert!(text.contains("RCPT: reply 451 4.7.1"), "{text}");
    assert!(text.contains("RCPT: reply 550 5.1.1"), "{text}");
    assert!(text.contains("confirm-sign-up"), "{text}");
    for secret in secrets {
        assert!(!text.contains(&secret), "{secret} in {text}");
    }
}
