//! Typed settings: one struct per topic, with the variable of each field.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use goat_core::{Role, Secret};
use goat_tower::address::TrustedProxies;
use goat_tower::cookie::{Cookies, ReturnTo, SameSite};
use http::{HeaderName, Uri};
use ipnet::IpNet;

use super::engines::{self, Engine};
use super::reader::Reader;
use super::{log_filter, secrets, table, values};

/// The words of a Boolean setting.
pub(super) const BOOLEAN: [(&str, bool); 2] = [("true", true), ("false", false)];

/// `GOAT_ENV`: how strictly secrets, listeners and file permissions are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Environment {
    /// Missing secrets are generated, and only this machine can connect.
    Development,
    /// Secrets must be configured and strong.
    Production,
}

impl Environment {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let words = [("development", Self::Development), ("production", Self::Production)];
        reader.choice(&table::ENV, &words)
    }
}

/// Listeners, connection limits, and what HTTP clients see of the server.
///
/// The default is that of each setting, with metrics that are not public, as in production.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HttpSettings {
    /// `GOAT_LISTEN`: address of the API.
    pub listen: SocketAddr,
    /// `GOAT_PUBLIC_URL`: URL under which clients reach the API; in development by default localhost, with
    /// the port of `GOAT_LISTEN`.
    pub public_url: Option<Uri>,
    /// `GOAT_METRICS_LISTEN`: separate address of the metrics.
    pub metrics_listen: Option<SocketAddr>,
    /// Whether the metrics are public on the API's address, as in development. Otherwise they require
    /// the permission `metrics:read` there.
    pub public_metrics: bool,
    /// `GOAT_STEP_UP_ADMIN`: whether changes of other users, roles and permissions need a recent proof.
    pub step_up_admin: bool,
    /// `GOAT_MAX_CONNECTIONS`: maximum number of open connections.
    pub max_connections: usize,
    /// `GOAT_MAX_CONNECTIONS_PER_ADDRESS`: maximum number of open connections of one address.
    pub max_connections_per_address: usize,
    /// `GOAT_HEADER_TIMEOUT`: time until a request head is complete.
    pub header_timeout: Duration,
    /// `GOAT_REQUEST_TIMEOUT`: time for a request and its response.
    pub request_timeout: Duration,
    /// `GOAT_IDLE_TIMEOUT`: time between two requests of a connection.
    pub idle_timeout: Duration,
    /// `GOAT_DRAIN_DELAY`: how long connections are still accepted after readiness fails.
    pub drain_delay: Duration,
    /// `GOAT_SHUTDOWN_TIMEOUT`: time for open requests to finish.
    pub shutdown_timeout: Duration,
    /// `GOAT_TRUSTED_PROXIES`: proxies trusted to set the forwarding header and the request id. Ranges are
    /// reduced to their network, and IPv4-mapped IPv6 becomes IPv4.
    pub trusted_proxies: Vec<IpNet>,
    /// `GOAT_FORWARDED_HEADER`: the forwarding header to read.
    pub forwarded_header: ForwardedHeader,
    /// `GOAT_CORS_ORIGINS`: in lower case, as browsers send them; empty: CORS is off.
    pub cors_origins: Vec<String>,
    /// `GOAT_SESSION_COOKIES`, with `GOAT_PUBLIC_URL` and `GOAT_CORS_ORIGINS` as allowed origins;
    /// `None`: cookies are neither set nor read.
    pub session_cookies: Option<Cookies>,
    /// Token verification for reverse proxies.
    pub forward: ForwardSettings,
    /// `GOAT_LOGIN_PAGE`, with its look; `None`: there is no such page.
    pub login_page: Option<LoginPageSettings>,
}

/// `GOAT_FORWARDED_HEADER`: the header with the client's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForwardedHeader {
    /// `X-Forwarded-For`.
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self::read(&mut Reader::default(), Environment::Production)
    }
}

impl HttpSettings {
    /// Returns the trusted proxies as the middleware takes them.
    pub(crate) fn proxies(&self) -> TrustedProxies {
        let ranges = self.trusted_proxies.iter().map(ToString::to_string);
        // The settings have validated the ranges; if one failed to parse here, no proxy would be
        // trusted.
        TrustedProxies::parse(ranges).unwrap_or_default()
    }

    /// Returns the session cookies as sign-ins and refreshes set them.
    pub(crate) fn renewing_cookies(&self) -> Option<Cookies> {
        self.session_cookies.clone().map(Cookies::renew)
    }

    pub(super) fn read(reader: &mut Reader, environment: Environment) -> Self {
        let listen = reader.required(&table::LISTEN, values::socket);
        let public_url =
            reader.optional(&table::PUBLIC_URL, values::public_url).or_else(|| match environment {
                Environment::Development => values::localhost(listen.port()),
                Environment::Production => None,
            });
        let cors_origins = reader.required(&table::CORS_ORIGINS, values::origins);
        let words =
            [("off", None), ("lax", Some(SameSite::Lax)), ("strict", Some(SameSite::Strict))];
        let same_site = reader.choice(&table::SESSION_COOKIES, &words);
        Self {
            listen,
            session_cookies: same_site
                .map(|same_site| session_cookies(same_site, public_url.as_ref(), &cors_origins)),
            public_url,
            forward: ForwardSettings::read(reader),
            login_page: LoginPageSettings::read(reader),
            metrics_listen: reader.optional(&table::METRICS_LISTEN, values::socket),
            public_metrics: environment == Environment::Development,
            step_up_admin: reader.choice(&table::STEP_UP_ADMIN, &[("off", false), ("on", true)]),
            max_connections: reader.count(&table::MAX_CONNECTIONS),
            max_connections_per_address: reader.count(&table::MAX_CONNECTIONS_PER_ADDRESS),
            header_timeout: reader.duration(&table::HEADER_TIMEOUT),
            request_timeout: reader.duration(&table::REQUEST_TIMEOUT),
            idle_timeout: reader.duration(&table::IDLE_TIMEOUT),
            drain_delay: reader.duration(&table::DRAIN_DELAY),
            shutdown_timeout: reader.duration(&table::SHUTDOWN_TIMEOUT),
            trusted_proxies: reader.required(&table::TRUSTED_PROXIES, values::networks),
            forwarded_header: reader.choice(
                &table::FORWARDED_HEADER,
                &[
                    ("x-forwarded-for", ForwardedHeader::XForwardedFor),
                    ("forwarded", ForwardedHeader::Forwarded),
                ],
            ),
            cors_origins,
        }
    }
}

/// Forward authentication: token verification for reverse proxies. The default is that of each setting.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ForwardSettings {
    /// `GOAT_LOGIN_URL`: the page to which a navigation without a session is sent; `None`: the sign-in
    /// page, where it is on.
    pub login_url: Option<String>,
    /// `GOAT_FORWARD_ORIGINS`: the applications behind the proxy.
    pub origins: Vec<String>,
    /// `GOAT_VERIFY_HEADERS`.
    pub headers: Vec<VerifyHeader>,
}

/// `GOAT_VERIFY_HEADERS`: a header of token verification, besides the user's id, role and session.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum VerifyHeader {
    /// `email`: the user's address in `X-Goat-Email`.
    Email,
    /// `attributes.KEY`: an attribute in `X-Goat-Attribute-KEY`, with `-` for each `_`.
    Attribute {
        /// The key of the attribute.
        key: String,
        /// The name of the header.
        name: HeaderName,
    },
}

/// The sign-in page. The default is that of each setting.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoginPageSettings {
    /// `GOAT_LOGIN_NAME`.
    pub name: String,
    /// `GOAT_LOGIN_LOGO`.
    pub logo: Option<Logo>,
    /// `GOAT_LOGIN_COLOR`: red, green and blue.
    pub color: [u8; 3],
}

/// `GOAT_LOGIN_LOGO`: the content of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logo {
    /// The media type of the file.
    pub content_type: &'static str,
    /// The bytes of the file.
    pub content: Bytes,
}

impl Default for LoginPageSettings {
    fn default() -> Self {
        Self::look(&mut Reader::default())
    }
}

impl LoginPageSettings {
    fn look(reader: &mut Reader) -> Self {
        Self {
            name: reader.required(&table::LOGIN_NAME, values::name),
            logo: reader.optional(&table::LOGIN_LOGO, values::logo),
            color: reader.required(&table::LOGIN_COLOR, values::color),
        }
    }

    fn read(reader: &mut Reader) -> Option<Self> {
        let settings = Self::look(reader);
        reader.choice(&table::LOGIN_PAGE, &[("off", false), ("on", true)]).then_some(settings)
    }
}

impl Default for ForwardSettings {
    fn default() -> Self {
        Self::read(&mut Reader::default())
    }
}

impl ForwardSettings {
    /// Returns the targets to which a sign-in may lead back.
    pub(crate) fn return_to(&self) -> ReturnTo {
        self.origins.iter().fold(ReturnTo::new(), |pages, origin| {
            pages.clone().allow_origin(origin).unwrap_or(pages)
        })
    }

    fn read(reader: &mut Reader) -> Self {
        Self {
            login_url: reader.optional(&table::LOGIN_URL, values::page_url),
            origins: reader.required(&table::FORWARD_ORIGINS, values::secure_origins),
            headers: reader.required(&table::VERIFY_HEADERS, values::verify_headers),
        }
    }
}

/// Returns the session cookies of a server.
fn session_cookies(same_site: SameSite, public_url: Option<&Uri>, origins: &[String]) -> Cookies {
    let public = public_url.and_then(values::origin_of);
    // Browsers send no cookies for the pages of any other scheme, so they need not be allowed.
    public.iter().chain(origins).fold(Cookies::new().same_site(same_site), |cookies, origin| {
        cookies.clone().allow_origin(origin).unwrap_or(cookies)
    })
}

/// Database, Redis and data directory.
#[derive(Clone, Debug)]
pub struct StorageSettings {
    /// `GOAT_DATA_DIR`: the SQLite file and generated keys.
    pub data_dir: PathBuf,
    /// `DATABASE_URL`.
    pub database: Database,
    /// `REDIS_URL`: unparsed; one node or several.
    pub redis: Option<Secret<String>>,
    /// `GOAT_DATABASE_MAX_CONNECTIONS`.
    pub max_connections: u32,
    /// `GOAT_STORE_TIMEOUT`: timeout of a call to the database or Redis.
    pub store_timeout: Duration,
    /// `GOAT_START_TIMEOUT`: how long a start tries again if the database or Redis is down.
    pub start_timeout: Duration,
    /// `GOAT_MIGRATE_ON_START`: whether `serve` migrates the schema.
    pub migrate_on_start: bool,
}

/// `DATABASE_URL`: the database.
#[derive(Clone, Debug)]
pub enum Database {
    /// The path of an SQLite file.
    Sqlite(PathBuf),
    /// The URL of a PostgreSQL database, which may contain a password.
    Postgres(Secret<String>),
}

impl StorageSettings {
    pub(super) fn read(reader: &mut Reader, is_built: impl Fn(Engine) -> bool) -> Self {
        let data_dir = reader.required(&table::DATA_DIR, values::path);
        let database = reader
            .optional(&table::DATABASE_URL, values::database)
            .unwrap_or_else(|| Database::Sqlite(data_dir.join("goat.db")));
        let redis = reader.optional(&table::REDIS_URL, values::redis);
        engines::require(&database, redis.is_some(), is_built, reader);
        let migrate_on_start = reader
            .optional_choice(&table::MIGRATE_ON_START, &BOOLEAN)
            .unwrap_or(matches!(database, Database::Sqlite(_)));
        Self {
            data_dir,
            database,
            redis,
            max_connections: reader.count(&table::DATABASE_MAX_CONNECTIONS),
            store_timeout: reader.duration(&table::STORE_TIMEOUT),
            start_timeout: reader.duration(&table::START_TIMEOUT),
            migrate_on_start,
        }
    }
}

/// Token keys, and lifetimes of tokens and sessions.
#[derive(Clone, Debug)]
pub struct TokenSettings {
    /// `GOAT_TOKEN_ALGORITHM`, `GOAT_JWT_SECRET` and `GOAT_JWT_PRIVATE_KEY`.
    pub keys: SigningKeys,
    /// `GOAT_ISSUER`.
    pub issuer: String,
    /// `GOAT_AUDIENCE`.
    pub audience: String,
    /// `GOAT_CLIENT_ID`: the client id of access tokens.
    pub client_id: String,
    /// `GOAT_ACCESS_TOKEN_TTL`.
    pub access_ttl: Duration,
    /// `GOAT_ACCESS_TOKEN_PERMISSIONS`: whether access tokens carry the permissions.
    pub access_permissions: bool,
    /// `GOAT_TOKEN_ATTRIBUTES`: the keys of the attributes that access tokens carry.
    pub attributes: Vec<String>,
    /// `GOAT_REFRESH_TOKEN_TTL`: idle limit of a session, at most `session_ttl`.
    pub refresh_ttl: Duration,
    /// `GOAT_SESSION_TTL`: absolute limit of a session.
    pub session_ttl: Duration,
    /// `GOAT_REFRESH_LEEWAY`: zero, or at least the request timeout.
    pub refresh_leeway: Duration,
    /// `GOAT_CLOCK_LEEWAY`: tolerated clock difference.
    pub clock_leeway: Duration,
}

/// The keys that sign tokens. Lists are never empty; the first key signs, all verify.
#[derive(Clone, Debug)]
pub enum SigningKeys {
    /// HS256 with these secrets.
    Hs256(Vec<Secret<Vec<u8>>>),
    /// EdDSA with these keys in PEM, each a single block; those after the first may be public.
    EdDsa(Vec<Secret<String>>),
    /// EdDSA with a key that is generated into the data directory.
    Generated,
}

/// `GOAT_TOKEN_ALGORITHM`, if given; otherwise the keys decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    Hs256,
    EdDsa,
}

impl Algorithm {
    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        let words = [("HS256", Self::Hs256), ("EdDSA", Self::EdDsa)];
        reader.optional_choice(&table::TOKEN_ALGORITHM, &words)
    }
}

impl TokenSettings {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let secrets = reader.optional(&table::JWT_SECRET, secrets::secrets);
        let private_keys = reader.optional(&table::JWT_PRIVATE_KEY, secrets::keys);
        let keys = match (secrets, private_keys) {
            (Some(secrets), _) => SigningKeys::Hs256(secrets),
            (None, Some(keys)) => SigningKeys::EdDsa(keys),
            (None, None) => SigningKeys::Generated,
        };
        let session_ttl = reader.duration(&table::SESSION_TTL);
        let mut refresh_ttl = reader.duration(&table::REFRESH_TOKEN_TTL);
        if !reader.is_given(&table::REFRESH_TOKEN_TTL) {
            // The default means "a week idle, within the session's lifetime".
            refresh_ttl = refresh_ttl.min(session_ttl);
        }
        Self {
            keys,
            issuer: reader.required(&table::ISSUER, values::identifier),
            audience: reader.required(&table::AUDIENCE, values::identifier),
            client_id: reader.required(&table::CLIENT_ID, values::identifier),
            access_ttl: reader.duration(&table::ACCESS_TOKEN_TTL),
            access_permissions: reader.choice(&table::ACCESS_TOKEN_PERMISSIONS, &BOOLEAN),
            attributes: reader.required(&table::TOKEN_ATTRIBUTES, values::attribute_keys),
            refresh_ttl,
            session_ttl,
            refresh_leeway: reader.duration(&table::REFRESH_LEEWAY),
            clock_leeway: reader.duration(&table::CLOCK_LEEWAY),
        }
    }
}

/// Session quota, and staleness of the session cache.
#[derive(Clone, Debug)]
pub struct SessionSettings {
    /// `GOAT_SESSIONS_PER_USER`: when a user exceeds it by signing in, the oldest session is
    /// evicted.
    pub per_user: u32,
    /// `GOAT_RECENT`: how long a proof counts as recent.
    pub recent: Duration,
    /// `GOAT_SESSION_CACHE_STALENESS`: zero disables the cache.
    pub cache_staleness: Duration,
}

impl SessionSettings {
    pub(super) fn read(reader: &mut Reader) -> Self {
        Self {
            per_user: reader.count(&table::SESSIONS_PER_USER),
            recent: reader.duration(&table::RECENT),
            cache_staleness: reader.duration(&table::SESSION_CACHE_STALENESS),
        }
    }
}

/// Password policy and hashing cost.
#[derive(Clone, Debug)]
pub struct PasswordSettings {
    /// `GOAT_PASSWORD_PEPPER`: the first is used for new hashes, all verify; `None`: generated into
    /// the data directory.
    pub peppers: Option<Vec<Secret<Vec<u8>>>>,
    /// `GOAT_PASSWORD_MIN_LENGTH`, in characters.
    pub min_length: usize,
    /// `GOAT_PASSWORD_MAX_LENGTH`, in characters.
    pub max_length: usize,
    /// `GOAT_PASSWORD_BREACHED_FILE`.
    pub breached_file: Option<PathBuf>,
    /// `GOAT_ARGON2_MEMORY`, in KiB.
    pub argon2_memory: u32,
    /// `GOAT_ARGON2_ITERATIONS`: passes over the memory.
    pub argon2_iterations: u32,
    /// `GOAT_ARGON2_PARALLELISM`: lanes.
    pub argon2_parallelism: u32,
    /// `GOAT_HASH_CONCURRENCY`: maximum number of concurrent hashes.
    pub hash_concurrency: usize,
    /// `GOAT_HASH_QUEUE`: maximum number of waiting hashes.
    pub hash_queue: usize,
}

impl PasswordSettings {
    pub(super) fn read(reader: &mut Reader) -> Self {
        Self {
            peppers: reader.optional(&table::PASSWORD_PEPPER, secrets::secrets),
            min_length: reader.count(&table::PASSWORD_MIN_LENGTH),
            max_length: reader.count(&table::PASSWORD_MAX_LENGTH),
            breached_file: reader.optional(&table::PASSWORD_BREACHED_FILE, values::path),
            argon2_memory: reader.count(&table::ARGON2_MEMORY),
            argon2_iterations: reader.count(&table::ARGON2_ITERATIONS),
            argon2_parallelism: reader.count(&table::ARGON2_PARALLELISM),
            hash_concurrency: reader
                .optional_count(&table::HASH_CONCURRENCY)
                .unwrap_or_else(|| thread::available_parallelism().map_or(1, |cores| cores.get())),
            hash_queue: reader.count(&table::HASH_QUEUE),
        }
    }
}

/// Sign-up and the first administrator.
#[derive(Clone, Debug)]
pub struct AccountSettings {
    /// `GOAT_SIGNUP`.
    pub signup: Signup,
    /// `GOAT_SIGNUP_ROLE`; `None`: the role of the lowest rank.
    pub signup_role: Option<Role>,
    /// `GOAT_ATTRIBUTES_SELF`: the keys that users may change themselves.
    pub self_attributes: Vec<String>,
    /// `GOAT_ROLES_FILE`.
    pub roles_file: Option<PathBuf>,
    /// `GOAT_ADMIN_EMAIL`: checked roughly here; the account rules decide.
    pub admin_email: String,
    /// `GOAT_ADMIN_PASSWORD`: of an allowed length; `None`: generated, if that is allowed.
    pub admin_password: Option<Secret<String>>,
    /// Whether the first administrator may have a generated password, as in development.
    pub generates_admin_password: bool,
}

/// `GOAT_SIGNUP`: the status of a new account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signup {
    /// The account is active immediately.
    Active,
    /// An administrator must activate the account.
    Inactive,
    /// The e-mail address is confirmed first, and the account is created then.
    Confirmed,
    /// Sign-up is closed.
    Closed,
}

impl AccountSettings {
    pub(super) fn read(reader: &mut Reader, environment: Environment) -> Self {
        let words = [
            ("active", Signup::Active),
            ("inactive", Signup::Inactive),
            ("confirmed", Signup::Confirmed),
            ("closed", Signup::Closed),
        ];
        Self {
            signup: reader.choice(&table::SIGNUP, &words),
            signup_role: reader.optional(&table::SIGNUP_ROLE, values::role),
            self_attributes: reader.required(&table::ATTRIBUTES_SELF, values::attribute_keys),
            roles_file: reader.optional(&table::ROLES_FILE, values::path),
            admin_email: reader.required(&table::ADMIN_EMAIL, values::email),
            admin_password: reader.optional(&table::ADMIN_PASSWORD, |text| Ok(Secret::from(text))),
            generates_admin_password: environment == Environment::Development,
        }
    }
}

/// Logging.
#[derive(Clone, Debug)]
pub struct LogSettings {
    /// `GOAT_LOG`: a filter that `tracing_subscriber::EnvFilter` accepts.
    pub filter: String,
    /// `GOAT_LOG_FORMAT`; `None`: pretty on a terminal, else JSON.
    pub format: Option<LogFormat>,
}

/// `GOAT_LOG_FORMAT`: the format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Human-readable text.
    Pretty,
    /// One JSON object per line.
    Json,
}

impl LogSettings {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let words = [("pretty", LogFormat::Pretty), ("json", LogFormat::Json)];
        Self {
            filter: reader.required(&table::LOG, log_filter::filter),
            format: reader.optional_choice(&table::LOG_FORMAT, &words),
        }
    }
}
