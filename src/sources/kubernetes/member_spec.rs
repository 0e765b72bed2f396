//! What a KubeFedCluster says about reaching its member, and when its status was last written by a probe.

use mcdns_core::model::Timestamp;
use serde::Deserialize;

/// A member as the host describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MemberSpec {
    /// How to reach it.
    pub(super) reach: Reach,
    /// The latest `lastProbeTime` of its conditions.
    pub(super) probed: Option<Timestamp>,
}

/// `spec` of a KubeFedCluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Reach {
    /// URL, or host with or without a port.
    pub(super) api_endpoint: String,
    /// PEM in base64.
    pub(super) ca_bundle: Option<String>,
    /// `*`, `SubjectName` or `ValidityPeriod`.
    #[serde(rename = "disabledTLSValidations")]
    pub(super) disabled_tls_validations: Option<Vec<String>>,
    /// Proxy on the way there.
    #[serde(rename = "proxyURL")]
    pub(super) proxy_url: Option<String>,
    /// Secret in the namespace of the object.
    pub(super) secret_ref: SecretReference,
}

/// `spec.secretRef`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default)]
pub(super) struct SecretReference {
    /// Name of the Secret.
    pub(super) name: String,
}

/// Reads the object; what is of the wrong shape counts as not being there, and then says so when it is used.
pub(super) fn read(text: &str) -> Option<MemberSpec> {
    #[derive(Deserialize)]
    struct Object {
        spec: Option<serde_json::Value>,
        status: Option<Status>,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Status {
        conditions: Option<Vec<Condition>>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Condition {
        last_probe_time: Option<String>,
    }
    let object: Object = serde_json::from_str(text).ok()?;
    let reach = object.spec.and_then(|spec| serde_json::from_value(spec).ok()).unwrap_or_default();
    let conditions = object.status.unwrap_or_default().conditions.unwrap_or_default();
    let times = conditions.iter().filter_map(|condition| condition.last_probe_time.as_deref()?.parse().ok());
    let probed = times.map(|time: jiff::Timestamp| Timestamp(time.as_millisecond())).max();
    Some(MemberSpec { reach, probed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_probe_of_the_conditions_counts() {
        let text = r#"{"spec": {"apiEndpoint": "https://a", "secretRef": {"name": "s"}, "proxyURL": "http://p:1"},
            "status": {"conditions": [{"type": "Ready", "lastProbeTime": "1970-01-01T00:00:01Z"},
            {"type": "Offline", "lastProbeTime": "1970-01-01T00:00:02Z"}]}}"#;
        let spec = read(text).expect("a cluster");
        assert_eq!(spec.probed, Some(Timestamp(2000)));
        assert_eq!(spec.reach.secret_ref.name, "s");
        assert_eq!(spec.reach.proxy_url.as_deref(), Some("http://p:1"));
    }

    #[test]
    fn a_spec_of_the_wrong_shape_counts_as_missing() {
        let spec = read(r#"{"spec": {"apiEndpoint": 7}}"#).expect("a cluster");
        assert_eq!(spec.reach, Reach::default());
    }
}
