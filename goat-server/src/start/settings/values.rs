//! Value parsers: durations, limits, networks, origins, addresses and URLs.
//!
//! A complaint is read after the value ("is not a duration") and never repeats it, so that the same
//! words serve for public and confidential values. Parsers of public settings alone may quote a part.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use goat_core::limit::canonical_address;
use goat_core::user::Attributes;
use goat_core::{Quota, Role, Secret};
use goat_tower::cookie::ReturnTo;
use http::uri::Authority;
use http::{HeaderName, Uri};
use ipnet::{IpNet, Ipv4Net};

use super::problem::quote;
use super::table::{LONGEST, QUOTA_MOST};
use super::{Database, Logo, VerifyHeader};

/// Why a value is rejected, to be read after it.
pub(crate) type Complaint = Cow<'static, str>;

/// Result of a parser.
pub(crate) type Parsed<T> = Result<T, Complaint>;

/// The units of a duration in milliseconds, longest first.
const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// Parses `10s`, `5m`, `168h`, `500ms`, or `0`.
pub(crate) fn duration(text: &str) -> Parsed<Duration> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (count, unit) = text.split_at(digits);
    let milliseconds = UNITS
        .iter()
        .find(|(name, _)| *name == unit)
        .and_then(|(_, scale)| count.parse::<u64>().ok()?.checked_mul(*scale))
        .ok_or("is not a duration such as 500ms, 10s, 5m or 168h")?;
    Ok(Duration::from_millis(milliseconds))
}

/// Formats a duration as it is parsed, in the longest unit that divides it: `90s`, `5m`, `168h`.
pub(crate) fn show(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    UNITS
        .iter()
        .map(|(unit, scale)| (unit, u128::from(*scale)))
        .find(|(_, scale)| milliseconds >= *scale && milliseconds.is_multiple_of(*scale))
        .map_or_else(|| "0".to_owned(), |(unit, scale)| format!("{}{unit}", milliseconds / scale))
}

/// Parses a whole number in decimal digits.
pub(super) fn count(text: &str) -> Parsed<u64> {
    text.parse()
        .ok()
        .filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
        .ok_or("is not a whole number".into())
}

/// Parses `N/DURATION`, or `off` as `None`.
pub(super) fn quota(text: &str) -> Parsed<Option<Quota>> {
    if text == "off" {
        return Ok(None);
    }
    let (limit, window) = text.split_once('/').ok_or("is not a rate limit such as 60/1m")?;
    let limit = count(limit).map_err(|_| "does not begin with a whole number")?;
    let window = duration(window).map_err(|_| "does not end with a duration")?;
    u32::try_from(limit)
        .ok()
        .filter(|limit| *limit <= QUOTA_MOST && window <= LONGEST)
        .and_then(|limit| Quota::checked(limit, window))
        .map(Some)
        .ok_or("is out of range".into())
}

/// Parses an address with a port.
pub(super) fn socket(text: &str) -> Parsed<SocketAddr> {
    text.parse().map_err(|_| "is not an IP address with a port".into())
}

/// Parses a comma-separated list of a public setting; `none` is the empty list. The complaint about one
/// of several items names it.
fn list<T>(text: &str, item: impl Fn(&str) -> Parsed<T>) -> Parsed<Vec<T>> {
    if text == "none" {
        return Ok(Vec::new());
    }
    let parts: Vec<&str> = text.split(',').map(str::trim).collect();
    let parse = |part: &&str| {
        let parsed = if part.is_empty() { Err("is empty".into()) } else { item(part) };
        parsed.map_err(|complaint| match parts.len() {
            1 => complaint,
            _ => format!("contains {}, which {complaint}", quote(part)).into(),
        })
    };
    parts.iter().map(parse).collect()
}

/// Parses addresses and ranges (I3: never all addresses, never a host name).
pub(super) fn networks(text: &str) -> Parsed<Vec<IpNet>> {
    list(text, network)
}

fn network(text: &str) -> Parsed<IpNet> {
    let network = text
        .parse::<IpAddr>()
        .map(IpNet::from)
        .or_else(|_| text.parse::<IpNet>())
        .map_err(|_| "is neither an IP address nor a CIDR range")?
        .trunc();
    let everyone = match network {
        IpNet::V4(network) => network.prefix_len() == 0,
        // `::ffff:0:0/96`, IPv4 on a dual-stack socket, is all of IPv4 as well, and so is NAT64.
        IpNet::V6(network) => {
            let mapped = Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0);
            let nat64 = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0);
            network.prefix_len() <= 96
                && [mapped, nat64].iter().any(|first| network.contains(first))
        }
    };
    if everyone {
        return Err("covers every address".into());
    }
    Ok(unmapped(network))
}

/// Converts a range of IPv4-mapped or NAT64 addresses to IPv4.
fn unmapped(network: IpNet) -> IpNet {
    if let IpNet::V6(v6) = network
        && let IpAddr::V4(address) = canonical_address(v6.network().into())
        && let Ok(v4) = Ipv4Net::new(address, v6.prefix_len().saturating_sub(96))
    {
        return IpNet::V4(v4);
    }
    network
}

/// Parses origins as browsers send them (RFC 6454, section 6.2).
pub(super) fn origins(text: &str) -> Parsed<Vec<String>> {
    list(text, origin)
}

fn origin(text: &str) -> Parsed<String> {
    if text == "*" {
        return Err("would allow every web page".into());
    }
    let text = text.to_ascii_lowercase();
    let (scheme, authority) = text.split_once("://").ok_or("is not an origin (scheme://host)")?;
    let scheme_is_sound = scheme.starts_with(|c: char| c.is_ascii_lowercase())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    let parsed = authority
        .parse::<Authority>()
        .ok()
        .filter(|parsed| scheme_is_sound && !parsed.host().is_empty())
        .filter(|_| !authority.contains(['@', '*']))
        .ok_or("is not an origin (scheme, host and port only)")?;
    if parsed.port_u16().is_none() && parsed.host() != authority {
        return Err("has an invalid port".into());
    }
    if matches!((scheme, parsed.port_u16()), ("http", Some(80)) | ("https", Some(443))) {
        return Err("has the default port of its scheme, which browsers omit".into());
    }
    Ok(text)
}

/// Parses origins whose pages may use session cookies.
pub(super) fn secure_origins(text: &str) -> Parsed<Vec<String>> {
    list(text, |item| {
        let origin = origin(item)?;
        let parsed = ReturnTo::new().allow_origin(&origin);
        parsed.map(|_| origin).map_err(|_| "is not https:, nor http: on loopback".into())
    })
}

/// Parses the headers that token verification adds.
pub(super) fn verify_headers(text: &str) -> Parsed<Vec<VerifyHeader>> {
    list(text, |item| {
        let unknown = "is not a header that verification can add";
        match item.split_once('.') {
            None if item == "email" => Ok(VerifyHeader::Email),
            Some(("attributes", key)) => {
                let key = attribute_key(key).map_err(|_| unknown)?;
                // Many servers drop header names with `_`, or take it for `-`.
                let name = format!("x-goat-attribute-{}", key.replace('_', "-"));
                let name = HeaderName::try_from(name).map_err(|_| unknown)?;
                Ok(VerifyHeader::Attribute { key, name })
            }
            _ => Err(unknown.into()),
        }
    })
}

/// Parses the keys of attributes.
pub(super) fn attribute_keys(text: &str) -> Parsed<Vec<String>> {
    list(text, attribute_key)
}

fn attribute_key(text: &str) -> Parsed<String> {
    if Attributes::is_key(text) {
        Ok(text.to_owned())
    } else {
        Err("is not the key of an attribute".into())
    }
}

/// Parses a name to show.
pub(super) fn name(text: &str) -> Parsed<String> {
    let text = text.trim();
    match text.chars().count() {
        0 => Err("is empty".into()),
        1..=64 if !text.chars().any(char::is_control) => Ok(text.to_owned()),
        1..=64 => Err("contains control characters".into()),
        _ => Err("is longer than 64 characters".into()),
    }
}

/// Parses a colour: `rrggbb`, or as in CSS with a `#`, which begins a comment in a `.env` file.
pub(super) fn color(text: &str) -> Parsed<[u8; 3]> {
    let digits = Some(text.strip_prefix('#').unwrap_or(text)).filter(|digits| digits.len() == 6);
    let part = |digits: &str, at: usize| u8::from_str_radix(&digits[at..at + 2], 16).ok();
    digits
        .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
        .and_then(|digits| Some([part(digits, 0)?, part(digits, 2)?, part(digits, 4)?]))
        .ok_or("is not a colour".into())
}

/// The largest logo, in bytes: every client may request it.
const MOST_LOGO: u64 = 64 * 1024;

/// Reads the file of a logo.
pub(super) fn logo(text: &str) -> Parsed<Logo> {
    let path = path(text)?;
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let content_type = match extension.to_ascii_lowercase().as_str() {
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        _ => return Err("does not end with .svg, .png, .jpg or .webp".into()),
    };
    let unreadable = |error: std::io::Error| Complaint::from(format!("cannot be read ({error})"));
    let length = std::fs::metadata(&path).map_err(unreadable)?.len();
    if length > MOST_LOGO {
        return Err("names a file of more than 64 KiB".into());
    }
    let content = std::fs::read(&path).map_err(unreadable)?.into();
    Ok(Logo { content_type, content })
}

/// Parses the path or URL of the sign-in page.
pub(super) fn page_url(text: &str) -> Parsed<String> {
    let is_visible = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if !is_visible || text.contains('#') {
        return Err(
            "contains a fragment, a backslash, or characters that a URL does not have".into()
        );
    }
    if text.starts_with('/') && !text.starts_with("//") {
        return Ok(text.to_owned());
    }
    let (url, _) = text.split_once('?').unwrap_or((text, ""));
    public_url(url).map(|_| text.to_owned())
}

/// Parses the URL under which clients reach the API.
pub(super) fn public_url(text: &str) -> Parsed<Uri> {
    let (scheme, rest) = text.split_once("://").ok_or("is not a URL (scheme://host)")?;
    let scheme = scheme.to_ascii_lowercase();
    if !["http", "https"].contains(&scheme.as_str()) {
        return Err("does not begin with https:// or http://".into());
    }
    if rest.contains(['@', '?', '#']) {
        return Err("contains a user, a query or a fragment".into());
    }
    let url: Uri = format!("{scheme}://{rest}").parse().map_err(|_| "is not a URL")?;
    let authority = url.authority().filter(|authority| !authority.host().is_empty());
    let authority = authority.ok_or("does not name a host")?;
    if authority.port_u16().is_none() && authority.host() != authority.as_str() {
        return Err("contains an invalid port".into());
    }
    Ok(url)
}

/// Returns the URL of this machine with a port.
pub(super) fn localhost(port: u16) -> Option<Uri> {
    format!("http://localhost:{port}").parse().ok()
}

/// Returns the origin of a URL as browsers send it.
pub(crate) fn origin_of(url: &Uri) -> Option<String> {
    let (scheme, authority) = (url.scheme_str()?, url.authority()?);
    let port = match (scheme, authority.port_u16()) {
        (_, None) | ("http", Some(80)) | ("https", Some(443)) => String::new(),
        (_, Some(port)) => format!(":{port}"),
    };
    Some(format!("{scheme}://{}{port}", authority.host().to_ascii_lowercase()))
}

/// Parses an issuer, an audience or a client id.
pub(super) fn identifier(text: &str) -> Parsed<String> {
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err("contains white space or control characters".into());
    }
    if text.chars().count() > 256 {
        return Err("is longer than 256 characters".into());
    }
    Ok(text.to_owned())
}

/// Parses the name of a role; whether it exists is checked on start.
pub(super) fn role(text: &str) -> Parsed<Role> {
    Role::parse(text).map_err(|_| "is not the name of a role".into())
}

/// Checks an e-mail address roughly; the account rules are applied when it is used.
pub(super) fn email(text: &str) -> Parsed<String> {
    let sound = text.len() <= 254
        && text.rsplit_once('@').is_some_and(|(local, domain)| {
            !local.is_empty() && !domain.is_empty() && local.is_ascii() && !local.contains('@')
        })
        && !text.chars().any(|c| c.is_whitespace() || c.is_control());
    if sound { Ok(text.to_owned()) } else { Err("is not an e-mail address".into()) }
}

/// Parses the path of a file or folder. White space around it would be a part of the name, and thus
/// another, empty folder.
pub(super) fn path(text: &str) -> Parsed<PathBuf> {
    let text = text.trim();
    if text.is_empty() {
        return Err("is empty".into());
    }
    if text.chars().any(char::is_control) {
        return Err("contains control characters".into());
    }
    if text.starts_with('~') {
        return Err("begins with ~, which only a shell replaces: write the path in full".into());
    }
    Ok(PathBuf::from(text))
}

/// Parses the path of a folder that exists.
pub(super) fn folder(text: &str) -> Parsed<PathBuf> {
    let path = path(text)?;
    if path.is_dir() { Ok(path) } else { Err("does not name a folder".into()) }
}

/// Parses the database URL.
pub(super) fn database(text: &str) -> Parsed<Database> {
    let text = text.trim();
    if let Some(rest) = text.strip_prefix("sqlite:") {
        let file = rest.strip_prefix("//").unwrap_or(rest);
        if file.contains(":memory:") {
            return Err("names an in-memory database, which does not survive a restart".into());
        }
        if let Some((_, parameters)) = file.split_once('?') {
            let name = parameter_name(parameters);
            let named = name.map_or_else(String::new, |name| format!(" (here: {name})"));
            return Err(format!("has parameters{named}, and a SQLite URL supports none").into());
        }
        if file.trim().is_empty() || file.ends_with('/') {
            return Err("does not name a file".into());
        }
        return path(file).map(Database::Sqlite);
    }
    if reaches(text, &["postgres", "postgresql"]) {
        return Ok(Database::Postgres(Secret::from(text)));
    }
    Err("is neither a SQLite nor a PostgreSQL URL".into())
}

/// Returns the name of the first parameter, if it is one: the value is confidential.
fn parameter_name(parameters: &str) -> Option<&str> {
    let (name, _) = parameters.split_once('=')?;
    let is_name = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    (name.len() <= 40 && name.chars().all(is_name)).then_some(name)
}

/// Parses the Redis URL.
pub(super) fn redis(text: &str) -> Parsed<Secret<String>> {
    let text = text.trim();
    let mut nodes = text.split(',').map(str::trim);
    match nodes.position(|node| !reaches(node, &["redis", "rediss"])) {
        None => Ok(Secret::from(text)),
        Some(_) if !text.contains(',') => Err("is not a Redis URL".into()),
        // Without its text, which may contain a password.
        Some(index) => {
            Err(format!("contains an entry (number {}) that is not a Redis URL", index + 1).into())
        }
    }
}

/// Whether a URL has one of the schemes and something after it.
fn reaches(url: &str, schemes: &[&str]) -> bool {
    url.split_once("://")
        .is_some_and(|(scheme, rest)| schemes.contains(&scheme) && !rest.is_empty())
}
