//! Leaving out what the schema does not declare, for protocols in which that is to be ignored.

use crate::{
    bundle::Snapshot,
    model::{AccessRequest, EntityFacts, Question, Subject},
    policy::{RecordType, Standard, Type, keep_declared},
};

/// Leaves out of `ask` every member that the bundle's schema does not declare; returns how many.
///
/// Types and actions that are unknown, and members that only Doorward supplies, stay: they are for
/// resolution to refuse.
pub fn drop_undeclared(snapshot: &Snapshot, ask: &mut AccessRequest) -> usize {
    let mut dropped = 0;
    if let Subject::Entity(facts) = &mut ask.subject {
        dropped += of_entity(snapshot, facts);
    }
    for facts in &mut ask.entities {
        dropped += of_entity(snapshot, facts);
    }
    let Question::Named(named) = &mut ask.question else {
        return dropped;
    };
    dropped += of_entity(snapshot, &mut named.resource);
    let Some(action) = snapshot.schema.action(&named.action) else {
        return dropped;
    };
    let context = &mut ask.context;
    let reserved: Vec<_> = context
        .extract_if(.., |name, _| Standard::named(name).is_some())
        .collect();
    dropped += keep_declared(context, &action.context);
    context.extend(reserved);
    let nothing = RecordType::default();
    let member = action.context.members.get("action");
    let declared = match member.map(|member| &member.ty) {
        Some(Type::Record(declared)) => declared,
        _ => &nothing,
    };
    dropped + keep_declared(&mut named.properties, declared)
}

fn of_entity(snapshot: &Snapshot, facts: &mut EntityFacts) -> usize {
    let schema = &snapshot.schema;
    let def = schema
        .type_name(&facts.uid.type_name)
        .and_then(|name| schema.entity_type(name));
    def.map_or(0, |def| {
        keep_declared(&mut facts.attributes, &def.attributes)
    })
}
