//! Probing a member: its own word on whether it is ready.

use std::time::Duration;

use kube::Client;
use mcdns_core::health::ProbeOutcome;

use super::{
    ask::{self, Form},
    fault::{Fault, shorten},
};

/// Largest answer of a probe that is read.
const MAX_ANSWER: u64 = 64 << 10;

/// Asks `/readyz`, and `/healthz` where there is no such path (before Kubernetes 1.16), in `timeout` together.
pub(super) async fn probe(client: &Client, timeout: Duration) -> ProbeOutcome {
    let ask = async {
        match ask::whole(client, "/readyz", Form::Objects, timeout, MAX_ANSWER).await {
            Err(Fault::NotFound) => ask::whole(client, "/healthz", Form::Objects, timeout, MAX_ANSWER).await,
            answer => answer,
        }
    };
    let answer = tokio::time::timeout(timeout, ask).await.unwrap_or(Err(Fault::Timeout));
    match answer {
        Ok(text) if text.trim_ascii().eq_ignore_ascii_case(b"ok") => ProbeOutcome::Ready,
        Ok(text) => ProbeOutcome::NotReady(format!("it answers \"{}\"", shorten(&String::from_utf8_lossy(&text)))),
        Err(fault) => outcome(fault, timeout),
    }
}

fn outcome(fault: Fault, timeout: Duration) -> ProbeOutcome {
    match fault {
        Fault::Unauthorized(said) => ProbeOutcome::Unauthorized(said),
        Fault::Forbidden(_) => ProbeOutcome::Unauthorized("it may not get /readyz and /healthz".to_owned()),
        Fault::Certificate(said) => ProbeOutcome::CertificateRejected(said),
        Fault::Unreachable(said) => ProbeOutcome::NotReachable(said),
        Fault::Cut(_) => ProbeOutcome::NotReachable("the connection broke off".to_owned()),
        Fault::Timeout => ProbeOutcome::NotReachable(format!("no answer within {} s", timeout.as_secs_f32())),
        Fault::NotFound => ProbeOutcome::NotReady("it has neither /readyz nor /healthz".to_owned()),
        Fault::Status(_, said) if said.starts_with("[-]") => ProbeOutcome::NotReady(said),
        Fault::Status(code, _) => ProbeOutcome::NotReady(format!("it answers with status {code}")),
        Fault::Busy(_) => ProbeOutcome::NotReady("it has too many requests".to_owned()),
        Fault::Gone | Fault::Refused(_) | Fault::Garbage(_) | Fault::TooLarge => {
            ProbeOutcome::NotReady("it answers something else than `ok`".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_told_apart_for_the_person_who_mends_them() {
        let timeout = Duration::from_secs(3);
        let of = |fault| outcome(fault, timeout);
        assert!(matches!(of(Fault::Unauthorized(String::new())), ProbeOutcome::Unauthorized(_)));
        assert!(matches!(of(Fault::Forbidden(String::new())), ProbeOutcome::Unauthorized(_)));
        assert!(matches!(of(Fault::Certificate(String::new())), ProbeOutcome::CertificateRejected(_)));
        assert_eq!(of(Fault::Timeout), ProbeOutcome::NotReachable("no answer within 3 s".to_owned()));
        let said = Fault::of_status(500, "[+]ping ok\n[-]etcd failed: reason withheld\nreadyz check failed", 0);
        assert_eq!(of(said), ProbeOutcome::NotReady("[-]etcd failed: reason withheld".to_owned()));
    }
}
