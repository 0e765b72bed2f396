//! The value of an ownership record: `heritage=external-dns,external-dns/owner=prod,…`.

use std::collections::BTreeMap;

/// What marks the text as one of these.
const HERITAGE: &str = "external-dns";

/// The text for these labels, keys ascending, without quotes around it.
pub fn labels_text(labels: &BTreeMap<String, String>) -> String {
    let labels = labels.iter().map(|(key, value)| format!(",{HERITAGE}/{key}={value}"));
    std::iter::once(format!("heritage={HERITAGE}")).chain(labels).collect()
}

/// The labels in a text, quotes around it or not; none if it is no ownership record.
pub fn parse_labels(text: &str) -> Option<BTreeMap<String, String>> {
    let mut labels = BTreeMap::new();
    let mut ours = false;
    for token in text.trim_matches('"').split(',') {
        // A value may have `=` in it, a key may not.
        let Some((key, value)) = token.split_once('=') else { continue };
        if key == "heritage" {
            if value != HERITAGE {
                return None;
            }
            ours = true;
        } else if let Some(key) = key.strip_prefix(HERITAGE) {
            labels.insert(key.strip_prefix('/').unwrap_or(key).to_owned(), value.to_owned());
        }
    }
    ours.then_some(labels)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::plain(
        "heritage=external-dns,external-dns/owner=foo-owner,external-dns/resource=foo-resource",
        Some("owner=foo-owner resource=foo-resource")
    )]
    #[case::quoted(
        "\"heritage=external-dns,external-dns/owner=foo-owner,external-dns/resource=foo-resource\"",
        Some("owner=foo-owner resource=foo-resource")
    )]
    #[case::odd_tokens(
        "heritage=external-dns,,external-dns/owner=bar-owner,external-dns/resource=bar-resource,\
         external-dns/new-key=bar-new-key,random=stuff,no-equal-sign,,",
        Some("new-key=bar-new-key owner=bar-owner resource=bar-resource")
    )]
    #[case::no_heritage("external-dns/owner=random-owner", None)]
    #[case::other_heritage("heritage=mate,external-dns/owner=random-owner", None)]
    #[case::two_heritages("heritage=mate,heritage=external-dns,external-dns/owner=random-owner", None)]
    #[case::equals_in_value(
        "heritage=external-dns,external-dns/owner=team=platform,external-dns/resource=ingress/default/example",
        Some("owner=team=platform resource=ingress/default/example")
    )]
    fn ownership_texts_are_read_as_external_dns_reads_them(#[case] text: &str, #[case] labels: Option<&str>) {
        let read = parse_labels(text)
            .map(|labels| labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" "));
        assert_eq!(read.as_deref(), labels);
    }

    #[test]
    fn texts_are_written_with_their_keys_in_order() {
        let labels = [("resource", "crd/dns/web"), ("owner", "cluster-a")];
        let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let text = labels_text(&labels);
        assert_eq!(text, "heritage=external-dns,external-dns/owner=cluster-a,external-dns/resource=crd/dns/web");
        assert_eq!(parse_labels(&text), Some(labels));
    }
}
