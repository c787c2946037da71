//! What can be reached from a place of the program without a row, best first.
//!
//! Invariant: a list names each position with each gap and scope at most once.

use std::collections::HashSet;

use super::program::{EDGES_MAX, Edge, Inst, NO_GROUP, Position, Program, STEPS_MAX, To, Wait};
use super::spec::{Gap, GapMode, SpecError, VarSet};

impl Program {
    pub(super) fn mark_clean(&mut self, independent: VarSet) {
        for position in &mut self.positions {
            position.clean = position.group == NO_GROUP
                && match position.wait {
                    Wait::Row(var) => independent.has(var),
                    Wait::End => true,
                    Wait::Absence(..) => false,
                };
        }
        loop {
            let mut changed = false;
            for at in 0..self.positions.len() {
                let follows = self.all(self.spans[at]).iter().all(|edge| match edge.to {
                    To::Position(next) => {
                        let gap = &self.gaps[usize::from(edge.gap)];
                        let guards = gap.unless.or(gap.unless_first);
                        self.positions[usize::from(next)].clean
                            && gap.mode == GapMode::Strict
                            && guards.0 & !independent.0 == 0
                    }
                    To::Match => true,
                });
                if self.positions[at].clean && !follows {
                    self.positions[at].clean = false;
                    changed = true;
                }
            }
            if !changed {
                return;
            }
        }
    }
}

impl Program {
    /// What matters to a thread at a position, found in a way. Rows that fit nothing end strict
    /// ones, so all matter.
    fn wants_at(position: &Position, gap: &Gap, poison: VarSet) -> VarSet {
        let is_strict = gap.mode == GapMode::Strict;
        match position.wait {
            Wait::Row(var) if !is_strict && gap.unless_first.is_empty() => {
                VarSet::of(var).or(gap.unless).or(gap.yields).or(poison)
            }
            Wait::Absence(unless, _) if gap.unless_first.is_empty() => {
                unless.or(gap.unless).or(poison)
            }
            _ => VarSet::ALL,
        }
    }

    pub(super) fn note_wants(&mut self, poison: VarSet) {
        let (positions, gaps) = (&self.positions, &self.gaps);
        let of = |position| gaps.iter().map(move |gap| Self::wants_at(position, gap, poison));
        self.wants = positions.iter().flat_map(of).collect();
        // Beginnings, whose gaps do not matter yet, are listed last.
        let listed = self.starts[0].0 as usize;
        let again = self.starts[1].1 as usize;
        let mut wanted = self.first_vars;
        for (at, edge) in self.edges.iter().enumerate() {
            if let (true, To::Position(position)) = (at < listed || at >= again, edge.to) {
                wanted = wanted.or(self.wants_of(position, edge.gap));
            }
        }
        self.wanted = wanted;
    }

    /// The variables a row of which matters to a thread.
    #[inline]
    pub(super) fn wants_of(&self, position: u16, gap: u16) -> VarSet {
        self.wants[usize::from(position) * self.gaps.len() + usize::from(gap)]
    }
}

pub(super) struct Listing<'a> {
    pub(super) insts: &'a [Inst],
    pub(super) positions: &'a [Position],
    pub(super) steps: usize,
}

impl Listing<'_> {
    /// Appends what can be reached from `from` without a row, best first.
    pub(super) fn list(
        &mut self,
        from: u32,
        first: bool,
        all: bool,
        keep: u8,
        edges: &mut Vec<Edge>,
    ) -> Result<(), SpecError> {
        let mut seen = HashSet::new();
        let mut found = HashSet::new();
        // Instruction, iterations that took no row yet, gap, groups not left. Strict patterns have
        // gap 0 alone.
        let mut stack = vec![(from, 0_u64, 0_u16, keep)];
        while let Some((at, empty, gap, keep)) = stack.pop() {
            self.steps += 1;
            if self.steps > STEPS_MAX {
                return Err(SpecError::TooLarge { what: "steps between rows", max: STEPS_MAX });
            }
            if !seen.insert((at, empty, gap, keep)) {
                continue;
            }
            let next = at + 1;
            match self.insts[at as usize] {
                Inst::Wait(position) => {
                    let is_end = self.positions[usize::from(position)].wait == Wait::End;
                    let gap = if is_end { 0 } else { gap };
                    if found.insert((position, gap, keep)) {
                        edges.push(Edge { to: To::Position(position), gap, keep });
                    }
                }
                Inst::Split(better, worse) => {
                    stack.push((worse, empty, gap, keep));
                    stack.push((better, empty, gap, keep));
                }
                Inst::Jump(to) => stack.push((to, empty, gap, keep)),
                Inst::Start if first => stack.push((next, empty, gap, keep)),
                Inst::Start => {}
                Inst::Gap(gap) => stack.push((next, empty, gap, keep)),
                Inst::Enter(id) => stack.push((next, empty | 1 << id, gap, keep)),
                Inst::Leave(id) if empty >> id & 1 == 1 => {}
                Inst::Leave(_) => stack.push((next, empty, gap, keep)),
                Inst::Open => stack.push((next, empty, gap, keep)),
                Inst::Close(around) => stack.push((next, empty, gap, keep.min(around))),
                Inst::Match => {
                    if found.insert((u16::MAX, 0, keep)) {
                        edges.push(Edge { to: To::Match, gap: 0, keep });
                    }
                    // What comes after a match is worse than it and can only matter if all count.
                    if !all {
                        return Ok(());
                    }
                }
            }
            if edges.len() > EDGES_MAX {
                return Err(SpecError::TooLarge { what: "ways between rows", max: EDGES_MAX });
            }
        }
        Ok(())
    }
}
