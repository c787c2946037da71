//! The variables of a pattern: their streams, their conditions.
//!
//! Invariant: every variable that is named is one of the pattern's.

use super::lower::{number_of, vars_of};
use super::{Planner, Query};
use crate::rules::ast::{Define, Name};
use crate::rules::catalog::Stream;
use crate::rules::expr::Typed;
use crate::rules::pattern::{VARS_MAX, VarSet};
use crate::rules::resolve::{Noted, PatternScope, Place, Resolver, Scope, Source, Variable};

impl Planner<'_> {
    /// The variables of a pattern, each with its stream.
    pub(super) fn scope_of(
        &mut self,
        query: &Query<'_>,
        sources: Vec<Source>,
    ) -> Result<PatternScope, Noted> {
        let pattern = query.pattern;
        let mut names = Vec::new();
        vars_of(&pattern.part, &mut names);
        for name in query.poison {
            if !names.iter().any(|known| known.text == name.text) {
                names.push(name.clone());
            }
        }
        let Some(stream) = query.streams.first().copied() else { return Err(Noted) };
        let mut scope = PatternScope {
            vars: Vec::new(),
            subsets: Vec::new(),
            sources,
            place: Place::Measure,
            navs: Vec::new(),
            keys: query.partition.clone(),
            measures: Vec::new(),
            result: None,
            inside: None,
        };
        if let Some(one) = names.get(VARS_MAX) {
            let title = format!("more than {VARS_MAX} variables");
            return Err(self.wrong(one, title, "one too many"));
        }
        for name in &names {
            let define =
                pattern.defines.iter().find(|d| d.var.text.eq_ignore_ascii_case(&name.text));
            let stream = match define.and_then(|define| define.stream.as_ref()) {
                None if scope.sources.len() > 1 => {
                    return Err(self.wrong(
                        name,
                        "of which stream?".to_owned(),
                        "name:stream(...)",
                    ));
                }
                None => stream,
                Some(wanted) => self.step_stream(wanted, &scope.sources)?,
            };
            scope.vars.push(Variable { name: name.text.clone(), stream });
        }
        for define in &pattern.defines {
            if number_of(&scope, &define.var) == VARS_MAX as u8 {
                let title = format!("the pattern has no `{}`", define.var.text);
                let noted = self.wrong(&define.var, title, "defined, and never looked for");
                let known: Vec<&str> = scope.vars.iter().map(|var| var.name.as_str()).collect();
                self.diagnostics.help(format!("its variables: {}", known.join(", ")));
                return Err(noted);
            }
            let same = |d: &&Define| d.var.text.eq_ignore_ascii_case(&define.var.text);
            if pattern.defines.iter().filter(same).count() > 1 {
                let title = format!("`{}` is defined twice", define.var.text);
                return Err(self.wrong(&define.var, title, "once is enough"));
            }
        }
        for (name, of) in &pattern.subsets {
            let mut set = VarSet(0);
            for var in of {
                set = set.or(self.variable(&scope, var)?);
            }
            scope.subsets.push((name.text.clone(), set));
        }
        Ok(scope)
    }

    /// The stream of a step; a rule of one stream takes a name that is none as the step's own.
    fn step_stream(&mut self, wanted: &Name, sources: &[Source]) -> Result<Stream, Noted> {
        let mut found = sources.iter().filter(|source| source.is_called(Some(&wanted.text)));
        match (found.next(), found.next(), sources) {
            (Some(source), None, _) => return Ok(source.stream),
            (None, _, [source]) => return Ok(source.stream),
            _ => {}
        }
        let title = format!("`{}` is none of the rule's streams", wanted.text);
        let noted = self.wrong(wanted, title, "unknown stream");
        let known = sources.iter().flat_map(|source| &source.names).map(String::as_str);
        let known = known.collect::<Vec<_>>().join(", ");
        self.diagnostics.help(format!("its streams: {known}"));
        Err(noted)
    }

    pub(super) fn variable(&mut self, scope: &PatternScope, name: &Name) -> Result<VarSet, Noted> {
        let subset = scope.subsets.iter().find(|(own, _)| own.eq_ignore_ascii_case(&name.text));
        if let Some((_, set)) = subset {
            return Ok(*set);
        }
        let number = number_of(scope, name);
        if number < VARS_MAX as u8 {
            return Ok(VarSet::of(number));
        }
        let title = format!("`{}` is no variable of the pattern", name.text);
        let noted = self.wrong(name, title, "unknown variable");
        let known: Vec<&str> = scope.vars.iter().map(|var| var.name.as_str()).collect();
        self.diagnostics.help(format!("its variables: {}", known.join(", ")));
        Err(noted)
    }

    /// Resolves something among the names of a pattern.
    pub(super) fn in_pattern<T>(
        &mut self,
        scope: &mut PatternScope,
        resolve: impl FnOnce(&mut Resolver<'_>) -> Result<T, Noted>,
    ) -> Result<T, Noted> {
        let Self { set, places, diagnostics } = self;
        let sources = scope.sources.clone();
        let mut resolver = Resolver {
            scope: Scope { sources },
            windows: None,
            pattern: Some(scope),
            functions: &set.functions,
            catalog: &set.catalog,
            places,
            diagnostics,
        };
        resolve(&mut resolver)
    }

    pub(super) fn conditions(
        &mut self,
        query: &Query<'_>,
        scope: &mut PatternScope,
    ) -> Result<Vec<Option<Typed>>, Noted> {
        let mut conditions = Vec::new();
        for at in 0..scope.vars.len() {
            scope.place = Place::Condition(at as u8);
            let name = scope.vars[at].name.clone();
            let define =
                query.pattern.defines.iter().find(|d| d.var.text.eq_ignore_ascii_case(&name));
            let condition = define.and_then(|define| define.condition.as_ref());
            conditions.push(match condition {
                Some(expr) => Some(self.in_pattern(scope, |resolver| resolver.condition(expr))?),
                None => None,
            });
        }
        Ok(conditions)
    }
}
