//! Esper's patterns to MATCH.
//!
//! ```text
//! pattern = either { "->" either }            either = both { "or" both }
//! both    = until { "and" until }             until  = unary [ "until" unary ]
//! unary   = ("every" | "not" | "[" range "]") unary | atom { guard }
//! atom    = "(" pattern ")" | "timer:interval(" time ")" | [name "="] stream [ "(" id ")" ]
//! guard   = "where timer:within(" time ")" | "while(" condition ")"
//! ```
//!
//! A timer is the absence, for its time, of a row that never comes. `withinmax` of EVERY is a loop
//! of so many rows, each of which is told with what it binds last.

use serde_json::Value;

use crate::Job;
use crate::run::End;

/// Rows of a repeated step that are told at most.
const REPEATED_MAX: usize = 4;
const NO_TIME: &str =
    "declared: NOT without a row to come or a time is true at once, and refused: nothing happens";

#[derive(Clone, Debug)]
enum Node {
    Step { name: String, stream: String, condition: String },
    Timer(u64),
    Every(Box<Node>),
    Not(Box<Node>),
    Repeat { node: Box<Node>, min: u64, max: Option<u64>, until: Option<Box<Node>> },
    Within { node: Box<Node>, ms: u64, max: Option<u64> },
    While { node: Box<Node>, unless: String },
    Both(Vec<Node>),
    Either(Vec<Node>),
    Then(Vec<Node>),
}

struct Text<'a> {
    rest: &'a str,
    streams: Vec<String>,
    /// Steps with what their rows are told as, if they have a name, and whether they repeat.
    names: Vec<(String, Option<String>, bool)>,
    repeats: usize,
}

fn milliseconds(text: &str) -> u64 {
    let mut parts = text.split_whitespace();
    let number: f64 = parts.next().and_then(|number| number.parse().ok()).unwrap_or(0.0);
    let scale = match parts.next().unwrap_or("sec") {
        unit if unit.starts_with("ms") || unit.starts_with("milli") => 1.0,
        unit if unit.starts_with("day") => 86_400_000.0,
        _ => 1_000.0,
    };
    (number * scale).round() as u64
}

fn all(mut nodes: Vec<Node>, of: fn(Vec<Node>) -> Node) -> Node {
    if nodes.len() == 1 { nodes.remove(0) } else { of(nodes) }
}

impl<'a> Text<'a> {
    fn take(&mut self, token: &str) -> bool {
        self.rest = self.rest.trim_start();
        let Some(rest) = self.rest.strip_prefix(token) else { return false };
        let is_word = token.ends_with(|c: char| c.is_ascii_alphanumeric());
        if is_word && rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') {
            return false;
        }
        self.rest = rest;
        true
    }

    fn up_to(&mut self, end: char) -> Result<&'a str, String> {
        let (inside, rest) = self.rest.split_once(end).ok_or("an open bracket")?;
        self.rest = rest;
        Ok(inside.trim())
    }

    fn then(&mut self) -> Result<Node, String> {
        let mut nodes = vec![self.either()?];
        loop {
            if self.take("-[") {
                self.up_to('>')?;
            } else if !self.take("->") {
                return Ok(all(nodes, Node::Then));
            }
            nodes.push(self.either()?);
        }
    }

    fn either(&mut self) -> Result<Node, String> {
        let mut nodes = vec![self.both()?];
        while self.take("or") {
            nodes.push(self.both()?);
        }
        Ok(all(nodes, Node::Either))
    }

    fn both(&mut self) -> Result<Node, String> {
        let mut nodes = vec![self.until()?];
        while self.take("and") {
            nodes.push(self.until()?);
        }
        Ok(all(nodes, Node::Both))
    }

    fn until(&mut self) -> Result<Node, String> {
        let from = self.names.len();
        let node = self.unary()?;
        if !self.take("until") {
            return Ok(node);
        }
        self.names[from..].iter_mut().for_each(|name| name.2 = true);
        let end = self.names.len();
        let until = Some(Box::new(self.unary()?));
        if matches!(node, Node::Repeat { min, max, .. } if max == Some(min)) {
            // The last repetition ends it, so nothing binds what else would.
            self.names[end..].iter_mut().for_each(|name| name.1 = None);
        }
        Ok(match node {
            Node::Repeat { node, min, max, .. } => Node::Repeat { node, min, max, until },
            // Until the other comes, EVERY says nothing more than the loop.
            Node::Every(node) if matches!(*node, Node::Step { .. }) => {
                Node::Repeat { node, min: 0, max: None, until }
            }
            node => Node::Repeat { node: Box::new(node), min: 0, max: None, until },
        })
    }

    fn unary(&mut self) -> Result<Node, String> {
        if self.take("every") {
            return Ok(Node::Every(Box::new(self.unary()?)));
        }
        if self.take("not") {
            let from = self.names.len();
            let node = self.unary()?;
            self.names[from..].iter_mut().for_each(|name| name.1 = None);
            return Ok(Node::Not(Box::new(node)));
        }
        if self.take("[") {
            let range = self.up_to(']')?;
            let number = |text: &str| text.trim().parse().ok();
            let (min, max) = match range.split_once(':') {
                Some((min, max)) => (number(min).unwrap_or(0), number(max)),
                None => (number(range).unwrap_or(0), number(range)),
            };
            self.repeats += 1;
            let node = Box::new(self.unary()?);
            self.repeats -= 1;
            return Ok(Node::Repeat { node, min, max, until: None });
        }
        let mut node = self.atom()?;
        loop {
            if self.take("where timer:withinmax") {
                self.take("(");
                let inside = self.up_to(')')?;
                let (time, max) = inside.split_once(',').ok_or("a maximum")?;
                let max = max.trim().parse().ok();
                node = Node::Within { node: Box::new(node), ms: milliseconds(time), max };
            } else if self.take("where timer:within") {
                self.take("(");
                let ms = milliseconds(self.up_to(')')?);
                node = Node::Within { node: Box::new(node), ms, max: None };
            } else if self.take("while") {
                self.take("(");
                let condition = self.up_to(')')?;
                let (_, unless) = condition.split_once("!=").ok_or("a while that is read")?;
                let unless = format!("id = {}", unless.trim());
                node = Node::While { node: Box::new(node), unless };
            } else {
                return Ok(node);
            }
        }
    }

    fn atom(&mut self) -> Result<Node, String> {
        if self.take("(") {
            let node = self.then()?;
            return if self.take(")") { Ok(node) } else { Err("an open bracket".to_owned()) };
        }
        if self.take("timer:interval(") {
            return Ok(Node::Timer(milliseconds(self.up_to(')')?)));
        }
        self.rest = self.rest.trim_start();
        let end = |text: &str| {
            let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            end.unwrap_or(text.len())
        };
        let (mut stream, rest) = self.rest.split_at(end(self.rest));
        self.rest = rest;
        let mut told = None;
        if self.take("=") {
            told = Some(stream.to_owned());
            let (of, rest) = self.rest.split_at(end(self.rest));
            (stream, self.rest) = (of, rest);
        }
        if stream.is_empty() {
            return Err(format!("the translator cannot read `{}`", self.rest));
        }
        let condition = if self.take("(") { self.up_to(')')?.to_owned() } else { String::new() };
        if !self.streams.iter().any(|known| known == stream) {
            self.streams.push(stream.to_owned());
        }
        let name = format!("s{}", self.names.len());
        self.names.push((name.clone(), told, self.repeats > 0));
        Ok(Node::Step { name, stream: stream.to_owned(), condition })
    }
}

fn has_every(node: &Node) -> bool {
    match node {
        Node::Every(_) => true,
        Node::Step { .. } | Node::Timer(_) => false,
        Node::Not(node) | Node::Repeat { node, .. } | Node::Within { node, .. } => has_every(node),
        Node::While { node, .. } => has_every(node),
        Node::Both(nodes) | Node::Either(nodes) | Node::Then(nodes) => nodes.iter().any(has_every),
    }
}

/// A row that must not come, without a name.
fn other(node: &Node) -> Result<String, String> {
    match node {
        Node::Step { stream, condition, .. } => Ok(format!("NOT {stream}({condition})")),
        _ => Err("what must not come, or ends a loop, is one row".to_owned()),
    }
}

fn plain(node: &Node) -> Result<String, String> {
    other(node).map(|text| text.trim_start_matches("NOT ").to_owned())
}

fn write(node: &Node) -> Result<String, String> {
    let brackets = |node: &Node| match node {
        Node::Step { .. } => write(node),
        _ => write(node).map(|text| format!("({text})")),
    };
    Ok(match node {
        Node::Step { name, stream, condition } => format!("{name}:{stream}({condition})"),
        Node::Timer(ms) => format!("NOT A(FALSE) FOR INTERVAL '{ms}' MILLISECOND"),
        Node::Every(inner) => match inner.as_ref() {
            Node::Step { .. } | Node::Within { .. } => format!("EVERY {}", write(inner)?),
            inner => format!("EVERY ({})", write(inner)?),
        },
        Node::Not(_) => return Err(NO_TIME.to_owned()),
        Node::Within { node, ms, max } => {
            let inner = match (node.as_ref(), max) {
                // None is let through, as if none were meant.
                (Node::Step { name, stream, .. }, Some(0)) => format!("{name}:{stream}(FALSE)"),
                (Node::Every(step), Some(max)) => match (step.as_ref(), max) {
                    (Node::Step { name, stream, .. }, 0) => format!("{name}:{stream}(FALSE)"),
                    (Node::Step { .. }, max) => format!("{}{{1,{max}}}", write(step)?),
                    _ => return Err("a maximum of more than a row".to_owned()),
                },
                (node, _) => write(node)?,
            };
            format!("({inner} WITHIN INTERVAL '{ms}' MILLISECOND)")
        }
        Node::While { node, unless } => {
            let Node::Every(step) = node.as_ref() else {
                return Err("`while` of what is no EVERY".to_owned());
            };
            let Node::Step { stream, .. } = step.as_ref() else {
                return Err("`while` of more than a step".to_owned());
            };
            format!("NOT {stream}({unless}) -> {}", write(node)?)
        }
        Node::Repeat { node, min, max, until } => {
            let max_text = max.map_or(String::new(), |max| max.to_string());
            let mut text = format!("{}{{{min},{max_text}}}", brackets(node)?);
            if let Some(until) = until {
                if *min > 0 {
                    text = format!("{} -> {text} UNTIL {}", other(until)?, plain(until)?);
                }
                if max != &Some(*min) {
                    text = format!("{text} -> {}", write(until)?);
                }
            }
            text
        }
        Node::Both(nodes) => {
            let is_not = |node: &&Node| matches!(node, Node::Not(_));
            let (nots, rest): (Vec<&Node>, Vec<&Node>) = nodes.iter().partition(is_not);
            let inner = |node: &&Node| match node {
                Node::Not(inner) => other(inner),
                _ => Err(NO_TIME.to_owned()),
            };
            let nots: Vec<String> = nots.iter().map(inner).collect::<Result<_, _>>()?;
            if let ([Node::Then(nodes)], false) = (rest.as_slice(), nots.is_empty()) {
                let guard = nots.join(" -> ");
                let parts: Vec<String> = nodes.iter().map(write).collect::<Result<_, _>>()?;
                return Ok(format!("{guard} -> {}", parts.join(&format!(" -> {guard} -> "))));
            }
            let part = |node: &&Node| match node {
                // Every beginning winds the clock up again.
                Node::Every(inner) => match inner.as_ref() {
                    Node::Within { node, max: None, .. } => Ok(format!("EVERY {}", write(node)?)),
                    _ => write(node),
                },
                Node::Then(_) | Node::Either(_) | Node::Both(_) => brackets(node),
                node => write(node),
            };
            let parts: Vec<String> = rest.iter().map(part).collect::<Result<_, _>>()?;
            parts.into_iter().chain(nots).collect::<Vec<_>>().join(" AND ")
        }
        Node::Either(nodes) if is_maybe(nodes) => format!("{}{{0,1}}", brackets(&nodes[0])?),
        Node::Either(nodes) => {
            let once = nodes.iter().filter(|node| matches!(node, Node::Step { .. }));
            let once: Vec<String> = once.map(other).collect::<Result<_, _>>()?;
            let part = |node: &Node| match node {
                Node::Every(_) if !once.is_empty() => {
                    Ok(format!("({} -> {})", once.join(" -> "), write(node)?))
                }
                Node::Then(_) | Node::Both(_) | Node::Repeat { .. } => brackets(node),
                node => write(node),
            };
            nodes.iter().map(part).collect::<Result<Vec<_>, String>>()?.join(" OR ")
        }
        Node::Then(nodes) => {
            let part = |node: &Node| match node {
                Node::Either(nodes) if is_maybe(nodes) => write(node),
                Node::Both(_) | Node::Either(_) | Node::Then(_) => brackets(node),
                _ => write(node),
            };
            nodes.iter().map(part).collect::<Result<Vec<_>, String>>()?.join(" -> ")
        }
    })
}

/// `a or not a`: one, or none.
fn is_maybe(nodes: &[Node]) -> bool {
    match nodes {
        [Node::Step { stream, condition, .. }, Node::Not(inner)] => match inner.as_ref() {
            Node::Step { stream: other, condition: unless, .. } => {
                (stream, condition) == (other, unless)
            }
            _ => false,
        },
        _ => false,
    }
}

/// Whether what repeats up to a maximum, or may be left out, is told at every row.
fn is_told_again(node: &Node) -> bool {
    match node {
        Node::Step { .. } | Node::Timer(_) => false,
        Node::Within { node, max, .. } => max.is_some() && has_every(node),
        Node::Every(node) | Node::Not(node) | Node::Repeat { node, .. } => is_told_again(node),
        Node::While { node, .. } => is_told_again(node),
        Node::Either(nodes) if is_maybe(nodes) => true,
        Node::Both(nodes) | Node::Either(nodes) | Node::Then(nodes) => {
            nodes.iter().any(is_told_again)
        }
    }
}

fn has_timer(node: &Node) -> bool {
    match node {
        Node::Timer(_) | Node::Within { .. } => true,
        Node::Step { .. } => false,
        Node::Every(node) | Node::Not(node) | Node::Repeat { node, .. } => has_timer(node),
        Node::While { node, .. } => has_timer(node),
        Node::Both(nodes) | Node::Either(nodes) | Node::Then(nodes) => nodes.iter().any(has_timer),
    }
}

pub(crate) fn job(case: &Value) -> Result<Job, String> {
    let description = case["description"].as_str().unwrap_or_default();
    let (_, pattern) = description.split_once("pattern [").ok_or("a description of a pattern")?;
    let (pattern, _) = pattern.rsplit_once("] over").ok_or("a pattern over a tape")?;
    let mut text = Text { rest: pattern, streams: Vec::new(), names: Vec::new(), repeats: 0 };
    let node = text.then()?;
    if !text.rest.trim().is_empty() {
        return Err(format!("the translator cannot read `{}`", text.rest));
    }
    if has_timer(&node) && !text.streams.iter().any(|stream| stream == "A") {
        text.streams.push("A".to_owned());
    }
    let mut matched = write(&node)?;
    if matches!(&node, Node::Both(nodes) if nodes.iter().any(has_every))
        || matches!(&node, Node::Either(nodes) if matches!(nodes[0], Node::Every(_)))
    {
        matched = format!("({matched})");
    }
    let (mut columns, mut values) = (Vec::new(), Vec::new());
    for (name, told, repeats) in &text.names {
        let Some(told) = told else { continue };
        for at in 0..if *repeats { REPEATED_MAX } else { 1 } {
            columns.push(if *repeats { format!("{told}[{at}]") } else { told.clone() });
            values.push(match *repeats {
                true => format!("first({name}.id, {at})"),
                false => format!("last({name}.id)"),
            });
        }
    }
    let count = values.len();
    values.push("outcome()".to_owned());
    let names: Vec<String> = (0..=count).map(|at| format!("c{at}")).collect();
    let declared: Vec<String> = names.iter().map(|name| format!("{name} VARCHAR(8)")).collect();
    let text = format!(
        "CREATE ACTION say ({});
CREATE RULE r{} ON {}
  MATCH {matched}
  THEN say({});",
        declared.join(", "),
        if is_told_again(&node) { " WITH (matches = 'all')" } else { "" },
        text.streams.join(", "),
        values.join(", ")
    );
    Ok(Job { columns, ..Job::new(text, End::Begun) })
}
