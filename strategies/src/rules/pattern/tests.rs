//! The engine against a naive matcher: backtracking over all rows at once, best way first.

use proptest::prelude::*;

use super::*;

/// A row: which variables it fits, and a value that conditions on bound rows compare.
type Input = (u8, u8);
/// Kind, match number, rows with variable and exclusion.
type Seen = (Kind, u64, Vec<(u64, u8, bool)>);

/// Rows fit variables by their bits. Variable 2 has to exceed the first row bound, 1 the row before
/// in the input.
#[derive(Default)]
struct Recorder {
    seen: Vec<Seen>,
    dependent: bool,
}

impl Host for Recorder {
    fn matches(&mut self, var: u8, rows: &Rows<'_>) -> bool {
        let now = rows.current();
        let fits = now.words[0] >> var & 1 == 1;
        let value = |row: RowRef<'_>| row.words[1];
        match var {
            1 => fits && rows.prev(now, 1).is_none_or(|row| value(row) != value(now)),
            2 if self.dependent => {
                let first = rows.first(VarSet::ALL, 0).expect("the row itself");
                fits && (first.seq == now.seq || value(first) < value(now))
            }
            _ => fits,
        }
    }

    fn emit(&mut self, found: &Match<'_>) {
        let rows = match found.kind {
            Kind::Unmatched => vec![(found.start().expect("a row").seq, 0, false)],
            _ => found.iter().map(|row| (row.seq, row.var.expect("bound"), row.excluded)).collect(),
        };
        self.seen.push((found.kind, found.number, rows));
    }
}

type Bound = Vec<(usize, u8, bool)>;

struct Naive<'a> {
    rows: &'a [Input],
    spec: &'a Spec,
    start: usize,
    dependent: bool,
}

impl Naive<'_> {
    fn fits(&self, var: u8, at: usize, bound: &Bound) -> bool {
        let (mask, value) = self.rows[at];
        let fits = mask >> var & 1 == 1;
        let span = (at - self.start) as u64 * 10;
        fits && self.spec.within_ns.is_none_or(|within| span < within)
            && match var {
                1 => at == 0 || self.rows[at - 1].1 != value,
                2 if self.dependent => bound.first().is_none_or(|row| self.rows[row.0].1 < value),
                _ => true,
            }
    }

    /// Calls `then` for every way to match from `at`, best first, until it says stop.
    fn ways(
        &self,
        node: &Node,
        excluded: bool,
        at: usize,
        bound: &mut Bound,
        then: &mut dyn FnMut(usize, &mut Bound) -> bool,
    ) -> bool {
        match node {
            Node::Var(var) => {
                if at >= self.rows.len() || !self.fits(*var, at, bound) {
                    return false;
                }
                bound.push((at, *var, excluded));
                let stop = then(at + 1, bound);
                bound.pop();
                stop
            }
            Node::Concat(nodes) => {
                self.sequence(&nodes.iter().collect::<Vec<_>>(), excluded, at, bound, then)
            }
            Node::Alt(nodes) => nodes.iter().any(|node| self.ways(node, excluded, at, bound, then)),
            Node::Repeat { node, min, max, greedy } => {
                self.repeat(node, (*min, *max, *greedy), excluded, at, bound, then)
            }
            Node::Permute(nodes) => orders(nodes.len()).iter().any(|order| {
                let nodes: Vec<&Node> = order.iter().map(|&i| &nodes[i]).collect();
                self.sequence(&nodes, excluded, at, bound, then)
            }),
            Node::Start => at == 0 && then(at, bound),
            Node::End => at == self.rows.len() && then(at, bound),
            Node::Exclude(node) => self.ways(node, true, at, bound, then),
            _ => then(at, bound),
        }
    }

    fn sequence(
        &self,
        nodes: &[&Node],
        excluded: bool,
        at: usize,
        bound: &mut Bound,
        then: &mut dyn FnMut(usize, &mut Bound) -> bool,
    ) -> bool {
        let Some((first, rest)) = nodes.split_first() else { return then(at, bound) };
        self.ways(first, excluded, at, bound, &mut |at, bound| {
            self.sequence(rest, excluded, at, bound, then)
        })
    }

    fn repeat(
        &self,
        node: &Node,
        (min, max, greedy): (u32, Option<u32>, bool),
        excluded: bool,
        at: usize,
        bound: &mut Bound,
        then: &mut dyn FnMut(usize, &mut Bound) -> bool,
    ) -> bool {
        let less = |n: u32| n.saturating_sub(1);
        let next = (less(min), max.map(less), greedy);
        if min == 0 && !greedy && then(at, bound) {
            return true;
        }
        if max != Some(0) {
            let stop = self.ways(node, excluded, at, bound, &mut |to, bound| {
                (min > 0 || to > at) && self.repeat(node, next, excluded, to, bound, then)
            });
            if stop {
                return true;
            }
        }
        min == 0 && greedy && then(at, bound)
    }

    fn all(&mut self) -> Vec<Seen> {
        let (mut seen, mut number, mut covered) = (Vec::new(), 0, 0);
        self.start = 0;
        while self.start < self.rows.len() {
            let start = self.start;
            let mut best: Option<Bound> = None;
            self.ways(&self.spec.pattern, false, start, &mut Vec::new(), &mut |_, bound| {
                best = Some(bound.clone());
                true
            });
            self.start += 1;
            let Some(best) = best else {
                if self.spec.show_unmatched && start >= covered {
                    seen.push((Kind::Unmatched, 0, vec![(start as u64, 0, false)]));
                }
                continue;
            };
            number += 1;
            covered = covered.max(best.last().map_or(start, |row| row.0) + 1);
            let of = |set: VarSet| best.iter().filter(move |row| set.has(row.1)).map(|row| row.0);
            let target = match self.spec.skip {
                Skip::ToNextRow => None,
                Skip::PastLastRow => best.last().map(|row| row.0 + 1),
                Skip::ToFirst(set) => of(set).next(),
                Skip::ToLast(set) => of(set).next_back(),
            };
            self.start = self.start.max(target.unwrap_or(0));
            let rows = best.iter().map(|&(at, var, excluded)| (at as u64, var, excluded)).collect();
            seen.push((Kind::Match, number, rows));
        }
        seen
    }

    /// Ways that bind the same rows to the same variables are one match.
    fn every(&mut self) -> Vec<Seen> {
        let mut seen = Vec::new();
        for start in 0..self.rows.len() {
            self.start = start;
            let mut here = std::collections::BTreeSet::new();
            self.ways(&self.spec.pattern, false, start, &mut Vec::new(), &mut |_, bound| {
                let rows: Vec<_> =
                    bound.iter().map(|&(at, var, excluded)| (at as u64, var, excluded)).collect();
                here.insert(rows);
                false
            });
            seen.extend(here.into_iter().map(|rows| (Kind::Match, 0, rows)));
        }
        seen
    }

    /// Of every row the way that ends first, the preferred one of those. A way without rows ends
    /// at the row too.
    fn firsts(&mut self) -> Vec<Seen> {
        let mut seen = Vec::new();
        for start in 0..self.rows.len() {
            self.start = start;
            let mut first: Option<Bound> = None;
            self.ways(&self.spec.pattern, false, start, &mut Vec::new(), &mut |_, bound| {
                if first.as_ref().is_none_or(|first| bound.len().max(1) < first.len()) {
                    first = Some(bound.clone());
                }
                false
            });
            let Some(first) = first else { continue };
            let rows =
                first.iter().map(|&(at, var, excluded)| (at as u64, var, excluded)).collect();
            seen.push((Kind::Match, 0, rows));
        }
        seen
    }
}

fn orders(count: usize) -> Vec<Vec<usize>> {
    if count == 0 {
        return vec![Vec::new()];
    }
    let mut all: Vec<Vec<usize>> = orders(count - 1)
        .into_iter()
        .flat_map(|order| {
            (0..count).map(move |at| {
                let mut order = order.clone();
                order.insert(at, count - 1);
                order
            })
        })
        .collect();
    all.sort();
    all
}

fn node() -> impl Strategy<Value = Node> {
    let leaf = prop_oneof![
        12 => (0..3_u8).prop_map(Node::Var),
        1 => Just(Node::Start),
        1 => Just(Node::End),
        1 => Just(Node::Empty),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        let nodes = prop::collection::vec(inner.clone(), 1..4);
        prop_oneof![
            4 => nodes.clone().prop_map(Node::Concat),
            2 => nodes.clone().prop_map(Node::Alt),
            1 => nodes.prop_map(Node::Permute),
            1 => inner.clone().prop_map(|node| Node::Exclude(Box::new(node))),
            4 => (inner, 0..3_u32, prop::option::of(0..3_u32), any::<bool>()).prop_map(
                |(node, min, more, greedy)| Node::Repeat {
                    node: Box::new(node),
                    min,
                    max: more.map(|more| (min + more).max(1)),
                    greedy,
                }
            ),
        ]
    })
}

/// Patterns as people write them: a row of quantified variables.
fn plain() -> impl Strategy<Value = Node> {
    let quantifier = prop_oneof![
        2 => Just((1, Some(1))),
        2 => Just((1, None)),
        1 => Just((0, None)),
        1 => Just((0, Some(1))),
        1 => Just((2, None)),
        1 => Just((1, Some(3))),
    ];
    let part =
        (0..3_u8, quantifier, prop::bool::weighted(0.8)).prop_map(|(var, (min, max), greedy)| {
            Node::Repeat { node: Box::new(Node::Var(var)), min, max, greedy }
        });
    prop::collection::vec(part, 1..5).prop_map(Node::Concat)
}

fn rows() -> impl Strategy<Value = Vec<Input>> {
    let dense = prop_oneof![Just(3_u8), Just(5), Just(6), Just(7), Just(7), 1..8_u8];
    prop_oneof![
        prop::collection::vec((1..8_u8, 0..4_u8), 0..9),
        prop::collection::vec((dense, 0..4_u8), 0..9),
    ]
}

fn skip() -> impl Strategy<Value = Skip> {
    prop_oneof![
        3 => Just(Skip::PastLastRow),
        1 => Just(Skip::ToNextRow),
        1 => (1..8_u64).prop_map(|set| Skip::ToFirst(VarSet(set))),
        1 => (1..8_u64).prop_map(|set| Skip::ToLast(VarSet(set))),
    ]
}

/// Runs the engine; every other time with ticks between the rows and through a saved state.
fn run(spec: &Spec, rows: &[Input], dependent: bool) -> Option<Recorder> {
    let mut patterns = Patterns::new(spec.clone()).ok()?;
    let mut recorder = Recorder { seen: Vec::new(), dependent };
    for (at, &(mask, value)) in rows.iter().enumerate() {
        let ts = at as u64 * 10;
        if rows.len() % 2 == 1 {
            patterns.advance(ts, &mut recorder);
            let mut state = Vec::new();
            patterns.save(&mut state);
            patterns = Patterns::new(spec.clone()).ok()?;
            patterns.restore(&state).expect("a saved state");
            let mut again = Vec::new();
            patterns.save(&mut again);
            assert_eq!(state, again);
        }
        patterns.push(&[7], ts, &[u64::from(mask), u64::from(value)], &mut recorder);
    }
    patterns.finish(&mut recorder);
    assert_eq!(patterns.held(), (0, 0, 0), "everything is given up at the end");
    assert_eq!(patterns.counters().runs_dropped, 0);
    Some(recorder)
}

fn spec_of(pattern: Node) -> Spec {
    Spec {
        key_words: 1,
        row_words: 2,
        runs_max: 4_000,
        runs_total_max: 8_000,
        rows_max: 1_000,
        ..Spec::new(pattern, 3)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn the_preferred_match_is_the_first_of_a_backtracker(
        pattern in prop_oneof![node(), plain()], rows in rows(), skip in skip(), dependent: bool,
        within in prop_oneof![Just(None), (1..80_u64).prop_map(Some)],
        show_unmatched: bool, next_rows in 0..3_usize,
    ) {
        let independent = VarSet(if dependent { 0b011 } else { 0b111 });
        let spec = Spec {
            skip, independent, within_ns: within, show_unmatched, next_rows, ..spec_of(pattern)
        };
        if let Some(recorder) = run(&spec, &rows, dependent) {
            let mut naive = Naive { rows: &rows, spec: &spec, start: 0, dependent };
            prop_assert_eq!(recorder.seen, naive.all());
        }
    }

    #[test]
    fn all_matches_are_those_of_a_backtracker(
        pattern in prop_oneof![node(), plain()], mut rows in rows(), dependent: bool,
    ) {
        // Rows can be bound in 3^n ways, from several positions: there has to be room for all.
        rows.truncate(6);
        let (mode, skip) = (Mode::All, Skip::ToNextRow);
        let room = (20_000, 40_000);
        let spec =
            Spec { skip, mode, runs_max: room.0, runs_total_max: room.1, ..spec_of(pattern) };
        if let Some(mut recorder) = run(&spec, &rows, dependent) {
            let mut naive = Naive { rows: &rows, spec: &spec, start: 0, dependent };
            let mut all = naive.every();
            recorder.seen.iter_mut().for_each(|seen| seen.1 = 0);
            recorder.seen.sort_by(|a, b| a.2.cmp(&b.2));
            all.sort_by(|a, b| a.2.cmp(&b.2));
            prop_assert_eq!(recorder.seen, all);
        }
    }

    /// Whatever other attempts come to. What `$` ends is known at the end alone, so it is left out.
    #[test]
    fn every_row_leads_to_the_match_that_ends_first(
        pattern in prop_oneof![node(), plain()], rows in rows(), dependent: bool,
    ) {
        if format!("{pattern:?}").contains("End") {
            return Ok(());
        }
        let (mode, skip) = (Mode::First, Skip::ToNextRow);
        let spec = Spec { skip, mode, ..spec_of(pattern) };
        if let Some(mut recorder) = run(&spec, &rows, dependent) {
            let mut naive = Naive { rows: &rows, spec: &spec, start: 0, dependent };
            let mut firsts = naive.firsts();
            firsts.sort_by(|a, b| a.2.cmp(&b.2));
            recorder.seen.iter_mut().for_each(|seen| seen.1 = 0);
            recorder.seen.sort_by(|a, b| a.2.cmp(&b.2));
            prop_assert_eq!(recorder.seen, firsts);
        }
    }
}
