//! Row patterns of which every match is wanted: a row fits `X` if its text begins with `x`.

use serde_json::Value;

use crate::Job;
use crate::run::End;

/// Variables of a pattern, each once.
fn variables(pattern: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let words = pattern.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    for word in words.filter(|word| word.starts_with(|c: char| c.is_ascii_alphabetic())) {
        if !names.iter().any(|name| name == word) {
            names.push(word.to_owned());
        }
    }
    names
}

pub(crate) fn job(case: &Value) -> Result<Job, String> {
    let query = &case["query"];
    let pattern = query["pattern"].as_str().ok_or("a query without a pattern")?;
    let mut measures = Vec::new();
    for measure in query["measures"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        let (name, at) = measure.split_once('[').unwrap_or((measure, "0]"));
        let at = at.trim_end_matches(']');
        measures.push(format!("first({}.theString, {at}) AS c{}", name, measures.len()));
    }
    let columns: Vec<String> = (0..measures.len()).map(|at| format!("c{at}")).collect();
    let define = |name: &String| format!("{name} AS theString LIKE '{}%'", name.to_lowercase());
    let defines: Vec<String> = variables(pattern).iter().map(define).collect();
    let declared: Vec<String> = columns.iter().map(|name| format!("{name} VARCHAR(8)")).collect();
    let text = format!(
        "CREATE ACTION say ({});
INSERT INTO say SELECT {} FROM R MATCH_RECOGNIZE (
  MEASURES {}
  AFTER MATCH SKIP TO NEXT ROW
  PATTERN ({pattern}) WITHIN INTERVAL '1' MINUTE
  DEFINE {}) WHERE matched > 0 WITH (matches = 'all');",
        declared.join(", "),
        columns.join(", "),
        measures.join(", ") + ", count(*) AS matched",
        defines.join(", ")
    );
    Ok(Job::new(text, End::HourLater))
}
