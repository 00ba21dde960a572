//! The store's tests, each on either database.

use super::Db;
use crate::config::{Database, PostgresSettings};
use std::path::Path;
use touchstone_peers::Postgres;

/// Makes tests of functions that take an empty database.
macro_rules! on_both {
    ($($name:ident)*) => {
        mod sqlite {
            $(#[test]
            fn $name() {
                super::$name(crate::store::Db::in_memory("default").unwrap());
            })*
        }

        mod postgres {
            $(#[test]
            fn $name() {
                super::$name(crate::store::rig::postgres());
            })*
        }
    };
}

/// A server that is known by a URL alone.
pub(super) fn settings(url: &str) -> PostgresSettings {
    PostgresSettings { url: url.to_owned(), password: None, roots: None, identity: None }
}

/// A database at a server.
pub(super) fn open(settings: &PostgresSettings) -> Result<Db, crate::Error> {
    Db::of(&Database::Postgres(settings.clone()), Path::new("/none"), "default")
}

/// An empty database at a server that all tests share.
pub(super) fn postgres() -> Db {
    open(&settings(&Postgres::shared().database())).unwrap()
}
