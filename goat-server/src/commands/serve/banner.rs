//! The startup banner: shown to an operator at a terminal when the server is ready, never logged.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use goat_core::Quota;

use crate::start::Administrator;
use crate::start::settings::{Settings, show_duration};

/// The content of the banner.
pub(super) struct Facts<'a> {
    pub(super) settings: &'a Settings,
    pub(super) api: SocketAddr,
    pub(super) metrics: Option<SocketAddr>,
    pub(super) database: &'a str,
    pub(super) redis: Option<&'a str>,
    pub(super) administrator: &'a Administrator,
    /// The file with a generated password, if there is one.
    pub(super) password_file: Option<&'a Path>,
}

/// Returns the whole banner.
pub(super) fn text(facts: &Facts<'_>) -> String {
    let Facts { settings, api, database, redis, .. } = facts;
    let base = url(*api);
    let limits = &settings.limits;
    let stored = match redis {
        Some(redis) => format!("{database} and {redis}"),
        None => (*database).to_owned(),
    };
    let mut lines = vec![
        ("listening on", base.clone()),
        ("documentation", format!("{base}/api/docs")),
        ("metrics", format!("{}/api/metrics", facts.metrics.map_or(base, url))),
        ("data", format!("{} ({stored})", settings.storage.data_dir.display())),
        ("sign-in, sign-up", per(limits.auth, "client address")),
        ("sign-in", per(limits.account, "account")),
        ("", per(limits.account_day, "account")),
        ("refresh", per(limits.refresh, "client address")),
        ("public routes", per(limits.public, "client address")),
        ("protected routes", per(limits.address, "client address")),
        ("", per(limits.user, "user")),
        ("token verification", per(limits.verify, "user")),
        ("session control", per(limits.session_control, "session")),
        ("password checks", per(limits.password_check, "session")),
        (
            "mail",
            settings.mail.delivery.as_ref().map_or_else(|| "none".into(), ToString::to_string),
        ),
        ("administrator", settings.accounts.admin_email.clone()),
    ];
    if let Administrator::CreatedWithGeneratedPassword(password) = facts.administrator {
        lines.push(("password", password.expose().clone()));
    }
    match (facts.administrator, facts.password_file) {
        (Administrator::Existing, Some(path)) => {
            lines.push(("", format!("initial password in {}", path.display())));
        }
        (_, Some(path)) => lines.push(("", format!("stored in {}", path.display()))),
        _ => {}
    }
    let mut text = format!("\ngoat-server {}\n\n", env!("CARGO_PKG_VERSION"));
    for (name, value) in lines {
        text.push_str(&format!("  {name:18}{value}\n"));
    }
    text.push('\n');
    text
}

/// Returns the URL for a browser on this machine.
fn url(address: SocketAddr) -> String {
    let host = match address.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    format!("http://{}", SocketAddr::new(host, address.port()))
}

/// Describes a limit in words.
fn per(quota: Option<Quota>, whom: &str) -> String {
    const UNITS: [(u64, &str); 4] =
        [(1, "second"), (60, "minute"), (3600, "hour"), (86_400, "day")];
    let Some(quota) = quota else { return format!("no limit by {whom}") };
    let unit = UNITS.iter().find(|(seconds, _)| quota.window() == Duration::from_secs(*seconds));
    let window = unit.map_or_else(|| show_duration(quota.window()), |unit| unit.1.into());
    format!("{} per {window}, by {whom}", quota.limit())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::start::settings::Flags;

    fn settings(environment: &[(&str, &str)]) -> Settings {
        let environment = environment.iter().map(|(name, value)| (name.into(), value.into()));
        let file = Path::new("there-is-no.env");
        Settings::load(environment, &Flags::default(), file).expect("valid settings").0
    }

    #[test]
    fn banner_shows_urls_limits_and_administrator() {
        let settings =
            settings(&[("GOAT_RATE_LIMIT_USER", "off"), ("GOAT_RATE_LIMIT_REFRESH", "9/90s")]);
        let text = text(&Facts {
            settings: &settings,
            api: "0.0.0.0:8080".parse().expect("an address"),
            metrics: None,
            database: "SQLite in ./data/goat.db",
            redis: Some("Redis 7.0.15"),
            administrator: &Administrator::CreatedWithGeneratedPassword("abcde-fghij".into()),
            password_file: Some(Path::new("./data/admin-password")),
        });
        for piece in [
            "http://127.0.0.1:8080\n",
            "http://127.0.0.1:8080/api/docs\n",
            "http://127.0.0.1:8080/api/metrics\n",
            "./data (SQLite in ./data/goat.db and Redis 7.0.15)\n",
            "5 per minute, by client address\n",
            "50 per minute, by account\n",
            "100 per day, by account\n",
            "1200 per minute, by user\n",
            "30 per minute, by session\n",
            "10 per minute, by session\n",
            "mail              files in ./data/mail\n",
            "9 per 90s, by client address\n",
            "no limit by user\n",
            "admin@goat.local\n",
            "abcde-fghij\n",
            "stored in ./data/admin-password\n",
        ] {
            assert!(text.contains(piece), "{piece} in {text}");
        }
    }

    #[test]
    fn unspecified_address_is_shown_as_localhost() {
        for (address, expected) in [
            ("0.0.0.0:80", "http://127.0.0.1:80"),
            ("[::]:80", "http://[::1]:80"),
            ("192.0.2.1:80", "http://192.0.2.1:80"),
        ] {
            assert_eq!(url(address.parse().expect("an address")), expected);
        }
    }
}
