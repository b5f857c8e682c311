//! The settings, typed: one struct a concern, and which variable each field comes from.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use goat_core::{Quota, Secret};
use ipnet::IpNet;

use super::reader::Reader;
use super::{secrets, table, values};

/// Words of a setting that is true or false.
const BOOLEAN: [(&str, bool); 2] = [("true", true), ("false", false)];

/// `GOAT_ENV`: how strict to be about secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Environment {
    /// What is missing is generated.
    Development,
    /// Secrets are given, and are not weak.
    Production,
}

impl Environment {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let words = [("development", Self::Development), ("production", Self::Production)];
        reader.choice(&table::ENV, &words)
    }
}

/// The listeners, and what a connection may cost.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// `GOAT_LISTEN`: address of the API.
    pub listen: SocketAddr,
    /// `GOAT_METRICS_LISTEN`: the address that metrics move to.
    pub metrics_listen: Option<SocketAddr>,
    /// `GOAT_MAX_CONNECTIONS`: connections open at once.
    pub max_connections: usize,
    /// `GOAT_HEADER_TIMEOUT`: from the first byte possible to the whole head.
    pub header_timeout: Duration,
    /// `GOAT_REQUEST_TIMEOUT`: for a request and its answer.
    pub request_timeout: Duration,
    /// `GOAT_IDLE_TIMEOUT`: between two requests of a connection.
    pub idle_timeout: Duration,
    /// `GOAT_DRAIN_DELAY`: how long the listener still accepts after ready said no.
    pub drain_delay: Duration,
    /// `GOAT_SHUTDOWN_TIMEOUT`: how long what was accepted has to finish.
    pub shutdown_timeout: Duration,
    /// `GOAT_TRUSTED_PROXIES`: whose forwarding header is believed. Ranges are cut to their
    /// network, and IPv4 written as IPv6 is IPv4.
    pub trusted_proxies: Vec<IpNet>,
    /// `GOAT_FORWARDED_HEADER`: the one that is read.
    pub forwarded_header: ForwardedHeader,
    /// `GOAT_CORS_ORIGINS`: in lower case, as browsers send them; empty: CORS is off.
    pub cors_origins: Vec<String>,
}

/// `GOAT_FORWARDED_HEADER`: the header that proxies put the client's address into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForwardedHeader {
    /// `X-Forwarded-For`.
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

impl HttpSettings {
    pub(super) fn read(reader: &mut Reader) -> Self {
        Self {
            listen: reader.required(&table::LISTEN, values::socket),
            metrics_listen: reader.optional(&table::METRICS_LISTEN, values::socket),
            max_connections: reader.count(&table::MAX_CONNECTIONS),
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
            cors_origins: reader.required(&table::CORS_ORIGINS, values::origins),
        }
    }
}

/// Where state is kept.
#[derive(Clone, Debug)]
pub struct StorageSettings {
    /// `GOAT_DATA_DIR`: the SQLite file and generated keys.
    pub data_dir: PathBuf,
    /// `DATABASE_URL`.
    pub database: Database,
    /// `REDIS_URL`: as it was given, one node or several.
    pub redis: Option<Secret<String>>,
    /// `GOAT_DATABASE_MAX_CONNECTIONS`.
    pub max_connections: u32,
    /// `GOAT_STORE_TIMEOUT`: for one call to the database or Redis.
    pub store_timeout: Duration,
    /// `GOAT_MIGRATE_ON_START`: whether `serve` brings the schema up to date.
    pub migrate_on_start: bool,
}

/// `DATABASE_URL`: the database.
#[derive(Clone, Debug)]
pub enum Database {
    /// A file of SQLite, by its path.
    Sqlite(PathBuf),
    /// PostgreSQL, by its whole URL, which may hold a password.
    Postgres(Secret<String>),
}

impl StorageSettings {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let data_dir = reader.required(&table::DATA_DIR, |text| Ok(PathBuf::from(text)));
        let database = reader
            .optional(&table::DATABASE_URL, values::database)
            .unwrap_or_else(|| Database::Sqlite(data_dir.join("goat.db")));
        let migrate_on_start = reader
            .optional_choice(&table::MIGRATE_ON_START, &BOOLEAN)
            .unwrap_or(matches!(database, Database::Sqlite(_)));
        Self {
            data_dir,
            database,
            redis: reader.optional(&table::REDIS_URL, values::redis),
            max_connections: reader.count(&table::DATABASE_MAX_CONNECTIONS),
            store_timeout: reader.duration(&table::STORE_TIMEOUT),
            migrate_on_start,
        }
    }
}

/// How tokens are made, and how long they and their sessions live.
#[derive(Clone, Debug)]
pub struct TokenSettings {
    /// `GOAT_TOKEN_ALGORITHM`, `GOAT_JWT_SECRET` and `GOAT_JWT_PRIVATE_KEY`.
    pub keys: SigningKeys,
    /// `GOAT_ISSUER`.
    pub issuer: String,
    /// `GOAT_AUDIENCE`.
    pub audience: String,
    /// `GOAT_ACCESS_TOKEN_TTL`.
    pub access_ttl: Duration,
    /// `GOAT_ACCESS_TOKEN_PERMISSIONS`: whether access tokens carry the permissions.
    pub access_permissions: bool,
    /// `GOAT_REFRESH_TOKEN_TTL`: idle limit of a session, at most `session_ttl`.
    pub refresh_ttl: Duration,
    /// `GOAT_SESSION_TTL`: absolute limit of a session.
    pub session_ttl: Duration,
    /// `GOAT_REFRESH_LEEWAY`: zero, or at least the request time-out.
    pub refresh_leeway: Duration,
    /// `GOAT_CLOCK_LEEWAY`: allowed difference of clocks.
    pub clock_leeway: Duration,
}

/// What signs tokens. Lists are never empty; the first signs, all verify.
#[derive(Clone, Debug)]
pub enum SigningKeys {
    /// HS256 with these secrets.
    Hs256(Vec<Secret<Vec<u8>>>),
    /// EdDSA with these keys in PEM, each a single block; those after the first may be public.
    EdDsa(Vec<Secret<String>>),
    /// EdDSA with a key that is generated into the data directory.
    Generated,
}

/// `GOAT_TOKEN_ALGORITHM`, where it is given; the keys decide what it is.
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
            // The default means "a week of idleness, within the session".
            refresh_ttl = refresh_ttl.min(session_ttl);
        }
        Self {
            keys,
            issuer: reader.required(&table::ISSUER, values::identifier),
            audience: reader.required(&table::AUDIENCE, values::identifier),
            access_ttl: reader.duration(&table::ACCESS_TOKEN_TTL),
            access_permissions: reader.choice(&table::ACCESS_TOKEN_PERMISSIONS, &BOOLEAN),
            refresh_ttl,
            session_ttl,
            refresh_leeway: reader.duration(&table::REFRESH_LEEWAY),
            clock_leeway: reader.duration(&table::CLOCK_LEEWAY),
        }
    }
}

/// How many sessions there may be, and how long a verdict about one is remembered.
#[derive(Clone, Debug)]
pub struct SessionSettings {
    /// `GOAT_SESSIONS_PER_USER`: the oldest goes when one more signs in.
    pub per_user: u32,
    /// `GOAT_SESSION_CACHE_STALENESS`: zero asks the store every time.
    pub cache_staleness: Duration,
}

impl SessionSettings {
    pub(super) fn read(reader: &mut Reader) -> Self {
        Self {
            per_user: reader.count(&table::SESSIONS_PER_USER),
            cache_staleness: reader.duration(&table::SESSION_CACHE_STALENESS),
        }
    }
}

/// What a password must be, and what its hash costs.
#[derive(Clone, Debug)]
pub struct PasswordSettings {
    /// `GOAT_PASSWORD_PEPPER`: the first hashes, all verify; `None`: generated into the data
    /// directory.
    pub peppers: Option<Vec<Secret<Vec<u8>>>>,
    /// `GOAT_PASSWORD_MIN_LENGTH`, in characters.
    pub min_length: usize,
    /// `GOAT_PASSWORD_MAX_LENGTH`, in characters.
    pub max_length: usize,
    /// `GOAT_ARGON2_MEMORY`, in KiB.
    pub argon2_memory: u32,
    /// `GOAT_ARGON2_ITERATIONS`: passes over the memory.
    pub argon2_iterations: u32,
    /// `GOAT_ARGON2_PARALLELISM`: lanes.
    pub argon2_parallelism: u32,
    /// `GOAT_HASH_CONCURRENCY`: hashes at once.
    pub hash_concurrency: usize,
    /// `GOAT_HASH_QUEUE`: hashes that wait.
    pub hash_queue: usize,
}

impl PasswordSettings {
    pub(super) fn read(reader: &mut Reader) -> Self {
        Self {
            peppers: reader.optional(&table::PASSWORD_PEPPER, secrets::secrets),
            min_length: reader.count(&table::PASSWORD_MIN_LENGTH),
            max_length: reader.count(&table::PASSWORD_MAX_LENGTH),
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

/// Who gets an account.
#[derive(Clone, Debug)]
pub struct AccountSettings {
    /// `GOAT_SIGNUP`.
    pub signup: Signup,
    /// `GOAT_ADMIN_EMAIL`: looks like an address; the rules of accounts have the last word.
    pub admin_email: String,
    /// `GOAT_ADMIN_PASSWORD`: of allowed length; `None`: generated.
    pub admin_password: Option<Secret<String>>,
}

/// `GOAT_SIGNUP`: what becomes of who signs up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signup {
    /// May sign in at once.
    Active,
    /// Waits to be activated.
    Inactive,
    /// Nobody signs up.
    Closed,
}

impl AccountSettings {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let words = [
            ("active", Signup::Active),
            ("inactive", Signup::Inactive),
            ("closed", Signup::Closed),
        ];
        Self {
            signup: reader.choice(&table::SIGNUP, &words),
            admin_email: reader.required(&table::ADMIN_EMAIL, values::email),
            admin_password: reader.optional(&table::ADMIN_PASSWORD, |text| Ok(Secret::from(text))),
        }
    }
}

/// Rate limits; `None` is off.
#[derive(Clone, Debug)]
pub struct LimitSettings {
    /// `GOAT_RATE_LIMIT_AUTH`: login and sign-up; per account, login has ten times as many.
    pub auth: Option<Quota>,
    /// `GOAT_RATE_LIMIT_REFRESH`: refresh.
    pub refresh: Option<Quota>,
    /// `GOAT_RATE_LIMIT_PUBLIC`: other public routes and unmatched paths.
    pub public: Option<Quota>,
    /// `GOAT_RATE_LIMIT_ADDRESS`: protected routes, before authentication.
    pub address: Option<Quota>,
    /// `GOAT_RATE_LIMIT_USER`: protected routes, after authentication.
    pub user: Option<Quota>,
    /// `GOAT_RATE_LIMIT_KEYS`: keys kept in the process.
    pub keys: usize,
}

impl LimitSettings {
    pub(super) fn read(reader: &mut Reader) -> Self {
        Self {
            auth: reader.quota(&table::RATE_LIMIT_AUTH),
            refresh: reader.quota(&table::RATE_LIMIT_REFRESH),
            public: reader.quota(&table::RATE_LIMIT_PUBLIC),
            address: reader.quota(&table::RATE_LIMIT_ADDRESS),
            user: reader.quota(&table::RATE_LIMIT_USER),
            keys: reader.count(&table::RATE_LIMIT_KEYS),
        }
    }
}

/// What is logged, and how.
#[derive(Clone, Debug)]
pub struct LogSettings {
    /// `GOAT_LOG`: a filter that `tracing_subscriber::EnvFilter` accepts.
    pub filter: String,
    /// `GOAT_LOG_FORMAT`; `None`: pretty on a terminal, else JSON.
    pub format: Option<LogFormat>,
}

/// `GOAT_LOG_FORMAT`: how a line of the log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// A JSON object a line.
    Json,
}

impl LogSettings {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let words = [("pretty", LogFormat::Pretty), ("json", LogFormat::Json)];
        Self {
            filter: reader.required(&table::LOG, values::filter),
            format: reader.optional_choice(&table::LOG_FORMAT, &words),
        }
    }
}
