//! YAML files as objects with their lines.
//!
//! Kubernetes turns YAML into JSON without knowing any types, and only then reads fields: `true` is a boolean also
//! where a string belongs, and the API server refuses it. The same is done here, through [`serde_json::Value`], so
//! that what is accepted is what `kubectl apply` accepts, YAML 1.1's `yes`, `no`, `on` and `off` included.
//!
//! Anchors, aliases and merge keys are read, within limits that keep a small file from becoming a large tree. The
//! size of the file itself has no limit here.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Number, Value};
use serde_saphyr::{Options, Spanned};

use super::SyntaxError;

/// Deepest nesting of lists and maps; the schemas in Kubernetes' own definitions need about 30.
const MAX_DEPTH: usize = 100;
/// Most values that aliases may be replaced by in one file; a bomb needs millions.
const MAX_ALIASED_EVENTS: usize = 200_000;

/// One document of a file.
pub(super) struct Document {
    /// Its first line, from 1.
    pub(super) line: u32,
    /// What it says, without `items` if that is a list.
    pub(super) value: Value,
    /// The elements of `items`, each with its first line.
    pub(super) items: Option<Vec<(u32, Value)>>,
}

/// All documents of a file but the empty ones.
pub(super) fn documents(text: &str) -> Result<Vec<Document>, SyntaxError> {
    let documents: Vec<Spanned<Top>> = serde_saphyr::from_multiple_with_options(text, options()).map_err(|error| {
        let place = error.location();
        let place = place.map_or((0, 0), |place| (small(place.line()), small(place.column())));
        let message = error.without_snippet().to_string();
        // The place stands in front of the message; here it would stand there twice.
        let message = message.split(" at line ").next().unwrap_or_default();
        SyntaxError { line: place.0, column: place.1, message: super::field::shorten(first_line(message)) }
    })?;
    let with_line = |document: Spanned<Top>| Document {
        line: small(document.referenced.line()),
        value: document.value.value,
        items: document.value.items,
    };
    Ok(documents.into_iter().map(with_line).collect())
}

fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: usize::MAX,
            max_nodes: usize::MAX,
            max_documents: usize::MAX,
            max_total_scalar_bytes: usize::MAX,
            max_total_comment_bytes: usize::MAX,
            max_buffered_comment_events: 1 << 20,
            max_depth: MAX_DEPTH,
            max_recorded_anchor_events: MAX_ALIASED_EVENTS,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: MAX_ALIASED_EVENTS,
        },
        emit_comments: false,
        with_snippet: false,
        non_finite_float_policy: serde_saphyr::NonFiniteFloatPolicy::AsString,
    }
}

/// What is wrong, without the library's picture of the text and its advice to programmers.
fn first_line(text: &str) -> &str {
    let line = text.lines().next().unwrap_or(text);
    line.split(", set DuplicateKeyPolicy").next().unwrap_or(line).trim_end()
}

/// A line or column, at the end of the scale the end.
fn small(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// A document in which the elements of `items` keep their lines.
struct Top {
    value: Value,
    items: Option<Vec<(u32, Value)>>,
}

impl<'de> Deserialize<'de> for Top {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TopVisitor;

        impl<'de> Visitor<'de> for TopVisitor {
            type Value = Top;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Top, A::Error> {
                let mut map = Map::new();
                let mut items = None;
                while let Some(key) = access.next_key::<String>()? {
                    if key == "items" {
                        match access.next_value::<Items>()? {
                            Items::List(list) => items = Some(list),
                            Items::Other(value) => {
                                map.insert(key, value);
                            }
                        }
                    } else {
                        map.insert(key, access.next_value::<Tree>()?.0);
                    }
                }
                Ok(Top { value: Value::Object(map), items })
            }

            fn visit_seq<A: SeqAccess<'de>>(self, access: A) -> Result<Top, A::Error> {
                TreeVisitor.visit_seq(access).map(plain)
            }

            fn visit_bool<E: de::Error>(self, value: bool) -> Result<Top, E> {
                Ok(plain(Value::Bool(value)))
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Top, E> {
                Ok(plain(value.into()))
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Top, E> {
                Ok(plain(value.into()))
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Top, E> {
                Ok(plain(value.into()))
            }

            fn visit_str<E: de::Error>(self, value: &str) -> Result<Top, E> {
                Ok(plain(value.into()))
            }

            fn visit_unit<E: de::Error>(self) -> Result<Top, E> {
                Ok(plain(Value::Null))
            }
        }

        deserializer.deserialize_any(TopVisitor)
    }
}

fn plain(value: Value) -> Top {
    Top { value, items: None }
}

/// What stands under `items`.
enum Items {
    List(Vec<(u32, Value)>),
    Other(Value),
}

impl<'de> Deserialize<'de> for Items {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ItemsVisitor;

        impl<'de> Visitor<'de> for ItemsVisitor {
            type Value = Items;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Items, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = access.next_element::<Spanned<Tree>>()? {
                    items.push((small(item.referenced.line()), item.value.0));
                }
                Ok(Items::List(items))
            }

            fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<Items, A::Error> {
                TreeVisitor.visit_map(access).map(Items::Other)
            }

            fn visit_bool<E: de::Error>(self, value: bool) -> Result<Items, E> {
                Ok(Items::Other(Value::Bool(value)))
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Items, E> {
                Ok(Items::Other(value.into()))
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Items, E> {
                Ok(Items::Other(value.into()))
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Items, E> {
                Ok(Items::Other(value.into()))
            }

            fn visit_str<E: de::Error>(self, value: &str) -> Result<Items, E> {
                Ok(Items::Other(value.into()))
            }

            fn visit_unit<E: de::Error>(self) -> Result<Items, E> {
                Ok(Items::Other(Value::Null))
            }
        }

        deserializer.deserialize_any(ItemsVisitor)
    }
}

/// Any value; unlike [`Value`] itself it takes numbers of any size, which are then no whole numbers.
struct Tree(Value);

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor).map(Self)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            map.insert(key, access.next_value::<Tree>()?.0);
        }
        Ok(Value::Object(map))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = access.next_element::<Tree>()? {
            list.push(item.0);
        }
        Ok(Value::Array(list))
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    #[expect(clippy::cast_precision_loss, reason = "as JSON readers do with whole numbers beyond 64 bits")]
    fn visit_i128<E: de::Error>(self, value: i128) -> Result<Value, E> {
        Ok(Number::from_f64(value as f64).map_or(Value::Null, Value::Number))
    }

    #[expect(clippy::cast_precision_loss, reason = "as JSON readers do with whole numbers beyond 64 bits")]
    fn visit_u128<E: de::Error>(self, value: u128) -> Result<Value, E> {
        Ok(Number::from_f64(value as f64).map_or(Value::Null, Value::Number))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E: de::Error>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}
