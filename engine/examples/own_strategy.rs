//! A strategy of one's own, with the whole command line around it:
//!
//!     cargo run --example own_strategy -- check my.toml
//!
//! In the configuration: `[[strategy]]`, `type = "big_trades"`, `qty_min = 10000`.

use std::process::ExitCode;

use corelane_feeds::record::{Record, StreamId};
use corelane_feeds::streams::itch::Trade;
use corelane_feeds::units::{Char, Qty};
use corelane_strategies::action::Alert;
use corelane_strategies::outbox::Outbox;
use corelane_strategies::registry::{Factory, ParamDoc, Registry};
use corelane_strategies::strategy::{StateError, Strategy};

/// Alerts on every trade of at least so many shares.
struct BigTrades {
    qty_min: u32,
}

impl Strategy for BigTrades {
    fn name(&self) -> &str {
        "big_trades"
    }
    fn streams(&self) -> &[StreamId] {
        &[Trade::STREAM]
    }
    fn actions_max(&self) -> usize {
        1
    }
    fn on_record(&mut self, record: &Record, outbox: &mut Outbox) {
        let Some(trade) = record.view::<Trade>() else { return };
        if trade.qty.0 >= self.qty_min {
            let mut alert = Alert::new(record.header.stamp(), 0);
            alert.kind = Char::new("big_trade");
            alert.symbol = trade.symbol;
            alert.price = trade.price;
            alert.qty = Qty::from(trade.qty);
            outbox.act(alert);
        }
    }
    fn save(&self, _out: &mut Vec<u8>) {}
    fn restore(&mut self, _bytes: &[u8]) -> Result<(), StateError> {
        Ok(())
    }
}

fn main() -> ExitCode {
    let mut registry = Registry::builtin();
    registry.add(Factory {
        name: "big_trades",
        doc: "Alerts on every trade of at least `qty_min` shares.",
        params: &[ParamDoc { name: "qty_min", default: "10000", doc: "Shares." }],
        build: |params| Ok(Box::new(BigTrades { qty_min: params.int("qty_min", 10_000)? as u32 })),
    });
    corelane::main(&registry)
}
