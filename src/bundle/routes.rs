//! `[[route]]`: which HTTP request is which action on which resource.

use std::collections::{BTreeMap, HashMap};

use matchit::Router;

use super::{
    raw::{OneOrMany, RawRoute},
    template::Template,
};
use crate::{
    model::{CanonicalRequest, EntityRef, NotCanonical, percent_decode},
    policy::{Place, Schema, Type, core::TypeName},
};

/// The routes of a bundle, by host and method.
///
/// A literal segment is preferred to a capture, a capture to `{*rest}`, a route with a host to one
/// without, and one with a method to one without.
#[derive(Debug, Default)]
pub struct Routes {
    routes: Vec<Route>,
    /// By host (`None`: any), then by method (`None`: any other).
    hosts: HashMap<Option<String>, HashMap<Option<String>, Router<usize>>>,
}

/// One route.
#[derive(Debug)]
pub struct Route {
    /// The path as written.
    pub path: String,
    /// The host it is for; `None`: any.
    pub host: Option<String>,
    /// The methods it is for; `None`: any.
    pub methods: Option<Vec<String>>,
    /// Where it is written.
    pub place: Place,
    /// The action's full name.
    pub action: String,
    /// Whether requests without a token may use it.
    pub anonymous: bool,
    resource_type: TypeName,
    id: Template,
    attributes: Vec<(String, Template)>,
    parents: Vec<(TypeName, Template)>,
}

/// A route with what its captures say of the resource.
#[derive(Debug)]
pub struct Matched<'r> {
    /// The route.
    pub route: &'r Route,
    /// The resource.
    pub resource: EntityRef,
    /// Attributes that the URL claims for it.
    pub attributes: Vec<(&'r str, String)>,
    /// Parents that the URL claims for it.
    pub parents: Vec<EntityRef>,
}

impl Routes {
    /// The attributes of resources that routes take from URLs.
    pub(super) fn attributes(&self) -> impl Iterator<Item = &str> {
        let named = self.routes.iter().flat_map(|route| &route.attributes);
        named.map(|(name, _)| name.as_str())
    }

    /// Compiles the tables against the schema.
    ///
    /// # Errors
    /// Per table, what is wrong: an unknown name, or the same requests as another route.
    pub(super) fn compile(
        tables: Vec<RawRoute>,
        places: &[Place],
        schema: &Schema,
    ) -> Result<Self, Vec<(usize, String)>> {
        let mut compiled = Self::default();
        let mut faults = Vec::new();
        let mut keys = Vec::new();
        for (n, mut table) in tables.into_iter().enumerate() {
            let methods = table.method.take().map(OneOrMany::into_vec);
            let host = table.host.take();
            let compile = |place: &Place| Route::compile(table, place, &host, &methods, schema);
            let route = match places.get(n) {
                Some(place) => compile(place),
                None => Err("has no place".to_owned()),
            };
            match route.and_then(|route| Ok((route, key(host, methods)?))) {
                Ok((route, (host, methods))) => {
                    keys.push((n, host, methods));
                    compiled.routes.push(route);
                }
                Err(message) => faults.push((n, message)),
            }
        }
        // A method's router has the routes of that method, then those of any, so that the most
        // specific path wins whether or not it names a method.
        for (route, (n, host, methods)) in keys.iter().enumerate() {
            for method in methods {
                if let Err(message) = compiled.insert(host, method, route) {
                    faults.push((*n, message));
                }
            }
        }
        for (route, (_, host, methods)) in keys.iter().enumerate() {
            if methods.contains(&None) {
                let routers = compiled.hosts.entry(host.clone()).or_default();
                let Some(path) = compiled.routes.get(route).map(|route| route.path.clone()) else {
                    continue;
                };
                for router in routers
                    .iter_mut()
                    .filter(|(method, _)| method.is_some())
                    .map(|(_, router)| router)
                {
                    // The same path with a method of its own is the more specific one.
                    let _ = router.insert(path.clone(), route);
                }
            }
        }
        if faults.is_empty() {
            Ok(compiled)
        } else {
            Err(faults)
        }
    }

    fn insert(
        &mut self,
        host: &Option<String>,
        method: &Option<String>,
        route: usize,
    ) -> Result<(), String> {
        let path = self
            .routes
            .get(route)
            .map(|route| route.path.clone())
            .unwrap_or_default();
        let routers = self.hosts.entry(host.clone()).or_default();
        let router = routers.entry(method.clone()).or_default();
        router
            .insert(path.clone(), route)
            .map_err(|error| match error {
                matchit::InsertError::Conflict { with } => {
                    format!("path `{path}` matches the same requests as `{with}`")
                }
                other => format!("path `{path}`: {other}"),
            })
    }

    /// Every route, in the order of the file.
    pub fn all(&self) -> &[Route] {
        &self.routes
    }

    /// The route of a request.
    ///
    /// # Errors
    /// When a captured segment does not decode to text.
    pub fn find(&self, request: &CanonicalRequest) -> Result<Option<Matched<'_>>, NotCanonical> {
        for host in [Some(request.host().to_owned()), None] {
            let Some(routers) = self.hosts.get(&host) else {
                continue;
            };
            let of_method = routers.get(&Some(request.method().to_owned()));
            let Some(router) = of_method.or_else(|| routers.get(&None)) else {
                continue;
            };
            if let Ok(found) = router.at(request.path())
                && let Some(route) = self.routes.get(*found.value)
            {
                let mut captures = BTreeMap::new();
                for (name, value) in found.params.iter() {
                    captures.insert(name.to_owned(), percent_decode(value)?);
                }
                return Ok(route.apply(&captures));
            }
        }
        Ok(None)
    }
}

type RouteKey = (Option<String>, Vec<Option<String>>);

fn key(host: Option<String>, methods: Option<Vec<String>>) -> Result<RouteKey, String> {
    let host = match host {
        None => None,
        Some(host) => match CanonicalRequest::parse("GET", &host, "/") {
            Ok(request) if request.host() == host && !host.is_empty() => Some(host),
            _ => {
                return Err(format!(
                    "host `{host}` is not a lower-case host name without default port"
                ));
            }
        },
    };
    let methods = match methods {
        None => vec![None],
        Some(methods) if methods.is_empty() => return Err("`method` is an empty list".into()),
        Some(methods) => {
            if let Some(bad) = methods
                .iter()
                .find(|m| CanonicalRequest::parse(m, "", "/").is_err())
            {
                return Err(format!("method `{bad}` is not an upper-case HTTP method"));
            }
            methods.into_iter().map(Some).collect()
        }
    };
    Ok((host, methods))
}

impl Route {
    fn compile(
        table: RawRoute,
        place: &Place,
        host: &Option<String>,
        methods: &Option<Vec<String>>,
        schema: &Schema,
    ) -> Result<Self, String> {
        let captures = captures(&table.path)?;
        let template = |what: &str, text: &str| {
            let template =
                Template::parse(text).map_err(|message| format!("`{what}` {message}"))?;
            let unknown = template
                .holes()
                .find(|hole| !captures.iter().any(|name| name == hole));
            match unknown.map(str::to_owned) {
                Some(hole) => Err(format!(
                    "`{what}` uses `{{{hole}}}`, which the path does not capture"
                )),
                None => Ok(template),
            }
        };
        let action = schema
            .action(&table.action)
            .ok_or_else(|| format!("the schema has no action `{}`", table.action))?;
        let type_of = |name: &str| {
            let type_name = schema.type_name(name);
            type_name.ok_or_else(|| format!("the schema has no entity type `{name}`"))
        };
        let resource_type = type_of(&table.resource.type_name)?;
        let def = schema
            .entity_type(resource_type)
            .ok_or("has no definition")?;
        if !action.resources.contains(resource_type) {
            return Err(format!(
                "action `{}` does not apply to a `{resource_type}`",
                table.action
            ));
        }
        let mut attributes = Vec::new();
        for (name, text) in &table.resource.attributes {
            match def
                .attributes
                .members
                .get(name.as_str())
                .map(|member| &member.ty)
            {
                Some(Type::String | Type::Entity(_)) => {}
                Some(_) => return Err(format!("attribute `{name}` is not text or an entity")),
                None => return Err(format!("type `{resource_type}` has no attribute `{name}`")),
            }
            attributes.push((name.clone(), template(name, text)?));
        }
        let mut parents = Vec::new();
        for parent in &table.resource.parents {
            let parent_type = type_of(&parent.type_name)?;
            if !def.ancestors.contains(parent_type) {
                return Err(format!("a `{resource_type}` is never in a `{parent_type}`"));
            }
            parents.push((parent_type.clone(), template("parents", &parent.id)?));
        }
        Ok(Self {
            id: template("id", &table.resource.id)?,
            path: table.path,
            host: host.clone(),
            methods: methods.clone(),
            place: place.clone(),
            action: action.uid.to_string(),
            anonymous: table.anonymous,
            resource_type: resource_type.clone(),
            attributes,
            parents,
        })
    }

    fn apply(&self, captures: &BTreeMap<String, String>) -> Option<Matched<'_>> {
        let fill = |template: &Template| template.fill(|name| captures.get(name)).ok();
        let attributes = self
            .attributes
            .iter()
            .map(|(name, text)| Some((name.as_str(), fill(text)?)));
        let parents = self.parents.iter();
        let parents = parents.map(|(name, id)| Some(EntityRef::new(name.to_string(), fill(id)?)));
        Some(Matched {
            route: self,
            resource: EntityRef::new(self.resource_type.to_string(), fill(&self.id)?),
            attributes: attributes.collect::<Option<_>>()?,
            parents: parents.collect::<Option<_>>()?,
        })
    }
}

/// The names that a path captures; its literal text must be in canonical form.
fn captures(path: &str) -> Result<Vec<String>, String> {
    let mut names = Vec::new();
    let mut literal = Vec::new();
    let segments: Vec<&str> = path.split('/').collect();
    for (n, segment) in segments.iter().enumerate() {
        match segment
            .strip_prefix('{')
            .and_then(|rest| rest.strip_suffix('}'))
        {
            Some(capture) => {
                let name = match capture.strip_prefix('*') {
                    Some(_) if n + 1 < segments.len() => {
                        return Err(format!("path `{path}`: `{segment}` is only for the end"));
                    }
                    Some(name) => name,
                    None => capture,
                };
                let ok =
                    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
                if !ok || names.iter().any(|known| known == name) {
                    return Err(format!(
                        "path `{path}`: `{segment}` is malformed or repeated"
                    ));
                }
                names.push(name.to_owned());
                literal.push("x");
            }
            None if segment.contains(['{', '}']) => {
                return Err(format!("path `{path}`: a capture is one whole segment"));
            }
            None => literal.push(segment),
        }
    }
    let literal = literal.join("/");
    match CanonicalRequest::parse("GET", "", &literal) {
        Ok(request) if request.path() == literal && request.query().is_none() => Ok(names),
        Ok(_) => Err(format!("path `{path}` is not in canonical form")),
        Err(error) => Err(format!("path `{path}`: {error}")),
    }
}
