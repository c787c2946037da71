//! What a rule file says, before names mean anything: the statements around `sqlparser`'s
//! expressions.
//!
//! Invariant: every name knows its place in the text.

mod pattern;

use std::ops::Range;

pub(super) use pattern::{Define, InsertMatch, MatchRule, Part, Pattern, RowsPerMatch, SkipTo};
use sqlparser::ast::{Expr, NamedWindowDefinition};

use super::join::JoinKind;

/// A name and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    /// The name, in the case in which it was written.
    pub(super) text: String,
    /// Bytes of the text.
    pub(super) span: Range<usize>,
}

/// A column of a declared stream or action.
#[derive(Clone, Debug)]
pub(super) struct ColumnDef {
    /// Its name.
    pub(super) name: Name,
    /// Its type as written, with its arguments: `DECIMAL(18,2)` is `DECIMAL` with 18 and 2.
    pub(super) type_name: Name,
    /// The type's arguments.
    pub(super) type_args: Vec<u32>,
    /// `UNSIGNED` behind it.
    pub(super) unsigned: bool,
    /// Where `NOT NULL` stands, if it does.
    pub(super) not_null: Option<Range<usize>>,
}

/// `CREATE STREAM name (columns) WITH (options)`.
#[derive(Clone, Debug)]
pub(super) struct CreateStream {
    /// Its name.
    pub(super) name: Name,
    /// Its columns.
    pub(super) columns: Vec<ColumnDef>,
    /// `WITH (...)`.
    pub(super) options: Vec<RuleOption>,
}

/// `CREATE ACTION name (columns)`.
#[derive(Clone, Debug)]
pub(super) struct CreateAction {
    /// Its name.
    pub(super) name: Name,
    /// Its columns.
    pub(super) columns: Vec<ColumnDef>,
}

/// An option of a `WITH` list: its key, its value as text, where the value stands.
#[derive(Clone, Debug)]
pub(super) struct RuleOption {
    /// The key.
    pub(super) key: Name,
    /// The value, unquoted.
    pub(super) value: Name,
}

/// `action(arguments)` behind `THEN`.
#[derive(Clone, Debug)]
pub(super) struct Call {
    /// The action.
    pub(super) action: Name,
    /// Its columns, in order.
    pub(super) args: Vec<Expr>,
}

/// How two streams are joined.
#[derive(Clone, Debug)]
pub(super) struct JoinClause {
    /// What becomes of rows that meet no other.
    pub(super) kind: JoinKind,
    /// The stream on the right.
    pub(super) stream: Name,
    /// Another name for it.
    pub(super) alias: Option<Name>,
    /// `LATEST ... PER (columns)`: a later row replaces an earlier one with the same of these.
    pub(super) per: Option<Vec<Expr>>,
    /// `ASOF ... MATCH_CONDITION (...)`: which row is the closest.
    pub(super) closest: Option<Expr>,
    /// `ON`.
    pub(super) on: Expr,
    /// `WITHIN`: how far apart in time rows may be.
    pub(super) within: Option<Expr>,
    /// Bytes of the text.
    pub(super) span: Range<usize>,
}

/// `CREATE RULE name ... ON stream PARTITION BY keys WHEN condition THEN actions`.
#[derive(Clone, Debug)]
pub(super) struct CreateRule {
    /// Its name.
    pub(super) name: Name,
    /// `WITH (...)`.
    pub(super) options: Vec<RuleOption>,
    /// The stream it looks at.
    pub(super) stream: Name,
    /// Another name for the stream.
    pub(super) alias: Option<Name>,
    /// The stream that it is joined with.
    pub(super) join: Option<JoinClause>,
    /// The keys of its windows.
    pub(super) partition: Vec<Expr>,
    /// When it acts.
    pub(super) when: Expr,
    /// What it does then.
    pub(super) then: Vec<Call>,
}

/// `INSERT INTO target (columns) SELECT ... FROM stream WHERE ... GROUP BY ... HAVING ...
/// WINDOW ... QUALIFY ... WITH (options)`, or `CREATE VIEW target (columns) AS SELECT ...`.
#[derive(Clone, Debug)]
pub(super) struct Insert {
    /// It is a view: what is selected declares the stream.
    pub(super) is_view: bool,
    /// Its name: as `WITH (name = '...')` says, or `insert_1` and so on.
    pub(super) name: Option<Name>,
    /// The action, or the stream.
    pub(super) action: Name,
    /// Its columns; all of them in order if empty.
    pub(super) columns: Vec<Name>,
    /// The stream it looks at.
    pub(super) stream: Name,
    /// Another name for the stream.
    pub(super) alias: Option<Name>,
    /// The stream that it is joined with.
    pub(super) join: Option<JoinClause>,
    /// What each column becomes.
    pub(super) select: Vec<Expr>,
    /// What each is called: behind AS, or the column that it is.
    pub(super) names: Vec<Option<Name>>,
    /// `GROUP BY`.
    pub(super) group: Vec<Expr>,
    /// `HAVING`.
    pub(super) having: Option<Expr>,
    /// `WITH (...)` at its end.
    pub(super) options: Vec<RuleOption>,
    /// `WHERE`: before windows.
    pub(super) filter: Option<Expr>,
    /// `QUALIFY`: after windows.
    pub(super) qualify: Option<Expr>,
    /// `ORDER BY`, and whether the greatest comes first.
    pub(super) order: Vec<(Expr, bool)>,
    /// `LIMIT`.
    pub(super) limit: Option<u32>,
    /// `WINDOW name AS (...)`.
    pub(super) windows: Vec<NamedWindowDefinition>,
}

/// A statement of a rule file.
#[derive(Clone, Debug)]
pub(super) enum Statement {
    /// `CREATE ACTION`.
    Action(CreateAction),
    /// `CREATE STREAM`.
    Stream(CreateStream),
    /// `CREATE TABLE`.
    Table(CreateStream),
    /// `CREATE RULE`.
    Rule(Box<CreateRule>),
    /// `INSERT INTO ... SELECT`.
    Insert(Box<Insert>),
    /// `CREATE RULE ... MATCH`.
    MatchRule(Box<MatchRule>),
    /// `INSERT INTO ... SELECT ... MATCH_RECOGNIZE`.
    InsertMatch(Box<InsertMatch>),
    /// `CREATE VIEW ... AS SELECT`.
    View(Box<Insert>),
}
