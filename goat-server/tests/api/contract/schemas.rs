//! H9: the schemas of the OpenAPI document are as strict as the server. Requests generated from them are
//! never a 400, except for rules that a schema cannot express.

use goat_server::api::table;
use goat_tower::cookie::Cookies;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::string::string_regex;
use proptest::test_runner::TestRunner;
use serde_json::{Map, Value, json};

use crate::support::app::{Setup, TestApp};

/// Requests for each operation.
const REQUESTS: usize = 40;

/// The attributes that users may change themselves.
const OWN_ATTRIBUTES: [&str; 3] = ["locale", "teams", "theme_2"];

/// Generates values from schemas, the same in every run.
struct Generator {
    document: Value,
    runner: TestRunner,
}

impl Generator {
    fn new() -> Self {
        let document = serde_json::from_str(&goat_server::api::openapi()).expect("JSON");
        Self { document, runner: TestRunner::deterministic() }
    }

    fn pick<T: std::fmt::Debug>(&mut self, strategy: impl Strategy<Value = T>) -> T {
        strategy.new_tree(&mut self.runner).expect("a value").current()
    }

    fn value(&mut self, schema: &Value) -> Value {
        if let Some(pointer) = schema["$ref"].as_str().and_then(|text| text.strip_prefix('#')) {
            let schema = self.document.pointer(pointer).expect("a schema").clone();
            return self.value(&schema);
        }
        if let Some(values) = schema["enum"].as_array() {
            return self.pick(prop::sample::select(values.clone()));
        }
        let alternatives = schema["anyOf"].as_array().or(schema["oneOf"].as_array());
        if let Some(schemas) = alternatives {
            let schema = self.pick(prop::sample::select(schemas.clone()));
            return self.value(&schema);
        }
        match schema["type"].as_str() {
            Some("string") => self.text(schema).into(),
            Some("null") => Value::Null,
            Some("number") => {
                self.pick(any::<f64>().prop_filter("finite", |n| n.is_finite())).into()
            }
            Some("boolean") => self.pick(any::<bool>()).into(),
            Some("integer") => {
                let bound = |name: &str| schema[name].as_u64().expect("a bound");
                self.pick(bound("minimum")..=bound("maximum")).into()
            }
            Some("array") => {
                let least = schema["minItems"].as_u64().unwrap_or(0);
                let count = self.pick(least..=least + 2);
                (0..count).map(|_| self.value(&schema["items"])).collect()
            }
            Some("object") => self.object(schema).into(),
            other => panic!("a schema of the type {other:?}: {schema}"),
        }
    }

    fn object(&mut self, schema: &Value) -> Map<String, Value> {
        if schema["additionalProperties"].is_object() {
            return self.attributes(&schema["additionalProperties"]);
        }
        assert_eq!(schema["additionalProperties"], false, "{schema}");
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        let least = schema["minProperties"].as_u64().unwrap_or(0);
        let most = schema["maxProperties"].as_u64().unwrap_or(u64::MAX);
        loop {
            let mut object = Map::new();
            for (name, member) in schema["properties"].as_object().expect("members") {
                if required.contains(&json!(name)) || self.pick(any::<bool>()) {
                    let value = if name == "role" { self.role() } else { self.value(member) };
                    object.insert(name.clone(), value);
                }
            }
            if (least..=most).contains(&(object.len() as u64)) {
                return object;
            }
        }
    }

    /// A form, which may have other members too.
    fn form(&mut self, schema: &Value) -> String {
        let pointer = schema["$ref"].as_str().and_then(|text| text.strip_prefix('#'));
        let schema = self.document.pointer(pointer.expect("a name")).expect("a schema").clone();
        assert_eq!(schema["additionalProperties"], Value::Null, "{schema}");
        let members = schema["properties"].as_object().expect("members").iter();
        let pairs = members.map(|(name, member)| {
            let text = self.value(member).as_str().expect("a text").to_owned();
            let escaped: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
            format!("{name}={escaped}")
        });
        pairs.collect::<Vec<_>>().join("&")
    }

    /// Attributes of keys that users may change themselves, which a schema cannot express.
    fn attributes(&mut self, value: &Value) -> Map<String, Value> {
        let mut attributes = Map::new();
        for key in OWN_ATTRIBUTES {
            if self.pick(any::<bool>()) {
                continue;
            }
            let one_of =
                |list: &Value| prop::sample::select(list.as_array().expect("a list").clone());
            let mut schema = self.pick(one_of(&value["anyOf"]));
            if schema["type"].is_array() {
                schema["type"] = self.pick(one_of(&schema["type"]));
            }
            attributes.insert(key.to_owned(), self.value(&schema));
        }
        attributes
    }

    /// A role that exists, which a schema cannot express.
    fn role(&mut self) -> Value {
        self.pick(prop::sample::select(vec![json!("client"), json!("admin")]))
    }

    fn text(&mut self, schema: &Value) -> String {
        let length = |name: &str| schema[name].as_u64().map(|length| length as usize);
        let (least, most) = (length("minLength").unwrap_or(0), length("maxLength"));
        let strategy = match schema["pattern"].as_str() {
            Some(pattern) => {
                // The generator has no lookaheads; they bound the parts of an address.
                let rest = pattern.rsplit("(?").next().expect("a part");
                let rest = rest.split_once(')').filter(|_| rest.len() < pattern.len());
                let pattern = rest.map_or(pattern, |(_, after)| after);
                // Unbounded repetitions would mostly be too long.
                let pattern = pattern.replace("]+", "]{1,12}").replace(")*", "){0,2}");
                string_regex(pattern.trim_start_matches('^').trim_end_matches('$'))
            }
            None if schema["format"] == "password" && most.is_some() => {
                let most = most.expect("a length").min(60);
                string_regex(&format!("[a-zA-Zéß 🐐]{{{least},{most}}}"))
            }
            None => string_regex(&format!(".{{{least},{}}}", most.unwrap_or(80).min(80))),
        };
        let strategy = strategy.expect("a pattern").boxed();
        loop {
            let text = self.pick(&strategy);
            let is_address = schema["format"] == "email";
            let fits = |part: &str| part.len() <= if is_address { 63 } else { usize::MAX };
            if most.is_none_or(|most| text.chars().count() <= most)
                && text.split(['@', '.']).all(fits)
                && (!is_address || text.split('@').next().is_some_and(|local| local.len() <= 64))
            {
                return text;
            }
        }
    }

    /// The parameters of an operation in the query, without combinations that are documented as invalid.
    fn query(&mut self, parameters: &[Value]) -> String {
        let mut query: Vec<(String, Value)> = Vec::new();
        for parameter in parameters.iter().filter(|parameter| parameter["in"] == "query") {
            if self.pick(any::<bool>()) {
                let name = parameter["name"].as_str().expect("a name").to_owned();
                let value = match name.as_str() {
                    "role" => json!([self.role()]),
                    _ => self.value(&parameter["schema"]),
                };
                query.push((name, value));
            }
        }
        let number = |name: &str| {
            query.iter().find(|(other, _)| other == name).and_then(|(_, value)| value.as_u64())
        };
        let is_beyond = number("page").unwrap_or(1) * number("limit").unwrap_or(20) > 10_000;
        let continues = query.iter().any(|(name, _)| name == "after");
        query.retain(|(name, _)| match name.as_str() {
            "page" => !is_beyond && !continues,
            "sort" => !continues,
            _ => true,
        });
        let pairs = query.iter().flat_map(|(name, value)| {
            let values = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
            values.into_iter().map(move |value| {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                let escaped: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
                format!("{name}={escaped}")
            })
        });
        pairs.collect::<Vec<_>>().join("&")
    }
}

#[tokio::test]
async fn h9_requests_generated_from_the_schemas_are_never_refused_as_invalid() {
    // With session cookies, on which the members `session` and `refresh_token` depend.
    let with = |setup: &mut Setup| {
        setup.http.session_cookies = Some(Cookies::new());
        setup.goat.self_attributes = OWN_ATTRIBUTES.map(str::to_owned).to_vec();
    };
    let at_once = TestApp::with(with).await;
    let whole = TestApp::with(|setup| {
        with(setup);
        setup.every_route();
    })
    .await;
    let mut generator = Generator::new();
    let mut refused = Vec::new();
    let mut succeeded = 0;
    for endpoint in table().into_iter().filter(|endpoint| endpoint.path().starts_with("/api/v1/")) {
        // Attributes belong to a sign-up with a password at once.
        let app = if endpoint.path() == "/api/v1/auth/signup" { &at_once } else { &whole };
        let method = endpoint.method();
        let pointer = endpoint.path().replace('/', "~1");
        let pointer = format!("/paths/{pointer}/{}", method.as_str().to_lowercase());
        let operation = generator.document.pointer(&pointer).expect("an operation").clone();
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        for _ in 0..REQUESTS {
            let mut path = endpoint.path().to_owned();
            for parameter in parameters.iter().filter(|parameter| parameter["in"] == "path") {
                let name = format!("{{{}}}", parameter["name"].as_str().expect("a name"));
                let value = generator.value(&parameter["schema"]);
                path = path.replace(&name, value.as_str().expect("a text"));
            }
            let query = generator.query(&parameters);
            let target = if query.is_empty() { path } else { format!("{path}?{query}") };
            // An administrator for each request, since some end the session.
            let admin = app.admin().await;
            let mut request = app.request(method.clone(), &target);
            if endpoint.rule().is_protected() {
                request = request.bearer(&admin.token);
            }
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            let body = (!schema.is_null()).then(|| generator.value(schema));
            if let Some(body) = &body {
                request = request.json(body);
            }
            let form = &operation["requestBody"]["content"]["application/x-www-form-urlencoded"];
            if !form.is_null() {
                let form = generator.form(&form["schema"]);
                request = request.body("application/x-www-form-urlencoded", form);
            }
            let response = request.send().await;
            assert!(response.status < 500, "{method} {target} {body:?}: {}", response.json);
            succeeded += usize::from(response.status < 300);
            // The rules for passwords beyond the length cannot be expressed, nor that an answer has exactly
            // one of two members.
            let is_beyond = |field: &&str| field.ends_with("password") || field.ends_with("code");
            if response.status == 400 && !response.fields().iter().all(is_beyond) {
                refused.push(format!("{method} {target} {body:?}: {}", response.json["errors"]));
            }
        }
    }
    assert!(refused.is_empty(), "{} requests:\n{}", refused.len(), refused.join("\n"));
    assert!(succeeded > REQUESTS * 8, "{succeeded} requests succeeded");
}
