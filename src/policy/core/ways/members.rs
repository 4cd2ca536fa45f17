//! Changes of who is in what: the hierarchy of entities, and sets.

use cedar_policy_core::ast::Expr;

use super::{
    super::{
        CedarValue, Uid, entity_value,
        value::{as_entity, as_set},
    },
    Change, Edit, MAX_WAYS, Root, Spot, Way, Ways, is_literal, text,
};

impl Ways<'_> {
    pub(super) fn hierarchy(&self, child: &Expr, of: &Expr, wanted: bool) -> Vec<Way> {
        let (Some(child_value), Some(of_value)) = (self.value(child), self.value(of)) else {
            return Vec::new();
        };
        let Some(uid) = as_entity(&child_value) else {
            return Vec::new();
        };
        let groups: Vec<&Uid> = match as_set(&of_value) {
            Some(all) => all.into_iter().filter_map(as_entity).collect(),
            None => as_entity(&of_value).into_iter().collect(),
        };
        let named = text(child);
        let literal = is_literal(of);
        if !wanted {
            return self.leave(uid, &named, &groups).into_iter().collect();
        }
        let join =
            |group: &&Uid| vec![self.parent(uid, &named, Edit::Join((*group).clone()), literal)];
        let mut ways: Vec<Way> = groups.iter().map(join).collect();
        for group in &groups {
            // An entity is in itself.
            ways.extend(self.solve(child, &entity_value((*group).clone()), literal));
        }
        if let (Some(entity), [_]) = (self.entities.get(uid), groups.as_slice()) {
            let mut ancestors: Vec<&Uid> = entity.ancestors().iter().collect();
            ancestors.sort();
            for ancestor in ancestors.into_iter().take(MAX_WAYS) {
                ways.extend(self.solve(of, &entity_value(ancestor.clone()), false));
            }
        }
        ways
    }

    /// Leaving every parent by which an entity is in one of `groups`.
    pub(in crate::policy) fn leave(&self, uid: &Uid, named: &str, groups: &[&Uid]) -> Option<Way> {
        let leads = |parent: &Uid| {
            let above = |group: &Uid| self.entities.get(parent).is_some_and(|it| it.is_in(group));
            groups.iter().any(|group| parent == *group || above(group))
        };
        if groups.contains(&uid) {
            return None;
        }
        let mut parents: Vec<&Uid> = self
            .entities
            .get(uid)?
            .parents()
            .iter()
            .filter(|it| leads(it))
            .collect();
        parents.sort();
        let leave = |parent: &Uid| self.parent(uid, named, Edit::Leave(parent.clone()), false);
        Some(parents.into_iter().map(leave).collect())
    }

    /// A change of an entity's parents.
    pub(in crate::policy) fn parent(
        &self,
        uid: &Uid,
        named: &str,
        edit: Edit,
        literal: bool,
    ) -> Change {
        let spot = Spot {
            root: Root::Entity(uid.clone()),
            path: Vec::new(),
            named: named.to_owned(),
        };
        Change {
            spot,
            edit,
            literal,
        }
    }

    pub(super) fn contains(&self, set: &Expr, item: &Expr, wanted: bool) -> Vec<Way> {
        let Some(item_value) = self.value(item) else {
            return Vec::new();
        };
        let edit = match wanted {
            true => Edit::Insert(item_value),
            false => Edit::Remove(item_value),
        };
        let change = self.edit(set, edit, is_literal(item));
        let mut ways: Vec<Way> = change.map(|change| vec![change]).into_iter().collect();
        let members = self.value(set);
        let members = members.as_ref().and_then(as_set).unwrap_or_default();
        match wanted {
            true => {
                for member in members.into_iter().take(MAX_WAYS) {
                    ways.extend(self.solve(item, member, is_literal(set)));
                }
            }
            false => ways.extend(self.other(item, item)),
        }
        ways
    }

    pub(super) fn contains_all(&self, set: &Expr, items: &Expr, wanted: bool) -> Vec<Way> {
        let (Some(set_value), Some(items_value)) = (self.value(set), self.value(items)) else {
            return Vec::new();
        };
        let (Some(have), Some(need)) = (as_set(&set_value), as_set(&items_value)) else {
            return Vec::new();
        };
        let (in_set, in_items) = (is_literal(set), is_literal(items));
        let missing = || need.iter().filter(|it| !have.contains(it));
        if !wanted {
            let remove = |it: &&CedarValue| self.edit(set, Edit::Remove((*it).clone()), in_items);
            return need.iter().filter_map(remove).map(|it| vec![it]).collect();
        }
        let insert: Option<Way> = missing()
            .map(|it| self.edit(set, Edit::Insert((*it).clone()), in_items))
            .collect();
        let remove: Option<Way> = missing()
            .map(|it| self.edit(items, Edit::Remove((*it).clone()), in_set))
            .collect();
        insert.into_iter().chain(remove).collect()
    }

    pub(super) fn contains_any(&self, set: &Expr, items: &Expr, wanted: bool) -> Vec<Way> {
        let (Some(set_value), Some(items_value)) = (self.value(set), self.value(items)) else {
            return Vec::new();
        };
        let (Some(have), Some(may)) = (as_set(&set_value), as_set(&items_value)) else {
            return Vec::new();
        };
        let both = || have.iter().filter(|it| may.contains(it));
        if !wanted {
            let from = |expr: &Expr| {
                let remove = |it: &&CedarValue| self.edit(expr, Edit::Remove((*it).clone()), false);
                both().map(remove).collect::<Option<Way>>()
            };
            return [from(set), from(items)].into_iter().flatten().collect();
        }
        let mut ways = Vec::new();
        for (one, members, other) in [(set, &may, items), (items, &have, set)] {
            let insert =
                |it: &&CedarValue| self.edit(one, Edit::Insert((*it).clone()), is_literal(other));
            ways.extend(members.iter().filter_map(insert).map(|it| vec![it]));
        }
        ways
    }
}
