//! Checks across settings: contradictions, and the requirements of production.
//!
//! A setting that is invalid by itself takes part in no comparison.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use goat_core::Secret;
use goat_core::token::weak_secret;
use goat_tower::cookie::Cookies;

use super::reader::Reader;
use super::table::{self, Setting};
use super::types::Algorithm;
use super::values::{origin_of, show};
use super::{Environment, HttpSettings, MailDelivery, Settings, SigningKeys, Signup, UsedSecrets};

/// Maximum of `GOAT_REFRESH_LEEWAY`.
const LONGEST_LEEWAY: Duration = Duration::from_secs(60);

/// Rejects settings that contradict each other.
pub(super) fn contradictions(settings: &Settings, used: UsedSecrets, reader: &mut Reader) {
    listeners(settings, reader);
    loopback(settings, reader);
    times(settings, reader);
    if used.token_keys {
        algorithm(reader);
    }
    audience(settings, reader);
    passwords(settings, reader);
    browsers(&settings.http, reader);
    mail(settings, reader);
}

/// Rejects cookies that no browser would store, and a sign-in page without cookies.
pub(super) fn browsers(http: &HttpSettings, reader: &mut Reader) {
    cookies(http, reader);
    login_page(http, reader);
}

fn login_page(http: &HttpSettings, reader: &mut Reader) {
    let sound = reader.are_sound(&[&table::LOGIN_PAGE, &table::SESSION_COOKIES]);
    if sound && http.login_page.is_some() && http.session_cookies.is_none() {
        let complaint = "requires GOAT_SESSION_COOKIES, which is off";
        reader.refuse_and_ask(&table::LOGIN_PAGE, complaint, &"off, or GOAT_SESSION_COOKIES=lax");
    }
}

/// Cookies require https, except on loopback.
fn cookies(http: &HttpSettings, reader: &mut Reader) {
    let Some(url) = &http.public_url else { return };
    if !reader.are_sound(&[&table::SESSION_COOKIES, &table::PUBLIC_URL]) {
        return;
    }
    let origin = origin_of(url).unwrap_or_default();
    if http.session_cookies.is_some() && Cookies::new().allow_origin(&origin).is_err() {
        let complaint = "cannot be used with GOAT_PUBLIC_URL, which browsers reach without https";
        reader.refuse_and_ask(&table::SESSION_COOKIES, complaint, &"off");
    }
}

/// A mail server requires a sender, and the settings that need mail require it.
fn mail(settings: &Settings, reader: &mut Reader) {
    if !reader.are_sound(&[&table::ENV, &table::MAIL_URL]) {
        return;
    }
    let Some(delivery) = &settings.mail.delivery else {
        let complaint = "requires mail, but GOAT_MAIL_URL is not set";
        if settings.accounts.signup == Signup::Confirmed && reader.are_sound(&[&table::SIGNUP]) {
            let may_be = "active, inactive or closed, or GOAT_MAIL_URL=smtps://…";
            reader.refuse_and_ask(&table::SIGNUP, complaint, &may_be);
        }
        if settings.mail.email_sign_in && reader.are_sound(&[&table::EMAIL_SIGN_IN]) {
            let may_be = "false, or GOAT_MAIL_URL=smtps://…";
            reader.refuse_and_ask(&table::EMAIL_SIGN_IN, complaint, &may_be);
        }
        return;
    };
    if matches!(delivery, MailDelivery::Smtp(_)) && !reader.is_given(&table::MAIL_FROM) {
        let complaint = "is not set, but GOAT_MAIL_URL names a mail server, which requires it";
        reader.refuse(&table::MAIL_FROM, complaint);
    }
    if settings.environment == Environment::Production && !reader.is_given(&table::PUBLIC_URL) {
        let complaint =
            "is not set, but production requires it with GOAT_MAIL_URL, for the links in messages";
        reader.refuse(&table::PUBLIC_URL, complaint);
    }
}

fn listeners(settings: &Settings, reader: &mut Reader) {
    if reader.are_sound(&[&table::LISTEN, &table::METRICS_LISTEN])
        && let Some(metrics) = settings.http.metrics_listen
        && overlap(settings.http.listen, metrics)
    {
        let complaint = format!("overlaps GOAT_LISTEN, which is {}", settings.http.listen);
        reader.refuse_and_ask(&table::METRICS_LISTEN, &complaint, &"another address or port");
    }
}

/// Rejects listeners in development that other machines can reach (C1): its secrets are generated, its
/// administrator has a known address, and its metrics are public.
fn loopback(settings: &Settings, reader: &mut Reader) {
    if !reader.are_sound(&[&table::ENV]) || settings.environment != Environment::Development {
        return;
    }
    for (setting, listens) in [
        (&table::LISTEN, Some(settings.http.listen)),
        (&table::METRICS_LISTEN, settings.http.metrics_listen),
    ] {
        let is_open = listens.is_some_and(|address| !address.ip().to_canonical().is_loopback());
        if is_open && reader.are_sound(&[setting]) {
            let complaint = "is not a loopback address, but GOAT_ENV is development";
            let may_be = "an address such as 127.0.0.1:8080 or [::1]:8080, or GOAT_ENV=production";
            reader.refuse_and_ask(setting, complaint, &may_be);
        }
    }
}

/// Whether two listeners use the same address and port. Port 0 is a free port each time.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let (a, b) = (one.ip(), other.ip());
    // A socket on IPv6's unspecified address accepts IPv4 too.
    let covers = |all: IpAddr, single: IpAddr| {
        all.is_unspecified() && (all.is_ipv6() || all.is_ipv4() == single.is_ipv4())
    };
    one.port() != 0 && one.port() == other.port() && (a == b || covers(a, b) || covers(b, a))
}

fn times(settings: &Settings, reader: &mut Reader) {
    let tokens = &settings.tokens;
    let request = (&table::REQUEST_TIMEOUT, settings.http.request_timeout);
    let refresh = (&table::REFRESH_TOKEN_TTL, tokens.refresh_ttl);
    let session = (&table::SESSION_TTL, tokens.session_ttl);

    at_most(reader, (&table::STORE_TIMEOUT, settings.storage.store_timeout), request);
    at_least(reader, (&table::SHUTDOWN_TIMEOUT, settings.http.shutdown_timeout), request);
    at_most(reader, (&table::ACCESS_TOKEN_TTL, tokens.access_ttl), session);
    at_most(reader, (&table::ACCESS_TOKEN_TTL, tokens.access_ttl), refresh);
    at_most(reader, refresh, session);

    let leeway = tokens.refresh_leeway;
    if reader.are_sound(&[&table::REFRESH_LEEWAY, request.0])
        && !leeway.is_zero()
        && leeway < request.1
    {
        let may_be = if request.1 > LONGEST_LEEWAY {
            "0".to_owned()
        } else {
            format!("0, or {} to {}", show(request.1), show(LONGEST_LEEWAY))
        };
        let complaint = than("shorter", request);
        reader.refuse_and_ask(&table::REFRESH_LEEWAY, &complaint, &may_be);
    }
}

/// A setting and its value.
type Timed = (&'static Setting, Duration);

fn at_most(reader: &mut Reader, (setting, value): Timed, limit: Timed) {
    if value > limit.1 && reader.are_sound(&[setting, limit.0]) {
        let may_be = format!("at most {}", show(limit.1));
        reader.refuse_and_ask(setting, &than("longer", limit), &may_be);
    }
}

fn at_least(reader: &mut Reader, (setting, value): Timed, limit: Timed) {
    if value < limit.1 && reader.are_sound(&[setting, limit.0]) {
        let may_be = format!("at least {}", show(limit.1));
        reader.refuse_and_ask(setting, &than("shorter", limit), &may_be);
    }
}

fn than(comparative: &str, (other, value): Timed) -> String {
    format!("is {comparative} than {}, which is {}", other.name, show(value))
}

fn algorithm(reader: &mut Reader) {
    let algorithm = Algorithm::read(reader);
    let secret = reader.is_given(&table::JWT_SECRET);
    let private_key = reader.is_given(&table::JWT_PRIVATE_KEY);
    if !reader.are_sound(&[&table::TOKEN_ALGORITHM, &table::JWT_SECRET, &table::JWT_PRIVATE_KEY]) {
        return;
    }
    let unset: &dyn std::fmt::Display = &"to be unset";
    match algorithm {
        Some(Algorithm::Hs256) if !secret => {
            let complaint = "requires GOAT_JWT_SECRET, which is not set";
            reader.refuse_and_ask(&table::TOKEN_ALGORITHM, complaint, &"EdDSA");
        }
        Some(Algorithm::Hs256) if private_key => {
            let complaint = "cannot be used with GOAT_TOKEN_ALGORITHM=HS256";
            reader.refuse_and_ask(&table::JWT_PRIVATE_KEY, complaint, unset);
        }
        Some(Algorithm::EdDsa) if secret => {
            let complaint = "cannot be used with GOAT_TOKEN_ALGORITHM=EdDSA";
            reader.refuse_and_ask(&table::JWT_SECRET, complaint, unset);
        }
        None if secret && private_key => {
            let complaint = "cannot be combined with GOAT_JWT_SECRET";
            reader.refuse_and_ask(&table::JWT_PRIVATE_KEY, complaint, unset);
        }
        _ => {}
    }
}

/// Warns if the audience of access tokens is that of refresh tokens (J9).
fn audience(settings: &Settings, reader: &mut Reader) {
    let tokens = &settings.tokens;
    if reader.are_sound(&[&table::ISSUER, &table::AUDIENCE]) && tokens.audience == tokens.issuer {
        reader.warn(
            &table::AUDIENCE,
            "is also GOAT_ISSUER, so that services that check aud but not typ accept refresh tokens",
        );
    }
}

fn passwords(settings: &Settings, reader: &mut Reader) {
    let (min, max) = (settings.passwords.min_length, settings.passwords.max_length);
    if !reader.are_sound(&[&table::PASSWORD_MIN_LENGTH, &table::PASSWORD_MAX_LENGTH]) {
        return;
    }
    if max < min {
        let complaint = format!("is less than GOAT_PASSWORD_MIN_LENGTH, which is {min}");
        let may_be = format!("at least {min}");
        reader.refuse_and_ask(&table::PASSWORD_MAX_LENGTH, &complaint, &may_be);
    } else if let Some(password) = &settings.accounts.admin_password
        && !(min..=max).contains(&password.expose().chars().count())
    {
        let may_be = format!("{min} to {max} characters");
        reader.refuse_and_ask(&table::ADMIN_PASSWORD, "is too short or too long", &may_be);
    }
}

/// Rejects generated and weak secrets, and files of secrets that others can read, in production (J6, L5);
/// in development, weak secrets and open files are warnings. The start requires an administrator's
/// password once it finds no administrator.
pub(super) fn strength(settings: &Settings, used: UsedSecrets, reader: &mut Reader) {
    if !reader.are_sound(&[&table::ENV]) {
        return;
    }
    let production = settings.environment == Environment::Production;
    files(production, reader);
    if production {
        let keys = [&table::TOKEN_ALGORITHM, &table::JWT_SECRET, &table::JWT_PRIVATE_KEY];
        if used.token_keys
            && reader.are_sound(&keys)
            && matches!(settings.tokens.keys, SigningKeys::Generated)
        {
            let complaint =
                "is not set, nor is GOAT_JWT_SECRET, but production requires one of them";
            reader.refuse(&table::JWT_PRIVATE_KEY, complaint);
        }
        if used.pepper && !reader.is_given(&table::PASSWORD_PEPPER) {
            reader.refuse(&table::PASSWORD_PEPPER, "is not set, but production requires it");
        }
        if used.server_keys
            && settings.mail.delivery.is_some()
            && reader.are_sound(&[&table::MAIL_URL])
            && !reader.is_given(&table::SERVER_KEY)
        {
            let complaint = "is not set, but production requires it with GOAT_MAIL_URL";
            reader.refuse(&table::SERVER_KEY, complaint);
        }
    }
    for (setting, complaint) in weaknesses(settings) {
        if !production {
            reader.warn(setting, &format!("{complaint}; production would refuse to start"));
        } else if reader.are_sound(&[setting]) {
            reader.refuse(setting, complaint);
        }
    }
}

fn files(production: bool, reader: &mut Reader) {
    for (setting, mode) in reader.open_files() {
        let complaint = format!(
            "names a file that every user of the machine can read or change (mode {mode:03o})"
        );
        if production {
            let remedy = "expected mode 600, or 640 with a group of the server; in a container, mount it \
                with such a mode (Kubernetes: defaultMode: 0440 with an fsGroup)";
            reader.refuse_file(setting, format!("{complaint}; {remedy}"));
        } else {
            reader.warn_of_file(setting, &format!("{complaint}; production would refuse to start"));
        }
    }
}

/// Returns the secrets that are too weak, and why.
fn weaknesses(settings: &Settings) -> Vec<(&'static Setting, &'static str)> {
    let tokens: &[Secret<Vec<u8>>] = match &settings.tokens.keys {
        SigningKeys::Hs256(secrets) => secrets,
        _ => &[],
    };
    let peppers = settings.passwords.peppers.as_deref().unwrap_or_default();
    let password = settings.accounts.admin_password.as_ref().map(|password| password.expose());
    let weakest = |secrets: &[Secret<Vec<u8>>]| {
        secrets.iter().find_map(|secret| weak_secret(secret.expose()))
    };
    let overlap = |some: &[Secret<Vec<u8>>], others: &[Secret<Vec<u8>>]| {
        some.iter().any(|one| others.iter().any(|other| other.is_same_as(one)))
    };
    let is_token = |secrets| overlap(secrets, tokens).then_some("is also used as GOAT_JWT_SECRET");
    let is_pepper =
        |secrets| overlap(secrets, peppers).then_some("is also used as GOAT_PASSWORD_PEPPER");
    let server_keys = settings.mail.server_keys.as_deref().unwrap_or_default();
    [
        (&table::JWT_SECRET, weakest(tokens)),
        (&table::PASSWORD_PEPPER, weakest(peppers).or_else(|| is_token(peppers))),
        (
            &table::SERVER_KEY,
            weakest(server_keys)
                .or_else(|| is_token(server_keys))
                .or_else(|| is_pepper(server_keys)),
        ),
        (&table::ADMIN_PASSWORD, password.and_then(|password| weak_secret(password.as_bytes()))),
    ]
    .into_iter()
    .filter_map(|(setting, complaint)| Some((setting, complaint?)))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_overlap_on_the_same_port_and_address() {
        for (one, other, expected) in [
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("0.0.0.0:80", "127.0.0.1:80", true),
            ("127.0.0.1:80", "0.0.0.0:80", true),
            ("[::]:80", "127.0.0.1:80", true),
            ("[::]:80", "[::1]:80", true),
            ("0.0.0.0:80", "[::1]:80", false),
            ("127.0.0.1:80", "127.0.0.2:80", false),
            ("127.0.0.1:80", "127.0.0.1:81", false),
            ("127.0.0.1:0", "127.0.0.1:0", false),
        ] {
            let parse = |text: &str| text.parse::<SocketAddr>().expect("an address");
            assert_eq!(overlap(parse(one), parse(other)), expected, "{one} {other}");
        }
    }
}
