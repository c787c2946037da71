//! Seeded synthetic payments: `corelane generate payments`.
//!
//! ```text
//! plan: fraud and decoys, each with accounts of its own ─── drafts by time ──┐
//! background: accounts that pay at home, as they always do ──────────────────┴──> lines
//! ```
//!
//! The background is clean: by the definitions that the truth names, nothing in it is fraud. So a
//! rule that follows a definition finds the episodes and nothing else.
//!
//! Invariant: integer arithmetic alone, so that a seed gives the same bytes everywhere. Lines are
//! in the order of their times, and a payment's `id` is its place among them, from 1.

mod args;
mod background;
mod cities;
mod plan;
mod truth;
mod write;

use anyhow::bail;

use background::Background;
use plan::Plan;

pub use args::PaymentsArgs;
pub use plan::{Episode, Fraud};
pub use write::{CREATE_STREAM, Layout};

/// The least time between two payments of an account in the background.
pub(super) const GAP_NS: u64 = 600_000_000_000;
/// The shortest stream that has room for every episode.
pub(super) const DURATION_NS_MIN: u64 = 6 * 3_600_000_000_000;

/// What to generate.
#[derive(Copy, Clone, Debug)]
pub struct Config {
    /// Payments, those of episodes included.
    pub records: u64,
    /// Accounts; 0 for one for every twenty payments.
    pub accounts: u32,
    /// Merchants.
    pub merchants: u32,
    /// The same seed and options give the same bytes.
    pub seed: u64,
    /// Episodes of every kind of fraud.
    pub episodes: u32,
    /// Decoys of every kind that has them: one condition is missing.
    pub decoys: u32,
    /// When it begins, nanoseconds since the epoch.
    pub start_ns: u64,
    /// From the first to the last payment, about.
    pub duration_ns: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            records: 1_000_000,
            accounts: 0,
            merchants: 2_000,
            seed: 1,
            episodes: 10,
            decoys: 10,
            // 2026-01-05T00:00:00Z
            start_ns: 1_767_571_200_000_000_000,
            duration_ns: 24 * 3_600_000_000_000,
        }
    }
}

impl Config {
    /// Accounts, with the default filled in.
    #[must_use]
    pub fn account_count(&self) -> u32 {
        let usual = u32::try_from(self.records / 20).unwrap_or(u32::MAX).max(1_000);
        let own = plan::accounts_of(self.episodes, self.decoys);
        if self.accounts > 0 { self.accounts } else { usual.max(own.saturating_mul(4)) }
    }

    /// Whether there is room for what is asked for.
    ///
    /// # Errors
    /// What there is no room for.
    pub fn check(&self) -> anyhow::Result<()> {
        let accounts = self.account_count();
        let own = plan::accounts_of(self.episodes, self.decoys);
        if accounts > 50_000_000 || u64::from(own) * 2 > u64::from(accounts) {
            bail!("{accounts} accounts: at least {} and at most 50,000,000", own.saturating_mul(2));
        }
        if self.duration_ns < DURATION_NS_MIN {
            bail!("the stream must last 6h or longer: some fraud takes its time");
        }
        let planted = plan::payments_of(self.episodes, self.decoys);
        if self.records < 2 * planted {
            bail!("the episodes and decoys are {planted} payments: ask for twice as many at least");
        }
        // An account pays at most every ten minutes; half of that leaves room to draw.
        let most = u64::from(accounts - own) * (self.duration_ns / GAP_NS) / 2;
        if self.records > most {
            bail!("{accounts} accounts make at most {most} payments in that time");
        }
        if self.merchants == 0 {
            bail!("at least one merchant");
        }
        Ok(())
    }
}

/// A payment before it has its number.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Draft {
    pub(super) ts_ns: u64,
    /// Who pays, as a number below the count of accounts.
    pub(super) account: u32,
    /// Which account is paid; none pays a merchant by card.
    pub(super) payee: Option<u32>,
    pub(super) merchant: u32,
    /// Which of the cities.
    pub(super) city: u8,
    pub(super) cents: u64,
    /// The episode that it is part of.
    pub(super) episode: Option<u32>,
}

/// A payment.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Payment {
    /// Its place in the stream, from 1.
    pub id: u64,
    /// When, nanoseconds since the epoch.
    pub ts_ns: u64,
    /// Who pays.
    pub account: u64,
    /// The card, if it pays a merchant.
    pub card: u64,
    /// The merchant, if it is by card.
    pub merchant: u32,
    /// Which account is paid, if it is a transfer.
    pub payee: Option<u64>,
    /// The payer's device.
    pub device: u64,
    /// The payer's address.
    pub ip: [u8; 4],
    /// Where.
    pub country: &'static str,
    /// Degrees north, times 10,000.
    pub lat_e4: i32,
    /// Degrees east, times 10,000.
    pub lon_e4: i32,
    /// How much, in hundredths.
    pub cents: u64,
}

/// What a stream came to.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Payments.
    pub records: u64,
    /// Those by card.
    pub cards: u64,
    /// Of all payments, in hundredths.
    pub cents: u128,
    /// Time of the first.
    pub ts_first_ns: u64,
    /// Time of the last.
    pub ts_last_ns: u64,
    /// What was planted, in the order of their first payments.
    pub episodes: Vec<Episode>,
}

/// Generates the stream; `each` takes the payments in order.
///
/// # Errors
/// If there is no room for what is asked for, or `each` fails.
pub fn generate(
    config: &Config,
    mut each: impl FnMut(&Payment) -> anyhow::Result<()>,
) -> anyhow::Result<Summary> {
    config.check()?;
    let Plan { mut drafts, mut episodes } = Plan::new(config);
    drafts.sort_by_key(|draft| draft.ts_ns);
    let mut background = Background::new(config, config.records - drafts.len() as u64);
    let mut planted = drafts.into_iter().peekable();
    let mut usual = background.next();
    let mut summary = Summary::default();
    loop {
        let is_planted = match (planted.peek(), usual) {
            (Some(draft), Some(usual)) => draft.ts_ns <= usual.ts_ns,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (None, None) => break,
        };
        let draft = if is_planted {
            planted.next()
        } else {
            std::mem::replace(&mut usual, background.next())
        };
        let Some(draft) = draft else { break };
        summary.records += 1;
        let payment = background.payment(summary.records, &draft);
        if let Some(episode) = draft.episode.and_then(|at| episodes.get_mut(at as usize)) {
            episode.add(&payment);
        }
        summary.cards += u64::from(payment.payee.is_none());
        summary.cents += u128::from(payment.cents);
        if summary.records == 1 {
            summary.ts_first_ns = payment.ts_ns;
        }
        summary.ts_last_ns = payment.ts_ns;
        each(&payment)?;
    }
    episodes.sort_by_key(|episode| episode.payments.first().copied());
    summary.episodes = episodes;
    Ok(summary)
}
