//! The description of the operator API (OpenAPI 3.1), made from the types and checked in, so that
//! a change of the interface is a change that somebody reads.

use super::types;
use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

/// The description as it is checked in.
pub const CHECKED_IN: &str = include_str!("../../openapi.json");

/// One way in.
pub(crate) struct Endpoint {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    summary: &'static str,
    /// The role, or none for what everybody may read.
    pub(crate) role: Option<&'static str>,
    query: &'static [(&'static str, &'static str)],
    /// The media type of the body that is sent.
    body: Option<&'static str>,
    answer: Answer,
}

enum Answer {
    /// A type of [`types`].
    Body(&'static str),
    /// Something else: media type and words.
    Other(&'static str, &'static str),
}

const AFTER: (&str, &str) = ("after", "integer");

/// Every way in, in the order of the description.
pub(crate) const ENDPOINTS: &[Endpoint] = &[
    read("/api/v1/whoami", "Who the token belongs to", &[], "WhoAmI"),
    read("/api/v1/devices", "Every device with its trust tier", &[], "DeviceList"),
    read("/api/v1/devices/{id}", "One device, and why it is trusted as it is", &[], "DeviceShow"),
    Endpoint {
        role: Some("operator"),
        ..read(
            "/api/v1/devices/{id}/claims",
            "What the last evidence of a device said, for another policy to judge",
            &[],
            "DeviceClaims",
        )
    },
    read(
        "/api/v1/devices/{id}/override",
        "What operators decided about a device's certificates",
        &[],
        "OverrideList",
    ),
    Endpoint {
        method: "post",
        role: Some("operator"),
        body: Some("application/json"),
        ..read(
            "/api/v1/devices/{id}/override",
            "Decide about a device's certificates for a while, whatever its verdict says",
            &[],
            "OverrideShow",
        )
    },
    Endpoint {
        method: "delete",
        role: Some("operator"),
        ..read(
            "/api/v1/devices/{id}/override",
            "End the decision in force about a device's certificates",
            &[],
            "OverrideShow",
        )
    },
    read(
        "/api/v1/overrides",
        "What operators decided about certificates of every device",
        &[],
        "OverrideList",
    ),
    Endpoint {
        method: "post",
        role: Some("operator"),
        body: Some("application/json"),
        ..read(
            "/api/v1/invitations",
            "Let somebody enrol once without a device's identity: by SCEP, or by EST with a password",
            &[],
            "InvitationShow",
        )
    },
    read(
        "/api/v1/enrolments",
        "Enrolments that wait for an operator, and those that were decided lately",
        &[],
        "EnrolmentList",
    ),
    Endpoint {
        method: "post",
        role: Some("operator"),
        ..read(
            "/api/v1/enrolments/{id}/approve",
            "Let whoever asks have a certificate, once",
            &[],
            "EnrolmentShow",
        )
    },
    Endpoint {
        method: "post",
        role: Some("operator"),
        body: Some("application/json"),
        ..read(
            "/api/v1/enrolments/{id}/refuse",
            "Refuse whoever asks a certificate, for a reason",
            &[],
            "EnrolmentShow",
        )
    },
    read(
        "/api/v1/holds",
        "Devices that their verdicts tell to act, and those that are held back from it",
        &[],
        "HoldList",
    ),
    Endpoint {
        method: "post",
        role: Some("operator"),
        ..read(
            "/api/v1/devices/{id}/hold/release",
            "Let a device that is held back do what its verdict asks for",
            &[],
            "HoldShow",
        )
    },
    read("/api/v1/updates", "Update envelopes that were handed in", &[], "UpdateList"),
    Endpoint {
        method: "post",
        role: Some("operator"),
        body: Some("application/pkcs7-mime"),
        ..read(
            "/api/v1/updates",
            "Hand in an update envelope, for one device or for all",
            &[("device", "string")],
            "UpdateOrder",
        )
    },
    read("/api/v1/references", "Reference values in force", &[], "ReferenceList"),
    Endpoint {
        method: "post",
        role: Some("operator"),
        body: Some("application/pkcs7-mime"),
        ..read("/api/v1/references", "Import signed reference values", &[], "ReferenceImport")
    },
    read("/api/v1/events", "What happened, in order", &[AFTER, ("limit", "integer")], "EventList"),
    Endpoint {
        answer: Answer::Other("text/event-stream", "events as they happen; `data` is an Event"),
        ..read("/api/v1/events/stream", "Events as they happen", &[AFTER], "")
    },
    read("/api/v1/audit/head", "The end of the audit log", &[], "AuditHead"),
    Endpoint {
        method: "post",
        ..read(
            "/api/v1/console/link",
            "A link that logs its holder in at the console, once",
            &[("next", "string")],
            "ConsoleLink",
        )
    },
    Endpoint {
        role: None,
        answer: Answer::Other("application/json", "this description"),
        ..read("/openapi.json", "This description", &[], "")
    },
];

const fn read(
    path: &'static str,
    summary: &'static str,
    query: &'static [(&'static str, &'static str)],
    body: &'static str,
) -> Endpoint {
    Endpoint {
        method: "get",
        path,
        summary,
        role: Some("viewer"),
        query,
        body: None,
        answer: Answer::Body(body),
    }
}

/// The description, made anew.
pub fn description() -> Value {
    let settings = SchemaSettings::draft2020_12()
        .with(|settings| settings.definitions_path = "/components/schemas".into());
    let mut generator = settings.into_generator();
    register(&mut generator);
    let mut schemas = generator.take_definitions(true);
    for (name, schema) in types::BODIES {
        if let Some(Value::Object(body)) = schemas.get_mut(*name) {
            name_schema(body, schema);
        }
    }
    let mut paths = Map::new();
    for endpoint in ENDPOINTS {
        let path = paths.entry(endpoint.path).or_insert_with(|| json!({}));
        if let Some(path) = path.as_object_mut() {
            path.insert(endpoint.method.to_owned(), operation(endpoint));
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Touchstone fleet: operator API",
            "version": "1",
            "license": { "name": "Apache-2.0 OR MIT" },
        },
        "paths": paths,
        "components": {
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
            "schemas": schemas,
        },
    })
}

/// The description as it should be checked in.
pub fn printed() -> String {
    format!("{:#}\n", description())
}

fn register(generator: &mut SchemaGenerator) {
    fn add<T: JsonSchema>(generator: &mut SchemaGenerator) {
        generator.subschema_for::<T>();
    }
    add::<types::Problem>(generator);
    add::<types::WhoAmI>(generator);
    add::<types::DeviceList>(generator);
    add::<types::DeviceShow>(generator);
    add::<types::DeviceClaims>(generator);
    add::<types::OverrideShow>(generator);
    add::<types::OverrideList>(generator);
    add::<types::HoldShow>(generator);
    add::<types::HoldList>(generator);
    add::<types::OverrideOrder>(generator);
    add::<types::InvitationOrder>(generator);
    add::<types::EnrolmentOrder>(generator);
    add::<types::EnrolmentShow>(generator);
    add::<types::EnrolmentList>(generator);
    add::<types::InvitationShow>(generator);
    add::<types::UpdateOrder>(generator);
    add::<types::UpdateList>(generator);
    add::<types::ReferenceImport>(generator);
    add::<types::ReferenceList>(generator);
    add::<types::EventList>(generator);
    add::<types::AuditHead>(generator);
    add::<types::ConsoleLink>(generator);
}

fn name_schema(body: &mut Map<String, Value>, schema: &str) {
    let properties = body.entry("properties").or_insert_with(|| json!({}));
    if let Some(properties) = properties.as_object_mut() {
        properties.insert("schema".to_owned(), json!({ "const": schema }));
    }
    let required = body.entry("required").or_insert_with(|| json!([]));
    if let Some(required) = required.as_array_mut() {
        required.insert(0, json!("schema"));
    }
}

fn operation(endpoint: &Endpoint) -> Value {
    let reference = |name: &str| json!({ "$ref": format!("#/components/schemas/{name}") });
    let answer = match endpoint.answer {
        Answer::Body(name) => json!({
            "description": "the answer",
            "content": { "application/json": { "schema": reference(name) } },
        }),
        Answer::Other(kind, words) => json!({
            "description": words,
            "content": { kind: { "schema": { "type": "string" } } },
        }),
    };
    let mut parameters: Vec<Value> = endpoint
        .query
        .iter()
        .map(|(name, kind)| json!({ "name": name, "in": "query", "schema": { "type": kind } }))
        .collect();
    if endpoint.path.contains("{id}") {
        parameters.push(json!({
            "name": "id", "in": "path", "required": true, "schema": { "type": "string" },
        }));
    }
    let mut operation = json!({
        "summary": endpoint.summary,
        "responses": {
            "200": answer,
            "default": {
                "description": "why not",
                "content": { "application/json": { "schema": reference("Problem") } },
            },
        },
    });
    if let Some(operation) = operation.as_object_mut() {
        if !parameters.is_empty() {
            operation.insert("parameters".to_owned(), parameters.into());
        }
        if let Some(role) = endpoint.role {
            operation.insert("security".to_owned(), json!([{ "token": [role] }]));
        }
        if let Some(kind) = endpoint.body {
            let content = json!({ kind: { "schema": { "type": "string", "format": "binary" } } });
            let body = json!({ "required": true, "content": content });
            operation.insert("requestBody".to_owned(), body);
        }
    }
    operation
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_description_that_is_checked_in_is_the_one_the_types_make() {
        assert!(
            CHECKED_IN == printed(),
            "the interface changed: read what changed, then run `cargo run -p touchstone-fleet -- \
             print-openapi > programs/fleet/openapi.json`"
        );
    }

    #[test]
    fn every_reference_in_the_description_leads_somewhere() {
        let description = description();
        let text = description.to_string();
        for reference in text.split("\"$ref\":\"#").skip(1) {
            let pointer = reference.split('"').next().unwrap();
            assert!(description.pointer(pointer).is_some(), "{pointer}");
        }
        let show = description.pointer("/components/schemas/DeviceShow").unwrap();
        assert_eq!(show["properties"]["schema"]["const"], "touchstone.device.show/1");
    }
}
