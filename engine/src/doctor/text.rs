//! The report for a person: what is wrong in full, what is right in a line.

use std::fmt::{self, Write};

use super::{Check, Finding, Fix, Report, Severity};

/// Columns of the report.
const COLUMNS: usize = 98;
/// Columns of the severity, with the space before it.
const SEVERITY: usize = 10;
/// Columns of a check's id.
const ID: usize = 16;
/// Where the text of a finding begins.
const INDENT: usize = SEVERITY + ID;
/// Columns of the labels below a finding.
const LABEL: usize = 8;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.about {
            writeln!(f, "{name:<12}{value}")?;
        }
        let mut theme = "";
        for finding in &self.findings {
            if finding.theme != theme {
                theme = finding.theme;
                writeln!(f, "\n{theme}")?;
            }
            self.write_finding(f, finding)?;
        }
        let counts = Severity::ALL.iter().rev().map(|&severity| (severity, self.count(severity)));
        let counts: Vec<_> = counts.map(|(word, count)| format!("{count} {word}")).collect();
        writeln!(f, "\n{}", counts.join(", "))?;
        self.write_next(f)
    }
}

impl Report {
    fn write_finding(&self, f: &mut fmt::Formatter<'_>, finding: &Finding) -> fmt::Result {
        let (check, verdict) = (finding.check, &finding.verdict);
        let word = match verdict.severity {
            Severity::Bad => "BAD",
            Severity::Warn => "WARN",
            other => other.word(),
        };
        write!(f, "  {word:<width$}{:<ID$}", check.id, width = SEVERITY - 2)?;
        paragraph(f, &verdict.current, INDENT)?;
        if verdict.severity < Severity::Warn {
            return Ok(());
        }
        let fix = self.fix(check);
        let details = [
            ("wanted", check.wanted),
            ("why", check.why),
            ("effect", check.effect),
            ("source", check.source),
            ("fix", &fix),
        ];
        for (label, text) in details {
            write!(f, "{:INDENT$}{label:<LABEL$}", "")?;
            paragraph(f, text, INDENT + LABEL)?;
        }
        Ok(())
    }

    /// What to do next: one command, what to boot with, and that the rest is told above.
    fn write_next(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wrong = |finding: &&Finding| finding.verdict.severity >= Severity::Warn;
        let wrong: Vec<_> = self.findings.iter().filter(wrong).collect();
        let apply = wrong.iter().filter(|finding| matches!(finding.check.fix, Fix::Apply(_)));
        let apply: Vec<_> = apply.map(|finding| finding.check.id).collect();
        if !apply.is_empty() {
            writeln!(f, "\ntuning/apply {}", self.args.trim_start())?;
            write!(f, "    shows what it would write for ")?;
            paragraph(f, &format!("{}; with --yes it does", apply.join(", ")), 4)?;
        }
        let boot = self.boot_parameters();
        if !boot.is_empty() {
            writeln!(f, "\nboot parameters\n    {}", boot.join(" "))?;
        }
        Ok(())
    }

    /// What to boot with, of what is wrong.
    #[must_use]
    pub fn boot_parameters(&self) -> Vec<String> {
        let wrong = self.findings.iter().filter(|f| f.verdict.severity >= Severity::Warn);
        let parameters = wrong.filter_map(|finding| match finding.check.fix {
            // What follows the parameter is for the reader.
            Fix::Boot(text) => text.split(' ').next(),
            _ => None,
        });
        parameters.map(|text| self.with_cores(text)).collect()
    }

    /// Names the hot cores in a text.
    fn with_cores(&self, text: &str) -> String {
        let cores = if self.hot.is_empty() { "CORES".to_owned() } else { self.hot.to_string() };
        text.replace("CORES", &cores)
    }

    fn fix(&self, check: &Check) -> String {
        self.with_cores(&check.fix.to_string())
    }
}

/// Writes `text` from column `at` on, its later lines indented by as much.
fn paragraph(f: &mut impl Write, text: &str, at: usize) -> fmt::Result {
    let mut column = at;
    for (number, word) in text.split_whitespace().enumerate() {
        let width = word.chars().count();
        if number > 0 && column + 1 + width > COLUMNS {
            write!(f, "\n{:at$}", "")?;
            column = at;
        } else if number > 0 {
            f.write_char(' ')?;
            column += 1;
        }
        f.write_str(word)?;
        column += width;
    }
    f.write_char('\n')
}
