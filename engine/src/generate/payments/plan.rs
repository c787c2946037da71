//! Episodes of fraud, and decoys that lack one condition of one.
//!
//! Invariant: every episode and decoy has accounts of its own, so that none is part of another;
//! what it takes is known before anything is drawn.

use serde::Serialize;

use super::background::{hash, home, regular, usual_cents};
use super::cities::{CITIES, FAR};
use super::{Config, Draft, GAP_NS, Payment};
use crate::generate::rng::Rng;

const SECOND: u64 = 1_000_000_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

macro_rules! frauds {
    ($(
        $(#[doc = $doc:literal])+
        $name:ident $text:literal $accounts:literal $most:literal $definition:literal,
    )+) => {
        /// A kind of fraud.
        #[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Fraud {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Fraud {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// Its name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// What it is, so that a rule can follow it.
            #[must_use]
            pub const fn definition(self) -> &'static str {
                match self { $(Self::$name => $definition,)+ }
            }

            /// Accounts of its own, and payments at most, history included.
            const fn size(self) -> (u32, u64) {
                match self { $(Self::$name => ($accounts, $most),)+ }
            }
        }
    };
}
frauds! {
    /// Many payments of one card in a minute.
    CardVelocity "card_velocity" 1 12
        "6 or more payments of one card within 60 seconds",
    /// One card at two places too far apart.
    ImpossibleTravel "impossible_travel" 1 8
        "2 payments of one card more than 500 km and more than 900 km/h apart",
    /// Small payments that find out whether a card works, then a large one.
    CardTesting "card_testing" 1 10
        "5 or more payments of at most 2.00 of one card, then one of 200.00 or more, in 10 minutes",
    /// One payment that is far above what the account spends.
    AmountOutlier "amount_outlier" 1 14
        "a card payment of 20 times the mean of the account's earlier ones or more, of which there \
         are 10 or more",
    /// A country that the account never paid in.
    FirstCountry "first_country" 1 8
        "a card payment in a country where the account did not pay before, after 5 or more \
         elsewhere",
    /// An account that wakes up.
    DormantAccount "dormant_account" 1 5
        "a card payment of 1000.00 or more, half of the stream's duration or longer after the one \
         before it",
    /// Many accounts pay one.
    FanIn "fan_in" 13 12
        "transfers of 8 or more accounts to one within 10 minutes",
    /// One account pays many.
    FanOut "fan_out" 13 12
        "transfers of one account to 8 or more within 10 minutes",
    /// Transfers that stay below what must be reported.
    Structuring "structuring" 8 7
        "4 or more transfers of one account of 9000.00 to 9999.99 each within an hour",
    /// Money that comes back.
    RoundTrip "round_trip" 2 2
        "a transfer from A to B and one back within an hour, of amounts within 5 percent",
    /// Money that comes back by way of another account.
    Cycle3 "cycle3" 3 3
        "transfers from A to B, B to C and C to A in this order within an hour, each of an amount \
         within 5 percent of the one before",
}

/// What was planted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Episode {
    /// Of which kind.
    pub kind: Fraud,
    /// It lacks one condition, and is no fraud.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub decoy: bool,
    /// Whose it is: who pays too much, is paid by too many, or pays first.
    pub account: u64,
    /// The card of that account.
    pub card: u64,
    /// The payments that make it up, by number.
    pub payments: Vec<u64>,
    /// Time of the first.
    pub ts_first_ns: u64,
    /// Time of the last, which completes it.
    pub ts_last_ns: u64,
}

impl Episode {
    /// Notes a payment that is part of it.
    pub(super) fn add(&mut self, payment: &Payment) {
        let paid = payment.payee.filter(|_| self.kind == Fraud::FanIn);
        if self.payments.is_empty() {
            (self.account, self.card) = (paid.unwrap_or(payment.account), payment.card);
            self.ts_first_ns = payment.ts_ns;
        }
        self.payments.push(payment.id);
        self.ts_last_ns = payment.ts_ns;
    }
}

/// Accounts that the episodes and decoys have for themselves.
pub(super) fn accounts_of(episodes: u32, decoys: u32) -> u32 {
    let each: u32 = Fraud::ALL.iter().map(|kind| kind.size().0).sum();
    each.saturating_mul(episodes.saturating_add(decoys))
}

/// Payments that they come to at most.
pub(super) fn payments_of(episodes: u32, decoys: u32) -> u64 {
    let each: u64 = Fraud::ALL.iter().map(|kind| kind.size().1).sum();
    each * (u64::from(episodes) + u64::from(decoys))
}

/// Everything that is planted.
pub(super) struct Plan {
    pub(super) drafts: Vec<Draft>,
    pub(super) episodes: Vec<Episode>,
}

impl Plan {
    pub(super) fn new(config: &Config) -> Self {
        let own = accounts_of(config.episodes, config.decoys);
        let mut script = Script {
            config,
            rng: Rng::new(hash(config.seed, 20, 0)),
            drafts: Vec::new(),
            number: 0,
            first: config.account_count() - own,
            usual: config.account_count() - own,
        };
        let mut episodes = Vec::new();
        for round in 0..config.episodes + config.decoys {
            for &kind in Fraud::ALL {
                let decoy = round >= config.episodes;
                script.plant(kind, decoy);
                let (account, card, payments) = (0, 0, Vec::new());
                let (ts_first_ns, ts_last_ns) = (0, 0);
                episodes.push(Episode {
                    kind,
                    decoy,
                    account,
                    card,
                    payments,
                    ts_first_ns,
                    ts_last_ns,
                });
                script.number += 1;
                script.first += kind.size().0;
            }
        }
        Self { drafts: script.drafts, episodes }
    }
}

/// Writes one episode after the other.
struct Script<'a> {
    config: &'a Config,
    rng: Rng,
    drafts: Vec<Draft>,
    /// The episode's number.
    number: u32,
    /// The first of its accounts.
    first: u32,
    /// Accounts of the background.
    usual: u32,
}

impl Script<'_> {
    /// A moment between two parts of 100 of the stream.
    fn moment(&mut self, from: u64, to: u64) -> u64 {
        let percent = self.config.duration_ns / 100;
        let within = u64::from(self.rng.below(1 << 20)) * (((to - from) * percent) >> 20);
        self.config.start_ns + from * percent + within
    }

    /// A payment by card at a merchant that the account pays.
    fn card(&mut self, ts_ns: u64, cents: u64, city: u8, is_part: bool) {
        let account = self.first;
        let merchant = regular(self.config, account, self.rng.below(5));
        let episode = is_part.then_some(self.number);
        let payee = None;
        self.drafts.push(Draft { ts_ns, account, payee, merchant, city, cents, episode });
    }

    fn transfer(&mut self, ts_ns: u64, from: u32, to: u32, cents: u64) {
        let city = home(self.config, from);
        let (payee, episode) = (Some(to), Some(self.number));
        self.drafts.push(Draft { ts_ns, account: from, payee, merchant: 0, city, cents, episode });
    }

    /// What the account usually spends, give or take a quarter.
    fn usual(&mut self) -> u64 {
        let usual = usual_cents(self.config, self.first);
        usual * 3 / 4 + u64::from(self.rng.below(usual as u32 / 2))
    }

    /// Usual payments at home, so many, up to about a moment.
    fn history(&mut self, count: u64, until: u64, apart: u64, city: u8) {
        for back in (1..=count).rev() {
            let jitter = u64::from(self.rng.below(((apart / 4) >> 20) as u32)) << 20;
            let cents = self.usual();
            self.card(until - back * apart + jitter, cents, city, false);
        }
    }

    fn seconds(&mut self, low: u32, high: u32) -> u64 {
        u64::from(self.rng.between(low * 1_000, high * 1_000)) * 1_000_000
    }

    fn cents(&mut self, low: u32, high: u32) -> u64 {
        u64::from(self.rng.between(low, high))
    }

    fn plant(&mut self, kind: Fraud, decoy: bool) {
        match kind {
            Fraud::CardVelocity => self.velocity(decoy),
            Fraud::ImpossibleTravel => self.travel(decoy),
            Fraud::CardTesting => self.testing(decoy),
            Fraud::AmountOutlier => self.outlier(decoy),
            Fraud::FirstCountry => self.country(decoy),
            Fraud::DormantAccount => self.dormant(decoy),
            Fraud::FanIn | Fraud::FanOut => self.fan(kind, decoy),
            Fraud::Structuring => self.structuring(decoy),
            Fraud::RoundTrip => self.circle(2, decoy),
            Fraud::Cycle3 => self.circle(3, decoy),
        }
    }

    /// Six to nine payments in less than a minute; a decoy has five.
    fn velocity(&mut self, decoy: bool) {
        let (begin, city) = (self.moment(10, 90), home(self.config, self.first));
        self.history(2, begin, 2 * GAP_NS, city);
        let count = if decoy { 5 } else { self.rng.between(6, 9) };
        let mut ts = begin;
        for _ in 0..count {
            let cents = self.usual();
            self.card(ts, cents, city, true);
            ts += self.seconds(1, 6);
        }
    }

    /// Two far cities of one country within twenty minutes; a decoy takes a plane.
    fn travel(&mut self, decoy: bool) {
        let (begin, home) = (self.moment(30, 60), *self.rng.one_of(&FAR));
        self.history(4, begin, 2 * GAP_NS, home);
        let far = CITIES[usize::from(home)].far.unwrap_or(home);
        let cents = [self.usual(), self.usual()];
        self.card(begin, cents[0], home, true);
        let later = if decoy { 7 * HOUR } else { 10 * MINUTE } + self.seconds(0, 600);
        let later = later.min(self.config.duration_ns * 38 / 100);
        if decoy && later < 6 * HOUR {
            // The stream is too short for the flight: it stays at home.
            self.card(begin + later, cents[1], home, true);
        } else {
            self.card(begin + later, cents[1], far, true);
        }
    }

    /// Five to eight payments of at most 2.00, then a large one; a decoy never has that one.
    fn testing(&mut self, decoy: bool) {
        let (mut ts, city) = (self.moment(10, 90), home(self.config, self.first));
        self.history(1, ts, 2 * GAP_NS, city);
        for _ in 0..self.rng.between(5, 8) {
            let cents = self.cents(50, 200);
            self.card(ts, cents, city, true);
            ts += self.seconds(30, 50);
        }
        let cents = if decoy { self.cents(2_000, 9_999) } else { self.cents(20_000, 45_000) };
        self.card(ts, cents, city, true);
    }

    /// Twelve usual payments, then one of 25 to 35 times as much; a decoy's is twice as much.
    fn outlier(&mut self, decoy: bool) {
        let (begin, city) = (self.moment(50, 95), home(self.config, self.first));
        self.history(12, begin, self.config.duration_ns / 30, city);
        let usual = usual_cents(self.config, self.first);
        let times = if decoy { 2 } else { u64::from(self.rng.between(25, 35)) };
        self.card(begin, usual * times, city, true);
    }

    /// Six payments at home, then one in a country near by; a decoy was there before.
    fn country(&mut self, decoy: bool) {
        let (begin, city) = (self.moment(70, 90), home(self.config, self.first));
        let near = CITIES[usize::from(city)].near;
        // Longer than a plane to a near city takes.
        let way = 2 * HOUR;
        if decoy {
            let cents = self.usual();
            self.card(begin - 2 * way - 6 * GAP_NS, cents, near, false);
        }
        self.history(6, begin - way, GAP_NS, city);
        let cents = self.usual();
        self.card(begin, cents, near, true);
    }

    /// Three payments at the beginning, a large one long after; a decoy's is a usual one.
    fn dormant(&mut self, decoy: bool) {
        let (begin, city) = (self.moment(5, 10), home(self.config, self.first));
        self.history(3, begin, GAP_NS, city);
        let later = self.moment(70, 95);
        let cents = if decoy { self.usual() } else { self.cents(100_000, 250_000) };
        self.card(later, cents, city, true);
    }

    /// Eight to twelve accounts that pay one, or are paid by one; a decoy has seven.
    fn fan(&mut self, kind: Fraud, decoy: bool) {
        let mut ts = self.moment(10, 90);
        let count = if decoy { 7 } else { self.rng.between(8, 12) };
        for other in 1..=count {
            let (one, other) = (self.first, self.first + other);
            let cents = self.cents(10_000, 90_000);
            let (from, to) = if kind == Fraud::FanIn { (other, one) } else { (one, other) };
            self.transfer(ts, from, to, cents);
            ts += self.seconds(5, 45);
        }
    }

    /// Four to seven transfers just below 10,000.00; a decoy has three.
    fn structuring(&mut self, decoy: bool) {
        let mut ts = self.moment(10, 90);
        let count = if decoy { 3 } else { self.rng.between(4, 7) };
        for other in 1..=count {
            let cents = self.cents(900_000, 999_999);
            self.transfer(ts, self.first, self.first + other, cents);
            ts += self.seconds(120, 480);
        }
    }

    /// Transfers around a circle, each a little smaller; a decoy's last one is a third smaller.
    fn circle(&mut self, count: u32, decoy: bool) {
        let mut ts = self.moment(10, 90);
        let mut cents = self.cents(100_000, 800_000);
        for step in 0..count {
            let (from, to) = (self.first + step, self.first + (step + 1) % count);
            if step + 1 == count && decoy {
                cents = cents * 2 / 3;
            }
            self.transfer(ts, from, to, cents);
            cents -= cents * u64::from(self.rng.below(20)) / 1_000;
            ts += self.seconds(60, 900);
        }
        debug_assert!(self.first >= self.usual, "accounts of its own");
    }
}
