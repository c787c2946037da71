//! Payments as lines.
//!
//! Invariant: digits alone, no floats: a line is the same everywhere.

use std::io::Write as _;

use super::Payment;

/// What a rule file says to read the lines.
pub const CREATE_STREAM: &str = "CREATE STREAM payments (id BIGINT NOT NULL, ts TIMESTAMP(9), \
    kind CHAR(8), account BIGINT, card BIGINT, merchant INT, payee BIGINT, device BIGINT, \
    ip VARCHAR(15), country CHAR(2), lat DOUBLE, lon DOUBLE, amount DECIMAL(18,2)) \
    WITH (key = 'account', time = 'ts')";

/// How lines are written.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Layout {
    /// A JSON object each.
    Json,
    /// Separated values, the first line naming them.
    Csv,
}

impl Layout {
    /// The line before the first payment, if there is one.
    #[must_use]
    pub const fn header(self) -> &'static str {
        match self {
            Self::Json => "",
            Self::Csv => {
                "id,ts,kind,account,card,merchant,payee,device,ip,country,lat,lon,amount\n"
            }
        }
    }

    /// Appends a payment's line.
    pub fn line(self, payment: &Payment, out: &mut Vec<u8>) {
        let Payment { id, ts_ns, account, card, merchant, payee, device, ip, country, .. } =
            payment;
        let [a, b, c, d] = ip;
        let (units, cents) = (payment.cents / 100, payment.cents % 100);
        let (lat, lon) = (Degrees(payment.lat_e4), Degrees(payment.lon_e4));
        // Writing to memory cannot fail.
        let _ = match (self, payee) {
            (Self::Json, None) => writeln!(
                out,
                "{{\"id\":{id},\"ts\":{ts_ns},\"kind\":\"card\",\"account\":{account},\
                 \"card\":{card},\"merchant\":{merchant},\"device\":{device},\
                 \"ip\":\"{a}.{b}.{c}.{d}\",\"country\":\"{country}\",\"lat\":{lat},\"lon\":{lon},\
                 \"amount\":{units}.{cents:02}}}"
            ),
            (Self::Json, Some(payee)) => writeln!(
                out,
                "{{\"id\":{id},\"ts\":{ts_ns},\"kind\":\"transfer\",\"account\":{account},\
                 \"payee\":{payee},\"device\":{device},\
                 \"ip\":\"{a}.{b}.{c}.{d}\",\"country\":\"{country}\",\"lat\":{lat},\"lon\":{lon},\
                 \"amount\":{units}.{cents:02}}}"
            ),
            (Self::Csv, None) => writeln!(
                out,
                "{id},{ts_ns},card,{account},{card},{merchant},,{device},{a}.{b}.{c}.{d},\
                 {country},{lat},{lon},{units}.{cents:02}"
            ),
            (Self::Csv, Some(payee)) => writeln!(
                out,
                "{id},{ts_ns},transfer,{account},,,{payee},{device},{a}.{b}.{c}.{d},\
                 {country},{lat},{lon},{units}.{cents:02}"
            ),
        };
    }
}

/// Ten thousandths of a degree.
struct Degrees(i32);

impl std::fmt::Display for Degrees {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let units = self.0.unsigned_abs();
        write!(f, "{sign}{}.{:04}", units / 10_000, units % 10_000)
    }
}
