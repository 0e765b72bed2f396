//! Requests: who asks, for what, and what goes wrong on the way.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex},
    time::Instant,
};

use http_body_util::{BodyExt as _, Full};
use hyper::{
    Method, Request, Response,
    body::{Bytes, Incoming},
    header::AUTHORIZATION,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, task::JoinSet};

use super::{
    Call, Fault, Inner, batch, lock,
    name::Name,
    rdata,
    refusal::Refusal,
    sts,
    xml::{Element, NAMESPACE, Writer},
    zone::{Place, Zone},
};

/// When everything happened that is told with a time.
const TIME: &str = "2026-01-01T00:00:00.000Z";
/// Most zones on a page (`ListHostedZones`, "`MaxItems`").
const ZONES_PER_PAGE: usize = 100;
/// Most sets on a page (`ListResourceRecordSets`, "`MaxItems`").
const SETS_PER_PAGE: usize = 300;
/// Most resources whose tags are told at once (`ListTagsForResources`, "`ResourceIds`").
const RESOURCES_PER_CALL: usize = 10;

/// A connection that is broken on purpose.
#[derive(Debug)]
struct Cut;

impl fmt::Display for Cut {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("cut")
    }
}

impl std::error::Error for Cut {}

/// A request that has been read.
struct Asked {
    method: Method,
    /// Without the version: `["hostedzone", "Z1", "rrset"]`.
    path: Vec<String>,
    query: BTreeMap<String, String>,
    body: String,
    /// The credential scope of the signature: access key, date, region, service.
    scope: Vec<String>,
}

/// Answers for ever.
pub(super) async fn serve(listener: &TcpListener, inner: &Arc<Mutex<Inner>>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let inner = Arc::clone(inner);
                connections.spawn(async move {
                    let service = service_fn(|request| respond(Arc::clone(&inner), request));
                    // A client that goes away is no concern of ours.
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn respond(inner: Arc<Mutex<Inner>>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Cut> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Cut)?.to_bytes();
    let authorization = head.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let scope =
        authorization.split_once("Credential=").and_then(|(_, rest)| rest.split(',').next()).unwrap_or_default();
    let decode = |text: &str| percent_decode(text);
    let asked = Asked {
        method: head.method,
        path: head.uri.path().split('/').filter(|part| !part.is_empty()).map(decode).collect(),
        query: form(head.uri.query().unwrap_or_default()),
        body: String::from_utf8_lossy(&body).into_owned(),
        scope: scope.split('/').map(str::to_owned).collect(),
    };
    let (answer, fault, number) = settle(&mut lock(&inner), &asked);
    let request_id = format!("00000000-0000-0000-0000-{number:012}");
    match fault {
        Some(Fault::Hang | Fault::HangAfter) => std::future::pending().await,
        Some(Fault::Cut | Fault::CutAfter) => return Err(Cut),
        Some(Fault::Garbage) => {
            return Ok(reply(200, &request_id, b"<html><body>It works!</body></html>".to_vec()));
        }
        _ => {}
    }
    Ok(match answer {
        Ok(document) if fault == Some(Fault::Half) => {
            reply(200, &request_id, document.as_bytes()[..document.len() / 2].to_vec())
        }
        Ok(document) => reply(200, &request_id, document.into_bytes()),
        Err(refusal) => reply(refusal.status, &request_id, refusal.document(&request_id).into_bytes()),
    })
}

fn reply(status: u16, request_id: &str, body: Vec<u8>) -> Response<Full<Bytes>> {
    let response = Response::builder()
        .status(status)
        .header("content-type", "text/xml")
        .header("x-amzn-requestid", request_id)
        .body(Full::new(Bytes::from(body)));
    response.expect("headers that can be sent")
}

/// What is answered, and what becomes of the answer.
fn settle(inner: &mut Inner, asked: &Asked) -> (Result<String, Refusal>, Option<Fault>, u64) {
    let number = inner.number();
    let sts_form = (asked.method == Method::POST && asked.path.is_empty()).then(|| form(&asked.body));
    let action = sts_form.as_ref().map_or_else(|| action(asked), sts::action);
    let key = asked.scope.first().cloned().unwrap_or_default();
    let identity = inner.sessions.get(&key).cloned().unwrap_or(key);
    let zone_id =
        (asked.path.get(1).is_some_and(|part| part == "hostedzone")).then(|| asked.path.get(2).cloned()).flatten();
    let fault = inner.fault(action);
    let refusal = match &fault {
        Some(fault) => refusal(fault, &identity, action, zone_id.as_deref()),
        None if sts_form.is_none() && inner.too_many() => Some(Refusal::throttled()),
        None => None,
    };
    let without_effect = matches!(fault, Some(Fault::Hang | Fault::Cut | Fault::Garbage));
    let answer = match (refusal, &sts_form) {
        (Some(refusal), _) => Err(refusal),
        (None, _) if without_effect => Ok(String::new()),
        (None, Some(form)) => sts::assume(inner, action, &identity, form),
        (None, None) => signed(asked)
            .and_then(|()| authorized(inner, action, &identity, asked))
            .and_then(|()| dispatch(inner, action, asked)),
    };
    let refused = answer.as_ref().err().map(|refusal| refusal.code.to_owned());
    inner.log.push(Call { action: action.to_owned(), identity, zone_id, refused });
    (answer, fault, number)
}

/// The refusal that a fault is.
fn refusal(fault: &Fault, identity: &str, action: &str, zone_id: Option<&str>) -> Option<Refusal> {
    let refusal = match fault {
        Fault::Throttled => Refusal::throttled(),
        Fault::PriorRequestNotComplete => Refusal::prior_request(),
        Fault::NoSuchHostedZone => Refusal::no_zone(zone_id.unwrap_or_default()),
        Fault::AccessDenied => {
            let resource = zone_id.map_or_else(|| "*".to_owned(), |id| format!("arn:aws:route53:::hostedzone/{id}"));
            denied(identity, action, &resource)
        }
        Fault::ExpiredToken => {
            Refusal::new(403, "ExpiredToken", "The security token included in the request is expired")
        }
        Fault::InvalidClientTokenId => {
            Refusal::new(403, "InvalidClientTokenId", "The security token included in the request is invalid.")
        }
        Fault::InternalFailure => Refusal::new(
            500,
            "InternalFailure",
            "The request processing has failed because of an unknown error, exception or failure.",
        ),
        Fault::ServiceUnavailable => {
            Refusal::new(503, "ServiceUnavailable", "The request has failed due to a temporary failure of the server.")
        }
        Fault::InvalidChangeBatch(problem) => Refusal::invalid_batch(std::slice::from_ref(problem)),
        Fault::Garbage | Fault::Half | Fault::Hang | Fault::HangAfter | Fault::Cut | Fault::CutAfter => return None,
    };
    Some(refusal)
}

/// Whether the request is signed by somebody, for this service.
fn signed(asked: &Asked) -> Result<(), Refusal> {
    let [_, _, region, service, _] = asked.scope.as_slice() else {
        return Err(Refusal::new(403, "MissingAuthenticationToken", "Missing Authentication Token"));
    };
    // The service is global, and lives in one region of each partition.
    if !["us-east-1", "us-gov-west-1", "cn-northwest-1"].contains(&region.as_str()) {
        let message = format!("Credential should be scoped to a valid region, not '{region}'. ");
        return Err(Refusal::new(403, "SignatureDoesNotMatch", message));
    }
    if service != "route53" {
        let message = format!("Credential should be scoped to correct service: 'route53', not '{service}'. ");
        return Err(Refusal::new(403, "SignatureDoesNotMatch", message));
    }
    Ok(())
}

/// Whether the policy allows it.
fn authorized(inner: &Inner, action: &str, identity: &str, asked: &Asked) -> Result<(), Refusal> {
    let Some(policy) = &inner.policy else { return Ok(()) };
    let zone = |id: &str| format!("arn:aws:route53:::hostedzone/{id}");
    let last = asked.path.last().map_or("", String::as_str);
    let changes = if action == "ChangeResourceRecordSets" { batch::parse(&asked.body)? } else { Vec::new() };
    let resources = match action {
        "GetHostedZone" | "ListTagsForResource" => vec![zone(last)],
        "ListResourceRecordSets" | "ChangeResourceRecordSets" => vec![zone(&asked.path[2])],
        "GetChange" => vec![format!("arn:aws:route53:::change/{last}")],
        "ListTagsForResources" => {
            let root = Element::parse(&asked.body).unwrap_or_default();
            root.child("ResourceIds")
                .map_or_else(Vec::new, |ids| ids.children.iter().map(|id| zone(&id.text)).collect())
        }
        _ => vec!["*".to_owned()],
    };
    match resources.iter().find(|resource| !policy.allows(action, resource, &changes)) {
        Some(resource) => Err(denied(identity, action, resource)),
        None => Ok(()),
    }
}

/// What somebody is told who may not do it.
fn denied(identity: &str, action: &str, resource: &str) -> Refusal {
    let resource = if resource == "*" { String::new() } else { format!(" on resource: {resource}") };
    let message = format!(
        "User: {identity} is not authorized to perform: route53:{action}{resource} because no identity-based policy allows \
         the route53:{action} action"
    );
    Refusal::new(403, "AccessDenied", message)
}

/// Which call it is.
fn action(asked: &Asked) -> &'static str {
    let path: Vec<&str> = asked.path.iter().map(String::as_str).collect();
    match (&asked.method, path.as_slice()) {
        (&Method::GET, ["2013-04-01", "hostedzone"]) => "ListHostedZones",
        (&Method::GET, ["2013-04-01", "hostedzonesbyname"]) => "ListHostedZonesByName",
        (&Method::GET, ["2013-04-01", "hostedzonecount"]) => "GetHostedZoneCount",
        (&Method::GET, ["2013-04-01", "hostedzone", _]) => "GetHostedZone",
        (&Method::GET, ["2013-04-01", "hostedzone", _, "rrset"]) => "ListResourceRecordSets",
        (&Method::POST, ["2013-04-01", "hostedzone", _, "rrset"]) => "ChangeResourceRecordSets",
        (&Method::GET, ["2013-04-01", "change", _]) => "GetChange",
        (&Method::GET, ["2013-04-01", "tags", "hostedzone", _]) => "ListTagsForResource",
        (&Method::POST, ["2013-04-01", "tags", "hostedzone"]) => "ListTagsForResources",
        _ => "Unknown",
    }
}

fn dispatch(inner: &mut Inner, action: &str, asked: &Asked) -> Result<String, Refusal> {
    let id = asked.path.last().map_or("", String::as_str);
    match action {
        "ListHostedZones" => list_zones(inner, &asked.query),
        "ListHostedZonesByName" => list_zones_by_name(inner, &asked.query),
        "GetHostedZoneCount" => {
            let mut writer = Writer::new("GetHostedZoneCountResponse", NAMESPACE);
            writer.leaf("HostedZoneCount", &inner.zones.len().to_string());
            Ok(writer.finish())
        }
        "GetHostedZone" => Ok(describe(zone(inner, id)?)),
        "ListResourceRecordSets" => list_sets(zone(inner, &asked.path[2])?, &asked.query),
        "ChangeResourceRecordSets" => change(inner, &asked.path[2], &asked.body),
        "GetChange" => {
            let insync = *inner
                .changes
                .get(id)
                .ok_or_else(|| Refusal::new(404, "NoSuchChange", format!("Could not find resource with ID: {id}")))?;
            let mut writer = Writer::new("GetChangeResponse", NAMESPACE);
            write_change(&mut writer, id, insync.is_some_and(|time| time <= Instant::now()));
            Ok(writer.finish())
        }
        "ListTagsForResource" => {
            let mut writer = Writer::new("ListTagsForResourceResponse", NAMESPACE);
            write_tags(&mut writer, zone(inner, id)?);
            Ok(writer.finish())
        }
        "ListTagsForResources" => list_tags(inner, &asked.body),
        _ => Err(Refusal::new(404, "UnknownOperationException", format!("{} /{}", asked.method, asked.path.join("/")))),
    }
}

fn zone<'a>(inner: &'a Inner, id: &str) -> Result<&'a Zone, Refusal> {
    // `HostedZoneId`, "Maximum".
    if id.len() > 32 {
        return Err(Refusal::validation(id, "hostedZoneId", "have length less than or equal to 32"));
    }
    inner.zones.get(id).ok_or_else(|| Refusal::no_zone(id))
}

/// How much is wanted on a page.
fn page(query: &BTreeMap<String, String>, most: usize) -> Result<usize, Refusal> {
    let Some(text) = query.get("maxitems") else { return Ok(most) };
    match text.parse::<usize>() {
        Ok(0) | Err(_) => Err(Refusal::validation(text, "maxItems", "have value greater than or equal to 1")),
        Ok(wanted) => Ok(wanted.min(most)),
    }
}

fn list_zones(inner: &Inner, query: &BTreeMap<String, String>) -> Result<String, Refusal> {
    let most = page(query, ZONES_PER_PAGE)?;
    let marker = query.get("marker").cloned();
    if let Some(marker) = marker.as_ref().filter(|&marker| !inner.zones.contains_key(marker)) {
        return Err(Refusal::invalid_input(format!("The specified marker is not valid: {marker}")));
    }
    let private = query.get("hostedzonetype").is_some_and(|kind| kind == "PrivateHostedZone");
    let zones = inner.zones.range(marker.clone().unwrap_or_default()..).map(|(_, zone)| zone);
    let zones: Vec<&Zone> = zones.filter(|zone| zone.private || !private).take(most + 1).collect();
    let mut writer = Writer::new("ListHostedZonesResponse", NAMESPACE);
    writer.element("HostedZones", |list| zones.iter().take(most).for_each(|zone| write_zone(list, zone)));
    writer.optional("Marker", marker.as_deref());
    writer.leaf("IsTruncated", truth(zones.len() > most));
    writer.optional("NextMarker", zones.get(most).map(|zone| zone.id.as_str()));
    writer.leaf("MaxItems", &most.to_string());
    Ok(writer.finish())
}

fn list_zones_by_name(inner: &Inner, query: &BTreeMap<String, String>) -> Result<String, Refusal> {
    let most = page(query, ZONES_PER_PAGE)?;
    let (name, id) = (query.get("dnsname"), query.get("hostedzoneid"));
    if id.is_some() && name.is_none() {
        return Err(Refusal::invalid_input("The input is not valid: hostedzoneid needs dnsname"));
    }
    let start = name.map(|name| Name::parse(name).map_err(|problem| Refusal::new(400, "InvalidDomainName", problem)));
    let start = (start.transpose()?.map(|name| name.order()).unwrap_or_default(), id.cloned().unwrap_or_default());
    let mut zones: Vec<((Vec<u8>, String), &Zone)> =
        inner.zones.values().map(|zone| ((zone.apex.order(), zone.id.clone()), zone)).collect();
    zones.sort_by(|(one, _), (other, _)| one.cmp(other));
    zones.retain(|(place, _)| place >= &start);
    let mut writer = Writer::new("ListHostedZonesByNameResponse", NAMESPACE);
    writer.element("HostedZones", |list| zones.iter().take(most).for_each(|(_, zone)| write_zone(list, zone)));
    writer.optional("DNSName", name.map(String::as_str));
    writer.optional("HostedZoneId", id.map(String::as_str));
    writer.leaf("IsTruncated", truth(zones.len() > most));
    if let Some((_, next)) = zones.get(most) {
        writer.leaf("NextDNSName", &next.apex.escaped());
        writer.leaf("NextHostedZoneId", &next.id);
    }
    writer.leaf("MaxItems", &most.to_string());
    Ok(writer.finish())
}

fn describe(zone: &Zone) -> String {
    let mut writer = Writer::new("GetHostedZoneResponse", NAMESPACE);
    write_zone(&mut writer, zone);
    if zone.private {
        writer.element("VPCs", |list| {
            list.element("VPC", |vpc| {
                vpc.leaf("VPCRegion", "us-east-1");
                vpc.leaf("VPCId", "vpc-0123456789abcdef0");
            });
        });
    } else {
        writer.element("DelegationSet", |set| {
            set.element("NameServers", |servers| {
                let own = zone.sets().find(|set| set.kind == "NS" && set.name == zone.apex.escaped());
                for server in own.map(|set| set.values.as_slice()).unwrap_or_default() {
                    servers.leaf("NameServer", server.trim_end_matches('.'));
                }
            });
        });
    }
    writer.finish()
}

fn list_sets(zone: &Zone, query: &BTreeMap<String, String>) -> Result<String, Refusal> {
    let most = page(query, SETS_PER_PAGE)?;
    let (name, kind, identifier) = (query.get("name"), query.get("type"), query.get("identifier"));
    if (kind.is_some() && name.is_none()) || (identifier.is_some() && kind.is_none()) {
        return Err(Refusal::invalid_input("The input is not valid: identifier needs type, and type needs name"));
    }
    if let Some(kind) = kind.filter(|kind| !rdata::TYPES.contains(&kind.as_str())) {
        let constraint = format!("satisfy enum value set: [{}]", rdata::TYPES.join(", "));
        return Err(Refusal::validation(kind, "type", &constraint));
    }
    let order =
        name.map(|name| Name::parse(name).map(|name| name.order())).transpose().map_err(Refusal::invalid_input)?;
    let start: Place = (order.unwrap_or_default(), kind.cloned().unwrap_or_default(), identifier.cloned());
    let sets: Vec<_> = zone.from(&start).take(most + 1).collect();
    let mut writer = Writer::new("ListResourceRecordSetsResponse", NAMESPACE);
    writer.element("ResourceRecordSets", |list| sets.iter().take(most).for_each(|set| set.write(list)));
    writer.leaf("IsTruncated", truth(sets.len() > most));
    if let Some(next) = sets.get(most) {
        writer.leaf("NextRecordName", &next.name);
        writer.leaf("NextRecordType", &next.kind);
        writer.optional("NextRecordIdentifier", next.set_identifier.as_deref());
    }
    writer.leaf("MaxItems", &most.to_string());
    Ok(writer.finish())
}

fn change(inner: &mut Inner, zone_id: &str, body: &str) -> Result<String, Refusal> {
    zone(inner, zone_id)?;
    let changes = batch::parse(body)?;
    let now = Instant::now();
    if inner.busy.get(zone_id).is_some_and(|&until| now < until) {
        return Err(Refusal::prior_request());
    }
    if let Some(problem) = changes.iter().find_map(|change| inner.refused.get(&change.set.name)) {
        return Err(Refusal::invalid_batch(std::slice::from_ref(problem)));
    }
    let (quota, checks) = (inner.quota, inner.health_checks.clone());
    let zone = inner.zones.get_mut(zone_id).ok_or_else(|| Refusal::no_zone(zone_id))?;
    zone.apply(&changes, quota, &checks).map_err(|problems| Refusal::invalid_batch(&problems))?;
    inner.batches.entry(zone_id.to_owned()).or_default().push(changes);
    if let Some(until) = now.checked_add(inner.busy_for) {
        inner.busy.insert(zone_id.to_owned(), until);
    }
    let id = format!("C{:020}", inner.number());
    inner.changes.insert(id.clone(), now.checked_add(inner.pending));
    let mut writer = Writer::new("ChangeResourceRecordSetsResponse", NAMESPACE);
    // As the service: not in sync before somebody has asked.
    write_change(&mut writer, &id, false);
    Ok(writer.finish())
}

fn list_tags(inner: &Inner, body: &str) -> Result<String, Refusal> {
    let root = Element::parse(body).filter(|root| root.name == "ListTagsForResourcesRequest");
    let ids = root.as_ref().and_then(|root| root.child("ResourceIds")).map_or(&[][..], |ids| &ids.children);
    if ids.is_empty() || ids.len() > RESOURCES_PER_CALL {
        let told: Vec<&str> = ids.iter().map(|id| id.text.as_str()).collect();
        let constraint = if ids.is_empty() {
            "have length greater than or equal to 1".to_owned()
        } else {
            format!("have length less than or equal to {RESOURCES_PER_CALL}")
        };
        return Err(Refusal::validation(&format!("[{}]", told.join(", ")), "resourceIds", &constraint));
    }
    let zones: Vec<&Zone> = ids.iter().map(|id| zone(inner, &id.text)).collect::<Result<_, _>>()?;
    let mut writer = Writer::new("ListTagsForResourcesResponse", NAMESPACE);
    writer.element("ResourceTagSets", |sets| zones.iter().for_each(|zone| write_tags(sets, zone)));
    Ok(writer.finish())
}

fn write_zone(writer: &mut Writer, zone: &Zone) {
    writer.element("HostedZone", |element| {
        element.leaf("Id", &format!("/hostedzone/{}", zone.id));
        element.leaf("Name", &zone.apex.escaped());
        element.leaf("CallerReference", &format!("reference-of-{}", zone.id));
        element.element("Config", |config| config.leaf("PrivateZone", truth(zone.private)));
        element.leaf("ResourceRecordSetCount", &zone.len().to_string());
    });
}

fn write_tags(writer: &mut Writer, zone: &Zone) {
    writer.element("ResourceTagSet", |set| {
        set.leaf("ResourceType", "hostedzone");
        set.leaf("ResourceId", &zone.id);
        set.element("Tags", |tags| {
            for (key, value) in &zone.tags {
                tags.element("Tag", |tag| {
                    tag.leaf("Key", key);
                    tag.leaf("Value", value);
                });
            }
        });
    });
}

fn write_change(writer: &mut Writer, id: &str, insync: bool) {
    writer.element("ChangeInfo", |info| {
        info.leaf("Id", &format!("/change/{id}"));
        info.leaf("Status", if insync { "INSYNC" } else { "PENDING" });
        info.leaf("SubmittedAt", TIME);
    });
}

fn truth(truth: bool) -> &'static str {
    if truth { "true" } else { "false" }
}

/// Pairs of a query or a form.
fn form(text: &str) -> BTreeMap<String, String> {
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(key, value)| (percent_decode(key), percent_decode(&value.replace('+', " ")))).collect()
}

/// Text without `%XX` (RFC 3986 section 2.1).
fn percent_decode(text: &str) -> String {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let code = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let octet = code.and_then(|digits| u8::from_str_radix(digits, 16).ok()).filter(|_| first == b'%');
        octets.push(octet.unwrap_or(first));
        rest = octet.map_or(after, |_| &after[2..]);
    }
    String::from_utf8_lossy(&octets).into_owned()
}
