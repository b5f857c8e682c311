//! Every setting, once: what `--help`, `.env.example` and the parsing are made from.
//!
//! Bounds are data, so that what is said and what is checked cannot drift apart.

use std::fmt;
use std::time::Duration;

use super::values;

/// One setting.
pub(crate) struct Setting {
    /// The environment variable.
    pub(crate) name: &'static str,
    /// Where it stands in the help.
    pub(crate) section: Section,
    /// What holds where nothing is given.
    pub(crate) default: Fallback,
    /// What it may be.
    pub(crate) kind: Kind,
    /// Who may see it.
    pub(crate) exposure: Exposure,
    /// What it is for.
    pub(crate) help: &'static str,
}

impl Setting {
    const fn new(name: &'static str, default: Fallback, kind: Kind, help: &'static str) -> Self {
        Self { name, section: Section::Process, default, kind, exposure: Exposure::Public, help }
    }

    const fn within(mut self, section: Section) -> Self {
        self.section = section;
        self
    }

    /// Given by environment or file alone.
    const fn secret(mut self) -> Self {
        self.exposure = Exposure::Secret;
        self
    }

    /// A flag too, but never repeated in a message.
    const fn confidential(mut self) -> Self {
        self.exposure = Exposure::Confidential;
        self
    }

    /// The name of the flag without its dashes; secrets have none, since a command line is open to
    /// everyone on the machine.
    pub(crate) fn flag(&self) -> Option<String> {
        match self.exposure {
            Exposure::Secret => None,
            _ => Some(self.name.to_ascii_lowercase().replace('_', "-")),
        }
    }

    /// The variable that names a file with the value in it.
    pub(crate) fn file_variable(&self) -> Option<String> {
        match self.exposure {
            Exposure::Public => None,
            _ => Some(format!("{}_FILE", self.name)),
        }
    }
}

/// Who may see a value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exposure {
    /// Everyone.
    Public,
    /// It may hold a password: no message shows it, a file may hold it, a flag is still offered.
    Confidential,
    /// No message shows it, a file may hold it, and no flag takes it.
    Secret,
}

/// What holds where nothing is given.
#[derive(Clone, Copy)]
pub(crate) enum Fallback {
    /// This text, as if it had been given.
    Text(&'static str),
    /// Nothing.
    Unset,
    /// What these words say.
    Words(&'static str),
}

impl fmt::Display for Fallback {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Text(text) | Self::Words(text) => text,
            Self::Unset => "unset",
        })
    }
}

/// What a value may be. `Display` reads after "may be".
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A duration, both ends included.
    Duration(Duration, Duration),
    /// A whole number, both ends included.
    Count(u64, u64),
    /// `N/DURATION` or `off`.
    Quota,
    /// What these words say.
    Words(&'static str),
}

/// The most that a limit may allow in its window: ten times as many still fits a quota.
pub(crate) const QUOTA_MOST: u32 = 1_000_000;

/// The most that a hash may be told to cost: KiB, passes, lanes.
pub(crate) const ARGON2_MOST: (u32, u32, u32) = (1_048_576, 64, 64);

/// The longest duration that anything takes: a year.
pub(crate) const LONGEST: Duration = hours(8760);

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Choice(words) => match words.split_last() {
                Some((last, [])) => formatter.write_str(last),
                Some((last, others)) => write!(formatter, "{} or {last}", others.join(", ")),
                None => Ok(()),
            },
            Self::Duration(from, to) => {
                write!(formatter, "{} to {}", values::show(*from), values::show(*to))
            }
            Self::Count(from, to) => write!(formatter, "{from} to {to}"),
            Self::Quota => write!(
                formatter,
                "N/DURATION with N from 1 to {QUOTA_MOST} and a window of 1s to {}, or off",
                values::show(LONGEST)
            ),
            Self::Words(words) => formatter.write_str(words),
        }
    }
}

/// The concern that a setting belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Section {
    Process,
    Http,
    Storage,
    Tokens,
    Sessions,
    Passwords,
    Accounts,
    Limits,
    Log,
}

impl Section {
    /// The heading in the help.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Process => "Process",
            Self::Http => "HTTP",
            Self::Storage => "Storage",
            Self::Tokens => "Tokens",
            Self::Sessions => "Sessions",
            Self::Passwords => "Passwords",
            Self::Accounts => "Accounts",
            Self::Limits => "Rate limits",
            Self::Log => "Log",
        }
    }
}

const fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

const fn minutes(count: u64) -> Duration {
    Duration::from_secs(count * 60)
}

const fn hours(count: u64) -> Duration {
    Duration::from_secs(count * 3600)
}

const BOOLEAN: Kind = Kind::Choice(&["true", "false"]);
const NETWORKS: Kind = Kind::Words(
    "addresses or CIDR ranges, comma-separated, but not everyone (0.0.0.0/0, ::/0); or none",
);
const ORIGINS: Kind = Kind::Words(
    "origins such as https://app.example.com, comma-separated, never *, no path, no default port; or none",
);
const IDENTIFIER: Kind = Kind::Words("1 to 256 characters without white space");
const SOCKET: Kind = Kind::Words("an IP address and a port, such as 127.0.0.1:8080 or [::1]:8080");
const BYTES: Kind = Kind::Words(
    "at least 32 bytes without a comma, or several such, comma-separated, no two alike",
);

macro_rules! table {
    ($($section:ident { $($setting:ident = $value:expr;)+ })+) => {
        $($(pub(crate) static $setting: Setting = $value.within(Section::$section);)+)+

        /// All settings, section by section, in the order of the help.
        pub(crate) static TABLE: &[&Setting] = &[$($(&$setting),+),+];
    };
}

use Fallback::{Text, Unset, Words};

table! {
    Process {
        ENV = Setting::new("GOAT_ENV", Text("development"),
            Kind::Choice(&["development", "production"]),
            "`production` refuses generated or weak secrets and a generated administrator.");
    }
    Http {
        LISTEN = Setting::new("GOAT_LISTEN", Text("127.0.0.1:8080"), SOCKET,
            "Address of the API. Host names are not resolved.");
        METRICS_LISTEN = Setting::new("GOAT_METRICS_LISTEN", Unset, SOCKET,
            "Where set, /api/metrics moves to this address alone; it must not overlap GOAT_LISTEN.");
        TRUSTED_PROXIES = Setting::new("GOAT_TRUSTED_PROXIES", Text("none"), NETWORKS,
            "Proxies whose forwarding header is believed. Such a header from anyone else is a warning, once.");
        FORWARDED_HEADER = Setting::new("GOAT_FORWARDED_HEADER", Text("x-forwarded-for"),
            Kind::Choice(&["x-forwarded-for", "forwarded"]),
            "The forwarding header that is read; the other is ignored.");
        CORS_ORIGINS = Setting::new("GOAT_CORS_ORIGINS", Text("none"), ORIGINS,
            "Origins of web pages that may call the API from a browser.");
        MAX_CONNECTIONS = Setting::new("GOAT_MAX_CONNECTIONS", Text("10000"),
            Kind::Count(1, 1_000_000),
            "Connections open at once.");
        HEADER_TIMEOUT = Setting::new("GOAT_HEADER_TIMEOUT", Text("5s"),
            Kind::Duration(millis(100), minutes(5)),
            "From the first byte possible to the whole head of a request, also for a connection that says nothing.");
        REQUEST_TIMEOUT = Setting::new("GOAT_REQUEST_TIMEOUT", Text("10s"),
            Kind::Duration(millis(100), minutes(5)),
            "For a request and its answer.");
        IDLE_TIMEOUT = Setting::new("GOAT_IDLE_TIMEOUT", Text("60s"),
            Kind::Duration(seconds(1), hours(1)),
            "Between two requests of a connection.");
        DRAIN_DELAY = Setting::new("GOAT_DRAIN_DELAY", Text("0s"),
            Kind::Duration(Duration::ZERO, minutes(5)),
            "At the end, ready says 503 while the listener still accepts, for this long. A rolling restart that loses nothing needs as long as the balancer takes to notice.");
        SHUTDOWN_TIMEOUT = Setting::new("GOAT_SHUTDOWN_TIMEOUT", Text("15s"),
            Kind::Duration(millis(100), minutes(10)),
            "Then what was accepted has this long to finish; at least GOAT_REQUEST_TIMEOUT.");
    }
    Storage {
        DATA_DIR = Setting::new("GOAT_DATA_DIR", Text("./data"), Kind::Words("the path of a directory"),
            "What the embedded default keeps: the SQLite file and generated keys (mode 0600). Nothing is written there where PostgreSQL is used and every secret is given.");
        DATABASE_URL = Setting::new("DATABASE_URL", Words("sqlite://<GOAT_DATA_DIR>/goat.db"),
            Kind::Words("sqlite:PATH or sqlite://PATH, the path as it is and of a file; or postgres://… (12 or later)"),
            "The database; PostgreSQL for several nodes, which then all need the same token key and pepper. One that has tables but not goat's is refused unless `migrate --adopt` is told to take it. Over a network, sslmode=verify-full is what makes TLS certain, and sslrootcert=PATH names an authority of your own. A password in it is better off in the environment or a file than in a flag.")
            .confidential();
        REDIS_URL = Setting::new("REDIS_URL", Unset,
            Kind::Words("redis://… or rediss://…, or several such cluster or sentinel nodes, comma-separated (6.0 or later, Valkey alike)"),
            "Keeps sessions and rate limits, carries notices between nodes, and remembers users and roles in front of PostgreSQL; its maxmemory-policy has to be noeviction. Where sentinels watch several masters, ?master=NAME says which. Where unset, sessions are kept in the database and rate limits in the process, and notices go by PostgreSQL.")
            .confidential();
        DATABASE_MAX_CONNECTIONS = Setting::new("GOAT_DATABASE_MAX_CONNECTIONS", Text("10"),
            Kind::Count(2, 1000),
            "Connections of this node to the database. With SQLite, one of them writes; with PostgreSQL and without Redis, two more carry notices: one listens, one tells.");
        STORE_TIMEOUT = Setting::new("GOAT_STORE_TIMEOUT", Text("2s"),
            Kind::Duration(millis(50), minutes(1)),
            "For one call to the database or Redis; at most GOAT_REQUEST_TIMEOUT.");
        MIGRATE_ON_START = Setting::new("GOAT_MIGRATE_ON_START",
            Words("true for SQLite, false for PostgreSQL"), BOOLEAN,
            "Whether `serve` brings the schema up to date. `goat-server migrate` is the deployment step.");
    }
    Tokens {
        TOKEN_ALGORITHM = Setting::new("GOAT_TOKEN_ALGORITHM",
            Words("HS256 where GOAT_JWT_SECRET is set, else EdDSA"), Kind::Choice(&["HS256", "EdDSA"]),
            "How tokens are signed.");
        JWT_SECRET = Setting::new("GOAT_JWT_SECRET", Unset, BYTES,
            "For HS256. The first signs, all verify.")
            .secret();
        JWT_PRIVATE_KEY = Setting::new("GOAT_JWT_PRIVATE_KEY",
            Words("generated into GOAT_DATA_DIR, except in production"),
            Kind::Words("a private key as PKCS#8 PEM, or several keys, comma-separated, of which those after the first may be public keys"),
            "For EdDSA. The first signs, all verify. A line break may be written \\n.")
            .secret();
        ISSUER = Setting::new("GOAT_ISSUER", Text("goat"), IDENTIFIER,
            "Issuer (iss) of the tokens.");
        AUDIENCE = Setting::new("GOAT_AUDIENCE", Text("goat-api"), IDENTIFIER,
            "Audience (aud) of the tokens.");
        ACCESS_TOKEN_TTL = Setting::new("GOAT_ACCESS_TOKEN_TTL", Text("5m"),
            Kind::Duration(minutes(1), hours(1)),
            "Life of an access token; at most GOAT_REFRESH_TOKEN_TTL and GOAT_SESSION_TTL.");
        ACCESS_TOKEN_PERMISSIONS = Setting::new("GOAT_ACCESS_TOKEN_PERMISSIONS", Text("false"), BOOLEAN,
            "Put the permissions into access tokens, for services that verify offline.");
        REFRESH_TOKEN_TTL = Setting::new("GOAT_REFRESH_TOKEN_TTL", Text("168h"),
            Kind::Duration(minutes(5), LONGEST),
            "Idle limit of a session; given, it is at most GOAT_SESSION_TTL.");
        SESSION_TTL = Setting::new("GOAT_SESSION_TTL", Text("720h"),
            Kind::Duration(minutes(5), LONGEST),
            "Absolute limit of a session.");
        REFRESH_LEEWAY = Setting::new("GOAT_REFRESH_LEEWAY", Text("30s"),
            Kind::Duration(Duration::ZERO, seconds(60)),
            "How long a refresh token that was just used gets its answer again; 0, or at least GOAT_REQUEST_TIMEOUT.");
        CLOCK_LEEWAY = Setting::new("GOAT_CLOCK_LEEWAY", Text("5s"),
            Kind::Duration(Duration::ZERO, seconds(30)),
            "Allowed difference of clocks in the times of tokens.");
    }
    Sessions {
        SESSIONS_PER_USER = Setting::new("GOAT_SESSIONS_PER_USER", Text("50"), Kind::Count(1, 1000),
            "The oldest session goes when one more signs in.");
        SESSION_CACHE_STALENESS = Setting::new("GOAT_SESSION_CACHE_STALENESS", Text("1s"),
            Kind::Duration(Duration::ZERO, minutes(1)),
            "How long another node's change may stay unseen if notices are lost; 0 asks the store every time.");
    }
    Passwords {
        PASSWORD_PEPPER = Setting::new("GOAT_PASSWORD_PEPPER",
            Words("generated into GOAT_DATA_DIR, except in production"), BYTES,
            "Keyed into every password hash. The first hashes, all verify; each is known by an id made from its content, so their order may change.")
            .secret();
        PASSWORD_MIN_LENGTH = Setting::new("GOAT_PASSWORD_MIN_LENGTH", Text("15"), Kind::Count(8, 128),
            "Fewest characters of a new password.");
        PASSWORD_MAX_LENGTH = Setting::new("GOAT_PASSWORD_MAX_LENGTH", Text("256"), Kind::Count(64, 1024),
            "Most characters of a password; at least GOAT_PASSWORD_MIN_LENGTH.");
        ARGON2_MEMORY = Setting::new("GOAT_ARGON2_MEMORY", Text("19456"), Kind::Count(19_456, ARGON2_MOST.0 as u64),
            "KiB a hash takes (OWASP's floor). A stored hash with other parameters is replaced at the next login.");
        ARGON2_ITERATIONS = Setting::new("GOAT_ARGON2_ITERATIONS", Text("2"), Kind::Count(2, ARGON2_MOST.1 as u64),
            "Passes over the memory (OWASP's floor).");
        ARGON2_PARALLELISM = Setting::new("GOAT_ARGON2_PARALLELISM", Text("1"), Kind::Count(1, ARGON2_MOST.2 as u64),
            "Lanes of a hash.");
        HASH_CONCURRENCY = Setting::new("GOAT_HASH_CONCURRENCY", Words("the number of cores"),
            Kind::Count(1, 1024),
            "Hashes at once; their memory is allocated once and kept.");
        HASH_QUEUE = Setting::new("GOAT_HASH_QUEUE", Text("64"), Kind::Count(0, 100_000),
            "Hashes that wait; one more is a 503 with Retry-After.");
    }
    Accounts {
        SIGNUP = Setting::new("GOAT_SIGNUP", Text("active"), Kind::Choice(&["active", "inactive", "closed"]),
            "Status of who signs up; `closed` answers 404.");
        ADMIN_EMAIL = Setting::new("GOAT_ADMIN_EMAIL", Text("admin@goat.local"),
            Kind::Words("an e-mail address of at most 254 octets"),
            "The administrator who is made on a start that finds none. An address that belongs to somebody who is not an administrator refuses to start.");
        ADMIN_PASSWORD = Setting::new("GOAT_ADMIN_PASSWORD",
            Words("generated into <GOAT_DATA_DIR>/admin-password (mode 0600) and shown on a terminal, except in production"),
            Kind::Words("GOAT_PASSWORD_MIN_LENGTH to GOAT_PASSWORD_MAX_LENGTH characters"),
            "The first password of that administrator.")
            .secret();
    }
    Limits {
        RATE_LIMIT_AUTH = Setting::new("GOAT_RATE_LIMIT_AUTH", Text("5/1m"), Kind::Quota,
            "Login and sign-up, a bucket each per client address; login also per account, ten times as many.");
        RATE_LIMIT_REFRESH = Setting::new("GOAT_RATE_LIMIT_REFRESH", Text("60/1m"), Kind::Quota,
            "Refresh, per client address.");
        RATE_LIMIT_PUBLIC = Setting::new("GOAT_RATE_LIMIT_PUBLIC", Text("100/1m"), Kind::Quota,
            "Other public routes and unmatched paths, per client address.");
        RATE_LIMIT_ADDRESS = Setting::new("GOAT_RATE_LIMIT_ADDRESS", Text("300/1m"), Kind::Quota,
            "Protected routes, per client address, before authentication.");
        RATE_LIMIT_USER = Setting::new("GOAT_RATE_LIMIT_USER", Text("60/1m"), Kind::Quota,
            "Protected routes, per user, after authentication.");
        RATE_LIMIT_KEYS = Setting::new("GOAT_RATE_LIMIT_KEYS", Text("1000000"),
            Kind::Count(1000, 100_000_000),
            "Keys of limits that are kept in the process, where there is no Redis.");
    }
    Log {
        LOG = Setting::new("GOAT_LOG", Text("info"),
            Kind::Words("a filter in the syntax of tracing, such as info or info,goat_core=debug"),
            "What is logged.");
        LOG_FORMAT = Setting::new("GOAT_LOG_FORMAT", Words("pretty on a terminal, else json"),
            Kind::Choice(&["pretty", "json"]),
            "In `json`, every line of `serve` on either stream is a JSON object, whatever happens.");
    }
}
