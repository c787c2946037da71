//! Pattern texts of the cases as patterns of the engine.

use corelane_strategies::rules::pattern::Node;

struct Text<'a> {
    rest: &'a str,
    names: &'a mut Vec<String>,
}

/// Reads a pattern; variables are numbered as they come.
pub(crate) fn pattern(text: &str, names: &mut Vec<String>) -> Node {
    let mut text = Text { rest: text, names };
    let node = text.alternatives();
    assert!(text.rest.trim().is_empty(), "{} is left of a pattern", text.rest);
    node
}

impl Text<'_> {
    fn take(&mut self, token: char) -> bool {
        self.rest = self.rest.trim_start();
        let rest = self.rest.strip_prefix(token);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn alternatives(&mut self) -> Node {
        let mut nodes = vec![self.sequence()];
        while self.take('|') {
            nodes.push(self.sequence());
        }
        if nodes.len() == 1 { nodes.remove(0) } else { Node::Alt(nodes) }
    }

    fn sequence(&mut self) -> Node {
        let mut nodes = Vec::new();
        loop {
            let node = if self.take('(') {
                let inner = self.alternatives();
                assert!(self.take(')'), "a closed group");
                inner
            } else {
                let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
                let (name, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
                if name.is_empty() {
                    return Node::Concat(nodes);
                }
                self.rest = rest;
                let known = self.names.iter().position(|known| known == name);
                Node::Var(known.unwrap_or_else(|| {
                    self.names.push(name.to_owned());
                    self.names.len() - 1
                }) as u8)
            };
            nodes.push(self.quantified(node));
        }
    }

    fn quantified(&mut self, node: Node) -> Node {
        let (min, max) = if self.take('*') {
            (0, None)
        } else if self.take('+') {
            (1, None)
        } else if self.take('?') {
            (0, Some(1))
        } else if self.take('{') {
            let (inside, rest) = self.rest.split_once('}').expect("a closed quantifier");
            self.rest = rest;
            let number = |text: &str| text.trim().parse().ok();
            match inside.split_once(',') {
                Some((min, max)) => (number(min).unwrap_or(0), number(max)),
                None => (number(inside).expect("a number"), number(inside)),
            }
        } else {
            return node;
        };
        let greedy = !self.take('?');
        Node::Repeat { node: Box::new(node), min, max, greedy }
    }
}
