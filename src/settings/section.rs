//! A mapping of the file that has no flags and no variables: an entry of a list, mostly.

use std::sync::Arc;

use super::{
    layers::{Layers, Origin},
    parse::Misfit,
    tree::{Content, Node},
};

/// The mapping at `path`, with what is needed to read it.
pub(super) struct Section<'a, 'b> {
    pub(super) layers: &'a mut Layers<'b>,
    pub(super) file: &'a Arc<str>,
    pub(super) path: String,
}

impl Section<'_, '_> {
    /// A scalar, with its line. None, and a finding, where it does not fit.
    pub(super) fn scalar<T>(
        &mut self,
        node: &Node,
        key: &str,
        parse: impl Fn(&str) -> Result<T, Misfit>,
    ) -> Option<(T, u32)> {
        let path = self.path_of(key);
        Some((self.layers.parse_node(self.file, node, &path, parse)?.value, node.line))
    }

    /// The scalar that `node` holds under `key`, if any.
    pub(super) fn child<T>(
        &mut self,
        node: &Node,
        key: &str,
        parse: impl Fn(&str) -> Result<T, Misfit>,
    ) -> Option<(T, u32)> {
        let child = present(node, key)?;
        self.scalar(child, key, parse)
    }

    /// The list of scalars that `node` holds under `key`; none if there is no such key. What does not fit is left out,
    /// with a finding.
    pub(super) fn list<T>(
        &mut self,
        node: &Node,
        key: &str,
        parse: impl Fn(&str) -> Result<T, Misfit>,
    ) -> Option<Vec<T>> {
        let child = present(node, key)?;
        let single = matches!(child.content, Content::Scalar(_));
        let mut values = Vec::new();
        for (index, item) in child.values().iter().enumerate() {
            let key = if single { key.to_owned() } else { format!("{key}[{index}]") };
            values.extend(self.scalar(item, &key, &parse).map(|(value, _)| value));
        }
        Some(values)
    }

    /// What stands under `key` is wrong.
    pub(super) fn refuse(&mut self, node: &Node, key: &str, misfit: Misfit) {
        let path = self.path_of(key);
        self.layers.refuse_node(self.file, node, &path, misfit);
    }

    /// Notes what a setting turned out to be.
    pub(super) fn row(&mut self, key: &str, value: String, line: u32) {
        let path = self.path_of(key);
        self.layers.row(&path, value, Origin::File { file: self.file.clone(), line });
    }

    fn path_of(&self, key: &str) -> String {
        if key.is_empty() { self.path.clone() } else { format!("{}.{key}", self.path) }
    }
}

/// What a mapping holds under a key, unless it is nothing.
pub(super) fn present<'a>(node: &'a Node, key: &str) -> Option<&'a Node> {
    node.child(key).filter(|child| child.content != Content::Nothing)
}
