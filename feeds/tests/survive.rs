//! Every decoder survives: every truncation and every flipped bit of every message, then random
//! mutations of made-up and of real packets for CORELANE_FUZZ_SECONDS (default 2) per decoder.
//!
//! The seed is fixed, so that a failure comes back; it prints the input. `scripts/fuzz` asks the
//! same of the same drivers with coverage guidance.

#[path = "survive/drive.rs"]
mod drive;
mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use corelane_feeds::iex::wire::length_of as iex_length_of;
use corelane_feeds::iextp;
use corelane_feeds::itch50::wire::MESSAGES;
use corelane_feeds::soupbintcp::{write_accepted, write_packet};
use support::{SESSION, binary_file, mold, real, udp_payloads};
use zerocopy::IntoBytes;

/// Bytes of a mutated input at most.
const INPUT_BYTES_MAX: usize = 4_096;
/// Mutations between two looks at the clock.
const BATCH: usize = 256;

/// A message of every ITCH type.
fn itch_messages() -> Vec<Vec<u8>> {
    let made_up = |(kind, length): &(u8, usize)| {
        let mut message: Vec<u8> = (0..*length).map(|i| (i * 31) as u8).collect();
        message[0] = *kind;
        message
    };
    MESSAGES.iter().map(made_up).collect()
}

/// A message of every type of DEEP and TOPS.
fn iex_messages() -> Vec<Vec<u8>> {
    let length = |kind: u8| iex_length_of(kind, false).or_else(|| iex_length_of(kind, true));
    let kinds = (0..=u8::MAX).filter_map(|kind| Some((kind, length(kind)?)));
    kinds
        .map(|(kind, length)| {
            let mut message: Vec<u8> = (0..length).map(|i| (i * 31) as u8).collect();
            message[0] = kind;
            message
        })
        .collect()
}

fn iex_segment(seq: i64, messages: &[Vec<u8>]) -> Vec<u8> {
    let framed = |message: &Vec<u8>| [&(message.len() as u16).to_le_bytes()[..], message].concat();
    let payload: Vec<u8> = messages.iter().flat_map(framed).collect();
    let header = iextp::Header {
        version: iextp::VERSION,
        reserved: 0,
        protocol: iextp::PROTOCOL_DEEP.into(),
        channel: 1.into(),
        session: 7.into(),
        payload_bytes: (payload.len() as u16).into(),
        count: (messages.len() as u16).into(),
        stream_offset: 0.into(),
        first_seq: seq.into(),
        send_time: 0.into(),
    };
    [header.as_bytes(), &payload].concat()
}

fn soup_stream(first: u64, messages: &[Vec<u8>]) -> Vec<u8> {
    let mut wire = vec![7];
    write_accepted(&mut wire, SESSION, first);
    messages.iter().for_each(|message| write_packet(&mut wire, b'S', message));
    for kind in *b"HU+Z" {
        write_packet(&mut wire, kind, b"");
    }
    wire
}

/// Packets as the drivers of whole feeds cut them: line and way, length, sequence, messages.
fn feed_input(messages: &[Vec<u8>]) -> Vec<u8> {
    let mut input = Vec::new();
    for (message, seq) in messages.iter().zip(1u8..) {
        for line in [0, 1] {
            let body = [&[seq][..], &(message.len() as u16).to_be_bytes(), message].concat();
            input.extend_from_slice(&[line | 1 << 3, body.len() as u8]);
            input.extend_from_slice(&body);
        }
    }
    input
}

/// Real packets, where the data is at hand: some of each capture.
fn real_inputs(driver: &str) -> Vec<Vec<u8>> {
    let pcap = real("iex-deep-20231002/iex_deep_20231002_5000pkts.pcap.gz");
    let itch = real("nasdaq-itch50-snippet/12302019_SNIPPET.NASDAQ_ITCH50");
    match driver {
        "iextp" | "iextp_deep" | "iextp_tops" => {
            let payloads = pcap.map_or(Vec::new(), |pcap| udp_payloads(&pcap));
            payloads.into_iter().step_by(25).map(|(_, payload)| payload).collect()
        }
        "json" | "csv" => Vec::new(),
        "capture" => pcap.map_or(Vec::new(), |pcap| vec![[&[9], &pcap[..4_000]].concat()]),
        "itch50" => itch.map_or(Vec::new(), |file| {
            binary_file(&file).into_iter().map(<[u8]>::to_vec).collect()
        }),
        _ => itch.map_or(Vec::new(), |file| {
            let packets = binary_file(&file);
            let packets = packets.chunks(20).zip(0..).map(|(chunk, n)| match driver {
                "moldudp64" => mold(SESSION, 1 + 20 * n, chunk),
                "soupbintcp" => {
                    soup_stream(1, &chunk.iter().map(|m| m.to_vec()).collect::<Vec<_>>())
                }
                _ => feed_input(&chunk.iter().map(|m| m.to_vec()).collect::<Vec<_>>()),
            });
            packets.collect()
        }),
    }
}

/// What mutations of a decoder's input start from.
fn seeds(driver: &str) -> Vec<Vec<u8>> {
    let (itch, iex) = (itch_messages(), iex_messages());
    let slices: Vec<&[u8]> = itch.iter().map(Vec::as_slice).collect();
    let mut seeds = match driver {
        "moldudp64" => vec![mold(SESSION, 1, &slices), mold(SESSION, 9, &[])],
        // Twenty digits are more than mutations find.
        "soupbintcp" => vec![soup_stream(1, &itch), soup_stream(u64::MAX - 2, &itch)],
        "itch50" => itch,
        "feed" => {
            let at_the_end = mold(SESSION, u64::MAX - 2, &slices);
            vec![feed_input(&itch), mold(SESSION, 1, &slices), at_the_end]
        }
        "capture" => vec![made_up_capture()],
        "json" => vec![JSON.to_vec()],
        "csv" => vec![CSV.to_vec()],
        _ => [vec![iex_segment(1, &iex), feed_input(&iex)], iex].concat(),
    };
    seeds.extend(real_inputs(driver));
    seeds
}

/// The size of a piece, then lines with values of every type.
const JSON: &[u8] = br#"
{"id":-12,"ts":1700000000000,"ok":true,"small":-7,"wide":18446744073709551615,"ratio":-1.5e-3,
{"id":1,"ts":"2026-11-23T17:36:52.123456789+01:00","amount":"12.30","price":0.000000001,"wait":2.5}
{"id":2,"ts":1.5,"name":"a\"\\u00e9\ud83d","other":{"a":[1,{"b":null},[]],"c":false},"ok":null}
 { "ID" : 3 , "ts" : 17e11 , "name" : "\ud83d\ude00" , "ratio" : 1e400 } 
"#;
const CSV: &[u8] =
    b"\x05\xef\xbb\xbfid,\"name\",ts,other,amount,ok,ratio\r\n1,\"a \"\"b\"\", c\",1700000000000,\
x,12.30,true,1e5\r\n2,,2026-11-23 17:36:52,,,,\n\n3,\"\",1,\"\",-0.5,0,";

/// A pcap of one frame that announces a UDP packet.
fn made_up_capture() -> Vec<u8> {
    let mut file = vec![5, 0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0];
    file.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 1, 0, 0, 0]);
    file.extend_from_slice(&[1, 0, 0, 0, 2, 0, 0, 0, 46, 0, 0, 0, 46, 0, 0, 0]);
    file.extend_from_slice(&[0; 12]);
    file.extend_from_slice(&[8, 0, 0x45, 0, 0, 32, 0, 0, 0, 0, 1, 17, 0, 0]);
    file.extend_from_slice(&[10, 0, 0, 1, 239, 0, 0, 1, 4, 0, 4, 1, 0, 12, 0, 0, 1, 2, 3, 4]);
    file
}

/// SplitMix64: the same numbers everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}

/// Changes an input by one to four small steps.
fn mutate(input: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    /// Bytes at which lengths, counts and sequence numbers turn.
    const EDGES: [u8; 6] = [0, 1, 0x7f, 0x80, 0xfe, 0xff];
    for _ in 0..=random.below(4) {
        let at = random.below(input.len());
        let end = at + random.below(input.len() - at + 1);
        match random.below(8) {
            0 => input.truncate(at),
            1 | 2 if at < input.len() => input[at] ^= 1 << random.below(8),
            3 if at < input.len() => input[at] = EDGES[random.below(EDGES.len())],
            4 if at < input.len() => input[at..end].fill(EDGES[random.below(EDGES.len())]),
            5 => drop(input.drain(at..end)),
            6 => {
                let from = random.below(other.len());
                let part = &other[from..from + random.below(other.len() - from + 1)];
                drop(input.splice(at..at, part.iter().copied()));
            }
            _ => {
                let random_bytes = (0..random.below(16)).map(|_| random.0 as u8);
                let bytes: Vec<u8> = random_bytes.collect();
                drop(input.splice(at..at, bytes));
            }
        }
        input.truncate(INPUT_BYTES_MAX);
    }
}

/// Runs a driver on an input; a panic names the input before it goes on.
fn run(name: &str, drive: drive::Driver, input: &[u8]) {
    let outcome = catch_unwind(AssertUnwindSafe(|| drive(input)));
    if let Err(panic) = outcome {
        println!("{name} on {} bytes: {}", input.len(), input.escape_ascii());
        std::panic::resume_unwind(panic);
    }
}

fn survive(name: &str) {
    let (_, drive) = *drive::ALL.iter().find(|(known, _)| *known == name).expect("a driver");
    let seeds = seeds(name);
    let seconds = std::env::var("CORELANE_FUZZ_SECONDS")
        .map_or(2.0, |text| text.parse().expect("CORELANE_FUZZ_SECONDS is a number of seconds"));
    let deadline = Instant::now() + Duration::from_secs_f64(seconds);
    let mut random = Random(0x00c0_ffee);
    let (mut runs, mut hash) = (0u64, 0u64);
    while Instant::now() < deadline {
        for _ in 0..BATCH {
            let mut input = seeds[random.below(seeds.len())].clone();
            let other = &seeds[random.below(seeds.len())];
            mutate(&mut input, other, &mut random);
            run(name, drive, &input);
            hash = hash.rotate_left(5) ^ input.len() as u64;
        }
        runs += BATCH as u64;
    }
    println!("{name}: survived {runs} inputs from {} seeds ({hash:016x})", seeds.len());
    assert!(runs > 0 || seconds <= 0.0);
}

macro_rules! survive {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            survive(stringify!($name));
        }
    )*};
}
survive! { moldudp64 soupbintcp iextp itch50 iextp_deep iextp_tops feed capture json csv }

#[test]
fn every_driver_has_its_test() {
    let tested = [
        "moldudp64",
        "soupbintcp",
        "iextp",
        "itch50",
        "iextp_deep",
        "iextp_tops",
        "feed",
        "capture",
        "json",
        "csv",
    ];
    assert_eq!(drive::ALL.iter().map(|(name, _)| *name).collect::<Vec<_>>(), tested);
}

/// Each cut, each tail and each flipped bit of each message of each protocol, by each driver.
#[test]
fn every_cut_tail_and_flipped_bit_of_every_message() {
    let messages = [itch_messages(), iex_messages()].concat();
    for (name, drive) in drive::ALL {
        for message in &messages {
            for cut in 0..=message.len() {
                run(name, *drive, &message[..cut]);
            }
            let mut long = message.clone();
            for byte in 0..8 {
                long.push(byte);
                run(name, *drive, &long);
            }
            for bit in 0..message.len() * 8 {
                let mut flipped = message.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                run(name, *drive, &flipped);
            }
        }
    }
}

/// Each cut and each flipped bit of a packet that holds every message, by its own driver.
#[test]
fn every_cut_and_flipped_bit_of_a_whole_packet() {
    for (name, drive) in drive::ALL {
        let packet = &seeds(name)[0];
        for cut in 0..=packet.len() {
            run(name, *drive, &packet[..cut]);
        }
        for bit in 0..packet.len() * 8 {
            let mut flipped = packet.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            run(name, *drive, &flipped);
        }
    }
}

/// Each cut and each flipped bit of real packets: a sample of each capture.
#[test]
fn every_cut_and_flipped_bit_of_real_packets() {
    for (name, drive) in drive::ALL {
        for packet in real_inputs(name).iter().step_by(40) {
            for cut in 0..=packet.len() {
                run(name, *drive, &packet[..cut]);
            }
            for bit in 0..packet.len().min(600) * 8 {
                let mut flipped = packet.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                run(name, *drive, &flipped);
            }
        }
    }
}
