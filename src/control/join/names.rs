//! Names of members, and of what join makes for them.
//!
//! A kubeconfig names its contexts as it likes: eksctl writes `admin@Prod.eu-west-1.eksctl.io`, the AWS command line
//! `arn:aws:eks:eu-west-1:111122223333:cluster/Prod`. Objects of Kubernetes are named by RFC 1123 alone (lower-case
//! letters, digits, hyphens and dots), so the one has to be made from the other.

use std::{fmt, str::FromStr};

use thiserror::Error;

/// Longest name of an object (Kubernetes: DNS-1123 subdomain).
const LONGEST: usize = 253;
/// Longest label of it.
const LONGEST_LABEL: usize = 63;
/// Longest name of a member, so that `NAME-mcdns` and `mcdns:NAME-…` are names too.
const LONGEST_MEMBER: usize = 200;

/// Name of a member: that of its KubeFedCluster, a DNS-1123 subdomain.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MemberName(String);

/// A text that is no name of a member.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "`{given}` cannot be the name of a KubeFedCluster, which has lower-case letters, digits, hyphens and dots alone\n  \
     help: call it {suggestion}, and name the context with --cluster-context '{given}'"
)]
pub struct NameError {
    given: String,
    suggestion: String,
}

impl MemberName {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MemberName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for MemberName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let suggestion = valid(text, LONGEST_MEMBER);
        if suggestion == text { Ok(Self(suggestion)) } else { Err(NameError { given: text.to_owned(), suggestion }) }
    }
}

/// Name of the `ServiceAccount` in the member, as kubefedctl has it (`CLUSTER-HOST`), made valid.
pub fn service_account_name(member: &MemberName, host: &str) -> String {
    valid(&format!("{member}-{host}"), LONGEST)
}

/// The nearest DNS-1123 subdomain of at most `longest` octets.
fn valid(text: &str, longest: usize) -> String {
    let plain: String = text
        .chars()
        .map(|one| match one.to_ascii_lowercase() {
            one @ ('a'..='z' | '0'..='9' | '.' | '-') => one,
            _ => '-',
        })
        .collect();
    let labels = plain.split('.').map(|label| cut(label.trim_matches('-'), LONGEST_LABEL));
    let joined = labels.filter(|label| !label.is_empty()).collect::<Vec<_>>().join(".");
    let name = cut(&joined, longest);
    if name.is_empty() { "cluster".to_owned() } else { name.to_owned() }
}

/// At most `longest` octets of an ASCII text, with a letter or digit at the end.
fn cut(text: &str, longest: usize) -> &str {
    text[..text.len().min(longest)].trim_end_matches(['-', '.'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_none_get_a_suggestion() {
        for (given, suggested) in [
            ("Prod", "prod"),
            ("admin@Prod.eu-west-1.eksctl.io", "admin-prod.eu-west-1.eksctl.io"),
            ("arn:aws:eks:eu-west-1:111122223333:cluster/Prod", "arn-aws-eks-eu-west-1-111122223333-cluster-prod"),
            ("-a-", "a"),
            ("a..b", "a.b"),
            ("grün", "gr-n"),
            ("@", "cluster"),
            ("", "cluster"),
        ] {
            let error = given.parse::<MemberName>().expect_err(given);
            assert_eq!(error.suggestion, suggested, "{given}");
            assert!(error.to_string().contains(&format!("help: call it {suggested}")), "{error}");
            assert!(suggested.parse::<MemberName>().is_ok(), "{suggested}");
        }
    }

    #[test]
    fn valid_names_stay() {
        for name in ["c1", "eu-west-1.prod", "0"] {
            assert_eq!(name.parse::<MemberName>().expect(name).as_str(), name);
        }
    }

    #[test]
    fn the_name_of_a_service_account_is_valid_whatever_the_host_is_called() {
        let member: MemberName = "c1".parse().expect("a name");
        for (host, expected) in [
            ("host", "c1-host"),
            ("admin@Host.eu-west-1.eksctl.io", "c1-admin-host.eu-west-1.eksctl.io"),
            ("arn:aws:eks:eu-west-1:1:cluster/Host", "c1-arn-aws-eks-eu-west-1-1-cluster-host"),
            ("host/", "c1-host"),
        ] {
            assert_eq!(service_account_name(&member, host), expected);
        }
        let long = service_account_name(&member, &"x.".repeat(400));
        assert!(long.len() <= 253 && long.ends_with('x'), "{long}");
    }
}
