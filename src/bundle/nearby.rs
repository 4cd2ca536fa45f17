//! Why a request has the route it has: the others that fit it in part.

use std::fmt;

use super::routes::{Route, Routes};
use crate::model::CanonicalRequest;

/// A route that was not chosen, though its path fits.
#[derive(Debug)]
pub struct Nearby<'r> {
    /// The route.
    pub route: &'r Route,
    /// Why it was not chosen.
    pub why: WhyNot,
}

/// Why a route whose path fits was not chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhyNot {
    /// It is for another host.
    Host,
    /// It is for other methods.
    Method,
    /// The chosen one is more specific.
    LessSpecific,
}

impl Routes {
    /// The routes other than `chosen` whose path fits a request, in the order of the file.
    pub fn nearby<'r>(
        &'r self,
        request: &CanonicalRequest,
        chosen: Option<&Route>,
    ) -> Vec<Nearby<'r>> {
        let others = self
            .all()
            .iter()
            .filter(|route| chosen.is_none_or(|chosen| !std::ptr::eq(chosen, *route)));
        let near = others.filter(|route| fits(&route.path, request.path()));
        near.map(|route| Nearby {
            route,
            why: why_not(route, request),
        })
        .collect()
    }
}

fn fits(pattern: &str, path: &str) -> bool {
    let mut router = matchit::Router::new();
    router.insert(pattern, ()).is_ok() && router.at(path).is_ok()
}

fn why_not(route: &Route, request: &CanonicalRequest) -> WhyNot {
    let host_ok = |host: &String| host == request.host();
    let method_ok = |methods: &Vec<String>| methods.iter().any(|it| it == request.method());
    if !route.host.as_ref().is_none_or(host_ok) {
        WhyNot::Host
    } else if !route.methods.as_ref().is_none_or(method_ok) {
        WhyNot::Method
    } else {
        WhyNot::LessSpecific
    }
}

impl fmt::Display for Route {
    /// Methods, host and path.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.methods {
            Some(methods) => f.write_str(&methods.join(","))?,
            None => f.write_str("*")?,
        }
        write!(
            f,
            " {}{}",
            self.host.as_deref().unwrap_or_default(),
            self.path
        )
    }
}
