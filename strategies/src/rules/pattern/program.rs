//! A pattern as the engine runs it: positions that take a row, and between them prioritised edges.
//!
//! The pattern becomes a Thompson program with prioritised branches; then, for the start and for
//! every position, everything that can be reached without a row is listed once, best first. What
//! ISO/IEC 19075-5 says of preferment is the order of these lists: greedy quantifiers try another
//! iteration first, alternatives and permutations go from left to right. An iteration beyond a
//! quantifier's minimum that takes no row is no iteration (as in ECMA-262, 22.2.2.3.1), so lists
//! are finite.
//!
//! Invariant: a list names each position with each gap at most once, and its size is bounded.

use super::listing::Listing;
use super::spec::{Gap, GapMode, Mode, Node, Skip, Spec, SpecError, Start, VARS_MAX, VarSet};

/// Positions of a pattern at most, after quantifiers with bounds are written out.
pub const POSITIONS_MAX: usize = 4_096;
/// Edges of a pattern at most.
pub const EDGES_MAX: usize = 65_536;
/// The gap before the first row of an attempt that began without one.
pub(super) const WAIT_GAP: u16 = 1;
/// Instructions and work to list the edges at most: 2^20 steps are some ten milliseconds.
const INSTS_MAX: usize = 65_536;
pub(super) const STEPS_MAX: usize = 1 << 20;
/// Quantified parts, which may be empty, at most: the bits of a word.
const OPTIONAL_MAX: usize = 64;
/// Parts of a permutation at most: 8 have 40320 orders.
const PERMUTED_MAX: usize = 8;
/// Groups of a pattern, and around one, at most.
const GROUPS_MAX: usize = 1_024;
pub(super) const GROUP_DEPTH_MAX: usize = 8;
/// Nodes in nodes at most, so that no recursion overflows.
const DEPTH_MAX: usize = 200;

/// What a position waits for.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Wait {
    /// A row that fits the variable.
    Row(u8),
    /// The end of the key's rows.
    End,
    /// A time without a row of these; until WITHIN's deadline if there is no time.
    Absence(VarSet, Option<u64>),
}

#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) struct Position {
    pub(super) wait: Wait,
    /// Within `{- -}`.
    pub(super) excluded: bool,
    /// The innermost group that it is in.
    pub(super) group: u16,
    /// Nothing from here on depends on which rows are bound: threads that meet here are one.
    pub(super) clean: bool,
}

/// Where an edge leads.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum To {
    Position(u16),
    Match,
}

#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) struct Edge {
    pub(super) to: To,
    /// Which gap, if it leads to a position.
    pub(super) gap: u16,
    /// How many of the groups that it begins in, from the outermost, it does not leave.
    pub(super) keep: u8,
}

/// A part of the pattern with a limit of time or a repetition of its own.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) struct Group {
    /// The group around it, or [`NO_GROUP`].
    pub(super) parent: u16,
    /// Groups around it.
    pub(super) depth: u8,
    /// It has to be complete in so long.
    pub(super) within_ns: Option<u64>,
    pub(super) again: Option<Again>,
}

/// How a part begins again: [`Node::Every`].
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) struct Again {
    /// Once complete it has nothing more to wait for: no EVERY is in it.
    pub(super) ends: bool,
    /// It does begin again: it is no [`Node::First`].
    pub(super) repeats: bool,
    /// The edges to its beginning.
    pub(super) starts: (u32, u32),
}

/// No group.
pub(super) const NO_GROUP: u16 = u16::MAX;

#[derive(Debug)]
pub(super) struct Program {
    pub(super) positions: Vec<Position>,
    pub(super) gaps: Vec<Gap>,
    pub(super) edges: Vec<Edge>,
    /// Where the edges of a position lie.
    pub(super) spans: Vec<(u32, u32)>,
    /// From before the first row of a key, and from before any other.
    pub(super) starts: [(u32, u32); 2],
    /// Variables that a first row can fit.
    pub(super) first_vars: VarSet,
    /// An attempt can be over before its first row, or wait without one.
    pub(super) starts_unbound: bool,
    /// `^` or `$` occurs.
    pub(super) anchored: bool,
    /// An absence with a time, or until WITHIN's deadline, occurs.
    pub(super) absences: bool,
    /// The most edges from a place.
    pub(super) fan_max: usize,
    /// The first position behind [`Node::Anew`].
    pub(super) anew: Option<u16>,
    pub(super) groups: Vec<Group>,
    /// For every position and gap, the variables a row of which matters to a thread there; and all
    /// of them, those of first rows too.
    pub(super) wants: Vec<VarSet>,
    pub(super) wanted: VarSet,
    /// A group has a limit of time; one begins again.
    pub(super) limits: bool,
    pub(super) repeats: bool,
}

#[derive(Copy, Clone, Debug)]
pub(super) enum Inst {
    Wait(u16),
    /// The first is preferred.
    Split(u32, u32),
    Jump(u32),
    Start,
    Gap(u16),
    /// An optional iteration begins, and ends: only if it took a row.
    Enter(u8),
    Leave(u8),
    /// A group begins, and ends; so many groups are around it.
    Open,
    Close(u8),
    Match,
}

impl Program {
    pub(super) fn new(spec: &Spec) -> Result<Self, SpecError> {
        if spec.vars > VARS_MAX {
            return Err(SpecError::Var { var: VARS_MAX as u8 });
        }
        let mut build = Builder {
            spec,
            insts: Vec::new(),
            positions: Vec::new(),
            gaps: vec![Gap::default(), Gap { mode: GapMode::Next, ..Gap::default() }],
            optionals: 0,
            anchored: false,
            anew: None,
            groups: Vec::new(),
            openings: Vec::new(),
            group: NO_GROUP,
        };
        build.node(&spec.pattern, false, 0)?;
        build.push(Inst::Match)?;
        let program = build.close()?;
        program.check(spec)?;
        Ok(program)
    }

    /// The edges from a position, best first.
    #[inline]
    pub(super) fn edges(&self, position: u16) -> (u32, u32) {
        self.spans[usize::from(position)]
    }

    /// The edges of a new attempt.
    #[inline]
    pub(super) fn starts(&self, first: bool) -> (u32, u32) {
        self.starts[usize::from(!first)]
    }

    #[inline]
    pub(super) fn edge(&self, at: u32) -> Edge {
        self.edges[at as usize]
    }

    pub(super) fn all(&self, (from, to): (u32, u32)) -> &[Edge] {
        &self.edges[from as usize..to as usize]
    }

    /// Whether a group or one around it has a limit of time, or begins again.
    fn has_limit(&self, group: u16) -> bool {
        let of = |at: u16| self.groups.get(usize::from(at));
        let mut around = std::iter::successors(of(group), |it| of(it.parent));
        around.any(|it| it.within_ns.is_some() || it.again.is_some_and(|again| again.repeats))
    }

    fn vars_of<'a>(&'a self, edges: &'a [Edge]) -> impl Iterator<Item = Option<u8>> + 'a {
        edges.iter().map(|edge| match edge.to {
            To::Position(at) => match self.positions[usize::from(at)].wait {
                Wait::Row(var) => Some(var),
                _ => None,
            },
            To::Match => None,
        })
    }

    /// What the pattern and the rest of a specification have to agree on.
    fn check(&self, spec: &Spec) -> Result<(), SpecError> {
        let endless = |p: &Position| matches!(p.wait, Wait::Absence(_, None));
        if spec.within_ns.is_none() && self.positions.iter().any(endless) {
            return Err(SpecError::NoDeadline);
        }
        let waits = |edge: &Edge| match edge.to {
            To::Position(at) => {
                let position = &self.positions[usize::from(at)];
                matches!(position.wait, Wait::Absence(..)) || self.has_limit(position.group)
            }
            To::Match => false,
        };
        if spec.start == Start::EveryRow && self.all(self.starts[0]).iter().any(waits) {
            return Err(SpecError::AbsentStart);
        }
        if spec.mode == Mode::All && spec.skip != Skip::ToNextRow {
            return Err(SpecError::SkipAll);
        }
        let (Skip::ToFirst(target) | Skip::ToLast(target)) = spec.skip else { return Ok(()) };
        let is_target = |p: &Position| matches!(p.wait, Wait::Row(var) if target.has(var));
        if !self.positions.iter().any(is_target) {
            return Err(SpecError::SkipTarget);
        }
        let starts = self.all(self.starts[1]);
        let begins = self.vars_of(starts).flatten().all(|var| target.has(var));
        let comes_later = (self.vars_of(&self.edges[..self.starts[0].0 as usize]))
            .flatten()
            .any(|var| target.has(var));
        match spec.skip {
            Skip::ToFirst(_) if begins => Err(SpecError::SkipToStart),
            Skip::ToLast(_) if begins && !comes_later => Err(SpecError::SkipToStart),
            _ => Ok(()),
        }
    }
}

struct Builder<'a> {
    spec: &'a Spec,
    insts: Vec<Inst>,
    positions: Vec<Position>,
    gaps: Vec<Gap>,
    optionals: usize,
    anchored: bool,
    anew: Option<u16>,
    groups: Vec<Group>,
    /// Where each group begins.
    openings: Vec<u32>,
    /// The innermost one at hand.
    group: u16,
}

fn nullable(node: &Node) -> bool {
    match node {
        Node::Var(_) | Node::Absent { .. } => false,
        Node::Concat(nodes) | Node::Permute(nodes) => nodes.iter().all(nullable),
        Node::Alt(nodes) => nodes.iter().any(nullable),
        Node::Repeat { node, min, .. } => *min == 0 || nullable(node),
        Node::Exclude(node) | Node::Within { node, .. } | Node::Every(node) | Node::First(node) => {
            nullable(node)
        }
        Node::Start | Node::End | Node::Empty | Node::Gap(_) | Node::Anew => true,
    }
}

/// Whether something in it is found more than once.
fn goes_on(node: &Node) -> bool {
    match node {
        Node::Gap(gap) => gap.mode == GapMode::Any,
        Node::Every(_) => true,
        Node::Concat(nodes) | Node::Permute(nodes) | Node::Alt(nodes) => nodes.iter().any(goes_on),
        Node::Repeat { node, .. }
        | Node::Exclude(node)
        | Node::Within { node, .. }
        | Node::First(node) => goes_on(node),
        _ => false,
    }
}

impl Builder<'_> {
    fn push(&mut self, inst: Inst) -> Result<u32, SpecError> {
        if self.insts.len() == INSTS_MAX {
            return Err(SpecError::TooLarge { what: "instructions", max: INSTS_MAX });
        }
        self.insts.push(inst);
        Ok(self.insts.len() as u32 - 1)
    }

    fn here(&self) -> u32 {
        self.insts.len() as u32
    }

    fn wait(&mut self, wait: Wait, excluded: bool) -> Result<(), SpecError> {
        if self.positions.len() == POSITIONS_MAX {
            return Err(SpecError::TooLarge { what: "positions", max: POSITIONS_MAX });
        }
        self.positions.push(Position { wait, excluded, group: self.group, clean: false });
        self.push(Inst::Wait(self.positions.len() as u16 - 1)).map(|_| ())
    }

    /// A branch whose ways are set later; `ahead` goes on with the next instruction.
    fn branch(&mut self) -> Result<u32, SpecError> {
        self.push(Inst::Split(0, 0))
    }

    /// `inner` is preferred to `outer`, if `greedy`.
    fn set_branch(&mut self, at: u32, greedy: bool, inner: u32, outer: u32) {
        let ways = if greedy { (inner, outer) } else { (outer, inner) };
        self.insts[at as usize] = Inst::Split(ways.0, ways.1);
    }

    fn node(&mut self, node: &Node, excluded: bool, depth: usize) -> Result<(), SpecError> {
        if depth == DEPTH_MAX {
            return Err(SpecError::TooLarge { what: "parts in parts", max: DEPTH_MAX });
        }
        match node {
            Node::Var(var) if usize::from(*var) >= self.spec.vars => {
                Err(SpecError::Var { var: *var })
            }
            Node::Var(var) => self.wait(Wait::Row(*var), excluded),
            Node::Concat(nodes) => {
                nodes.iter().try_for_each(|node| self.node(node, excluded, depth + 1))
            }
            Node::Alt(nodes) => self
                .alternatives(nodes.len(), |build, at| build.node(&nodes[at], excluded, depth + 1)),
            Node::Repeat { node, min, max, greedy } => {
                self.repeat(node, (*min, *max, *greedy), excluded, depth + 1)
            }
            Node::Permute(nodes) => {
                let mut left: Vec<&Node> = nodes.iter().collect();
                self.permute(&mut left, &mut Vec::new(), excluded, depth + 1)
            }
            Node::Start => {
                self.anchored = true;
                self.push(Inst::Start).map(|_| ())
            }
            Node::End => {
                self.anchored = true;
                self.wait(Wait::End, excluded)
            }
            Node::Exclude(node) => self.node(node, true, depth + 1),
            Node::Empty => Ok(()),
            Node::Anew => {
                self.anew = Some(self.positions.len() as u16);
                Ok(())
            }
            Node::Gap(gap) => {
                let known = self.gaps.iter().position(|other| other == gap);
                let at = known.unwrap_or_else(|| {
                    self.gaps.push(*gap);
                    self.gaps.len() - 1
                });
                if at > usize::from(u16::MAX) {
                    return Err(SpecError::TooLarge { what: "gaps", max: usize::from(u16::MAX) });
                }
                self.push(Inst::Gap(at as u16)).map(|_| ())
            }
            Node::Within { node, ns } => self.group(node, Some(*ns), None, excluded, depth + 1),
            Node::Every(node) if nullable(node) || self.spec.mode != Mode::All => {
                Err(SpecError::Every)
            }
            Node::Every(node) => {
                let again = Again { ends: !goes_on(node), repeats: true, starts: (0, 0) };
                self.group(node, None, Some(again), excluded, depth + 1)
            }
            Node::First(node) => {
                let again = Again { ends: true, repeats: false, starts: (0, 0) };
                self.group(node, None, Some(again), excluded, depth + 1)
            }
            Node::Absent { unless, for_ns } => self.wait(Wait::Absence(*unless, *for_ns), excluded),
        }
    }

    fn group(
        &mut self,
        node: &Node,
        within_ns: Option<u64>,
        again: Option<Again>,
        excluded: bool,
        depth: usize,
    ) -> Result<(), SpecError> {
        let parent = self.group;
        let around = self.groups.get(usize::from(parent)).map_or(0, |group| group.depth + 1);
        if usize::from(around) == GROUP_DEPTH_MAX || self.groups.len() == GROUPS_MAX {
            return Err(SpecError::TooLarge { what: "limits and repetitions", max: GROUPS_MAX });
        }
        self.group = self.groups.len() as u16;
        self.groups.push(Group { parent, depth: around, within_ns, again });
        let open = self.push(Inst::Open)?;
        self.openings.push(open);
        self.node(node, excluded, depth)?;
        self.push(Inst::Close(around))?;
        self.group = parent;
        Ok(())
    }

    fn alternatives(
        &mut self,
        count: usize,
        mut each: impl FnMut(&mut Self, usize) -> Result<(), SpecError>,
    ) -> Result<(), SpecError> {
        let mut ends = Vec::new();
        for at in 0..count {
            if at + 1 == count {
                each(self, at)?;
                break;
            }
            let split = self.branch()?;
            each(self, at)?;
            ends.push(self.push(Inst::Jump(0))?);
            let next = self.here();
            self.set_branch(split, true, split + 1, next);
        }
        let end = self.here();
        for jump in ends {
            self.insts[jump as usize] = Inst::Jump(end);
        }
        Ok(())
    }

    /// All orders of `left` after those of `done`, from the left. Variables share beginnings; parts
    /// that can match in several ways may not: an order goes before every choice within it.
    fn permute<'n>(
        &mut self,
        left: &mut Vec<&'n Node>,
        done: &mut Vec<&'n Node>,
        excluded: bool,
        depth: usize,
    ) -> Result<(), SpecError> {
        if left.len() > PERMUTED_MAX {
            return Err(SpecError::TooLarge { what: "parts in any order", max: PERMUTED_MAX });
        }
        let plain = left.iter().chain(done.iter()).all(|node| matches!(node, Node::Var(_)));
        if left.is_empty() {
            return if plain {
                Ok(())
            } else {
                done.iter().try_for_each(|node| self.node(node, excluded, depth + 1))
            };
        }
        self.alternatives(left.len(), |build, at| {
            let node = left.remove(at);
            if plain {
                build.node(node, excluded, depth + 1)?;
            }
            done.push(node);
            build.permute(left, done, excluded, depth + 1)?;
            done.pop();
            left.insert(at, node);
            Ok(())
        })
    }

    /// An optional iteration, which has to take a row.
    fn iteration(&mut self, node: &Node, excluded: bool, depth: usize) -> Result<(), SpecError> {
        if !nullable(node) {
            return self.node(node, excluded, depth);
        }
        if self.optionals == OPTIONAL_MAX {
            let what = "repeated parts that may be empty";
            return Err(SpecError::TooLarge { what, max: OPTIONAL_MAX });
        }
        let id = self.optionals as u8;
        self.optionals += 1;
        self.push(Inst::Enter(id))?;
        self.node(node, excluded, depth)?;
        self.push(Inst::Leave(id)).map(|_| ())
    }

    fn repeat(
        &mut self,
        node: &Node,
        (min, max, greedy): (u32, Option<u32>, bool),
        excluded: bool,
        depth: usize,
    ) -> Result<(), SpecError> {
        if let Some(max) = max.filter(|&max| max < min || max == 0) {
            return Err(SpecError::Quantifier { min, max });
        }
        // The last iteration that has to be can be the loop itself.
        let shared = max.is_none() && min > 0 && !nullable(node);
        for _ in 0..min - u32::from(shared) {
            let before = self.here();
            self.node(node, excluded, depth)?;
            if self.here() == before {
                break; // Nothing, however often.
            }
        }
        if let Some(max) = max {
            let mut exits = Vec::new();
            for _ in min..max {
                exits.push(self.branch()?);
                self.iteration(node, excluded, depth)?;
            }
            let end = self.here();
            for exit in exits {
                self.set_branch(exit, greedy, exit + 1, end);
            }
            return Ok(());
        }
        let entry = if shared { None } else { Some(self.branch()?) };
        let top = self.here();
        self.iteration(node, excluded, depth)?;
        let again = self.branch()?;
        let end = self.here();
        self.set_branch(again, greedy, top, end);
        if let Some(entry) = entry {
            self.set_branch(entry, greedy, top, end);
        }
        Ok(())
    }

    /// Lists what every position leads to.
    fn close(self) -> Result<Program, SpecError> {
        let mut listing = Listing { insts: &self.insts, positions: &self.positions, steps: 0 };
        let (mut edges, mut spans, mut fan_max) = (Vec::new(), Vec::new(), 1);
        let all = self.spec.mode == Mode::All;
        let mut list = |from: u32, first: bool, keep: u8, edges: &mut Vec<Edge>| {
            let begin = edges.len() as u32;
            listing.list(from, first, all, keep, edges)?;
            let end = edges.len() as u32;
            fan_max = fan_max.max((end - begin) as usize);
            Ok::<_, SpecError>((begin, end))
        };
        for inst in 0..self.insts.len() {
            if matches!(self.insts[inst], Inst::Wait(_)) {
                spans.push(list(inst as u32 + 1, false, u8::MAX, &mut edges)?);
            }
        }
        let starts = [list(0, true, 0, &mut edges)?, list(0, false, 0, &mut edges)?];
        let mut groups = self.groups;
        for (group, &open) in groups.iter_mut().zip(&self.openings) {
            if let Some(again) = &mut group.again {
                again.starts = list(open, false, group.depth, &mut edges)?;
            }
        }
        let mut program = Program {
            positions: self.positions,
            gaps: self.gaps,
            edges,
            spans,
            starts,
            first_vars: VarSet(0),
            starts_unbound: self.spec.start != Start::EveryRow,
            anchored: self.anchored,
            absences: false,
            fan_max,
            anew: self.anew,
            wants: Vec::new(),
            wanted: VarSet(0),
            limits: groups.iter().any(|group| group.within_ns.is_some()),
            repeats: groups.iter().any(|group| group.again.is_some()),
            groups,
        };
        for span in starts {
            let vars: Vec<Option<u8>> = program.vars_of(program.all(span)).collect();
            for var in vars {
                match var {
                    Some(var) => program.first_vars = program.first_vars.or(VarSet::of(var)),
                    None => program.starts_unbound = true,
                }
            }
        }
        let is_absence = |p: &Position| matches!(p.wait, Wait::Absence(..));
        program.absences = program.positions.iter().any(is_absence);
        program.mark_clean(self.spec.independent);
        program.note_wants(self.spec.poison);
        Ok(program)
    }
}
