//! YAML that programs written in other languages read: keys sorted, whatever the order in memory.

use anyhow::Context;
use serde_json::{Map, Value};

/// The objects of several documents; empty ones are left out.
pub(crate) fn read_all(text: &str) -> anyhow::Result<Vec<Value>> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).context("what was rendered is no YAML")?;
    Ok(documents.into_iter().filter(|document| !document.is_null()).collect())
}

/// One document.
pub(crate) fn write(value: &Value) -> anyhow::Result<String> {
    Ok(serde_saphyr::to_string(&sorted(value))?)
}

/// Several documents.
pub(crate) fn write_all(values: &[Value]) -> anyhow::Result<String> {
    let texts: Vec<String> = values.iter().map(write).collect::<anyhow::Result<_>>()?;
    Ok(texts.join("---\n"))
}

/// Maps keep their order or not, as some dependency wishes; sorted they are the same in each case, and as `kubectl`
/// prints them.
pub(crate) fn sorted(value: &Value) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| key.as_str());
            Value::Object(entries.into_iter().map(|(key, value)| (key.clone(), sorted(value))).collect::<Map<_, _>>())
        }
        plain => plain.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Words that YAML 1.1, which Go programs read, takes for something else than strings.
    #[test]
    fn what_is_written_is_read_back_the_same() {
        let value = json!({
            "b": ["yes", "no", "on", "off", "y", "n", "True", "null", "~", "1", "1e3", "0x1f", "1_000", "12:30:45", ""],
            "a": {"text": "two\nlines\n", "rule": "self.matches('^[*]$') && !x", "star": "*", "colon": "a: b", "hash": "a # b"},
        });
        let text = write(&value).expect("YAML");
        assert_eq!(read_all(&text).expect("YAML"), [value]);
        for word in ["yes", "no", "on", "off", "y", "n", "True", "null", "1e3", "0x1f", "1_000", "12:30:45"] {
            assert!(!text.contains(&format!("- {word}\n")), "{word} stands there without quotes: {text}");
        }
        assert!(text.starts_with("a:"), "{text}");
    }
}
