//! Tests against a mail server of Debian's `python3-aiosmtpd`, with TLS and AUTH.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::OnceLock;

use lettre::transport::smtp::client::Certificate;
use serde_json::Value;

use super::*;

const USER: &str = "goat";
const PASSWORD: &str = "a long walk on a short pier";

/// Returns the interpreter that has `aiosmtpd`: Debian's own, or the first of the path.
fn python() -> &'static str {
    static FOUND: OnceLock<&str> = OnceLock::new();
    FOUND.get_or_init(|| {
        let has = |python: &&str| {
            let mut command = Command::new(python);
            let tried = command.args(["-c", "import aiosmtpd"]).stderr(Stdio::null()).status();
            tried.is_ok_and(|status| status.success())
        };
        ["/usr/bin/python3", "python3"]
            .into_iter()
            .find(has)
            .unwrap_or_else(|| panic!("install the package `python3-aiosmtpd`, or run `make test`"))
    })
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/mail_server.py")
}

/// A running mail server. It ends when it is dropped, because its standard input does.
struct MailServer {
    child: Child,
    output: BufReader<ChildStdout>,
    port: u16,
    authority: Vec<u8>,
    _folder: tempfile::TempDir,
}

impl MailServer {
    fn start(mode: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let authority = certificate(folder.path());
        let mut child = Command::new(python())
            .arg(script())
            .arg(mode)
            .arg(folder.path().join("server.crt"))
            .arg(folder.path().join("server.key"))
            .args([USER, PASSWORD])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python is installed");
        let output = child.stdout.take().expect("a pipe");
        let mut server =
            Self { child, output: BufReader::new(output), port: 0, authority, _folder: folder };
        let port = server.line();
        server.port = port.trim().parse().expect("a port");
        server
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("a pipe");
        line
    }

    fn letter(&mut self) -> Value {
        serde_json::from_str(&self.line()).expect("a letter")
    }

    fn trusted(&self) -> TlsParameters {
        let authority = Certificate::from_pem(&self.authority).expect("a certificate");
        let builder = TlsParameters::builder("localhost".into());
        let builder = builder.certificate_store(CertificateStore::None);
        builder.add_root_certificate(authority).build().expect("parameters")
    }

    fn smtp(&self, encryption: Encryption, password: &str) -> Smtp {
        let server = Server {
            host: "127.0.0.1".into(),
            port: self.port,
            encryption,
            credentials: Some(Credentials::new(USER.into(), password.into())),
            client: ClientId::Domain("app.example.org".into()),
        };
        Smtp::new(server, WITHIN)
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Creates an authority, and a certificate for `localhost` and its key in the folder; returns the authority.
fn certificate(folder: &Path) -> Vec<u8> {
    let extensions = "basicConstraints=critical,CA:FALSE\nsubjectAltName=DNS:localhost\n";
    std::fs::write(folder.join("extensions"), extensions).expect("a file");
    for line in [
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
         -keyout authority.key -out authority.crt -subj /CN=tests",
        "req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
         -keyout server.key -out server.request -subj /CN=localhost",
        "x509 -req -days 2 -extfile extensions -in server.request -CA authority.crt \
         -CAkey authority.key -CAcreateserial -out server.crt",
    ] {
        let mut command = Command::new("openssl");
        command.args(line.split_whitespace()).current_dir(folder);
        let output = command.output().expect("openssl is installed");
        assert!(output.status.success(), "{line}: {output:?}");
    }
    std::fs::read(folder.join("authority.crt")).expect("a file")
}

fn rendered() -> Mail {
    let all = letters("Ann's \u{fc}ber <laptop>\r\nBcc: eve@example.org");
    let letter = all.into_iter().find(|letter| letter.message.name() == "new-device");
    let now = goat_core::Timestamp::from_millis(1_767_225_600_000);
    renderer().render(&letter.expect("a sample"), now).expect("a letter")
}

/// Checks a letter as another implementation of MIME read it.
fn assert_is_new_device(letter: &Value) {
    assert_eq!(letter["from"], "goat <goat@example.org>");
    assert_eq!(letter["to"], "ann@example.com");
    assert_eq!(letter["subject"], "New sign-in to your account at app.example.org");
    assert_eq!(letter["defects"], serde_json::json!([]));
    let text = letter["text"].as_str().expect("a text");
    assert!(text.contains("\nDevice: Ann's \u{fc}ber <laptop> Bcc: eve@example.org\n"), "{text}");
    let html = letter["html"].as_str().expect("HTML");
    assert!(html.contains("<strong>Ann&#39;s \u{fc}ber &lt;laptop&gt; Bcc: "), "{html}");
    let headers = letter["headers"].as_array().expect("an array");
    assert!(!headers.contains(&Value::from("Bcc")), "{headers:?}");
}

#[tokio::test]
async fn letters_arrive_over_tls_after_a_sign_in() {
    for mode in ["tls", "starttls"] {
        let mut server = MailServer::start(mode);
        let encryption = match mode {
            "tls" => Encryption::Tls(server.trusted()),
            _ => Encryption::StartTls(server.trusted()),
        };
        let smtp = server.smtp(encryption, PASSWORD);
        for _ in 0..2 {
            assert_eq!(smtp.deliver(&rendered()).await, Outcome::Delivered, "{mode}");
            let letter = server.letter();
            assert_is_new_device(&letter);
            assert_eq!(letter["sender"], "goat@example.org");
            assert_eq!(letter["recipients"], serde_json::json!(["ann@example.com"]));
            assert_eq!(letter["encrypted"], true, "{mode}");
        }
        smtp.close().await;
    }
}

#[tokio::test]
async fn wrong_password_is_a_rejection() {
    let server = MailServer::start("tls");
    let outcome =
        server.smtp(Encryption::Tls(server.trusted()), "another").deliver(&rendered()).await;
    let Outcome::Rejected(fault) = outcome else { panic!("{outcome:?}") };
    assert_eq!(fault.to_string(), "AUTH: reply 535 5.7.8");
}

#[tokio::test]
async fn unverified_certificates_are_named() {
    for mode in ["tls", "starttls"] {
        let server = MailServer::start(mode);
        // The public authorities do not know it, and it is for another name.
        let unknown = TlsParameters::builder("localhost".into())
            .certificate_store(CertificateStore::WebpkiRoots)
            .build()
            .expect("parameters");
        let authority = Certificate::from_pem(&server.authority).expect("a certificate");
        let misnamed = TlsParameters::builder("mail.example.org".into())
            .certificate_store(CertificateStore::None)
            .add_root_certificate(authority)
            .build()
            .expect("parameters");
        for (parameters, cause) in [(unknown, "UnknownIssuer"), (misnamed, "not valid for name")] {
            let encryption = match mode {
                "tls" => Encryption::Tls(parameters),
                _ => Encryption::StartTls(parameters),
            };
            let outcome = server.smtp(encryption, PASSWORD).deliver(&rendered()).await;
            let Outcome::Deferred(fault) = outcome else { panic!("{outcome:?}") };
            assert!(fault.cause.contains("invalid peer certificate"), "{fault}");
            assert!(fault.cause.contains(cause), "{fault}");
        }
    }
}

/// Messages written into a folder are read alike by another implementation of MIME.
#[tokio::test]
async fn letters_in_a_folder_are_messages() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("letter.eml");
    let mail = rendered();
    std::fs::write(&path, &mail.content).expect("a file");
    let output = Command::new(python()).arg(script()).arg("read").arg(&path).output();
    let output = output.expect("Python is installed");
    assert!(output.status.success(), "{output:?}");
    assert_is_new_device(&serde_json::from_slice(&output.stdout).expect("JSON"));
}
