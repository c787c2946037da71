//! Order, visibility and ids, with stages made for the purpose.

use corelane_feeds::record::{Stamp, View};
use corelane_feeds::streams::book::Bbo;
use corelane_feeds::streams::itch::Trade;
use corelane_feeds::units::{Qty, Seq};

use super::*;
use crate::action::{ActionId, Alert};

/// Counts records; publishes a `book.bbo` for a trade; alerts with its count for whatever it wants.
struct Probe {
    streams: Vec<StreamId>,
    publishes: bool,
    seen: u64,
}

impl Strategy for Probe {
    fn name(&self) -> &str {
        "probe"
    }
    fn streams(&self) -> &[StreamId] {
        &self.streams
    }
    fn actions_max(&self) -> usize {
        1
    }
    fn on_record(&mut self, record: &Record, outbox: &mut Outbox) {
        self.seen += 1;
        if self.publishes {
            outbox.publish(Bbo::new(record.header.stamp(), 0));
            return;
        }
        let mut alert = Alert::new(record.header.stamp(), 0);
        alert.count = self.seen;
        alert.qty = Qty(u64::from(record.header.stream.0));
        outbox.act(alert);
    }
    fn save(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.seen.to_le_bytes());
    }
    fn restore(&mut self, bytes: &[u8]) -> Result<(), StateError> {
        let bytes: [u8; 8] = bytes.try_into().map_err(|_| StateError::Version)?;
        self.seen = u64::from_le_bytes(bytes);
        Ok(())
    }
}

fn probe(streams: &[StreamId], publishes: bool) -> Box<dyn Strategy> {
    Box::new(Probe { streams: streams.to_vec(), publishes, seen: 0 })
}

fn trade(seq: u64) -> Trade {
    Trade::new(Stamp { feed: 3, seq: Seq(seq), ..Stamp::default() }, b'B')
}

fn ids(actions: &[RecordBuf]) -> Vec<String> {
    let records = actions.iter().map(|action| action.record().unwrap());
    records.map(|record| ActionId::of(record).unwrap().to_string()).collect()
}

fn chain() -> Chain {
    Chain::new(
        vec![probe(&[Trade::STREAM], true)],
        vec![probe(&[Trade::STREAM, Bbo::STREAM], false), probe(&[Bbo::STREAM], false)],
    )
}

#[test]
fn records_come_before_what_they_derive_and_ordinals_go_on() {
    let mut chain = chain();
    let mut session = Session::new(Stamp { feed: 3, ..Stamp::default() }, 0);
    session.key = 0xabc;
    assert!(chain.on_record(session.as_record()).is_empty());
    let actions = chain.on_record(trade(9).as_record());
    assert_eq!(ids(actions), ["3-00000abc-9-1-0", "3-00000abc-9-1-1", "3-00000abc-9-2-0"]);
    let causes = actions.iter().map(|a| a.record().unwrap().view::<Alert>().unwrap().qty.0);
    assert_eq!(causes.collect::<Vec<_>>(), [0x0116, 0x0302, 0x0302]);
}

#[test]
fn a_stage_does_not_see_what_it_or_a_later_one_derives() {
    let mut chain =
        Chain::new(vec![], vec![probe(&[Bbo::STREAM], false), probe(&[Trade::STREAM], true)]);
    assert!(chain.on_record(trade(1).as_record()).is_empty());
}

#[test]
fn a_restored_chain_goes_on_where_the_saved_one_stood() {
    let mut first = chain();
    first.on_record(trade(1).as_record());
    let mut state = Vec::new();
    first.save(&mut state);
    let mut second = chain();
    second.restore(&state).unwrap();
    let expected: Vec<_> = first.on_record(trade(2).as_record()).to_vec();
    let found = second.on_record(trade(2).as_record());
    for (a, b) in expected.iter().zip(found) {
        assert_eq!(a.slots(), b.slots());
    }
    for cut in 0..state.len() {
        assert!(chain().restore(&state[..cut]).is_err(), "cut at {cut}");
    }
}
