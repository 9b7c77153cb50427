//! One JSON value as serde sees it.

use std::{borrow::Cow, fmt, iter::Peekable, vec::IntoIter};

use serde::{
    de::{Deserialize, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor},
    forward_to_deserialize_any,
};
use serde_json::value::RawValue;

use super::{InputError, number};

/// Where a value is: a list that leads to the root, on the stack.
#[derive(Clone, Copy)]
pub(super) enum Path<'a> {
    Root(&'static str),
    Field(&'a Path<'a>, &'a str),
    Item(&'a Path<'a>, usize),
}

/// Of a hostile field name so much is repeated.
const NAME_CHARS: usize = 64;

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root(name) => f.write_str(name),
            Self::Field(parent, name) => {
                if !matches!(parent, Self::Root("")) {
                    write!(f, "{parent}.")?;
                }
                match name.char_indices().nth(NAME_CHARS) {
                    None => f.write_str(name),
                    Some((end, _)) => write!(f, "{}…", &name[..end]),
                }
            }
            Self::Item(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// A string, borrowed where it holds no escapes.
pub(super) struct Text<'de>(pub(super) Cow<'de, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyText;

        impl<'de> Visitor<'de> for AnyText {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }

        deserializer.deserialize_str(AnyText)
    }
}

/// A value's text and its place.
#[derive(Clone, Copy)]
pub(super) struct Value<'de, 'a> {
    pub(super) json: &'de str,
    pub(super) path: &'a Path<'a>,
}

impl<'de> Value<'de, '_> {
    fn wrong(self, message: impl fmt::Display) -> InputError {
        InputError::new(self.path.to_string(), message)
    }

    fn begins_with(self, bytes: &[u8]) -> bool {
        self.json.bytes().next().is_some_and(|first| bytes.contains(&first))
    }

    fn text(self) -> Result<Cow<'de, str>, InputError> {
        serde_json::from_str(self.json).map(|Text(text)| text).map_err(|_| self.wrong("expected a string"))
    }

    fn number(self) -> Result<f64, InputError> {
        serde_json::from_str(self.json).map_err(|_| self.wrong("expected a number"))
    }

    fn whole<T: TryFrom<i128>>(self, least: impl fmt::Display, most: impl fmt::Display) -> Result<T, InputError> {
        if !self.begins_with(NUMBER) {
            return Err(self.wrong("expected a whole number"));
        }
        number::whole(self.json)
            .and_then(|number| T::try_from(number).ok())
            .ok_or_else(|| self.wrong(format_args!("expected a whole number from {least} to {most}")))
    }

    fn items<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, InputError> {
        let items: Vec<&RawValue> = serde_json::from_str(self.json).map_err(|_| self.wrong("expected a list"))?;
        visitor.visit_seq(Items { items: items.into_iter(), next: 0, path: self.path })
    }

    fn fields<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, InputError> {
        let Fields(fields) = serde_json::from_str(self.json).map_err(|_| self.wrong("expected an object"))?;
        visitor.visit_map(FieldAccess { fields: fields.into_iter().peekable(), path: self.path })
    }
}

/// What a number begins with.
const NUMBER: &[u8] = b"-0123456789";

/// The name under which `serde_json` asks for a value's own text.
const RAW_VALUE: &str = "$serde_json::private::RawValue";

macro_rules! whole_numbers {
    ($($method:ident $visit:ident $type:ty;)+) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, InputError> {
            self.whole::<$type>(<$type>::MIN, <$type>::MAX).and_then(|number| visitor.$visit(number))
        }
    )+};
}

impl<'de> Deserializer<'de> for Value<'de, '_> {
    type Error = InputError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, InputError> {
        match self.json.bytes().next() {
            Some(b'{') => self.fields(visitor),
            Some(b'[') => self.items(visitor),
            Some(b'"') => self.deserialize_str(visitor),
            Some(b't' | b'f') => self.deserialize_bool(visitor),
            Some(b'n') | None => visitor.visit_unit(),
            Some(_) => match number::whole(self.json).and_then(|number| i64::try_from(number).ok()) {
                Some(number) => visitor.visit_i64(number),
                None => visitor.visit_f64(self.number()?),
            },
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, InputError> {
        match self.json {
            "true" => visitor.visit_bool(true),
            "false" => visitor.visit_bool(false),
            _ => Err(self.wrong("expected true or false")),
        }
    }

    whole_numbers! {
        deserialize_i8 visit_i8 i8;
        deserialize_i16 visit_i16 i16;
        deserialize_i32 visit_i32 i32;
        deserialize_i64 visit_i64 i64;
        deserialize_u8 visit_u8 u8;
        deserialize_u16 visit_u16 u16;
        deserialize_u32 visit_u32 u32;
        deserialize_u64 visit_u64 u64;
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, InputError> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, InputError> {
        visitor.visit_f64(self.number()?)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, InputError> {
        match self.text()? {
            Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
            Cow::Owned(text) => visitor.visit_string(text),
        }
        .map_err(|error: InputError| error.at(self.path))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, InputError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, InputError> {
        // A field that is `null` has been left out before: it reads as missing.
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, InputError> {
        if name == RAW_VALUE {
            return serde_json::Deserializer::from_str(self.json)
                .deserialize_newtype_struct(name, visitor)
                .map_err(|error| self.wrong(error));
        }
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, InputError> {
        self.items(visitor).map_err(|error| error.at(self.path))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, InputError> {
        self.fields(visitor).map_err(|error| error.at(self.path))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, InputError> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, InputError> {
        visitor.visit_enum(self.text()?.into_deserializer()).map_err(|error: InputError| error.at(self.path))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, InputError> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! { i128 u128 char bytes byte_buf unit unit_struct tuple tuple_struct identifier }
}

/// The items of a list.
struct Items<'de, 'a> {
    items: IntoIter<&'de RawValue>,
    next: usize,
    path: &'a Path<'a>,
}

impl<'de> SeqAccess<'de> for Items<'de, '_> {
    type Error = InputError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, InputError> {
        let Some(item) = self.items.next() else { return Ok(None) };
        let path = Path::Item(self.path, self.next);
        self.next += 1;
        seed.deserialize(Value { json: item.get(), path: &path }).map(Some).map_err(|error| error.at(&path))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}

/// The fields of an object that are not `null`.
pub(super) struct Fields<'de>(pub(super) Vec<(Text<'de>, &'de RawValue)>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AllFields;

        impl<'de> Visitor<'de> for AllFields {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = Vec::new();
                while let Some((name, value)) = access.next_entry::<Text<'de>, &'de RawValue>()? {
                    if value.get() != "null" {
                        fields.push((name, value));
                    }
                }
                Ok(Fields(fields))
            }
        }

        deserializer.deserialize_map(AllFields)
    }
}

/// Hands out fields one after the other.
struct FieldAccess<'de, 'a> {
    fields: Peekable<IntoIter<(Text<'de>, &'de RawValue)>>,
    path: &'a Path<'a>,
}

impl<'de> MapAccess<'de> for FieldAccess<'de, '_> {
    type Error = InputError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, InputError> {
        match self.fields.peek() {
            Some((Text(name), _)) => seed.deserialize(name.as_ref().into_deserializer()).map(Some),
            None => Ok(None),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, InputError> {
        let Some((Text(name), value)) = self.fields.next() else {
            return Err(serde::de::Error::custom("a value was asked for before its key"));
        };
        let path = Path::Field(self.path, &name);
        seed.deserialize(Value { json: value.get(), path: &path }).map_err(|error| error.at(&path))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.fields.len())
    }
}
