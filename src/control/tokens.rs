//! Tokens that members are read with, renewed before half of their life is over.
//!
//! `mcdns join` leaves a Secret in the host with a token from the member's `TokenRequest` API, and says in annotations
//! whose token it is and when it ends. The holder of the lease asks the member for the next one, with the token that it
//! has, and puts it in the place of the old. Whoever watches the Secret builds a new client from it.
//!
//! ```text
//!   Secret ── annotated? half over? ── yes ──► TokenRequest to the member ──► Secret.data.token, mcdns.io/expires
//! ```
//!
//! * A Secret without the annotations is a person's business (one of `kubefedctl join`, say) and never touched.
//! * Only `token` and our annotations are written; the write names the version that was read, so that a person who
//!   replaces the token meanwhile wins.
//! * A token that ends earlier than the one it replaces is not taken.
//! * The old token stays valid until its end, so nothing breaks while the new one spreads.
//! * A token is never logged, and no error holds one.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Duration,
};

use data_encoding::{BASE64, BASE64URL_NOPAD};
use futures::{StreamExt, stream};
use kube::Client;
use mcdns_core::model::{ClusterName, Timestamp};
use serde_json::{Value, json};
use tokio::{sync::watch, time::Instant};

use crate::{
    Leadership, Notice, Recorder, Regarding,
    host::{ApiError, CLUSTERS, Host, Place, SECRETS, SERVICE_ACCOUNTS, chain},
};

/// Annotation of a Secret: `<namespace>/<name>` of the service account in the member whose token it holds.
pub const SERVICE_ACCOUNT_ANNOTATION: &str = "mcdns.io/service-account";
/// Annotation of a Secret: when its token ends, RFC 3339.
pub const EXPIRES_ANNOTATION: &str = "mcdns.io/expires";

/// Shortest life that the `TokenRequest` API takes.
const SHORTEST_LIFE: i64 = 600;
/// Life that is asked for where the old token does not say its own: a day, which managed clusters allow too.
const USUAL_LIFE: i64 = 86_400;
/// Secrets are looked at so often, sooner where a token is due sooner. A Secret may be replaced by one whose token has
/// the shortest life, of which this is less than half.
const ROUND: Duration = Duration::from_mins(3);
/// The calendar is looked at so often.
const TICK: Duration = Duration::from_secs(15);
/// Pause after a failure, doubled up to the longest.
const FIRST_PAUSE: Duration = Duration::from_mins(1);
/// Longest of these pauses.
const LONGEST_PAUSE: Duration = Duration::from_mins(30);
/// Members that are asked at once.
const AT_ONCE: usize = 4;
/// Time for one request.
const LIMIT: Duration = Duration::from_secs(5);
/// Longest token that is taken. Tokens of Kubernetes have about a kilobyte.
const TOKEN_LIMIT: usize = 64 << 10;

/// A Secret of the host.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SecretRef {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

/// What was done about a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// It was not made by `mcdns join`.
    NotOurs,
    /// More than half of its life is left; it is renewed at that time.
    NotDue(Timestamp),
    /// A new one stands in the Secret, with this end.
    Renewed(Timestamp),
}

/// Why a token was not renewed. All of them are tried again.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The Secret could not be read or written.
    #[error("Secret {name} of the host")]
    Host {
        /// Name of the Secret.
        name: String,
        /// Why.
        #[source]
        source: ApiError,
    },
    /// An annotation is not what `mcdns join` writes.
    #[error("annotation {annotation} of Secret {name} is not understood; join the cluster again")]
    Annotation {
        /// Name of the Secret.
        name: String,
        /// Which annotation.
        annotation: &'static str,
    },
    /// The member gave no token.
    #[error("the cluster gave no new token; once the old one has ended, join the cluster again")]
    Member(#[source] ApiError),
    /// The member gave something else, or a token that ends no later than the old one.
    #[error("the cluster gave no usable token: {0}")]
    Unusable(&'static str),
}

/// Renews the token in a Secret if it is time, with a client of the member that still works.
pub async fn renew(host: &Client, member: &Client, secret: &SecretRef, now: Timestamp) -> Result<Renewal, TokenError> {
    let host = Host::new(host.clone());
    let place = Place::object(SECRETS, &secret.namespace, &secret.name);
    let failed = |source| TokenError::Host { name: secret.name.clone(), source };
    let object = host.read(place, LIMIT).await.map_err(failed)?;
    let Some(token) = Token::of(&object, &secret.name)? else { return Ok(Renewal::NotOurs) };
    let due = token.due();
    if now < due {
        return Ok(Renewal::NotDue(due));
    }
    let (next, expires) = request(&Host::new(member.clone()), &token).await?;
    if expires <= token.expires {
        return Err(TokenError::Unusable("it ends no later than the old one"));
    }
    let patch = json!({
        "metadata": {
            "resourceVersion": object["metadata"]["resourceVersion"],
            "annotations": {EXPIRES_ANNOTATION: rfc3339(expires)},
        },
        "data": {"token": BASE64.encode(next.as_bytes())},
    });
    host.merge(place, &patch, LIMIT).await.map_err(failed)?;
    Ok(Renewal::Renewed(expires))
}

/// What is known of the token that stands.
struct Token {
    account_namespace: String,
    account_name: String,
    issued: Option<Timestamp>,
    expires: Timestamp,
}

impl Token {
    /// None if the Secret is not marked.
    fn of(object: &Value, name: &str) -> Result<Option<Self>, TokenError> {
        let annotations = &object["metadata"]["annotations"];
        let Some(account) = annotations[SERVICE_ACCOUNT_ANNOTATION].as_str() else { return Ok(None) };
        let refused = |annotation| TokenError::Annotation { name: name.to_owned(), annotation };
        let parts = account.split_once('/').filter(|(namespace, name)| !namespace.is_empty() && !name.is_empty());
        let (account_namespace, account_name) = parts.ok_or_else(|| refused(SERVICE_ACCOUNT_ANNOTATION))?;
        let claims = object["data"]["token"].as_str().and_then(|text| BASE64.decode(text.as_bytes()).ok());
        let claims = claims.as_deref().and_then(claims_of).unwrap_or(Value::Null);
        let claim = |name: &str| claims[name].as_i64().map(|seconds| Timestamp(seconds.saturating_mul(1000)));
        let written = annotations[EXPIRES_ANNOTATION].as_str();
        let written = written.and_then(|text| text.parse::<jiff::Timestamp>().ok());
        let written = written.map(|time| Timestamp(time.as_millisecond()));
        // The token itself knows best; the annotation counts where it is shorter or the token does not say.
        let expires = match (claim("exp"), written) {
            (Some(one), Some(other)) => one.min(other),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => return Err(refused(EXPIRES_ANNOTATION)),
        };
        Ok(Some(Self {
            account_namespace: account_namespace.to_owned(),
            account_name: account_name.to_owned(),
            issued: claim("iat"),
            expires,
        }))
    }

    /// Life in seconds, as far as it is known.
    fn life(&self) -> i64 {
        let known = self.issued.map(|issued| (self.expires.0.saturating_sub(issued.0)) / 1000);
        known.unwrap_or(USUAL_LIFE).max(SHORTEST_LIFE)
    }

    /// When two fifths of its life are over: "before half" with room for a few failures.
    fn due(&self) -> Timestamp {
        self.expires.plus_seconds(-(self.life() * 3 / 5))
    }
}

/// The claims of a JSON web token (RFC 7519). They are believed about nothing but time.
fn claims_of(token: &[u8]) -> Option<Value> {
    let payload = token.split(|byte| *byte == b'.').nth(1)?;
    serde_json::from_slice(&BASE64URL_NOPAD.decode(payload).ok()?).ok()
}

async fn request(member: &Host, token: &Token) -> Result<(String, Timestamp), TokenError> {
    let place = Place::object(SERVICE_ACCOUNTS, &token.account_namespace, &token.account_name).sub("token");
    let body = json!({
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": token.life()},
    });
    let answer = member.create(place, &body, LIMIT).await.map_err(TokenError::Member)?;
    let next = answer["status"]["token"].as_str().unwrap_or_default();
    if next.is_empty() || next.len() > TOKEN_LIMIT || !next.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(TokenError::Unusable("it is empty, too long, or no token"));
    }
    let expires = answer["status"]["expirationTimestamp"].as_str().and_then(|text| text.parse().ok());
    let expires = expires.map(|time: jiff::Timestamp| Timestamp(time.as_millisecond()));
    Ok((next.to_owned(), expires.ok_or(TokenError::Unusable("it does not say when it ends"))?))
}

fn rfc3339(time: Timestamp) -> String {
    format!("{:.0}", jiff::Timestamp::from_millisecond(time.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH))
}

/// The members of now: their names and Secrets, and a client for each that can be reached.
pub trait Members: Send + Sync {
    /// Every member with the Secret that its client is made from.
    fn secrets(&self) -> Vec<(ClusterName, SecretRef)>;

    /// A client of a member; none while there is none.
    fn client(&self, cluster: &ClusterName) -> Option<Client>;
}

/// Renews the tokens of all members for as long as it is polled, while this replica holds the lease. Failures are told
/// on the KubeFedCluster, which is in the namespace of the Secret.
pub async fn keep_renewed(
    host: Client,
    members: Arc<dyn Members>,
    leadership: watch::Receiver<Leadership>,
    recorder: Recorder,
) {
    let mut calendar: HashMap<ClusterName, Appointment> = HashMap::new();
    let spread = RandomState::new();
    loop {
        if leadership.borrow().may_write().is_some() {
            let secrets = members.secrets();
            calendar.retain(|cluster, _| secrets.iter().any(|(name, _)| name == cluster));
            let now = Instant::now();
            let due = secrets.into_iter().filter(|(cluster, secret)| {
                calendar.get(cluster).is_none_or(|entry| entry.secret != *secret || entry.at <= now)
            });
            let outcomes = stream::iter(due.collect::<Vec<_>>())
                .map(|(cluster, secret)| look_after(&host, &*members, cluster, secret))
                .buffer_unordered(AT_ONCE);
            let outcomes: Vec<_> = outcomes.collect().await;
            for (cluster, secret, outcome) in outcomes {
                let failures = calendar.get(&cluster).map_or(0, |entry| entry.failures);
                let (pause, failures) = match &outcome {
                    Ok(Renewal::NotDue(due)) => (until(*due).clamp(TICK, ROUND), 0),
                    Ok(Renewal::NotOurs | Renewal::Renewed(_)) => (ROUND, 0),
                    Err(_) => (FIRST_PAUSE.saturating_mul(1 << failures.min(10)).min(LONGEST_PAUSE), failures + 1),
                };
                let share = spread.hash_one((&cluster, failures)) % 100;
                let pause = pause.mul_f64(1.0 + f64::from(u32::try_from(share).unwrap_or(0)) / 1000.0);
                report(&recorder, &cluster, &secret, &outcome);
                calendar.insert(cluster, Appointment { secret, at: Instant::now() + pause, failures });
            }
        }
        tokio::time::sleep(TICK).await;
    }
}

struct Appointment {
    secret: SecretRef,
    at: Instant,
    failures: u32,
}

async fn look_after(
    host: &Client,
    members: &dyn Members,
    cluster: ClusterName,
    secret: SecretRef,
) -> (ClusterName, SecretRef, Result<Renewal, TokenError>) {
    let Some(member) = members.client(&cluster) else {
        // Why there is none is a condition of the cluster already.
        return (cluster, secret, Ok(Renewal::NotOurs));
    };
    let outcome = renew(host, &member, &secret, now()).await;
    (cluster, secret, outcome)
}

fn now() -> Timestamp {
    Timestamp(jiff::Timestamp::now().as_millisecond())
}

/// From now until then; nothing if that is past.
fn until(then: Timestamp) -> Duration {
    Duration::from_millis(u64::try_from(then.0.saturating_sub(now().0)).unwrap_or(0))
}

fn report(recorder: &Recorder, cluster: &ClusterName, secret: &SecretRef, outcome: &Result<Renewal, TokenError>) {
    let error = match outcome {
        Ok(Renewal::NotOurs | Renewal::NotDue(_)) => return,
        Ok(Renewal::Renewed(expires)) => {
            tracing::info!(cluster = &**cluster, expires = rfc3339(*expires), "the token of a cluster was renewed");
            return;
        }
        Err(error) => chain(error),
    };
    tracing::warn!(cluster = &**cluster, error, "the token of a cluster was not renewed");
    recorder.tell(Notice {
        regarding: Regarding {
            api_version: format!("{}/{}", CLUSTERS.group, CLUSTERS.version),
            kind: "KubeFedCluster".to_owned(),
            namespace: secret.namespace.clone(),
            name: cluster.to_string(),
            uid: None,
        },
        reason: "TokenRenewalFailed".to_owned(),
        about: "".into(),
        note: error,
        is_warning: true,
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(annotations: &Value, claims: Option<&Value>) -> Value {
        let token = claims.map(|claims| {
            let payload = BASE64URL_NOPAD.encode(claims.to_string().as_bytes());
            BASE64.encode(format!("head.{payload}.signature").as_bytes())
        });
        json!({"metadata": {"annotations": annotations}, "data": {"token": token}})
    }

    fn annotations(expires: &str) -> Value {
        json!({SERVICE_ACCOUNT_ANNOTATION: "fed/c1-host", EXPIRES_ANNOTATION: expires})
    }

    fn token(object: &Value) -> Token {
        Token::of(object, "c1").expect("annotations").expect("a token of ours")
    }

    #[test]
    fn a_token_is_due_before_half_of_its_life() {
        let token = token(&secret(&annotations("1970-01-02T00:00:00Z"), Some(&json!({"iat": 0, "exp": 86_400}))));
        assert_eq!((token.life(), token.due()), (86_400, Timestamp(34_560_000)));
        assert!(token.due() < Timestamp(43_200_000));
    }

    #[test]
    fn the_earlier_of_both_ends_counts() {
        let claims = json!({"iat": 0, "exp": 86_400});
        let early = token(&secret(&annotations("1970-01-01T10:00:00Z"), Some(&claims)));
        assert_eq!(early.expires, Timestamp(36_000_000));
        let late = token(&secret(&annotations("1970-01-05T00:00:00Z"), Some(&claims)));
        assert_eq!(late.expires, Timestamp(86_400_000));
    }

    #[test]
    fn a_token_that_says_nothing_is_judged_by_the_annotation() {
        let opaque = token(&secret(&annotations("1970-01-03T00:00:00Z"), None));
        assert_eq!(opaque.due(), Timestamp((2 * 86_400 - 86_400 * 3 / 5) * 1000));
        let refused = Token::of(&secret(&annotations("tomorrow"), None), "c1");
        assert!(matches!(refused, Err(TokenError::Annotation { annotation: EXPIRES_ANNOTATION, .. })));
    }

    #[test]
    fn a_secret_that_is_not_marked_is_not_ours() {
        assert!(Token::of(&secret(&json!({}), None), "c1").expect("nothing to refuse").is_none());
        for account in ["", "c1-host", "/c1", "fed/"] {
            let marked = json!({SERVICE_ACCOUNT_ANNOTATION: account});
            assert!(Token::of(&secret(&marked, None), "c1").is_err(), "{account:?}");
        }
    }
}
