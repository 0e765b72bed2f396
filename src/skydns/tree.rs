//! An ordered map that is a value: a copy costs nothing, and a change of one copies a few nodes and shares the rest.
//!
//! ```text
//!            [ a | k | t ]                inner node: the least key of each child, or one below it
//!            /     |     \
//!      [a b f]  [k m]  [t x z]            leaf: keys with their values, in order
//! ```
//!
//! A B+ tree: each node has at most [`WIDTH`] places, all leaves are equally deep. A node that nobody else shares is
//! changed where it is, so that filling a map from nothing copies nothing.

use std::{borrow::Borrow, fmt, ops::ControlFlow, sync::Arc};

/// Places in a node. A change copies so many of them on each level; fewer make the tree deeper.
const WIDTH: usize = 32;
/// Neighbours are joined where one has less than this.
const THIN: usize = WIDTH / 4;

/// A map from `K` to `V`, ordered.
#[derive(Clone)]
pub struct Tree<K, V> {
    root: Arc<Node<K, V>>,
    length: usize,
}

#[derive(Clone)]
enum Node<K, V> {
    Leaf(Vec<(K, V)>),
    Inner(Vec<(K, Arc<Self>)>),
}

impl<K: Ord + Clone, V: Clone> Tree<K, V> {
    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.length
    }

    /// True without any key.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The value of a key.
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let mut node = &self.root;
        loop {
            match &**node {
                Node::Leaf(pairs) => {
                    let at = pairs.binary_search_by(|(other, _)| other.borrow().cmp(key)).ok()?;
                    return Some(&pairs[at].1);
                }
                Node::Inner(children) => node = &children.get(child_of(children, key))?.1,
            }
        }
    }

    /// Puts a value in, and returns the one before.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let least = key.clone();
        let (before, split) = Node::insert(&mut self.root, key, value);
        if let Some(right) = split {
            let left = Arc::clone(&self.root);
            let least = left.least().cloned().unwrap_or(least);
            self.root = Arc::new(Node::Inner(vec![(least, left), right]));
        }
        self.length += usize::from(before.is_none());
        before
    }

    /// Takes a key out, and returns its value.
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        // Looked for first, so that nothing is copied where there is nothing.
        self.get(key)?;
        let before = Node::remove(&mut self.root, key);
        self.length -= usize::from(before.is_some());
        while let Node::Inner(children) = &*self.root {
            match &children[..] {
                [] => self.root = Arc::new(Node::Leaf(Vec::new())),
                [(_, only)] => self.root = Arc::clone(only),
                _ => break,
            }
        }
        before
    }

    /// Shows all keys from `start` on, in order, until `visit` has enough.
    pub fn visit_from<'a, Q: Ord + ?Sized>(&'a self, start: &Q, visit: &mut impl FnMut(&'a K, &'a V) -> ControlFlow<()>)
    where
        K: Borrow<Q>,
    {
        // Whether all were seen is the visitor's to know.
        let _ = self.root.visit_from(Some(start), visit);
    }

    /// All keys and values, in order.
    pub fn visit<'a>(&'a self, visit: &mut impl FnMut(&'a K, &'a V)) {
        let _ = self.root.visit_from::<K>(None, &mut |key, value| {
            visit(key, value);
            ControlFlow::Continue(())
        });
    }
}

impl<K: Ord + Clone, V: Clone> Node<K, V> {
    fn least(&self) -> Option<&K> {
        match self {
            Self::Leaf(pairs) => pairs.first().map(|(key, _)| key),
            Self::Inner(children) => children.first().map(|(key, _)| key),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Leaf(pairs) => pairs.len(),
            Self::Inner(children) => children.len(),
        }
    }

    /// The value before, and the right half of the node where it had to be split.
    fn insert(node: &mut Arc<Self>, key: K, value: V) -> (Option<V>, Option<(K, Arc<Self>)>) {
        match Arc::make_mut(node) {
            Self::Leaf(pairs) => match pairs.binary_search_by(|(other, _)| other.cmp(&key)) {
                Ok(at) => (Some(std::mem::replace(&mut pairs[at].1, value)), None),
                Err(at) => {
                    pairs.insert(at, (key, value));
                    (None, halve(pairs).map(|right| (right[0].0.clone(), Arc::new(Self::Leaf(right)))))
                }
            },
            Self::Inner(children) => {
                let at = child_of(children, &key);
                let (before, split) = Self::insert(&mut children[at].1, key, value);
                if let Some(right) = split {
                    children.insert(at + 1, right);
                }
                (before, halve(children).map(|right| (right[0].0.clone(), Arc::new(Self::Inner(right)))))
            }
        }
    }

    fn remove<Q: Ord + ?Sized>(node: &mut Arc<Self>, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        match Arc::make_mut(node) {
            Self::Leaf(pairs) => {
                let at = pairs.binary_search_by(|(other, _)| other.borrow().cmp(key)).ok()?;
                Some(pairs.remove(at).1)
            }
            Self::Inner(children) => {
                let at = child_of(children, key);
                let before = Self::remove(&mut children[at].1, key);
                if children[at].1.len() == 0 {
                    children.remove(at);
                } else if children[at].1.len() < THIN {
                    let left = if at + 1 < children.len() { at } else { at.saturating_sub(1) };
                    join(children, left);
                }
                before
            }
        }
    }

    fn visit_from<'a, Q: Ord + ?Sized>(
        &'a self,
        start: Option<&Q>,
        visit: &mut impl FnMut(&'a K, &'a V) -> ControlFlow<()>,
    ) -> ControlFlow<()>
    where
        K: Borrow<Q>,
    {
        match self {
            Self::Leaf(pairs) => {
                let from = start.map_or(0, |start| pairs.partition_point(|(key, _)| key.borrow() < start));
                pairs[from..].iter().try_for_each(|(key, value)| visit(key, value))
            }
            Self::Inner(children) => {
                let from = start.map_or(0, |start| child_of(children, start));
                let mut start = start;
                for (_, child) in &children[from..] {
                    child.visit_from(start.take(), visit)?;
                }
                ControlFlow::Continue(())
            }
        }
    }
}

/// The child that has the key if any has.
fn child_of<K: Borrow<Q>, Q: Ord + ?Sized, C>(children: &[(K, C)], key: &Q) -> usize {
    children.partition_point(|(least, _)| least.borrow() <= key).saturating_sub(1)
}

/// Takes the right half off where there is too much.
fn halve<T>(places: &mut Vec<T>) -> Option<Vec<T>> {
    (places.len() > WIDTH).then(|| places.split_off(WIDTH / 2))
}

/// Joins a child with the one to its right, where both fit into one.
fn join<K: Ord + Clone, V: Clone>(children: &mut Vec<(K, Arc<Node<K, V>>)>, left: usize) {
    let Some((_, right)) = children.get(left + 1) else { return };
    if children[left].1.len() + right.len() > WIDTH {
        return;
    }
    let (_, right) = children.remove(left + 1);
    match (Arc::make_mut(&mut children[left].1), Arc::unwrap_or_clone(right)) {
        (Node::Leaf(pairs), Node::Leaf(more)) => pairs.extend(more),
        (Node::Inner(pairs), Node::Inner(more)) => pairs.extend(more),
        // All leaves are equally deep.
        _ => {}
    }
}

impl<K, V> Default for Tree<K, V> {
    fn default() -> Self {
        Self { root: Arc::new(Node::Leaf(Vec::new())), length: 0 }
    }
}

impl<K, V> fmt::Debug for Tree<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tree").field("length", &self.length).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Numbers that look random and are always the same (Knuth's multiplier).
    fn numbers() -> impl Iterator<Item = u64> {
        (1_u64..).map(|index| index.wrapping_mul(6_364_136_223_846_793_005).rotate_left(17))
    }

    fn contents(tree: &Tree<u64, u64>) -> Vec<(u64, u64)> {
        let mut all = Vec::new();
        tree.visit(&mut |key, value| all.push((*key, *value)));
        all
    }

    #[test]
    fn a_tree_holds_what_a_sorted_map_holds() {
        let mut tree = Tree::default();
        let mut map = BTreeMap::new();
        for (index, number) in numbers().take(20_000).enumerate() {
            // Grows to some 2,000 keys and shrinks to nothing again.
            let key = number % 3_000;
            let grows = index < 8_000;
            if (number >> 20).is_multiple_of(4) || !grows {
                assert_eq!(tree.remove(&key), map.remove(&key));
            } else {
                assert_eq!(tree.insert(key, number), map.insert(key, number));
            }
            assert_eq!(tree.len(), map.len());
            if index % 500 == 0 {
                assert_eq!(contents(&tree), map.iter().map(|(key, value)| (*key, *value)).collect::<Vec<_>>());
                let mut from = Vec::new();
                tree.visit_from(&key, &mut |key, _| {
                    from.push(*key);
                    if from.len() < 40 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
                });
                assert_eq!(from, map.range(key..).take(40).map(|(key, _)| *key).collect::<Vec<_>>());
            }
        }
        for key in 0..3_000 {
            assert_eq!(tree.get(&key), map.get(&key));
            assert_eq!(tree.remove(&key), map.remove(&key));
        }
        assert!(tree.is_empty() && contents(&tree).is_empty());
    }

    #[test]
    fn a_copy_keeps_what_it_had() {
        let mut tree = Tree::default();
        for number in 0..1_000_u64 {
            tree.insert(number, number);
        }
        let copy = tree.clone();
        for number in 0..1_000 {
            if number % 2 == 0 {
                tree.remove(&number);
            } else {
                tree.insert(number, 0);
            }
        }
        assert_eq!(contents(&copy), (0..1_000).map(|number| (number, number)).collect::<Vec<_>>());
        assert_eq!(tree.len(), 500);
    }
}
