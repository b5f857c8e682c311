//! New passwords that are known from a data breach, on every route that sets one, with a list in a file as
//! Have I Been Pwned publishes it.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use goat_server::start::BreachedFile;
use serde_json::json;

use crate::support::app::{PASSWORD, TestApp, TestResponse, TestUser};

/// A password of the list.
const BREACHED: &str = "a quiet harbour in the rain";

/// Its SHA-1 between two others.
const LIST: &str = "000000005AD76BD555C1D6D771DE417A4B87E4B4:10\r\n\
    70494D99C711B68FB1CED1A1B81B5061C6511B0A:3\r\n\
    FFFFFFFEE791CBAC0F6305CAF0CEE06BBE131160:2\r\n";

const RULE: &str = "must not be a password that is known from a data breach";

struct Fixture {
    app: TestApp,
    admin: TestUser,
    client: TestUser,
    target: TestUser,
    list: PathBuf,
    _folder: tempfile::TempDir,
}

impl Fixture {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let list = folder.path().join("pwned.txt");
        fs::write(&list, LIST).expect("space");
        let file = BreachedFile::open(&list, Duration::from_secs(60)).expect("a list");
        let app = TestApp::with(|setup| setup.breached = Some(Arc::new(file))).await;
        let (admin, client, target) = (app.admin().await, app.client().await, app.client().await);
        Self { app, admin, client, target, list, _folder: folder }
    }

    /// Sends a new password to every route that sets one, and returns the member and the response of each.
    async fn set_everywhere(&self, password: &str) -> Vec<(&'static str, TestResponse)> {
        let Self { app, admin, client, target, .. } = self;
        let new = json!({
            "email": "new@example.org", "password": password, "role": "client", "status": "active"
        });
        let sign_up = json!({ "email": "ann@example.org", "password": password });
        let update = json!({ "email": target.email, "password": password });
        let change = json!({ "current_password": PASSWORD, "new_password": password });
        let own = "/api/v1/user/change-password";
        let _ = app.hasher.take_calls();
        vec![
            ("password", app.post("/api/v1/auth/signup").json(&sign_up).send().await),
            ("password", app.post("/api/v1/user").bearer(&admin.token).json(&new).send().await),
            ("password", app.put(&target.path()).bearer(&admin.token).json(&update).send().await),
            ("new_password", app.patch(own).bearer(&client.token).json(&change).send().await),
        ]
    }
}

/// The rule is shown with its field, and no hash is computed.
#[tokio::test]
async fn breached_password_is_rejected_wherever_one_is_set() {
    let fixture = Fixture::new().await;
    for (field, response) in fixture.set_everywhere(BREACHED).await {
        assert_eq!(response.failure(), (400, "validation"));
        assert_eq!(response.json["errors"], json!([{ "field": field, "message": RULE }]));
    }
    assert_eq!(fixture.app.hasher.take_calls(), []);
    // The session and the password are as before.
    let response = fixture.app.get("/api/v1/user").bearer(&fixture.client.token).send().await;
    assert_eq!(response.status, 200);
    fixture.app.sign_in(&fixture.client.email, PASSWORD).await;
    // Another password, though one letter apart, is in no list.
    let statuses: Vec<u16> = fixture
        .set_everywhere("a quiet harbour in the rain!")
        .await
        .iter()
        .map(|(_, response)| response.status)
        .collect();
    assert_eq!(statuses, [201, 201, 200, 200]);
}

/// O1: without the list no password is set, and sign-ins go on. The rules that need no list come first.
#[tokio::test]
async fn unreadable_list_is_a_503_where_a_password_is_set() {
    let fixture = Fixture::new().await;
    fs::remove_file(&fixture.list).expect("it is ours");
    for (_, response) in fixture.set_everywhere("seven lamps over the quay").await {
        assert_eq!(response.failure(), (503, "unavailable"));
        assert!(response.headers.contains_key("retry-after"));
    }
    assert_eq!(fixture.app.hasher.take_calls(), []);
    for (field, response) in fixture.set_everywhere("too short").await {
        assert_eq!((response.failure(), response.fields()), ((400, "validation"), vec![field]));
    }
    fixture.app.sign_in(&fixture.client.email, PASSWORD).await;
    fs::write(&fixture.list, LIST).expect("space");
    for (_, response) in fixture.set_everywhere("seven lamps over the quay").await {
        assert!([200, 201].contains(&response.status), "{response:?}");
    }
}
