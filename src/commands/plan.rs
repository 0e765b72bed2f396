//! `mcdns plan`: what publishers would change, and why.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail};
use mcdns_core::{
    dns::OwnerName,
    model::Timestamp,
    plan::{GuardOptions, Plan, SkipReason, to_json, to_markdown, to_text},
    records::Engine,
};
use mcdns_publish::{EngineSource, PublishError, PublishedZone, Publishing, Reviewed, WithEngine};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::{Outcome, admin_port, load, publishers::destinations, small_runtime};
use crate::{
    args::{self, PlanOutput},
    output::Output,
    settings::Settings,
};

/// How long a plan may take: a large zone is read page by page, five a second.
const PATIENCE: Duration = Duration::from_mins(5);

/// What is asked of the running program.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct PlanQuery {
    /// `text`, `json` or `markdown`.
    pub(crate) output: PlanOutput,
    /// Only this publisher.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) to: Option<String>,
    /// Of the plan to apply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) checksum: Option<String>,
    /// Apply what is held too.
    #[serde(default)]
    pub(crate) force: bool,
}

/// What the running program says.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PlanAnswer {
    /// To be printed.
    pub(crate) text: String,
    /// What could not be read, a line each.
    pub(crate) failed: Vec<String>,
    /// True if something wanted is not published and will not be by itself.
    pub(crate) findings: bool,
}

/// Prints plans, or has one applied.
pub(super) fn plan(arguments: &args::Plan, settings: &Settings, output: Output) -> Result<Outcome> {
    let answer = match &arguments.directory {
        Some(path) => {
            let loaded = load::load(path, settings, output)?;
            from_engine(loaded.engine, arguments, settings)?
        }
        None => ask(arguments, settings.admin.value)?,
    };
    output.print(&answer.text)?;
    for failed in &answer.failed {
        output.say(failed);
    }
    Ok(if answer.findings { Outcome::Findings } else { Outcome::Fine })
}

/// Answers `/plan` of the admin port.
pub(crate) async fn answer(publishing: &Publishing, query: &PlanQuery) -> PlanAnswer {
    let to = query.to.as_deref();
    if let Some(checksum) = &query.checksum {
        let (text, findings) = match publishing.apply(to, checksum, query.force).await {
            Reviewed::Applied(step) => {
                let whole = step.error.is_none() && step.again.is_empty();
                let error = step.error.map(|error| format!("; then: {error}")).unwrap_or_default();
                (format!("{} changes applied{error}\n", step.done), !whole)
            }
            Reviewed::Outdated => {
                let help = "look at the plan again; what is held has its own checksum, and needs --force";
                (format!("no plan has this checksum now, and nothing was changed\n  help: {help}\n"), true)
            }
            Reviewed::Failed(PublishError::NotLeader) => {
                ("this program does not hold the lock; ask the one that does\n".to_owned(), true)
            }
            Reviewed::Failed(error) => (format!("nothing was changed: {error}\n"), true),
        };
        return PlanAnswer { text, failed: Vec::new(), findings };
    }
    let (plans, failed) = publishing.plans(to).await;
    rendered(&plans, failed, query.output)
}

/// Plans against what stands there now, for what a directory gives.
fn from_engine(engine: Engine, arguments: &args::Plan, settings: &Settings) -> Result<PlanAnswer> {
    let (destinations, _) = destinations(&settings.publish.value, settings.empty_levels.value);
    let Some(manager) = &settings.publish.value.manager else {
        bail!("nothing is published\n  help: set publish.manager and publish.to in the settings");
    };
    let names: Vec<&str> = destinations.iter().map(|one| one.publisher.name()).collect();
    if let Some(to) = arguments.to.as_deref().filter(|to| !names.contains(to)) {
        bail!("there is no publisher {to}\n  help: there are {}", names.join(", "));
    }
    let engine = Arc::new(engine);
    let with_engine: WithEngine = Arc::new(move |ask| ask(&engine));
    let (mut plans, mut failed) = (Vec::new(), Vec::new());
    small_runtime()?.block_on(async {
        for one in destinations.iter().filter(|one| arguments.to.as_deref().is_none_or(|to| to == one.publisher.name()))
        {
            let source = EngineSource::new(with_engine.clone(), one.empty_levels);
            for apex in &one.zones {
                let (_, leadership) = watch::channel(false);
                let (publisher, manager, guard) = (one.publisher.clone(), manager.clone(), GuardOptions::default());
                let leadership = Arc::new(leadership);
                let zone = PublishedZone::new(publisher, manager, apex.clone(), one.options, guard, leadership);
                match zone.preview(&source, Timestamp(0)).await {
                    Ok(plan) => plans.push(plan),
                    Err(error) => failed.push((one.publisher.name().to_owned(), apex.clone(), error)),
                }
            }
        }
    });
    Ok(rendered(&plans, failed, arguments.output))
}

fn rendered(plans: &[Plan], failed: Vec<(String, OwnerName, PublishError)>, output: PlanOutput) -> PlanAnswer {
    let text = match output {
        PlanOutput::Text => to_text(plans),
        PlanOutput::Markdown => to_markdown(plans),
        // Plans are plain data, which always has a JSON form.
        PlanOutput::Json => serde_json::to_string_pretty(&to_json(plans)).unwrap_or_default() + "\n",
    };
    let left = |plan: &Plan| {
        let by_policy = |why: &SkipReason| matches!(why, SkipReason::Policy(_));
        !plan.held.is_empty() || plan.skipped.iter().any(|skipped| !by_policy(&skipped.why))
    };
    let findings = !failed.is_empty() || plans.iter().any(left);
    let failed = failed.into_iter().map(|(publisher, apex, error)| format!("{publisher} {apex}: {error}"));
    PlanAnswer { text, failed: failed.collect(), findings }
}

fn ask(arguments: &args::Plan, admin: SocketAddr) -> Result<PlanAnswer> {
    let checksum = arguments.apply.then(|| arguments.checksum.clone()).flatten();
    let method = if arguments.apply { "POST" } else { "GET" };
    let form = match arguments.output {
        PlanOutput::Text => "text",
        PlanOutput::Json => "json",
        PlanOutput::Markdown => "markdown",
    };
    let mut path = format!("/plan?output={form}&force={}", arguments.force);
    for (key, value) in [("to", &arguments.to), ("checksum", &checksum)] {
        if let Some(value) = value {
            let value: String = value.bytes().map(admin_port::escape).collect();
            path.extend(["&", key, "=", &value]);
        }
    }
    let help = "is `mcdns run` running? Name its admin port with --admin ADDR:PORT, or a directory to compute from";
    let body = admin_port::ask_patiently(admin, method, &path, help, PATIENCE)?;
    serde_json::from_str(&body).context("the admin port answers something else than this version expects")
}
