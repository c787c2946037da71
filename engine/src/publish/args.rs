//! The command line of `corelane publish`.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, bail};
use clap::Args;

use super::faults::Faults;
use super::pace::Pace;
use super::publisher::{Plan, publish};
use super::sender::{Sender, SenderOptions};
use super::soup::{ServeConfig, Server};
use super::source::{FileSource, Packing, Preloaded, Source};
use crate::generate::duration;

/// Most lines that a capture is sent on.
const LINES_MAX: usize = 8;

/// Puts a capture on the wire, paced against a fixed start.
#[derive(Args, Debug)]
pub struct PublishArgs {
    /// The capture: pcap, pcapng, or a file of messages; plain, gzip or zstd.
    #[arg(long, value_name = "FILE", visible_alias = "capture")]
    pcap: PathBuf,
    /// Send everything here instead of to the groups it was captured on.
    #[arg(long, value_name = "GROUP:PORT", conflicts_with = "lines")]
    to: Option<SocketAddr>,
    /// Send everything on each of these lines.
    #[arg(long, value_name = "GROUP:PORT,...", value_delimiter = ',')]
    lines: Vec<SocketAddr>,
    /// Address of the interface that multicast leaves by.
    #[arg(long, value_name = "ADDR", default_value_t = Ipv4Addr::LOCALHOST)]
    interface: Ipv4Addr,
    /// Hops that multicast may take.
    #[arg(long, default_value_t = 1)]
    ttl: u32,
    /// `original`, `max`, or a factor of the original speed such as `10x`.
    #[arg(long, default_value = "original")]
    speed: Pace,
    /// Messages per second, whatever the times in the capture.
    #[arg(long, value_name = "MSGS/S", conflicts_with = "speed")]
    rate: Option<f64>,
    /// Passes over the capture.
    #[arg(long = "loop", value_name = "N", default_value_t = 1)]
    passes: u64,
    /// Most messages per datagram when packing a file of messages, 0 for as many as fit.
    #[arg(long, default_value_t = 0)]
    batch: u16,
    /// Longest time between the first and last message of a packed datagram [default: 20us at a
    /// speed relative to the original, else unlimited].
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    batch_window: Option<u64>,
    /// Probability that a datagram is lost, on each line.
    #[arg(long, value_name = "PROB", default_value_t = 0.0)]
    drop: f64,
    /// Probability that a datagram is sent twice.
    #[arg(long, value_name = "PROB", default_value_t = 0.0)]
    dup: f64,
    /// Probability that a datagram is overtaken by later ones.
    #[arg(long, value_name = "PROB", default_value_t = 0.0)]
    reorder: f64,
    /// The same seed makes the same faults.
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    fault_seed: u64,
    /// Send MoldUDP64's end of session behind the last datagram.
    #[arg(long)]
    end: bool,
    /// Read the whole capture into memory first.
    #[arg(long)]
    preload: bool,
    /// Do not let the kernel cut runs of equal datagrams (GSO).
    #[arg(long)]
    no_gso: bool,
    /// Serve the messages over SoupBinTCP at this address instead of sending datagrams.
    #[arg(long, value_name = "ADDR:PORT", conflicts_with_all = ["to", "lines", "end", "passes"])]
    soup: Option<SocketAddr>,
    /// With --soup: stop when so many clients have got the end of the session; 0 never stops.
    #[arg(long, value_name = "N", default_value_t = 1)]
    clients: u64,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

impl PublishArgs {
    /// Publishes and prints scheduled against achieved. SIGINT and SIGTERM end it early.
    ///
    /// # Errors
    /// If the capture cannot be read or its datagrams cannot be sent.
    pub fn run(self) -> anyhow::Result<()> {
        let pace = self.pace()?;
        match self.soup {
            Some(listen) => self.serve(listen, pace),
            None => self.send(pace),
        }
    }

    fn pace(&self) -> anyhow::Result<Pace> {
        match self.rate {
            Some(rate) if rate > 0.0 && rate.is_finite() => Ok(Pace::Rate(rate)),
            Some(rate) => bail!("--rate {rate}: must be above zero"),
            None => Ok(self.speed),
        }
    }

    fn send(&self, pace: Pace) -> anyhow::Result<()> {
        for (name, value) in [("drop", self.drop), ("dup", self.dup), ("reorder", self.reorder)] {
            if !(0.0..=1.0).contains(&value) {
                bail!("--{name} {value}: a probability is from 0 to 1");
            }
        }
        let lines: Vec<SocketAddr> = self.to.iter().chain(&self.lines).copied().collect();
        if lines.len() > LINES_MAX {
            bail!("--lines names {} lines: at most {LINES_MAX}", lines.len());
        }
        if let Some(line) = lines.iter().find(|line| line.is_ipv6()) {
            bail!("{line}: datagrams are sent over IPv4 only");
        }
        let window = if matches!(pace, Pace::Speed(_)) { 20_000 } else { u64::MAX };
        let packing =
            Packing { messages_max: self.batch, window_ns: self.batch_window.unwrap_or(window) };
        let mut file = FileSource::open(&self.pcap, packing)?;
        let plan = Plan {
            pace,
            lines,
            faults: Faults {
                drop: self.drop,
                duplicate: self.dup,
                reorder: self.reorder,
                seed: self.fault_seed,
            },
            passes: self.passes,
            end: self.end,
        };
        let options = SenderOptions {
            interface: self.interface,
            ttl: self.ttl,
            segmenting: !self.no_gso,
            paced: pace != Pace::Max,
        };
        let sender = Sender::new(options).context("cannot open a socket to send from")?;
        let stopped = stop_on_signal()?;
        let stop = || stopped.load(Ordering::Relaxed);
        let mut preloaded;
        let source: &mut dyn Source = if self.preload {
            preloaded = Preloaded::read(&mut file)?;
            &mut preloaded
        } else {
            &mut file
        };
        let report = publish(source, &plan, sender, stop)?;
        if self.json {
            println!("{}", serde_json::to_string(&report)?);
        } else {
            print!("{}", report.text());
        }
        if file.skipped > 0 {
            eprintln!("{} packets skipped: not whole UDP datagrams", file.skipped);
        }
        if file.cut_bytes() > 0 {
            let (path, bytes) = (self.pcap.display(), file.cut_bytes());
            eprintln!("warning: {path} ends within a packet: {bytes} bytes are not used");
        }
        Ok(())
    }

    fn serve(&self, listen: SocketAddr, pace: Pace) -> anyhow::Result<()> {
        let config = ServeConfig { path: self.pcap.clone(), pace, clients: self.clients };
        let server = Arc::new(Server::bind(config, listen)?);
        eprintln!("serving SoupBinTCP at {}", server.local_addr()?);
        let stopped = stop_on_signal()?;
        let watched = Arc::clone(&server);
        std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                std::thread::park_timeout(std::time::Duration::from_millis(50));
            }
            watched.stop();
        });
        let messages = server.serve()?;
        if self.json {
            println!("{}", serde_json::json!({ "messages": messages }));
        } else {
            println!("sent       {messages} messages");
        }
        Ok(())
    }
}

/// True once SIGINT or SIGTERM came.
fn stop_on_signal() -> anyhow::Result<Arc<AtomicBool>> {
    let stopped = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // A second signal kills at once.
        signal_hook::flag::register_conditional_default(signal, Arc::clone(&stopped))?;
        signal_hook::flag::register(signal, Arc::clone(&stopped))?;
    }
    Ok(stopped)
}
