//! What the cases of a bundle ask about.

use crate::{
    bundle::{CaseQuestion, Route, Snapshot},
    model::CanonicalRequest,
};

/// The routes that no case's request takes, in the order of the file.
pub fn unasked_routes(snapshot: &Snapshot) -> Vec<&Route> {
    let cases = snapshot.cases.iter().flat_map(|file| &file.cases);
    let asked = cases.filter_map(|case| match &case.question {
        CaseQuestion::Http {
            method, host, path, ..
        } => {
            let request = CanonicalRequest::parse(method, host, path).ok()?;
            let matched = snapshot.routes.find(&request).ok()??;
            Some(std::ptr::from_ref(matched.route))
        }
        CaseQuestion::Named { .. } => None,
    });
    let asked: Vec<_> = asked.collect();
    let all = snapshot.routes.all().iter();
    all.filter(|route| !asked.contains(&std::ptr::from_ref(*route)))
        .collect()
}
