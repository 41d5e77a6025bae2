//! JSON values with their places in the text. serde_json keeps no places, but hands out each value as a slice of the
//! text, which is one.

use std::{borrow::Cow, ops::Range};

use serde::{
    Deserialize,
    de::{Deserializer, MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// A value as it is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value<'a> {
    pub(super) raw: &'a str,
    /// Where it begins in the text.
    pub(super) start: usize,
}

impl<'a> Value<'a> {
    pub(super) fn span(self) -> Range<usize> {
        self.start..self.start + self.raw.len()
    }

    pub(super) fn is_array(self) -> bool {
        self.raw.starts_with('[')
    }

    fn is_null(self) -> bool {
        self.raw == "null"
    }

    pub(super) fn is_string(self, text: &str) -> bool {
        self.plain() == Some(text)
    }

    /// What stands between the quotes, if that is the string itself.
    pub(super) fn plain(self) -> Option<&'a str> {
        let inner = self.raw.strip_prefix('"')?.strip_suffix('"')?;
        (!inner.contains('\\')).then_some(inner)
    }

    /// The text of a string.
    pub(super) fn decoded(self) -> Option<Cow<'a, str>> {
        match self.plain() {
            Some(plain) => Some(plain.into()),
            None => serde_json::from_str::<String>(self.raw).ok().map(Cow::Owned),
        }
    }

    /// What it is, for errors.
    pub(super) fn kind(self) -> &'static str {
        match self.raw.as_bytes().first() {
            Some(b'{') => "an object",
            Some(b'[') => "a list",
            Some(b'"') => "a string",
            Some(b't' | b'f') => "a boolean",
            Some(b'n') => "null",
            _ => "a number",
        }
    }
}

/// The keys of an object.
pub(super) struct Fields<'a> {
    pub(super) whole: Value<'a>,
    pub(super) list: Vec<(Cow<'a, str>, Value<'a>)>,
}

impl<'a> Fields<'a> {
    pub(super) fn get(&self, key: &str) -> Option<Value<'a>> {
        self.list.iter().find(|(name, _)| name == key).map(|(_, value)| *value)
    }

    pub(super) fn unless_null(&self, key: &str) -> Option<Value<'a>> {
        self.get(key).filter(|value| !value.is_null())
    }
}

/// The entries of an object in their order, also those that come twice.
pub(super) struct Entries<'a>(pub(super) Vec<(&'a RawValue, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Entries<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Every;

        impl<'de> Visitor<'de> for Every {
            type Value = Vec<(&'de RawValue, &'de RawValue)>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(entries)
            }
        }
        deserializer.deserialize_map(Every).map(Self)
    }
}
