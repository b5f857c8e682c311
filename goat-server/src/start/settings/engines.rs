//! The engines that this build has, by its cargo features.

use super::Database;
use super::reader::Reader;
use super::table;

/// An engine that stores data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    Sqlite,
    Postgres,
    Redis,
}

impl Engine {
    /// Whether this build has the engine.
    pub(super) const fn is_built(self) -> bool {
        match self {
            Self::Sqlite => cfg!(feature = "sqlite"),
            Self::Postgres => cfg!(feature = "postgres"),
            Self::Redis => cfg!(feature = "redis"),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
            Self::Redis => "Redis",
        }
    }

    const fn feature(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
            Self::Redis => "redis",
        }
    }

    /// Says that this build does not have the engine.
    pub(crate) fn absence(self) -> String {
        let (name, feature) = (self.name(), self.feature());
        format!("this build of goat-server is without {name} (feature `{feature}`)")
    }
}

impl Database {
    pub(crate) const fn engine(&self) -> Engine {
        match self {
            Self::Sqlite(_) => Engine::Sqlite,
            Self::Postgres(_) => Engine::Postgres,
        }
    }
}

/// Rejects the settings of an engine that is not built, and an unset database without the engine of the
/// default.
pub(super) fn require(
    database: &Database,
    redis: bool,
    is_built: impl Fn(Engine) -> bool,
    reader: &mut Reader,
) {
    const A_BUILD: &str = "a build with this feature";
    let engine = database.engine();
    if !is_built(engine) && reader.are_sound(&[&table::DATABASE_URL]) {
        let complaint = match reader.is_given(&table::DATABASE_URL) {
            true => format!("cannot be used: {}", engine.absence()),
            false => format!("is not set, and {}", engine.absence()),
        };
        let urls = [(Engine::Sqlite, "a sqlite: URL"), (Engine::Postgres, "a postgres: URL")];
        let may_be = match urls.into_iter().find(|(engine, _)| is_built(*engine)) {
            Some((_, url)) => format!("{url}, or {A_BUILD}"),
            None => A_BUILD.to_owned(),
        };
        reader.refuse_and_ask(&table::DATABASE_URL, &complaint, &may_be);
    }
    if redis && !is_built(Engine::Redis) {
        let complaint = format!("cannot be used: {}", Engine::Redis.absence());
        let may_be = format!("no value, or {A_BUILD}");
        reader.refuse_and_ask(&table::REDIS_URL, &complaint, &may_be);
    }
}
