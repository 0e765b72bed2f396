//! Names as Route 53 keeps them: in lower case, and with octal codes for all but letters, digits, `-`, `_`.

/// Characters beside letters, digits and dots that may stand in a name as they are (Route 53 Developer Guide, "DNS
/// domain name format"). A backslash only begins a code.
const ALLOWED: &[u8] = b"!\"#$%&'()*+,-/:;<=>?@[]^_`{|}~";

/// An absolute name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name {
    /// The leftmost first.
    labels: Vec<Vec<u8>>,
}

impl Name {
    /// A name with or without its final dot.
    ///
    /// # Errors
    ///
    /// What the service says is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let problem = |code: &str, words: &str| format!("FATAL problem: {code} ({words}) encountered with '{text}'");
        if text.is_empty() {
            return Err(problem("DomainNameEmpty", "Domain name is empty"));
        }
        let mut labels = vec![Vec::new()];
        let mut rest = text.strip_suffix('.').unwrap_or(text).as_bytes();
        while let [first, after @ ..] = rest {
            rest = after;
            match first {
                b'.' => labels.push(Vec::new()),
                b'\\' => {
                    let (octet, after) = octal(after)
                        .ok_or_else(|| problem("UnsupportedCharacter", "Value contains unsupported characters"))?;
                    rest = after;
                    push(&mut labels, octet.to_ascii_lowercase());
                }
                octet if octet.is_ascii_alphanumeric() || ALLOWED.contains(octet) => {
                    push(&mut labels, octet.to_ascii_lowercase());
                }
                _ => return Err(problem("UnsupportedCharacter", "Value contains unsupported characters")),
            }
        }
        if labels.iter().any(Vec::is_empty) {
            return Err(problem("DomainLabelEmpty", "Domain label is empty"));
        }
        // RFC 1035 section 2.3.4, which the service holds everybody to.
        if labels.iter().any(|label| label.len() > 63) {
            return Err(problem("DomainLabelTooLong", "Domain label is too long"));
        }
        if labels.iter().map(|label| label.len() + 1).sum::<usize>() > 254 {
            return Err(problem("DomainNameTooLong", "Domain name is too long"));
        }
        Ok(Self { labels })
    }

    /// As the API returns it: `\052.example.com.`
    pub(super) fn escaped(&self) -> String {
        let mut text = String::new();
        for label in &self.labels {
            for &octet in label {
                match octet {
                    b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => text.push(char::from(octet)),
                    _ => text.extend(format!("\\{octet:03o}").chars()),
                }
            }
            text.push('.');
        }
        text
    }

    /// What lists are sorted by: labels in reverse, each with a dot behind it, so that characters that come before the
    /// dot in ASCII (`*`, `-`) put a longer label before a shorter one (`ListResourceRecordSets`, "Sort order").
    pub(super) fn order(&self) -> Vec<u8> {
        self.labels.iter().rev().flat_map(|label| label.iter().copied().chain([b'.'])).collect()
    }

    /// True for the zone's apex and everything below.
    pub(super) fn lies_in(&self, apex: &Self) -> bool {
        self.labels.ends_with(&apex.labels)
    }
}

fn push(labels: &mut [Vec<u8>], octet: u8) {
    if let Some(label) = labels.last_mut() {
        label.push(octet);
    }
}

/// Three octal digits, and what follows.
pub(super) fn octal(text: &[u8]) -> Option<(u8, &[u8])> {
    let (digits, rest) = text.split_at_checked(3)?;
    let digits =
        std::str::from_utf8(digits).ok().filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()))?;
    Some((u8::from_str_radix(digits, 8).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_in_lower_case_with_codes() {
        for (sent, kept) in [
            ("*.Example.COM", "\\052.example.com."),
            ("\\052.example.com.", "\\052.example.com."),
            ("a/b@_x-1.example.com", "a\\057b\\100_x-1.example.com."),
            ("a\\040b.example.com", "a\\040b.example.com."),
            ("\\101.example.com", "a.example.com."),
        ] {
            assert_eq!(Name::parse(sent).map(|name| name.escaped()), Ok(kept.to_owned()));
        }
    }

    #[test]
    fn bad_names_are_refused_in_the_words_of_the_service() {
        let long = "a".repeat(64);
        for (sent, code) in [
            ("", "DomainNameEmpty (Domain name is empty) encountered with ''"),
            ("a..example.com", "DomainLabelEmpty (Domain label is empty)"),
            (".example.com", "DomainLabelEmpty"),
            ("a b.example.com", "UnsupportedCharacter (Value contains unsupported characters)"),
            ("a\\.b.example.com", "UnsupportedCharacter"),
            ("\\400.example.com", "UnsupportedCharacter"),
            ("ä.example.com", "UnsupportedCharacter"),
            (&long, "DomainLabelTooLong"),
            (&[&long[..50]; 6].join("."), "DomainNameTooLong"),
        ] {
            let told = Name::parse(sent).expect_err(sent);
            assert!(told.starts_with("FATAL problem: ") && told.contains(code), "{sent}: {told}");
        }
    }

    #[test]
    fn lists_are_sorted_by_reversed_labels_and_the_final_dot_counts() {
        let mut names: Vec<Name> =
            ["www.example.com", "example.com", "a.www.example.com", "*.example.com", "www-b.example.com"]
                .iter()
                .map(|name| Name::parse(name).expect(name))
                .collect();
        names.sort_by_key(Name::order);
        let sorted: Vec<String> = names.iter().map(Name::escaped).collect();
        assert_eq!(
            sorted,
            ["example.com.", "\\052.example.com.", "www-b.example.com.", "www.example.com.", "a.www.example.com."]
        );
    }
}
