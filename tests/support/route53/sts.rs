//! As much of the Security Token Service (2011-06-15) as credentials need.

use std::collections::BTreeMap;

use super::{Inner, refusal::Refusal, xml::Writer};

const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

/// The action of a form.
pub(super) fn action(form: &BTreeMap<String, String>) -> &'static str {
    match form.get("Action").map(String::as_str) {
        Some("AssumeRole") => "AssumeRole",
        Some("AssumeRoleWithWebIdentity") => "AssumeRoleWithWebIdentity",
        _ => "Unknown",
    }
}

/// A session of the role.
///
/// # Errors
///
/// If the role is not allowed, or the external ID or the token is missing or wrong.
pub(super) fn assume(
    inner: &mut Inner,
    action: &'static str,
    identity: &str,
    form: &BTreeMap<String, String>,
) -> Result<String, Refusal> {
    let text = |key: &str| form.get(key).map_or("", String::as_str);
    let (arn, web) = (text("RoleArn"), action == "AssumeRoleWithWebIdentity");
    if action == "Unknown" {
        return Err(Refusal::new(400, "InvalidAction", format!("Could not find operation {}", text("Action"))));
    }
    let allowed = inner.roles.get(arn).is_some_and(|external_id| match external_id {
        Some(external_id) => text("ExternalId") == external_id,
        None => true,
    });
    if !allowed {
        let message = if web {
            "Not authorized to perform sts:AssumeRoleWithWebIdentity".to_owned()
        } else {
            format!("User: {identity} is not authorized to perform: sts:AssumeRole on resource: {arn}")
        };
        return Err(Refusal::new(403, "AccessDenied", message));
    }
    if web && text("WebIdentityToken").is_empty() {
        return Err(Refusal::new(
            400,
            "InvalidIdentityToken",
            "The web identity token that was passed could not be validated",
        ));
    }
    let key = format!("ASIA{:016}", inner.number());
    inner.sessions.insert(key.clone(), arn.to_owned());
    let (response, result) = if web {
        ("AssumeRoleWithWebIdentityResponse", "AssumeRoleWithWebIdentityResult")
    } else {
        ("AssumeRoleResponse", "AssumeRoleResult")
    };
    let mut writer = Writer::new(response, NAMESPACE);
    writer.element(result, |result| {
        result.element("Credentials", |credentials| {
            credentials.leaf("AccessKeyId", &key);
            credentials.leaf("SecretAccessKey", "secret");
            credentials.leaf("SessionToken", &format!("token-of-{key}"));
            credentials.leaf("Expiration", "2099-01-01T00:00:00Z");
        });
        result.element("AssumedRoleUser", |user| {
            user.leaf(
                "Arn",
                &format!(
                    "{}/{}",
                    arn.replace(":iam:", ":sts:").replace(":role/", ":assumed-role/"),
                    text("RoleSessionName")
                ),
            );
            user.leaf("AssumedRoleId", &format!("AROA{key}:{}", text("RoleSessionName")));
        });
    });
    writer.element("ResponseMetadata", |metadata| metadata.leaf("RequestId", "00000000-0000-0000-0000-000000000000"));
    Ok(writer.finish())
}
