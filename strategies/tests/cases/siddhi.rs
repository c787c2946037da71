//! Siddhi's patterns (`->`) and sequences (`,`) to MATCH.
//!
//! ```text
//! sequence = unit { ("->" | ",") unit }        unit = one { ("and" | "or") one }
//! one      = ["every"] ("(" sequence ")" | ["not"] [name "="] stream ["[" condition "]"]
//!            [quantifier] ["for" time])
//! ```

use serde_json::Value;

use crate::Job;
use crate::run::{End, Stream, column, streams};

#[derive(Debug)]
enum Node {
    Step { name: String, stream: String, condition: String, quantifier: String },
    Not { stream: String, condition: String, for_time: Option<String> },
    Every(Box<Node>),
    Both(Vec<Node>),
    Either(Vec<Node>),
    Sequence(&'static str, Vec<Node>),
}

struct Text<'a> {
    rest: &'a str,
    streams: Vec<String>,
    /// Each step's name, and its stream.
    names: Vec<(String, String)>,
}

/// `1 sec` as an interval.
fn interval(number: &str, unit: &str) -> String {
    let ms: f64 = number.parse().unwrap_or(0.0);
    let scale = match unit.trim_end_matches('s') {
        "m" | "milli" | "millisec" | "millisecond" => 1.0,
        "min" | "minute" => 60_000.0,
        "hour" => 3_600_000.0,
        _ => 1_000.0,
    };
    format!("INTERVAL '{}' MILLISECOND", (ms * scale) as u64)
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

    fn word(&mut self) -> Result<&'a str, String> {
        self.rest = self.rest.trim_start();
        let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '.');
        let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        if word.is_empty() {
            return Err(format!("the translator cannot read `{}`", self.rest));
        }
        self.rest = rest;
        Ok(word)
    }

    fn time(&mut self) -> Result<String, String> {
        let number = self.word()?;
        Ok(interval(number, self.word()?))
    }

    fn sequence(&mut self) -> Result<Node, String> {
        let mut all = vec![self.unit()?];
        let mut link = "->";
        loop {
            if self.take("->") {
                link = "->";
            } else if self.take(",") {
                link = ",";
            } else if all.len() == 1 {
                return Ok(all.remove(0));
            } else {
                return Ok(Node::Sequence(link, all));
            }
            all.push(self.unit()?);
        }
    }

    fn unit(&mut self) -> Result<Node, String> {
        let first = self.one()?;
        let mut all = vec![first];
        let mut is_both = true;
        loop {
            if self.take("and") {
                is_both = true;
            } else if self.take("or") {
                is_both = false;
            } else {
                break;
            }
            all.push(self.one()?);
        }
        Ok(match all.len() {
            1 => all.remove(0),
            _ if is_both => Node::Both(all),
            _ => Node::Either(all),
        })
    }

    fn condition(&mut self, own: Option<&str>) -> Result<String, String> {
        if !self.take("[") {
            return Ok(String::new());
        }
        let mut depth = 1;
        for (at, c) in self.rest.char_indices() {
            depth += i32::from(c == '[') - i32::from(c == ']');
            if depth == 0 {
                let inside = &self.rest[..at];
                self.rest = &self.rest[at + 1..];
                return Ok(expression(inside, own));
            }
        }
        Err("an open condition".to_owned())
    }

    fn one(&mut self) -> Result<Node, String> {
        if self.take("every") {
            return Ok(Node::Every(Box::new(self.one()?)));
        }
        if self.take("(") {
            let inner = self.sequence()?;
            return if self.take(")") { Ok(inner) } else { Err("an open bracket".to_owned()) };
        }
        let is_not = self.take("not");
        let mut stream = self.word()?.to_owned();
        let mut name = None;
        if self.rest.trim_start().starts_with('=') && self.take("=") {
            name = Some(stream);
            stream = self.word()?.to_owned();
        }
        if !self.streams.contains(&stream) {
            self.streams.push(stream.clone());
        }
        let condition = self.condition(name.as_deref())?;
        if is_not {
            let for_time = if self.take("for") { Some(self.time()?) } else { None };
            return Ok(Node::Not { stream, condition, for_time });
        }
        let mut quantifier = String::new();
        if self.take("<") {
            let (inside, rest) = self.rest.split_once('>').ok_or("an open quantifier")?;
            self.rest = rest;
            quantifier = match inside.split_once(':') {
                Some((min, max)) => {
                    let min = if min.trim().is_empty() { "0" } else { min.trim() };
                    format!("{{{min},{}}}", max.trim())
                }
                None => format!("{{{}}}", inside.trim()),
            };
        }
        for token in ["*", "+", "?"] {
            if self.take(token) {
                quantifier = token.to_owned();
            }
        }
        let mut name = name.unwrap_or_else(|| format!("step{}", self.names.len()));
        if self.names.iter().any(|(known, _)| *known == name) {
            name += "_again";
        }
        self.names.push((name.clone(), stream.clone()));
        Ok(Node::Step { name, stream, condition, quantifier })
    }
}

/// A condition or value in our words: `e[0].x` is `first(e.x, 0)`, `e[last-1].x` `last(e.x, 1)`.
/// In the condition of `own` itself the last row is the one before; ours is the row that is tested.
fn expression(text: &str, own: Option<&str>) -> String {
    let mut text = text.replace("==", "=").replace("!=", "<>");
    while let Some(at) = text.find('[') {
        let start = text[..at].rfind(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let start = start.map_or(0, |at| at + 1);
        let Some((index, rest)) = text[at + 1..].split_once(']') else { break };
        let rest = rest.trim_start_matches('.');
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let (name, rest) = rest.split_at(end.unwrap_or(rest.len()));
        let step = &text[start..at];
        let value = match index.trim().strip_prefix("last") {
            Some(back) => {
                let back = back.trim().trim_start_matches('-').trim();
                let back = back.parse().unwrap_or(0) + usize::from(own == Some(step));
                format!("last({step}.{name}, {back})")
            }
            None => format!("first({step}.{name}, {})", index.trim()),
        };
        text = format!("{}{value}{rest}", &text[..start]);
    }
    // `50.0f` is a number.
    let mut out = String::new();
    for c in text.chars() {
        let after_digit = out.ends_with(|c: char| c.is_ascii_digit());
        if !(after_digit && matches!(c, 'f' | 'd')) {
            out.push(c);
        }
    }
    out
}

impl Node {
    fn is_loop(&self) -> bool {
        match self {
            Node::Step { quantifier, .. } => !quantifier.is_empty(),
            Node::Every(inner) => inner.is_loop(),
            _ => false,
        }
    }

    fn write(&self) -> String {
        let brackets = |node: &Node| match node {
            Node::Sequence(..) => format!("({})", node.write()),
            _ => node.write(),
        };
        let joined =
            |nodes: &[Node], with: &str| nodes.iter().map(brackets).collect::<Vec<_>>().join(with);
        match self {
            Node::Step { name, stream, condition, quantifier } => {
                format!("{name}:{stream}({condition}){quantifier}")
            }
            Node::Not { stream, condition, for_time } => {
                let time = for_time.as_ref().map_or(String::new(), |time| format!(" FOR {time}"));
                format!("NOT {stream}({condition}){time}")
            }
            Node::Every(inner) => match inner.as_ref() {
                Node::Step { .. } | Node::Not { .. } => format!("EVERY {}", inner.write()),
                _ => format!("EVERY ({})", inner.write()),
            },
            Node::Both(nodes) => joined(nodes, " AND "),
            Node::Either(nodes) => joined(nodes, " OR "),
            Node::Sequence(link, nodes) => joined(nodes, &format!(" {link} ")),
        }
    }
}

/// A selected value, and what type it is of.
fn value(text: &str, names: &[(String, String)], streams: &[Stream]) -> (String, &'static str) {
    let text = text.trim();
    let step = text.split(['[', '.']).next().unwrap_or_default();
    let field = text.rsplit('.').next().unwrap_or_default();
    let stream = names.iter().find(|(name, _)| name == step).map(|(_, stream)| stream);
    let stream = streams.iter().find(|known| Some(&known.name) == stream);
    let kind = stream.map_or("DOUBLE", |stream| stream.kind(&column(field)));
    (expression(text, None), kind)
}

pub(crate) fn job(case: &Value, source: &str) -> Result<Job, String> {
    let (pattern, rest) = source.split_once("select ").ok_or("a query without `select`")?;
    let (selected, _) = rest.split_once(" insert ").ok_or("a query without `insert`")?;
    let pattern = pattern.trim().strip_prefix("from ").ok_or("a query without `from`")?;
    let mut text = Text { rest: pattern, streams: Vec::new(), names: Vec::new() };
    let node = text.sequence()?;
    let mut within = String::new();
    if text.take("within") {
        within = format!("\n  WITHIN {}", text.time()?);
    }
    if !text.rest.trim().is_empty() {
        return Err(format!("the translator cannot read `{}`", text.rest));
    }
    let declared = streams(case);
    let values: Vec<(String, &str)> = selected
        .split(',')
        .map(|one| one.split(" as ").next().unwrap_or_default())
        .map(|one| value(one, &text.names, &declared))
        .collect();
    let columns: Vec<String> = (0..)
        .zip(&values)
        .map(|(at, (_, kind))| format!("c{at} {}", kind.replace("(24)", "(16)")))
        .collect();
    let values: Vec<&str> = values.iter().map(|(text, _)| text.as_str()).collect();
    // A loop of a sequence takes rows that another match could begin with, but for the last one.
    let skip = match (&node, text.names.last()) {
        (Node::Sequence(",", nodes), Some((last, _))) if nodes.iter().any(Node::is_loop) => {
            format!("\n  AFTER MATCH SKIP TO LAST {last}")
        }
        _ => String::new(),
    };
    let text = format!(
        "CREATE ACTION say ({});
CREATE RULE r ON {}
  MATCH {}{within}{skip}
  THEN say({});",
        columns.join(", "),
        text.streams.join(", "),
        node.write(),
        values.join(", ")
    );
    Ok(Job::new(text, End::Begun))
}
