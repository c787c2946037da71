//! The windows of a rule set at work.
//!
//! Invariant: a window sees every record of its stream that its filter lets through, once and
//! before any rule looks at the record; its results stand until the stream's next record.

use corelane_feeds::record::Record;
use zerocopy::IntoBytes;

use super::plan::PoolWindow;
use super::program::Machine;
use super::types::Value;
use super::window::Windows;
use crate::memory::Memory;
use crate::state::StateReader;
use crate::strategy::StateError;

/// Keys of more words are not looked at ahead of their turn.
const KEY_WORDS_AHEAD: usize = 8;

/// A window with its state.
struct Window {
    plan: PoolWindow,
    state: Windows,
    key: Vec<u64>,
    args: Vec<Value>,
    /// Where its results are among the inputs of programs.
    first: usize,
}

/// Every window of a rule set.
pub(super) struct Pool {
    windows: Vec<Window>,
    inputs: Vec<Value>,
}

impl Pool {
    /// Empty windows.
    ///
    /// # Panics
    /// If the system has no memory for them.
    pub(super) fn new(plans: &[PoolWindow]) -> Self {
        let mut inputs = 0;
        let windows = plans.iter().map(|plan| {
            let first = inputs;
            inputs += plan.aggregates.len();
            let state = Windows::new(plan.spec()).expect("memory for the windows of rules");
            let key = vec![0; plan.key.words()];
            let args = vec![Value::NULL; plan.args.len()];
            Window { plan: plan.clone(), state, key, args, first }
        });
        Self { windows: windows.collect(), inputs: vec![Value::NULL; inputs] }
    }

    /// Takes over the state of every window that an earlier pool has, too.
    pub(super) fn take_over(&mut self, earlier: &mut Self) {
        let mut left: Vec<&mut Window> = earlier.windows.iter_mut().collect();
        for window in &mut self.windows {
            if let Some(at) = left.iter().position(|old| old.plan.is_same(&window.plan)) {
                std::mem::swap(&mut window.state, &mut left.swap_remove(at).state);
            }
        }
    }

    /// Which input an aggregate of a window is.
    pub(super) fn input(&self, window: usize, aggregate: usize) -> usize {
        self.windows.get(window).map_or(0, |window| window.first) + aggregate
    }

    /// What the windows answered last.
    #[inline]
    pub(super) fn inputs(&self) -> &[Value] {
        &self.inputs
    }

    /// Shows a window a record.
    #[inline]
    pub(super) fn update(&mut self, window: u32, machine: &mut Machine, record: &Record) {
        let Some(window) = self.windows.get_mut(window as usize) else { return };
        let row = record.as_bytes();
        let Window { plan, state, key, args, first } = window;
        if let Some(filter) = &plan.filter
            && !filter.holds(machine, row, &[])
        {
            return;
        }
        plan.key.fill(machine, row, key);
        for (arg, value) in args.iter_mut().zip(plan.arguments(machine, record)) {
            *arg = value;
        }
        let Some(out) = self.inputs.get_mut(*first..*first + plan.aggregates.len()) else { return };
        state.update(key, record.header.ts_event.0, args, out);
    }

    /// Makes the memory of all windows resident.
    pub(super) fn reserve(&self, memory: Memory) {
        self.windows.iter().for_each(|window| window.state.reserve(memory));
    }

    /// A record is about to come: asks for the state of its key, or for the rows that the state
    /// names, which must have come by then.
    #[inline]
    pub(super) fn prefetch(&self, window: u32, row: &[u8], rows: bool, memory: Memory) {
        let Some(window) = self.windows.get(window as usize) else { return };
        let mut key = [0; KEY_WORDS_AHEAD];
        let Some(key) = key.get_mut(..window.key.len()) else { return };
        if window.plan.key.peek(row, key).is_none() {
            return;
        }
        if rows {
            window.state.prefetch_rows(key, memory);
        } else {
            window.state.prefetch(key, memory);
        }
    }

    /// Every window with its plan.
    pub(super) fn windows(&self) -> impl Iterator<Item = (&PoolWindow, &Windows)> {
        self.windows.iter().map(|window| (&window.plan, &window.state))
    }

    pub(super) fn save(&self, out: &mut Vec<u8>) {
        self.windows.iter().for_each(|window| window.state.save(out));
    }

    pub(super) fn restore(&mut self, state: &mut StateReader<'_>) -> Result<(), StateError> {
        self.windows.iter_mut().try_for_each(|window| window.state.restore(state))
    }
}
