//! Holds every type against the documents, both ways: nothing is missing, nothing is there that they do not show.
//!
//! `fixtures/shapes.json` is the documents' content for programs. A type's schema is turned into the same notation:
//! `"string"`, `"timestamp"`, `{"[]": item}`, `{"$map": value}`, `{"field": …}`.

use std::collections::{BTreeMap, BTreeSet};

use schemars::{JsonSchema, Schema, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::{Endpoint, Event, Need, Request as _, meeting, resource, social, user};

/// Describes types that are written in a way of their own.
macro_rules! leaf {
    ($($name:ident),+ => $schema:tt) => {$(
        impl schemars::JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!($schema)
            }
        }
    )+};
}
pub(crate) use leaf;

/// What an endpoint reads and answers.
pub(crate) struct EndpointShape {
    name: &'static str,
    request: Value,
    needs: &'static [Need],
    answer: Value,
}

impl EndpointShape {
    pub(crate) fn of<E: Endpoint<Request: JsonSchema, Answer: JsonSchema>>() -> Self {
        Self { name: E::NAME, request: input::<E::Request>(), needs: E::Request::NEEDS, answer: output::<E::Answer>() }
    }
}

/// What an event says.
pub(crate) struct EventShape {
    name: &'static str,
    data: Value,
}

impl EventShape {
    pub(crate) fn of<E: Event + JsonSchema>() -> Self {
        Self { name: E::NAME, data: output::<E>() }
    }
}

/// The shape of what is read. A field that must be there is marked with `!`: there should be none.
fn input<T: JsonSchema>() -> Value {
    shape_of(SchemaSettings::draft2020_12().for_deserialize().into_generator().into_root_schema_for::<T>(), "!", "")
}

/// The shape of what is written. A field that may be left out is marked with `?`, one that may be `null` has no shape.
fn output<T: JsonSchema>() -> Value {
    shape_of(SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<T>(), "", "?")
}

fn shape_of(schema: Schema, required: &'static str, optional: &'static str) -> Value {
    let schema = Value::from(schema);
    Reader { definitions: &schema["$defs"], required, optional }.shape(&schema)
}

/// Turns a schema into the documents' notation.
struct Reader<'a> {
    definitions: &'a Value,
    /// Marks fields that are always there.
    required: &'static str,
    /// Marks fields that may be missing.
    optional: &'static str,
}

impl Reader<'_> {
    fn is_output(&self) -> bool {
        !self.optional.is_empty()
    }

    fn shape(&self, schema: &Value) -> Value {
        if let Some(reference) = schema["$ref"].as_str() {
            let name = reference.trim_start_matches("#/$defs/");
            return self.shape(&self.definitions[name]);
        }
        if let Some(choices) = schema["anyOf"].as_array().or(schema["oneOf"].as_array()) {
            let mut shapes: Vec<Value> = choices.iter().map(|choice| self.shape(choice)).collect();
            shapes.retain(|shape| !shape.is_null() || self.is_output());
            shapes.dedup();
            assert_eq!(shapes.len(), 1, "one of several shapes: {schema}");
            return shapes.remove(0);
        }
        let kind = match &schema["type"] {
            Value::Array(_) if self.is_output() => None,
            Value::Array(kinds) => kinds.iter().find(|kind| *kind != "null").and_then(Value::as_str),
            kind => kind.as_str(),
        };
        match (kind, schema["format"].as_str()) {
            (Some("null"), _) => Value::Null,
            (Some("string"), Some("date-time")) => json!("timestamp"),
            (Some("string"), None) => json!("string"),
            (Some("integer"), Some("int64")) => json!("int"),
            (Some("integer"), Some("uint8")) => json!("byte"),
            (Some("number"), Some("double")) => json!("float"),
            (Some("boolean"), None) => json!("bool"),
            (Some("array"), None) => json!({"[]": self.shape(&schema["items"])}),
            (Some("object"), None) => match &schema["additionalProperties"] {
                Value::Bool(true) => json!({"$map": "any"}),
                Value::Object(_) => json!({"$map": self.shape(&schema["additionalProperties"])}),
                _ => self.fields(schema),
            },
            unknown => panic!("no shape is known for {unknown:?}: {schema}"),
        }
    }

    fn fields(&self, schema: &Value) -> Value {
        let is_required =
            |name: &String| schema["required"].as_array().is_some_and(|names| names.contains(&json!(name)));
        let mut fields = Map::new();
        for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
            let mark = if is_required(name) { self.required } else { self.optional };
            fields.insert(format!("{name}{mark}"), self.shape(schema));
        }
        Value::Object(fields)
    }
}

/// The documents.
struct Documents(Value);

/// Which of a model's fields an answer may leave out.
const LEFT_OUT_WHEN_EMPTY: (&str, &str) = ("user simple", "avatar3D");

/// Fields of requests that are not of the documents.
const ADDED: &[(&str, &str, &str)] = &[("social:joinSession", "invitation", "string")];

impl Documents {
    fn read() -> Self {
        Self(serde_json::from_str(include_str!("../../fixtures/shapes.json")).expect("the fixture is JSON"))
    }

    fn table(&self, table: &str) -> &Map<String, Value> {
        self.0[table].as_object().expect("the fixture has the table")
    }

    fn input(&self, shape: &Value) -> Value {
        self.expand(shape, "")
    }

    fn output(&self, shape: &Value) -> Value {
        self.expand(shape, "?")
    }

    /// Writes each model out. `optional` marks the field that may be left out.
    fn expand(&self, shape: &Value, optional: &str) -> Value {
        let Some(fields) = shape.as_object() else { return shape.clone() };
        if let Some(model) = shape["$model"].as_str() {
            let mut expanded = self.expand(&self.0["models"][model], optional);
            if model == LEFT_OUT_WHEN_EMPTY.0 {
                let fields = expanded.as_object_mut().expect("a model has fields");
                let field = fields.remove(LEFT_OUT_WHEN_EMPTY.1).expect("the model has the field");
                fields.insert(format!("{}{optional}", LEFT_OUT_WHEN_EMPTY.1), field);
            }
            return expanded;
        }
        fields.iter().map(|(name, shape)| (name.clone(), self.expand(shape, optional))).collect()
    }
}

/// Compares two sets of shapes by name and tells every difference by its path.
fn assert_same(ours: &BTreeMap<String, Value>, theirs: &BTreeMap<String, Value>) {
    let (ours, theirs) = (leaves(ours), leaves(theirs));
    let in_types = ours.iter().filter(|leaf| !theirs.contains(*leaf)).map(|leaf| format!("only in the types: {leaf}"));
    let in_documents =
        theirs.iter().filter(|leaf| !ours.contains(*leaf)).map(|leaf| format!("only in the documents: {leaf}"));
    let differences: Vec<String> = in_types.chain(in_documents).collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// `meeting:getMeeting.meeting.color.r: "float"` and so on.
fn leaves(shapes: &BTreeMap<String, Value>) -> BTreeSet<String> {
    fn gather(path: &str, shape: &Value, leaves: &mut BTreeSet<String>) {
        match shape.as_object().filter(|fields| !fields.is_empty()) {
            Some(fields) => fields.iter().for_each(|(name, shape)| gather(&format!("{path}.{name}"), shape, leaves)),
            None => {
                leaves.insert(format!("{path}: {shape}"));
            }
        }
    }
    let mut leaves = BTreeSet::new();
    shapes.iter().for_each(|(name, shape)| gather(name, shape, &mut leaves));
    leaves
}

fn endpoint_shapes() -> Vec<EndpointShape> {
    [meeting::endpoint_shapes(), social::endpoint_shapes(), user::endpoint_shapes()].into_iter().flatten().collect()
}

fn event_shapes() -> Vec<EventShape> {
    [meeting::event_shapes(), social::event_shapes(), user::event_shapes()].into_iter().flatten().collect()
}

#[test]
fn every_request_is_of_the_shape_that_the_documents_show() {
    let documents = Documents::read();
    let ours = endpoint_shapes().into_iter().map(|shape| (shape.name.to_owned(), shape.request)).collect();
    let mut theirs: BTreeMap<String, Value> = documents
        .table("requests")
        .iter()
        .map(|(name, row)| {
            let data = row["request"].get("data").cloned().unwrap_or(json!({}));
            (name.clone(), documents.input(&data))
        })
        .collect();
    for (endpoint, field, shape) in ADDED {
        theirs.get_mut(*endpoint).expect("an endpoint of the documents")[*field] = json!(shape);
    }
    assert_same(&ours, &theirs);
}

#[test]
fn what_a_request_needs_is_a_text_of_it() {
    for EndpointShape { name, request, needs, .. } in endpoint_shapes() {
        for need in needs {
            let found = need.path().split('.').fold(&request, |shape, field| &shape[field]);
            let expected = if let Need::Ids(_) = need { json!({"[]": "string"}) } else { json!("string") };
            assert_eq!(*found, expected, "{name}: {need:?}");
        }
    }
}

#[test]
fn every_answer_is_of_the_shape_that_the_documents_show() {
    let documents = Documents::read();
    let ours = endpoint_shapes().into_iter().map(|shape| (shape.name.to_owned(), shape.answer)).collect();
    let theirs = documents
        .table("requests")
        .iter()
        .map(|(name, row)| (name.clone(), documents.output(&row["response"]["data"])))
        .collect();
    assert_same(&ours, &theirs);
}

#[test]
fn every_event_is_of_the_shape_that_the_documents_show() {
    let documents = Documents::read();
    let ours = event_shapes().into_iter().map(|shape| (shape.name.to_owned(), shape.data)).collect();
    let theirs = documents
        .table("events")
        .iter()
        .map(|(name, row)| (name.clone(), documents.output(&row["data"]["data"])))
        .collect();
    assert_same(&ours, &theirs);
}

#[test]
fn every_model_is_of_the_shape_that_the_documents_show() {
    let documents = Documents::read();
    let ours = [
        ("rgba", output::<super::Rgba>()),
        ("user simple", output::<super::UserSimple>()),
        ("network", output::<user::Network>()),
        ("resource", output::<resource::Resource>()),
        ("resource origin", output::<resource::ResourceOrigin>()),
        ("geolocation", output::<resource::Geolocation>()),
        ("dimensions", output::<resource::Dimensions>()),
        ("resource data audio", output::<resource::Audio>()),
        ("resource data video", output::<resource::Video>()),
        ("resource data amazon", output::<resource::Amazon>()),
        ("resource data imdb", output::<resource::Imdb>()),
        ("resource data youtube", output::<resource::Youtube>()),
        ("resource data pinterest", output::<resource::Pinterest>()),
        ("resource data pixabay", output::<resource::Pixabay>()),
        ("resource data facebook", output::<resource::Facebook>()),
        ("resource data remote url", output::<resource::RemoteUrl>()),
        ("live stream data", output::<resource::LiveStream>()),
        ("ai generation data", output::<resource::AiGeneration>()),
        ("resource data directory", output::<resource::Directory>()),
        ("channel data", output::<resource::Channel>()),
        ("google drive", output::<resource::GoogleDrive>()),
        ("programmatic action with children", output::<resource::Action>()),
        ("programmatic action", output::<resource::ChildAction>()),
    ];
    let ours = ours.into_iter().map(|(name, shape)| (name.to_owned(), shape)).collect();
    let theirs = documents
        .table("models")
        .keys()
        .map(|name| (name.clone(), documents.output(&json!({"$model": name}))))
        .collect();
    assert_same(&ours, &theirs);
}

#[test]
fn the_error_is_of_the_shape_that_every_frame_shows() {
    let documents = Documents::read();
    let error = super::Error::new(super::Code::NotFound, "no such meeting").to_json();
    let error: Map<String, Value> = serde_json::from_str(&error).expect("an object");
    let ours: Value = error
        .into_iter()
        .map(|(name, value)| match value {
            Value::Bool(_) => (name, "bool"),
            Value::Number(_) => (name, "int"),
            _ => (name, "string"),
        })
        .map(|(name, shape)| (name, json!(shape)))
        .collect();
    for (name, row) in documents.table("requests") {
        assert_eq!(row["response"]["error"], ours, "{name}");
    }
    for (name, row) in documents.table("events") {
        assert_eq!(row["data"]["error"], ours, "{name}");
    }
}
