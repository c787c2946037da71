//! Payments as they usually are: at home, at the same merchants, of the usual amounts, not too
//! often; and what of a payment follows from its account.
//!
//! Invariant: an account pays at most every ten minutes; transfers go from even accounts to odd
//! ones, so that they close no circle, and to each at most every two minutes.

use super::cities::CITIES;
use super::{Config, Draft, GAP_NS, Payment, plan};
use crate::generate::rng::Rng;

/// The least time between two transfers to an account.
const PAYEE_GAP_NS: u64 = 120_000_000_000;
/// Transfers of 1,024 payments.
const TRANSFERS_PER_1024: u32 = 205;
/// Merchants that an account pays.
const REGULAR_MERCHANTS: u32 = 5;
/// Accounts looked at for one that may pay.
const DRAWS_MAX: u32 = 64;

/// Makes the usual payments.
pub(super) struct Background {
    rng: Rng,
    config: Config,
    /// Accounts without those of the plan.
    usual: u32,
    numbers: Numbers,
    left: u64,
    ts_ns: u64,
    mean_ns: u64,
    /// When each account last paid, and was last paid.
    paid: Vec<u64>,
    received: Vec<u64>,
}

/// A number that depends on what it is of alone.
pub(super) const fn hash(seed: u64, what: u64, of: u64) -> u64 {
    let mut z = seed ^ what.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ of.rotate_left(32);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Where an account lives.
pub(super) fn home(config: &Config, account: u32) -> u8 {
    (hash(config.seed, 1, account.into()) % CITIES.len() as u64) as u8
}

/// What an account usually spends by card, in hundredths: 5.00 to 149.99.
pub(super) fn usual_cents(config: &Config, account: u32) -> u64 {
    500 + hash(config.seed, 2, account.into()) % 14_500
}

impl Background {
    pub(super) fn new(config: &Config, records: u64) -> Self {
        let accounts = config.account_count();
        let usual = (accounts - plan::accounts_of(config.episodes, config.decoys)).max(2);
        Self {
            rng: Rng::new(hash(config.seed, 3, 0)),
            config: *config,
            usual,
            numbers: Numbers::new(accounts),
            left: records,
            ts_ns: config.start_ns,
            mean_ns: config.duration_ns / records.max(1),
            paid: vec![0; usual as usize],
            received: vec![0; usual as usize],
        }
    }

    /// The next usual payment.
    pub(super) fn next(&mut self) -> Option<Draft> {
        self.left = self.left.checked_sub(1)?;
        self.ts_ns += self.rng.exponential(self.mean_ns);
        let is_transfer = self.rng.chance(TRANSFERS_PER_1024);
        let mut account = self.rng.below(self.usual);
        for _ in 0..DRAWS_MAX {
            let is_even = account.is_multiple_of(2);
            let rested = self.paid[account as usize] + GAP_NS <= self.ts_ns;
            if rested && (is_even || !is_transfer) {
                break;
            }
            account = (account + 1 + self.rng.below(8)) % self.usual;
        }
        // All were busy, which `Config::check` makes next to impossible: it waits for its time.
        self.ts_ns = self.ts_ns.max(self.paid[account as usize] + GAP_NS);
        self.paid[account as usize] = self.ts_ns;
        let payee = (is_transfer && account.is_multiple_of(2)).then(|| self.payee());
        let usual = usual_cents(&self.config, account);
        let cents = match payee {
            // 10.00 to 4,009.99
            Some(_) => 1_000 + u64::from(self.rng.below(400_000)),
            None => usual / 2 + u64::from(self.rng.below(usual as u32)),
        };
        let merchant = regular(&self.config, account, self.rng.below(REGULAR_MERCHANTS));
        let (ts_ns, city) = (self.ts_ns, home(&self.config, account));
        Some(Draft { ts_ns, account, payee, merchant, city, cents, episode: None })
    }

    fn payee(&mut self) -> u32 {
        let mut payee = self.rng.below(self.usual / 2) * 2 + 1;
        for _ in 0..DRAWS_MAX {
            if self.received[payee as usize] + PAYEE_GAP_NS <= self.ts_ns {
                break;
            }
            payee = self.rng.below(self.usual / 2) * 2 + 1;
        }
        self.received[payee as usize] = self.ts_ns;
        payee
    }

    /// The payment of a draft.
    pub(super) fn payment(&mut self, id: u64, draft: &Draft) -> Payment {
        let of = |what| hash(self.config.seed, what, draft.account.into());
        let city = &CITIES[usize::from(draft.city) % CITIES.len()];
        let [a, b, c, ..] = of(4).to_le_bytes();
        let number = self.numbers.of(draft.account);
        // A few kilometres around the centre.
        let mut near = || self.rng.below(601) as i32 - 300;
        Payment {
            id,
            ts_ns: draft.ts_ns,
            account: number,
            card: 4_000_000_000_000_000
                + of(5) % 1_000_000 * 1_000_000_000
                + number % 1_000_000_000,
            merchant: 1 + draft.merchant,
            payee: draft.payee.map(|payee| self.numbers.of(payee)),
            device: of(6) >> 12,
            ip: [10 + a % 200, b, c, 1 + draft.account.to_le_bytes()[0] % 250],
            country: city.country,
            lat_e4: city.lat_e4 + near(),
            lon_e4: city.lon_e4 + near(),
            cents: draft.cents,
        }
    }
}

/// One of the merchants that an account pays.
pub(super) fn regular(config: &Config, account: u32, which: u32) -> u32 {
    let number = hash(config.seed, 7 + u64::from(which), account.into());
    (number % u64::from(config.merchants)) as u32
}

/// The accounts' numbers: nothing of one tells which accounts are in the plan.
struct Numbers {
    count: u64,
    /// Has no divisor in common with the count, so that no number comes twice.
    step: u64,
}

impl Numbers {
    fn new(accounts: u32) -> Self {
        let count = u64::from(accounts.max(2));
        let mut step = (0x9e37_79b1 % count).max(1);
        while gcd(step, count) != 1 {
            step += 1;
        }
        Self { count, step }
    }

    fn of(&self, account: u32) -> u64 {
        1_000_000 + u64::from(account) * self.step % self.count
    }
}

const fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}
