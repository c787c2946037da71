//! A receiver of actions that has each one once: it drops what comes again and acknowledges what it
//! has written. What `corelane actions receive` runs, and an example to write another by.
//!
//! ```text
//! engine ──lines of JSON──> receiver ──> file, each id once
//!        <──ids of what is in the file──
//! ```
//!
//! The protocol: the engine sends actions as lines; the receiver answers with the id of the last
//! one that it has for good, on a line of its own, which stands for all before it too. What is not
//! acknowledged when a connection breaks, or the engine dies, comes again under the same id.
//!
//! Invariant: an id is acknowledged only once its action is in the file; what the file has is never
//! written again, not even by a receiver that was started anew.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use corelane_strategies::action::ActionId;

use super::tail::id_of_line;

/// Arguments of `corelane actions receive`.
#[derive(Args, Debug)]
pub struct ReceiveArgs {
    /// Where to listen; port 0 takes a free one
    #[arg(long)]
    pub listen: SocketAddr,
    /// The file of actions, appended to
    #[arg(long)]
    pub out: PathBuf,
    /// End once the file has so many actions
    #[arg(long)]
    pub until: Option<usize>,
}

/// A file of actions, each once.
struct Received {
    file: File,
    ids: HashSet<ActionId>,
    again: u64,
}

impl Received {
    fn open(path: &PathBuf) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).read(true).open(path)?;
        let mut ids = HashSet::new();
        let mut end = 0;
        let mut reader = BufReader::new(File::open(path)?);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line)? > 0 {
            if line.ends_with(b"\n") {
                end += line.len() as u64;
                ids.extend(id_of_line(&line));
            }
            line.clear();
        }
        // Half a line is of an action that was not acknowledged.
        file.set_len(end)?;
        Ok(Self { file, ids, again: 0 })
    }

    /// Takes the lines of one connection until it ends.
    fn serve(&mut self, stream: &TcpStream, until: Option<usize>) -> io::Result<()> {
        let mut reader = BufReader::new(stream);
        let mut lines = Vec::new();
        while !self.is_done(until) {
            let piece = reader.fill_buf()?;
            if piece.is_empty() {
                return Ok(());
            }
            let taken = piece.len();
            lines.extend_from_slice(piece);
            reader.consume(taken);
            let Some(end) = lines.iter().rposition(|&byte| byte == b'\n') else { continue };
            let rest = lines.split_off(end + 1);
            self.take(&lines, stream)?;
            lines = rest;
        }
        Ok(())
    }

    /// Writes what is new of whole lines, then acknowledges the last.
    fn take(&mut self, lines: &[u8], mut stream: &TcpStream) -> io::Result<()> {
        let (mut new, mut last) = (Vec::new(), None);
        for line in lines.split_inclusive(|&byte| byte == b'\n') {
            let Some(id) = id_of_line(line) else { continue };
            last = Some(id);
            if self.ids.insert(id) {
                new.extend_from_slice(line);
            } else {
                self.again += 1;
            }
        }
        self.file.write_all(&new)?;
        match last {
            Some(id) => stream.write_all(format!("{id}\n").as_bytes()),
            None => Ok(()),
        }
    }

    fn is_done(&self, until: Option<usize>) -> bool {
        until.is_some_and(|until| self.ids.len() >= until)
    }
}

/// Receives until killed, or until there are as many actions as asked for.
///
/// # Errors
/// If the address cannot be listened on, or the file not be written.
pub fn receive(args: &ReceiveArgs, out: &mut impl Write) -> anyhow::Result<()> {
    let mut received = Received::open(&args.out)
        .with_context(|| format!("file of actions {}", args.out.display()))?;
    let listener = TcpListener::bind(args.listen)
        .with_context(|| format!("cannot listen on {}", args.listen))?;
    writeln!(out, "receiving actions at {}", listener.local_addr()?)?;
    out.flush()?;
    while !received.is_done(args.until) {
        let (stream, _) = listener.accept().context("accepting")?;
        // What breaks one connection is mended by the next.
        if let Err(error) = received.serve(&stream, args.until) {
            eprintln!("corelane: connection lost: {error}");
        }
    }
    let (once, again) = (received.ids.len(), received.again);
    writeln!(out, "{once} actions, {again} came again and were dropped")?;
    Ok(())
}
