//! `memberSelector`, as Kubernetes writes label selectors; the file alone can set it.

use std::sync::Arc;

use mcdns_core::model::{LabelOperator, LabelRequirement, LabelSelector};

use super::{
    layers::{Layers, Origin, Setting},
    parse::{self, Misfit},
    tree::{Content, Node},
};

/// Reads it; the default is what KubeFed labels.
pub(super) fn read(layers: &mut Layers<'_>) -> Setting<LabelSelector> {
    const PATH: &str = "memberSelector";
    let require = |key: &str, operator, values: Vec<String>| LabelRequirement { key: key.to_owned(), operator, values };
    let found = layers.file.clone().and_then(|(file, root)| Some((file, root.at(PATH)?)));
    let setting = match found {
        None => {
            let requirements = vec![require("kubefed.io/managed", LabelOperator::In, vec!["true".to_owned()])];
            Setting { value: LabelSelector { requirements }, origin: Origin::Default }
        }
        Some((file, node)) => {
            let mut requirements = Vec::new();
            if let Some(Content::Map(labels)) = node.child("matchLabels").map(|node| &node.content) {
                for (key, value) in labels {
                    let path = format!("{PATH}.matchLabels.{}", key.text);
                    if let Content::Scalar(text) = &value.content {
                        requirements.push(require(&key.text, LabelOperator::In, vec![text.clone()]));
                    } else {
                        layers.refuse_node(&file, value, &path, Misfit::new("is no single value", "write a text"));
                    }
                }
            }
            let expressions = node.child("matchExpressions").map(Node::items).unwrap_or_default();
            for (index, expression) in expressions.iter().enumerate() {
                let path = format!("{PATH}.matchExpressions[{index}]");
                requirements.extend(read_requirement(layers, &file, expression, &path));
            }
            Setting { value: LabelSelector { requirements }, origin: Origin::File { file, line: node.line } }
        }
    };
    let shown: Vec<_> = setting.value.requirements.iter().map(show_requirement).collect();
    let shown = if shown.is_empty() { "everything".to_owned() } else { shown.join(", ") };
    layers.row(PATH, shown, setting.origin.clone());
    setting
}

fn read_requirement(layers: &mut Layers<'_>, file: &Arc<str>, node: &Node, path: &str) -> Option<LabelRequirement> {
    const OPERATORS: [(&str, LabelOperator); 4] = [
        ("In", LabelOperator::In),
        ("NotIn", LabelOperator::NotIn),
        ("Exists", LabelOperator::Exists),
        ("DoesNotExist", LabelOperator::DoesNotExist),
    ];
    let (Some(key), Some(operator)) = (node.child("key"), node.child("operator")) else {
        let misfit = Misfit::new("needs a key and an operator", "write {key: tier, operator: In, values: [public]}");
        layers.refuse_node(file, node, path, misfit);
        return None;
    };
    let key = layers.parse_node(file, key, &format!("{path}.key"), parse::not_empty)?.value;
    let operator =
        layers.parse_node(file, operator, &format!("{path}.operator"), |text| parse::word(text, &OPERATORS))?.value;
    let values = node.child("values").map(Node::items).unwrap_or_default();
    let text = |node: &Node| match &node.content {
        Content::Scalar(text) => Some(text.clone()),
        _ => None,
    };
    let values: Vec<String> = values.iter().filter_map(text).collect();
    let wants_values = matches!(operator, LabelOperator::In | LabelOperator::NotIn);
    if wants_values == values.is_empty() {
        let misfit = if wants_values {
            Misfit::new("has no values", "In and NotIn need at least one")
        } else {
            Misfit::new("has values", "Exists and DoesNotExist take none")
        };
        layers.refuse_node(file, node, path, misfit);
        return None;
    }
    Some(LabelRequirement { key, operator, values })
}

fn show_requirement(requirement: &LabelRequirement) -> String {
    let LabelRequirement { key, operator, values } = requirement;
    match operator {
        LabelOperator::In if values.len() == 1 => format!("{key}={}", values[0]),
        LabelOperator::In => format!("{key} in ({})", values.join(",")),
        LabelOperator::NotIn => format!("{key} notin ({})", values.join(",")),
        LabelOperator::Exists => key.clone(),
        LabelOperator::DoesNotExist => format!("!{key}"),
    }
}
