//! What is wrong with a text that a person wrote, a configuration or a rule file: each point shown
//! at its place.
//!
//! Invariant: reading never stops at the first mistake; every one that can be told apart is
//! collected and shown in the order of the text.

use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

/// One mistake and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mistake {
    span: Range<usize>,
    title: String,
    label: String,
    help: Option<String>,
}

/// The mistakes found so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnostics {
    mistakes: Vec<Mistake>,
}

impl Diagnostics {
    /// Notes a mistake at a byte range of the text.
    pub fn push(&mut self, span: Range<usize>, title: impl Into<String>, label: impl Into<String>) {
        let (title, label) = (title.into(), label.into());
        self.mistakes.push(Mistake { span, title, label, help: None });
    }

    /// Adds advice to the mistake noted last.
    pub fn help(&mut self, help: impl Into<String>) {
        if let Some(last) = self.mistakes.last_mut() {
            last.help = Some(help.into());
        }
    }

    /// Whether nothing was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.mistakes.is_empty()
    }

    /// The error for a text called `path`, if anything is wrong.
    ///
    /// # Errors
    /// All mistakes, as one error that prints them with the lines they are in.
    pub fn into_result(mut self, path: &str, text: &str) -> Result<(), TextError> {
        if self.mistakes.is_empty() {
            return Ok(());
        }
        self.mistakes.sort_by_key(|mistake| mistake.span.start);
        Err(TextError { path: path.to_owned(), text: text.to_owned(), diagnostics: self })
    }
}

/// A text that cannot be used. Displays every mistake with file, line and caret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextError {
    path: String,
    text: String,
    diagnostics: Diagnostics,
}

impl std::error::Error for TextError {}

impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, mistake) in self.diagnostics.mistakes.iter().enumerate() {
            if i > 0 {
                f.write_str("\n\n")?;
            }
            let end = mistake.span.end.min(self.text.len());
            let start = mistake.span.start.min(end);
            let snippet = Snippet::source(self.text.as_str())
                .path(self.path.as_str())
                .annotation(AnnotationKind::Primary.span(start..end).label(mistake.label.as_str()));
            let mut group = Level::ERROR.primary_title(mistake.title.as_str()).element(snippet);
            if let Some(help) = &mistake.help {
                group = group.element(Level::HELP.message(help.as_str()));
            }
            write!(f, "{}", Renderer::plain().render(&[group]))?;
        }
        Ok(())
    }
}

/// The candidate that is spelled most like `word`, if any is close enough to be meant.
#[must_use]
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (edit_distance(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len().min(word.len()) / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Levenshtein distance over bytes, case ignored.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<u8> = b.bytes().map(|c| c.to_ascii_lowercase()).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.bytes().map(|c| c.to_ascii_lowercase()).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let substitute = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = substitute.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_the_one_meant() {
        let known = ["topology", "shards", "wait"];
        assert_eq!(nearest("topolgy", known), Some("topology"));
        assert_eq!(nearest("Shard", known), Some("shards"));
        assert_eq!(nearest("elephant", known), None);
    }

    #[test]
    fn mistakes_show_line_and_caret_in_order() {
        let text = "a = 1\nbb = 2\n";
        let mut diagnostics = Diagnostics::default();
        diagnostics.push(6..8, "unknown key `bb`", "not a key here");
        diagnostics.help("did you mean `b`?");
        diagnostics.push(4..5, "bad value", "found integer");
        let error = diagnostics.into_result("x.toml", text).unwrap_err().to_string();
        let (first, second) = error.split_once("\n\n").unwrap();
        assert!(first.contains("x.toml:1:5") && first.contains("found integer"), "{first}");
        assert!(second.contains("x.toml:2:1") && second.contains("did you mean `b`?"), "{second}");
    }
}
