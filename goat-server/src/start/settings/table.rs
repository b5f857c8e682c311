//! The settings table: the single source of `--help`, `.env.example` and parsing.
//!
//! Bounds are data, so that the documented bounds are the enforced ones.

use std::fmt;
use std::time::Duration;

use super::values;

/// One setting.
pub(crate) struct Setting {
    /// The environment variable.
    pub(crate) name: &'static str,
    /// Its section of the help.
    pub(crate) section: Section,
    /// The default.
    pub(crate) default: Fallback,
    /// The allowed values.
    pub(crate) kind: Kind,
    /// Where its value may be given and shown.
    pub(crate) exposure: Exposure,
    /// Its purpose.
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

    /// Makes the setting a secret: given by the environment or a file only.
    const fn secret(mut self) -> Self {
        self.exposure = Exposure::Secret;
        self
    }

    /// Makes the setting confidential: a flag may give it, no message shows it.
    const fn confidential(mut self) -> Self {
        self.exposure = Exposure::Confidential;
        self
    }

    /// Returns the name of the flag without its dashes; secrets have none, since every user of the
    /// machine can see command lines.
    pub(crate) fn flag(&self) -> Option<String> {
        match self.exposure {
            Exposure::Secret => None,
            _ => Some(self.name.to_ascii_lowercase().replace('_', "-")),
        }
    }

    /// Returns the variable that names a file with the value.
    pub(crate) fn file_variable(&self) -> Option<String> {
        match self.exposure {
            Exposure::Public => None,
            _ => Some(format!("{}_FILE", self.name)),
        }
    }
}

/// Where a value may be given and shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exposure {
    /// Given and shown anywhere.
    Public,
    /// May contain a password: no message shows it; a file or a flag may give it.
    Confidential,
    /// No message shows it, a file may give it, and no flag does.
    Secret,
}

/// The default of a setting.
#[derive(Clone, Copy)]
pub(crate) enum Fallback {
    /// This text, parsed as if it were given.
    Text(&'static str),
    /// No value.
    Unset,
    /// A rule, described in words.
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

/// The allowed values of a setting. `Display` follows "may be".
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A duration, both ends included.
    Duration(Duration, Duration),
    /// A whole number, both ends included.
    Count(u64, u64),
    /// As [`Kind::Duration`], or `off`.
    DurationOrOff(Duration, Duration),
    /// `N/DURATION` or `off`.
    Quota,
    /// A format, described in words.
    Words(&'static str),
}

/// Maximum of a limit in its window; ten times as many still fit a quota.
pub(crate) const QUOTA_MOST: u32 = 1_000_000;

/// Maximum cost of a hash: KiB, passes, lanes.
pub(crate) const ARGON2_MOST: (u32, u32, u32) = (1_048_576, 64, 64);

/// Maximum of any duration: one year.
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
            Self::DurationOrOff(from, to) => {
                write!(formatter, "{}, or off", Self::Duration(*from, *to))
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

/// The section of a setting.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Section {
    Process,
    Http,
    Forward,
    LoginPage,
    Storage,
    Tokens,
    Sessions,
    Passwords,
    Accounts,
    Mail,
    Keys,
    Limits,
    Log,
}

impl Section {
    /// Returns the heading in the help.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Process => "Process",
            Self::Http => "HTTP",
            Self::Forward => "Forward authentication",
            Self::LoginPage => "Sign-in page",
            Self::Storage => "Storage",
            Self::Tokens => "Tokens",
            Self::Sessions => "Sessions",
            Self::Passwords => "Passwords",
            Self::Accounts => "Accounts",
            Self::Mail => "Mail",
            Self::Keys => "API keys",
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
    "a comma-separated list of IP addresses and CIDR ranges, except 0.0.0.0/0 and ::/0; or none",
);
const ORIGINS: Kind = Kind::Words(
    "a comma-separated list of origins such as https://app.example.com, without path, default port or *; or none",
);
const PUBLIC: Kind =
    Kind::Words("a URL such as https://auth.example.com, without user, query or fragment");
const ATTRIBUTE_KEYS: Kind =
    Kind::Words("none, or a comma-separated list of keys of 1 to 64 characters of a-z, 0-9 and _");
const IDENTIFIER: Kind = Kind::Words("1 to 256 characters without white space");
const SOCKET: Kind = Kind::Words("an IP address and a port, such as 127.0.0.1:8080 or [::1]:8080");
const BYTES: Kind = Kind::Words(
    "at least 32 bytes without a comma, or a comma-separated list of different such secrets",
);

macro_rules! table {
    ($($section:ident { $($setting:ident = $value:expr;)+ })+) => {
        $($(pub(crate) static $setting: Setting = $value.within(Section::$section);)+)+

        /// All settings, by section, in the order of the help.
        pub(crate) static TABLE: &[&Setting] = &[$($(&$setting),+),+];
    };
}

use Fallback::{Text, Unset, Words};

table! {
    Process {
        ENV = Setting::new("GOAT_ENV", Text("development"),
            Kind::Choice(&["development", "production"]),
            "Mode of the server. `production` refuses to start with generated or weak secrets. In `development` the server listens on loopback addresses only, and refuses to start with any other.");
    }
    Http {
        LISTEN = Setting::new("GOAT_LISTEN", Text("127.0.0.1:8080"), SOCKET,
            "Address on which the API listens. Host names are not resolved. In development, a loopback address.");
        PUBLIC_URL = Setting::new("GOAT_PUBLIC_URL",
            Words("http://localhost:<port of GOAT_LISTEN>, except in production"), PUBLIC,
            "URL under which clients reach the API. Links in messages begin with it, whatever a request says; in production mail requires it. If it begins with https:, every response tells browsers to use https: only, for one year and for all subdomains (Strict-Transport-Security).");
        METRICS_LISTEN = Setting::new("GOAT_METRICS_LISTEN", Unset, SOCKET,
            "If set, /api/metrics is served only on this address, which must not overlap GOAT_LISTEN. If unset, /api/metrics on GOAT_LISTEN is public in development and requires the permission metrics:read in production.");
        TRUSTED_PROXIES = Setting::new("GOAT_TRUSTED_PROXIES", Text("none"), NETWORKS,
            "Proxies whose forwarding header determines the client address: the addresses from which their connections arrive. Their X-Request-Id is kept. Both headers are ignored from any other peer, a forwarding header with one warning that names the peer.");
        FORWARDED_HEADER = Setting::new("GOAT_FORWARDED_HEADER", Text("x-forwarded-for"),
            Kind::Choice(&["x-forwarded-for", "forwarded"]),
            "Forwarding header to read. The other one is ignored.");
        CORS_ORIGINS = Setting::new("GOAT_CORS_ORIGINS", Text("none"), ORIGINS,
            "Origins of the web pages that may call the API from a browser (CORS).");
        MAX_CONNECTIONS = Setting::new("GOAT_MAX_CONNECTIONS", Text("10000"),
            Kind::Count(1, 1_000_000),
            "Maximum number of open connections. When more than three quarters of them are open, the longest idle ones are closed first. The soft limit on open files is raised to the hard limit on start; a warning is logged if that is too low.");
        MAX_CONNECTIONS_PER_ADDRESS = Setting::new("GOAT_MAX_CONNECTIONS_PER_ADDRESS", Text("256"),
            Kind::Count(1, 1_000_000),
            "Maximum number of open connections of one IPv4 address or IPv6 /64, and of requests in flight on them. GOAT_TRUSTED_PROXIES are exempt.");
        HEADER_TIMEOUT = Setting::new("GOAT_HEADER_TIMEOUT", Text("5s"),
            Kind::Duration(millis(100), minutes(5)),
            "Time for a client to send a complete request head, from the moment it can send the first byte. Applies to silent connections too.");
        REQUEST_TIMEOUT = Setting::new("GOAT_REQUEST_TIMEOUT", Text("10s"),
            Kind::Duration(millis(100), minutes(5)),
            "Time to receive and handle a request and to send its response.");
        IDLE_TIMEOUT = Setting::new("GOAT_IDLE_TIMEOUT", Text("60s"),
            Kind::Duration(seconds(1), hours(1)),
            "Time for which a connection may stay idle between two requests.");
        DRAIN_DELAY = Setting::new("GOAT_DRAIN_DELAY", Text("0s"),
            Kind::Duration(Duration::ZERO, minutes(5)),
            "Time on shutdown during which /api/ready fails while connections are still accepted. For rolling restarts without lost requests, set it to the time that the load balancer takes to react.");
        SHUTDOWN_TIMEOUT = Setting::new("GOAT_SHUTDOWN_TIMEOUT", Text("15s"),
            Kind::Duration(millis(100), minutes(10)),
            "Time on shutdown for accepted requests to finish, after GOAT_DRAIN_DELAY. At least GOAT_REQUEST_TIMEOUT.");
    }
    Forward {
        LOGIN_URL = Setting::new("GOAT_LOGIN_URL", Words("/login where GOAT_LOGIN_PAGE is on, else unset"),
            Kind::Words("a path such as /login, or a URL that begins with https:// or http://, without a fragment"),
            "Page to which GET /api/v1/auth/verify?redirect=true sends a navigation without a valid access token, with the forwarded URL in return_to.");
        FORWARD_ORIGINS = Setting::new("GOAT_FORWARD_ORIGINS", Text("none"),
            Kind::Words("none, or a comma-separated list of origins: https://host or https://host:port (http: on loopback only)"),
            "Origins of the applications behind a reverse proxy that asks GET /api/v1/auth/verify. Only their URLs become return_to.");
        VERIFY_HEADERS = Setting::new("GOAT_VERIFY_HEADERS", Text("none"),
            Kind::Words("none, or a comma-separated list of: email, and attributes.KEY for the attribute of a key"),
            "Further headers of GET /api/v1/auth/verify for the application: `email` is X-Goat-Email, and `attributes.cost_center` is X-Goat-Attribute-Cost-Center. A reverse proxy must replace those of the client.");
    }
    LoginPage {
        LOGIN_PAGE = Setting::new("GOAT_LOGIN_PAGE", Text("off"), Kind::Choice(&["off", "on"]),
            "Whether the server has a sign-in page at /login, for browsers, in English and German. Requires GOAT_SESSION_COOKIES. It leads back to paths of its own host and to GOAT_FORWARD_ORIGINS.");
        LOGIN_NAME = Setting::new("GOAT_LOGIN_NAME", Text("goat"),
            Kind::Words("1 to 64 characters"),
            "Name on the sign-in page.");
        LOGIN_LOGO = Setting::new("GOAT_LOGIN_LOGO", Unset,
            Kind::Words("the path of an SVG, PNG, JPEG or WebP file (.svg, .png, .jpg, .webp) of at most 64 KiB"),
            "Logo on the sign-in page.");
        LOGIN_COLOR = Setting::new("GOAT_LOGIN_COLOR", Text("0b57b0"),
            Kind::Words("a colour as rrggbb, hexadecimal"),
            "Colour of the sign-in page.");
    }
    Storage {
        DATA_DIR = Setting::new("GOAT_DATA_DIR", Text("./data"), Kind::Words("the path of a directory"),
            "Directory of the SQLite file and of generated secrets (mode 0600). Unused with PostgreSQL if every secret is set. It and the files in it must belong to the server's user or root, and not be writable by others: otherwise a warning in development, and a refused start in production.");
        DATABASE_URL = Setting::new("DATABASE_URL", Words("sqlite://<GOAT_DATA_DIR>/goat.db"),
            Kind::Words("sqlite:PATH or sqlite://PATH, where PATH names a file and is not percent-encoded; or postgres://… (version 12 or later)"),
            "Database. Several nodes need PostgreSQL, and must share the token key and the pepper. A database that contains only tables of another application is refused unless it is adopted with `migrate --adopt`. Over a network, use sslmode=verify-full, with sslrootcert=PATH for a certificate authority of your own. If the URL contains a password, set it in the environment or a file rather than by flag.")
            .confidential();
        REDIS_URL = Setting::new("REDIS_URL", Unset,
            Kind::Words("redis://… or rediss://…, or a comma-separated list of such URLs for cluster or sentinel nodes (Redis 6.0 or later, or Valkey)"),
            "Redis, for sessions, rate limits, invalidations between nodes, and the shared cache of users and roles in front of PostgreSQL. Its maxmemory-policy must be noeviction. With Sentinel, ?master=NAME selects one of several masters. If unset, sessions are stored in the database and rate limits in the process, and invalidations are sent through PostgreSQL.")
            .confidential();
        DATABASE_MAX_CONNECTIONS = Setting::new("GOAT_DATABASE_MAX_CONNECTIONS", Text("10"),
            Kind::Count(2, 1000),
            "Maximum number of database connections of this node. With SQLite, one of them is the writer. With PostgreSQL and without Redis, two more are used for invalidations (LISTEN and NOTIFY). Readiness probes use connections of their own: up to two with PostgreSQL, one with SQLite.");
        STORE_TIMEOUT = Setting::new("GOAT_STORE_TIMEOUT", Text("2s"),
            Kind::Duration(millis(50), minutes(1)),
            "Timeout of one call to the database or Redis. At most GOAT_REQUEST_TIMEOUT.");
        START_TIMEOUT = Setting::new("GOAT_START_TIMEOUT", Text("30s"),
            Kind::Duration(Duration::ZERO, minutes(10)),
            "How long `serve` tries again at the start if the database or Redis is down, before it fails. 0 tries once.");
        MIGRATE_ON_START = Setting::new("GOAT_MIGRATE_ON_START",
            Words("true for SQLite, false for PostgreSQL"), BOOLEAN,
            "Whether `serve` migrates the database schema. In a deployment, run `goat-server migrate` as a separate step instead.");
    }
    Tokens {
        TOKEN_ALGORITHM = Setting::new("GOAT_TOKEN_ALGORITHM",
            Words("HS256 where GOAT_JWT_SECRET is set, else EdDSA"), Kind::Choice(&["HS256", "EdDSA"]),
            "Algorithm that signs tokens.");
        JWT_SECRET = Setting::new("GOAT_JWT_SECRET", Unset, BYTES,
            "Signing secret for HS256. The first of a list signs, all verify.")
            .secret();
        JWT_PRIVATE_KEY = Setting::new("GOAT_JWT_PRIVATE_KEY",
            Words("generated into GOAT_DATA_DIR, except in production"),
            Kind::Words("a private key in PKCS#8 PEM, or a comma-separated list that starts with one and continues with private or public keys"),
            "Signing key for EdDSA. The first of a list signs, all verify. A line break may be written as \\n.")
            .secret();
        ISSUER = Setting::new("GOAT_ISSUER", Text("goat"), IDENTIFIER,
            "Issuer (iss) of tokens, and audience (aud) of refresh tokens.");
        AUDIENCE = Setting::new("GOAT_AUDIENCE", Text("goat-api"), IDENTIFIER,
            "Audience (aud) of access tokens. If it equals GOAT_ISSUER, only typ tells access and refresh tokens apart, which is a warning.");
        CLIENT_ID = Setting::new("GOAT_CLIENT_ID", Text("goat"), IDENTIFIER,
            "Client id (client_id) of access tokens (RFC 9068).");
        ACCESS_TOKEN_TTL = Setting::new("GOAT_ACCESS_TOKEN_TTL", Text("5m"),
            Kind::Duration(minutes(1), hours(1)),
            "Lifetime of an access token. At most GOAT_REFRESH_TOKEN_TTL and GOAT_SESSION_TTL.");
        ACCESS_TOKEN_PERMISSIONS = Setting::new("GOAT_ACCESS_TOKEN_PERMISSIONS", Text("false"), BOOLEAN,
            "Whether access tokens contain the permissions, for services that verify tokens offline.");
        TOKEN_ATTRIBUTES = Setting::new("GOAT_TOKEN_ATTRIBUTES", Text("none"), ATTRIBUTE_KEYS,
            "Attributes that access tokens contain in the claim goat_attributes, for services that verify tokens offline: as many, in this order, as fit into 1 KiB.");
        REFRESH_TOKEN_TTL = Setting::new("GOAT_REFRESH_TOKEN_TTL", Text("168h"),
            Kind::Duration(minutes(5), LONGEST),
            "Lifetime of a refresh token, which is the idle limit of a session. If set, at most GOAT_SESSION_TTL.");
        SESSION_TTL = Setting::new("GOAT_SESSION_TTL", Text("720h"),
            Kind::Duration(minutes(5), LONGEST),
            "Absolute lifetime of a session.");
        REFRESH_LEEWAY = Setting::new("GOAT_REFRESH_LEEWAY", Text("10s"),
            Kind::Duration(Duration::ZERO, seconds(60)),
            "Grace period in which a used refresh token yields the same successor again, for retries and lost responses. 0, or at least GOAT_REQUEST_TIMEOUT.");
        CLOCK_LEEWAY = Setting::new("GOAT_CLOCK_LEEWAY", Text("5s"),
            Kind::Duration(Duration::ZERO, seconds(30)),
            "Clock difference that is tolerated in token times.");
    }
    Sessions {
        SESSIONS_PER_USER = Setting::new("GOAT_SESSIONS_PER_USER", Text("50"), Kind::Count(1, 1000),
            "Maximum number of sessions of a user. One more sign-in evicts the oldest session.");
        RECENT = Setting::new("GOAT_RECENT", Text("5m"), Kind::Duration(minutes(1), minutes(60)),
            "How long an authentication counts as recent: a change of the user's own password, e-mail address or account without the current password needs a recent one.");
        STEP_UP_ADMIN = Setting::new("GOAT_STEP_UP_ADMIN", Text("off"), Kind::Choice(&["off", "on"]),
            "Whether changes of other users, roles and permissions need a recent authentication.");
        SESSION_CACHE_STALENESS = Setting::new("GOAT_SESSION_CACHE_STALENESS", Text("1s"),
            Kind::Duration(Duration::ZERO, minutes(1)),
            "Longest time for which a change made on another node may stay unseen if invalidations are lost. 0 reads the session store for every request.");
        SESSION_COOKIES = Setting::new("GOAT_SESSION_COOKIES", Text("off"), Kind::Choice(&["off", "lax", "strict"]),
            "Whether browsers can sign in with \"session\": \"cookie\", and the SameSite attribute of the two cookies. With `lax`, a user who follows a link from another site is signed in; with `strict`, only a user who comes from a page of the same site. Accepted are requests of the same origin, and those of GOAT_PUBLIC_URL and GOAT_CORS_ORIGINS, whose pages may then send credentials. Browsers require https: except on loopback.");
    }
    Passwords {
        PASSWORD_PEPPER = Setting::new("GOAT_PASSWORD_PEPPER",
            Words("generated into GOAT_DATA_DIR, except in production"), BYTES,
            "Secret mixed into every password hash. The first of a list hashes, all verify. Each is identified by an id derived from its content, so their order may change.")
            .secret();
        PASSWORD_MIN_LENGTH = Setting::new("GOAT_PASSWORD_MIN_LENGTH", Text("15"), Kind::Count(8, 128),
            "Minimum number of characters of a new password.");
        PASSWORD_MAX_LENGTH = Setting::new("GOAT_PASSWORD_MAX_LENGTH", Text("256"), Kind::Count(64, 1024),
            "Maximum number of characters of a new password. At least GOAT_PASSWORD_MIN_LENGTH.");
        PASSWORD_BREACHED_FILE = Setting::new("GOAT_PASSWORD_BREACHED_FILE", Unset,
            Kind::Words("the path of a file of lines SHA1:COUNT, ordered by hash, as Have I Been Pwned publishes it"),
            "List of passwords that are known from data breaches. A new password in it is rejected. It is searched on disk, without a network. If it cannot be read while the server runs, requests that set a password get a 503; sign-ins go on. To replace it, move a new file into its place.");
        ARGON2_MEMORY = Setting::new("GOAT_ARGON2_MEMORY", Text("19456"), Kind::Count(19_456, ARGON2_MOST.0 as u64),
            "Memory of an Argon2id hash in KiB, at least OWASP's minimum. A stored hash with other parameters is replaced at the next sign-in.");
        ARGON2_ITERATIONS = Setting::new("GOAT_ARGON2_ITERATIONS", Text("2"), Kind::Count(2, ARGON2_MOST.1 as u64),
            "Iterations of an Argon2id hash, at least OWASP's minimum.");
        ARGON2_PARALLELISM = Setting::new("GOAT_ARGON2_PARALLELISM", Text("1"), Kind::Count(1, ARGON2_MOST.2 as u64),
            "Parallelism (lanes) of an Argon2id hash.");
        HASH_CONCURRENCY = Setting::new("GOAT_HASH_CONCURRENCY", Words("the number of cores"),
            Kind::Count(1, 1024),
            "Maximum number of concurrent password hashes. Their memory is allocated once and kept.");
        HASH_QUEUE = Setting::new("GOAT_HASH_QUEUE", Text("64"), Kind::Count(0, 100_000),
            "Maximum number of queued password hashes. When the queue is full, requests get a 503 with Retry-After.");
    }
    Accounts {
        SIGNUP = Setting::new("GOAT_SIGNUP", Text("active"), Kind::Choice(&["active", "inactive", "confirmed", "closed"]),
            "Status of accounts created by sign-up. With `confirmed`, the user proves the e-mail address first, and then sets the password; it requires mail. With `closed`, sign-up is disabled and responds with 404.");
        SIGNUP_ROLE = Setting::new("GOAT_SIGNUP_ROLE", Words("the role of the lowest rank"),
            Kind::Words("the name of a role without full_access"),
            "Role of accounts created by sign-up, and of users created without a role. It must exist on start, and cannot be deleted.");
        ROLES_FILE = Setting::new("GOAT_ROLES_FILE", Unset,
            Kind::Words("a path to a JSON list of {\"name\", \"rank\", \"permissions\"}"),
            "Roles with their ranks and permissions. `migrate` and a first start create them, or give them this rank and exactly these permissions; other roles stay. `check` prints the differences.");
        ATTRIBUTES_SELF = Setting::new("GOAT_ATTRIBUTES_SELF", Text("none"), ATTRIBUTE_KEYS,
            "Attributes that users may set when they sign up, and change themselves. Others are changed with the permission user:update.");
        ADMIN_EMAIL = Setting::new("GOAT_ADMIN_EMAIL", Text("admin@goat.local"),
            Kind::Words("an e-mail address of at most 254 bytes"),
            "E-mail address of the administrator that is created on a start that finds none. If the address belongs to a user who is not an administrator, the server refuses to start.");
        ADMIN_PASSWORD = Setting::new("GOAT_ADMIN_PASSWORD",
            Words("generated into <GOAT_DATA_DIR>/admin-password (mode 0600) and shown on a terminal, except in production"),
            Kind::Words("GOAT_PASSWORD_MIN_LENGTH to GOAT_PASSWORD_MAX_LENGTH characters"),
            "Initial password of that administrator. Production requires it while there is none.")
            .secret();
    }
    Mail {
        MAIL_URL = Setting::new("GOAT_MAIL_URL",
            Words("file:<GOAT_DATA_DIR>/mail, except in production: there is no mail then"),
            Kind::Words("smtps://HOST or smtp://HOST, with USER:PASSWORD@ (percent-encoded) and :PORT where needed; or file:PATH of a folder, not percent-encoded"),
            "Mail. `smtps:` is TLS from the start, on port 465 by default. `smtp:` requires STARTTLS, on port 587 by default; on a loopback host it has no TLS, and port 25. `file:` writes each message into a file (.eml). If the URL contains a password, set it in the environment or a file rather than by flag.")
            .confidential();
        MAIL_FROM = Setting::new("GOAT_MAIL_FROM", Words("goat <noreply@goat.local> with `file:`, else required"),
            Kind::Words("Name <address>"),
            "Sender of messages.");
        MAIL_TEMPLATES = Setting::new("GOAT_MAIL_TEMPLATES", Unset, Kind::Words("the path of a folder"),
            "Folder of texts: <message>.<language>.txt, whose first line is the subject, and <message>.<language>.html. For a missing file the built-in text in English or German is used.");
        LINK_URL = Setting::new("GOAT_LINK_URL", Words("<GOAT_PUBLIC_URL>/api/link"), PUBLIC,
            "Page to which the links in messages lead. The secret follows the #.");
        MAIL_QUEUE = Setting::new("GOAT_MAIL_QUEUE", Text("1000"), Kind::Count(1, 100_000),
            "Maximum number of waiting messages. When the queue is full, requests that send a message get a 503, whether or not the address is known.");
        MAIL_TIMEOUT = Setting::new("GOAT_MAIL_TIMEOUT", Text("30s"), Kind::Duration(seconds(1), minutes(5)),
            "Time for one whole delivery to the mail server.");
        SERVER_KEY = Setting::new("GOAT_SERVER_KEY",
            Words("generated into GOAT_DATA_DIR, except in production"), BYTES,
            "Secret under which codes in messages are stored. The first of a list makes new ones, all verify. Production requires it with mail. It must differ from GOAT_PASSWORD_PEPPER and GOAT_JWT_SECRET.")
            .secret();
        RECOVERY_TTL = Setting::new("GOAT_RECOVERY_TTL", Text("30m"), Kind::Duration(minutes(1), hours(24)),
            "Lifetime of the links and codes that set a forgotten password.");
        CONFIRM_TTL = Setting::new("GOAT_CONFIRM_TTL", Text("24h"), Kind::Duration(minutes(1), hours(24)),
            "Lifetime of the links and codes that confirm an e-mail address.");
        INVITE_TTL = Setting::new("GOAT_INVITE_TTL", Text("72h"), Kind::Duration(minutes(1), hours(168)),
            "Lifetime of invitations.");
        EMAIL_SIGN_IN = Setting::new("GOAT_EMAIL_SIGN_IN", Text("false"), BOOLEAN,
            "Whether users with a verified address can sign in with a code that is sent to it, in place of a password. Requires mail.");
    }
    Keys {
        KEYS = Setting::new("GOAT_KEYS", Text("true"), BOOLEAN,
            "Whether programs can use API keys. With `false`, keys are rejected, and their routes respond with 404.");
        KEY_PREFIX = Setting::new("GOAT_KEY_PREFIX", Text("goat"), Kind::Words("2 to 12 letters of a-z"),
            "First letters of API keys, by which secret scanners find them. Keys with an earlier prefix stop working.");
        KEY_TTL = Setting::new("GOAT_KEY_TTL", Text("8760h"), Kind::DurationOrOff(minutes(1), hours(87_600)),
            "Longest life of an API key, which is also the default. With `off`, keys may have no end.");
        KEYS_PER_USER = Setting::new("GOAT_KEYS_PER_USER", Text("50"), Kind::Count(1, 1000),
            "Maximum number of API keys of a user, expired ones included.");
    }
    Limits {
        RATE_LIMIT_AUTH = Setting::new("GOAT_RATE_LIMIT_AUTH", Text("5/1m"), Kind::Quota,
            "Limit of sign-in, of sign-up and of each public route of mail, each per client address. Changes of an e-mail address count with sign-up.");
        RATE_LIMIT_ACCOUNT = Setting::new("GOAT_RATE_LIMIT_ACCOUNT",
            Words("ten times GOAT_RATE_LIMIT_AUTH, in its window; off if that is off"), Kind::Quota,
            "Limit of sign-in, per account. Sign-ins with a device token of the account have limits of their own, 10/1m and 50/24h.");
        RATE_LIMIT_ACCOUNT_DAY = Setting::new("GOAT_RATE_LIMIT_ACCOUNT_DAY", Text("100/24h"), Kind::Quota,
            "Limit of sign-in, per account; a successful sign-in resets it. Off if GOAT_RATE_LIMIT_AUTH is off, unless this is set.");
        RATE_LIMIT_REFRESH = Setting::new("GOAT_RATE_LIMIT_REFRESH", Text("60/1m"), Kind::Quota,
            "Limit of refresh requests, per client address.");
        RATE_LIMIT_PUBLIC = Setting::new("GOAT_RATE_LIMIT_PUBLIC", Text("100/1m"), Kind::Quota,
            "Limit of other public routes and of unknown paths, per client address.");
        RATE_LIMIT_ADDRESS = Setting::new("GOAT_RATE_LIMIT_ADDRESS", Text("300/1m"), Kind::Quota,
            "Limit of protected routes, per client address, before authentication.");
        RATE_LIMIT_USER = Setting::new("GOAT_RATE_LIMIT_USER", Text("60/1m"), Kind::Quota,
            "Limit of protected routes, per user, after authentication, except those of the next two limits.");
        RATE_LIMIT_VERIFY = Setting::new("GOAT_RATE_LIMIT_VERIFY", Text("1200/1m"), Kind::Quota,
            "Limit of GET /api/v1/auth/verify, per user. Calls of trusted proxies do not count per client address.");
        RATE_LIMIT_SESSION_CONTROL = Setting::new("GOAT_RATE_LIMIT_SESSION_CONTROL", Text("30/1m"), Kind::Quota,
            "Limit of logout, step-up, change-password and revocation of sessions and API keys, per session, after authentication.");
        RATE_LIMIT_PASSWORD_CHECK = Setting::new("GOAT_RATE_LIMIT_PASSWORD_CHECK", Text("10/1m"), Kind::Quota,
            "Limit of attempts at the current password, per session. A session also has 100/24h, until one is right.");
        RATE_LIMIT_MAIL = Setting::new("GOAT_RATE_LIMIT_MAIL", Text("3/1h"), Kind::Quota,
            "Limit of messages that requests cause, per recipient, whether or not the address is known. Notices to the owner of an account do not count.");
        RATE_LIMIT_KEYS = Setting::new("GOAT_RATE_LIMIT_KEYS", Text("1000000"),
            Kind::Count(1000, 100_000_000),
            "Maximum number of rate limit counters kept in the process. Unused with Redis.");
    }
    Log {
        LOG = Setting::new("GOAT_LOG", Text("info"),
            Kind::Words("off, error, warn, info, debug or trace, also for single crates, as in info,goat_core=debug"),
            "Log filter, in the syntax of tracing-subscriber.");
        LOG_FORMAT = Setting::new("GOAT_LOG_FORMAT", Words("pretty on a terminal, else json"),
            Kind::Choice(&["pretty", "json"]),
            "Log format. With `json`, every line that `serve` writes to standard output or standard error is a JSON object.");
    }
}
