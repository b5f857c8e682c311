//! The first administrator: created once, with a password that is never lost, or rejected with a
//! message.

use std::fs;
use std::sync::Arc;

use goat_core::auth::Login;
use goat_core::session::Origin;
use goat_core::testing::PlainHasher;
use goat_core::token::TokenKeys;
use goat_core::user::{NewUser, UserFilter};
use goat_core::{Actor, Email, Settings as Rules, Status, Stores};

use super::*;

const PASSWORD: &str = "seven lamps over the quay";

struct Start {
    goat: Goat,
    accounts: AccountSettings,
    passwords: PasswordSettings,
    data: DataDir,
    _folder: tempfile::TempDir,
}

impl Start {
    fn new(password: Option<&str>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let environment = [("GOAT_ENV".into(), "development".into())];
        let flags = crate::start::settings::Flags::default();
        let file = folder.path().join("there-is-no.env");
        let settings = crate::start::settings::Settings::load(environment, &flags, &file)
            .expect("valid settings")
            .0;
        let goat = Goat::builder(Stores::memory(), TokenKeys::generate())
            .settings(Rules { account_quota: None, ..Rules::default() })
            .hasher(Arc::new(PlainHasher::default()))
            .build()
            .expect("a goat");
        Self {
            goat,
            accounts: AccountSettings {
                admin_password: password.map(Secret::from),
                ..settings.accounts
            },
            passwords: settings.passwords,
            data: DataDir::new(folder.path().join("data")),
            _folder: folder,
        }
    }

    async fn run(&self) -> Result<Administrator, Failure> {
        ensure_administrator(&self.goat, &self.accounts, &self.passwords, &self.data).await
    }

    async fn add(&self, role: &str, status: Status) {
        let new = NewUser {
            email: Email::parse(&self.accounts.admin_email).expect("an address"),
            password: Some(PASSWORD.into()),
            role: self.goat.roles().get(role).expect("a role"),
            status,
        };
        self.goat.users().create(Actor::system("test"), new).await.expect("a user");
    }

    async fn signs_in_with(&self, password: &str) -> bool {
        let login = Login {
            email: self.accounts.admin_email.clone().into(),
            password: password.into(),
            device_token: None,
            origin: Origin::default(),
        };
        self.goat.login(login).await.is_ok()
    }

    async fn users(&self) -> usize {
        let page = self.goat.users().list_all(UserFilter::default()).await.expect("a page");
        page.users.len()
    }
}

#[tokio::test]
async fn first_start_creates_an_administrator_with_the_configured_password() {
    let start = Start::new(Some(PASSWORD));
    assert!(matches!(start.run().await, Ok(Administrator::Created)));
    assert!(start.signs_in_with(PASSWORD).await);
    assert!(!start.data.path().exists(), "nothing was generated");
    assert!(matches!(start.run().await, Ok(Administrator::Existing)));
    assert_eq!(start.users().await, 1);
}

#[tokio::test]
async fn generated_password_is_stored_and_signs_in() {
    let start = Start::new(None);
    let Ok(Administrator::CreatedWithGeneratedPassword(password)) = start.run().await else {
        panic!("a generated password")
    };
    let kept = start.data.read(SecretFile::AdminPassword).expect("it is private");
    assert_eq!(kept.expect("it is kept").expose(), password.expose());
    assert!(start.signs_in_with(password.expose()).await);
}

/// O4.
#[tokio::test]
async fn password_of_a_killed_start_is_reused() {
    let start = Start::new(None);
    start.data.read_or_create(SecretFile::AdminPassword, || PASSWORD.into()).expect("it is made");
    start.run().await.expect("an administrator");
    assert!(start.signs_in_with(PASSWORD).await);
}

#[tokio::test]
async fn concurrent_starts_create_one_administrator() {
    let start = Start::new(None);
    let (one, other) = tokio::join!(start.run(), start.run());
    let made = [one, other].map(|result| result.expect("both start"));
    assert_eq!(start.users().await, 1);
    let count = made.iter().filter(|made| !matches!(made, Administrator::Existing)).count();
    assert_eq!(count, 1, "{made:?}");
}

#[tokio::test]
async fn address_of_another_user_refuses_the_start() {
    for (role, status, expected) in [
        ("client", Status::Active, "is not an administrator"),
        ("admin", Status::Inactive, "is not active"),
    ] {
        let start = Start::new(Some(PASSWORD));
        start.add(role, status).await;
        let refused = start.run().await.expect_err("the address is taken");
        assert!(refused.to_string().starts_with("GOAT_ADMIN_EMAIL: "), "{refused}");
        assert!(refused.to_string().contains(expected), "{refused}");
        // L1: the message reaches a log.
        assert!(!refused.to_string().contains(&start.accounts.admin_email), "{refused}");
    }
}

#[tokio::test]
async fn invalid_password_refuses_the_start_and_is_not_shown() {
    let start = Start::new(Some("passwordpassword"));
    let refused = start.run().await.expect_err("it is common").to_string();
    assert!(refused.starts_with("GOAT_ADMIN_PASSWORD: the password "), "{refused}");
    assert!(!refused.contains("passwordpassword"), "{refused}");
    assert_eq!(start.users().await, 0);

    let start = Start::new(None);
    start.data.create().expect("a directory");
    fs::write(start.data.path_of(SecretFile::AdminPassword), "short").expect("it is ours");
    {
        use std::os::unix::fs::PermissionsExt as _;
        let private = fs::Permissions::from_mode(0o600);
        fs::set_permissions(start.data.path_of(SecretFile::AdminPassword), private).expect("ours");
    }
    let refused = start.run().await.expect_err("it is short").to_string();
    assert!(refused.contains("admin-password: the password "), "{refused}");
}

#[test]
fn generated_password_follows_the_policy_and_is_unique() {
    let mut policy = Start::new(None).passwords;
    for (minimum, maximum) in [(8, 64), (15, 256), (64, 64), (128, 128)] {
        (policy.min_length, policy.max_length) = (minimum, maximum);
        let password = generate_password(&policy);
        let length = password.expose().chars().count();
        assert!((minimum..=maximum).contains(&length), "{length}");
        assert!(length >= 24);
        assert_ne!(password.expose(), generate_password(&policy).expose());
    }
}
