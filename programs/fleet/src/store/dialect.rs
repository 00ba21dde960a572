//! Where PostgreSQL reads another SQL than SQLite. Statements and schema are written once, for SQLite.
//!
//! Numbers of rows are given out by a table, not by a sequence: they are of the transaction, so that
//! none is left out and none is seen before those below it, as readers of events and feed rely on.

use std::fmt::Write;

/// What the schema stands on, before its first version.
pub(super) const BASE: &str = "
    CREATE TABLE IF NOT EXISTS store_schema (
        one     BOOLEAN PRIMARY KEY DEFAULT TRUE CHECK (one),
        version BIGINT NOT NULL
    );
    INSERT INTO store_schema (version) VALUES (0) ON CONFLICT DO NOTHING;
    CREATE TABLE IF NOT EXISTS store_numbers (
        name TEXT COLLATE \"C\" PRIMARY KEY,
        seq  BIGINT NOT NULL
    );
    CREATE OR REPLACE FUNCTION store_next(of TEXT) RETURNS BIGINT LANGUAGE sql VOLATILE AS
        'UPDATE store_numbers SET seq = seq + 1 WHERE name = $1 RETURNING seq';
";

/// Tables whose rows SQLite numbers in the order in which they came.
const NUMBERED: &[&str] = &["certificates", "updates"];

/// A statement of the store.
pub(super) fn statement(sql: &str) -> String {
    sql.replace('?', "$").replace("sqlite_sequence", "store_numbers")
}

/// A version of the schema.
pub(super) fn schema(sql: &str) -> String {
    let mut out = String::with_capacity(sql.len() * 2);
    let mut table = String::new();
    for line in sql.lines() {
        let line = line.split_once("--").map_or(line, |(before, _)| before).trim_end();
        if let Some(name) = line.strip_prefix("CREATE TABLE ") {
            name.trim_end_matches(" (").clone_into(&mut table);
        }
        let numbered = line.contains(" INTEGER PRIMARY KEY");
        let line = line
            .replace(" INTEGER PRIMARY KEY AUTOINCREMENT", " INTEGER PRIMARY KEY")
            .replace(
                " INTEGER PRIMARY KEY",
                &format!(" INTEGER PRIMARY KEY DEFAULT store_next('{table}')"),
            )
            .replace(" INTEGER", " BIGINT")
            .replace(" BLOB", " BYTEA")
            .replace(" TEXT", " TEXT COLLATE \"C\"")
            .replace(") STRICT;", ");");
        out.push_str(&line);
        out.push('\n');
        if numbered {
            number(&mut out, &table);
        }
        if line == ");" && NUMBERED.contains(&table.as_str()) {
            // Writing to a string does not fail.
            let _ = writeln!(
                out,
                "ALTER TABLE {table} ADD COLUMN rowid BIGINT GENERATED ALWAYS AS IDENTITY;"
            );
        }
    }
    out
}

/// Numbers of that table begin at 1. The statement goes in front: the table is not whole yet.
fn number(out: &mut String, table: &str) {
    let first = format!("INSERT INTO store_numbers (name, seq) VALUES ('{table}', 0);\n");
    out.insert_str(0, &first);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_said_in_the_other_words() {
        let sql = "-- Why.\nCREATE TABLE events (\n    seq INTEGER PRIMARY KEY AUTOINCREMENT,\n    \
                   body BLOB NOT NULL, -- what\n    at INTEGER\n) STRICT;\n";
        let said = schema(sql);
        assert_eq!(
            said,
            "INSERT INTO store_numbers (name, seq) VALUES ('events', 0);\n\n\
             CREATE TABLE events (\n    \
             seq BIGINT PRIMARY KEY DEFAULT store_next('events'),\n    \
             body BYTEA NOT NULL,\n    at BIGINT\n);\n"
        );
        assert_eq!(statement("a = ?1 AND b = ?12"), "a = $1 AND b = $12");
    }
}
