//! What is said of one call: it is written beside the route, and is the only way to mount one.

use std::sync::Arc;

use axum::Router;
use axum::handler::Handler;
use axum::middleware;
use axum::routing::{MethodFilter, MethodRouter, on};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Value, json};

use super::words::{by_default, choice, object, text, whole};
use crate::api::auth;
use crate::api::error::ErrorKind;
use crate::api::page::{LIMIT_DEFAULT, LIMIT_MAX, Order};
use crate::api::state::Api;
use crate::model::key::Scope;

/// A call as its users see it.
pub(in crate::api) struct Operation {
    pub(super) id: &'static str,
    pub(super) group: &'static str,
    pub(super) summary: &'static str,
    pub(super) description: String,
    pub(super) parameters: Vec<Parameter>,
    /// The schema of the body, and an example.
    pub(super) body: Option<(Value, Value)>,
    pub(super) answers: Vec<Answer>,
    /// Beside those that every call may give.
    pub(super) errors: Vec<ErrorKind>,
    /// Whether upstream's own errors are passed on.
    pub(super) passes_errors_on: bool,
}

/// Where a parameter stands, its name, whether it must be there, and its schema.
pub(super) struct Parameter {
    pub(super) place: &'static str,
    pub(super) name: &'static str,
    pub(super) required: bool,
    pub(super) schema: Value,
}

/// What a call answers if all goes well.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) description: &'static str,
    pub(super) content: Option<(&'static str, Body)>,
    pub(super) headers: &'static [(&'static str, &'static str)],
}

/// What is known of a body.
pub(super) enum Body {
    /// It is made of this type.
    Typed(fn(&mut SchemaGenerator) -> Schema),
    /// A schema by hand, and an example.
    Given(Value, Value),
}

impl Operation {
    /// A call that takes nothing and answers nothing yet. `id` names it for programs.
    pub(super) fn new(
        group: &'static str,
        id: &'static str,
        summary: &'static str,
        description: impl Into<String>,
    ) -> Self {
        Self {
            id,
            group,
            summary,
            description: description.into(),
            parameters: Vec::new(),
            body: None,
            answers: Vec::new(),
            errors: Vec::new(),
            passes_errors_on: false,
        }
    }

    fn parameter(mut self, place: &'static str, name: &'static str, required: bool, schema: Value) -> Self {
        self.parameters.push(Parameter { place, name, required, schema });
        self
    }

    /// It takes a query parameter.
    pub(super) fn query(self, name: &'static str, schema: Value) -> Self {
        self.parameter("query", name, false, schema)
    }

    /// It needs a query parameter.
    pub(super) fn required_query(self, name: &'static str, schema: Value) -> Self {
        self.parameter("query", name, true, schema)
    }

    /// It takes a header.
    pub(super) fn header(self, name: &'static str, schema: Value) -> Self {
        self.parameter("header", name, false, schema)
    }

    /// Its path has this segment.
    pub(super) fn path(self, name: &'static str, schema: Value) -> Self {
        self.parameter("path", name, true, schema)
    }

    /// It answers page by page, in one order.
    pub(super) fn page(self) -> Self {
        self.page_with(by_default(whole("How many entries at most.", 1..=LIMIT_MAX as u32), LIMIT_DEFAULT))
    }

    /// It answers all at once, or page by page if it is given a limit.
    pub(super) fn page_of_few(self) -> Self {
        self.page_with(whole("How many entries at most; all, unless it is given.", 1..=LIMIT_MAX as u32))
    }

    fn page_with(self, limit: Value) -> Self {
        self.query("limit", limit).query("cursor", text("`next_cursor` of the page before."))
    }

    /// It answers page by page, newest or oldest first.
    pub(super) fn ordered_page(self) -> Self {
        let order =
            choice("Oldest first (`asc`) or newest first (`desc`). A cursor goes on in its own order.", &Order::WORDS);
        self.page().query("order", by_default(order, "desc"))
    }

    /// It takes a body, of which `example` is one.
    pub(super) fn body(self, schema: Value, example: Value) -> Self {
        Self { body: Some((schema, example)), ..self }
    }

    /// It takes a body that has no fields.
    pub(super) fn empty_body(self) -> Self {
        let schema = object("No field is known here.", &[], json!({}));
        self.body(schema, json!({}))
    }

    /// It answers a value.
    pub(super) fn answers<T: JsonSchema>(self, status: u16, description: &'static str) -> Self {
        self.answers_with(status, description, JSON, Body::Typed(SchemaGenerator::subschema_for::<T>))
    }

    /// It answers something else.
    pub(super) fn answers_with(
        mut self,
        status: u16,
        description: &'static str,
        media_type: &'static str,
        body: Body,
    ) -> Self {
        self.answers.push(Answer { status, description, content: Some((media_type, body)), headers: &[] });
        self
    }

    /// It answers without a body.
    pub(super) fn answers_nothing(mut self, status: u16, description: &'static str) -> Self {
        self.answers.push(Answer { status, description, content: None, headers: &[] });
        self
    }

    /// What was last answered also has these headers, each with what it says.
    pub(super) fn with_headers(mut self, headers: &'static [(&'static str, &'static str)]) -> Self {
        if let Some(answer) = self.answers.last_mut() {
            answer.headers = headers;
        }
        self
    }

    /// It may also fail in these ways.
    pub(super) fn fails(mut self, errors: &[ErrorKind]) -> Self {
        self.errors.extend(errors);
        self
    }

    /// It asks upstream, whose own errors come back with their own status and type.
    pub(super) fn passes_errors_on(self) -> Self {
        Self { passes_errors_on: true, ..self }
    }
}

pub(super) const JSON: &str = "application/json";

/// Calls, each with what is said of it. One of which nothing is said cannot be mounted.
#[derive(Default)]
pub(in crate::api) struct Calls {
    router: Router<Arc<Api>>,
    mounted: Vec<Mounted>,
}

/// A call in its place.
pub(in crate::api) struct Mounted {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    /// What a key must have; `None`: no key is needed.
    pub(super) scope: Option<Scope>,
    pub(super) describe: fn() -> Operation,
}

impl Mounted {
    /// Whether it changes something.
    pub(super) fn is_change(&self) -> bool {
        self.method != "get"
    }

    /// Whether it may carry an idempotency key.
    pub(super) fn takes_idempotency_key(&self) -> bool {
        self.method == "post"
    }
}

impl Calls {
    /// Also these.
    pub(in crate::api) fn merge(mut self, other: Self) -> Self {
        self.mounted.extend(other.mounted);
        Self { router: self.router.merge(other.router), ..self }
    }

    /// The same calls, for those alone whose key has the scope.
    pub(in crate::api) fn open_to(mut self, scope: Scope) -> Self {
        for call in &mut self.mounted {
            call.scope = Some(scope);
        }
        Self { router: self.router.route_layer(middleware::from_fn_with_state(scope, auth::require_scope)), ..self }
    }

    /// The routes, and what is said of them.
    pub(in crate::api) fn into_parts(self) -> (Router<Arc<Api>>, Vec<Mounted>) {
        (self.router, self.mounted)
    }

    fn on(
        mut self,
        method: &'static str,
        path: &'static str,
        calls: MethodRouter<Arc<Api>>,
        describe: fn() -> Operation,
    ) -> Self {
        self.mounted.push(Mounted { method, path, scope: None, describe });
        Self { router: self.router.route(path, calls), ..self }
    }
}

macro_rules! methods {
    ($($name:ident = $filter:ident,)+) => {
        impl Calls {
            $(
                /// A call of this method: where it is, who answers it, and what is said of it.
                pub(in crate::api) fn $name<H, T>(
                    self,
                    path: &'static str,
                    handler: H,
                    describe: fn() -> Operation,
                ) -> Self
                where
                    H: Handler<T, Arc<Api>>,
                    T: 'static,
                {
                    self.on(stringify!($name), path, on(MethodFilter::$filter, handler), describe)
                }
            )+
        }
    };
}

methods! { get = GET, post = POST, put = PUT, patch = PATCH, delete = DELETE, }
