//! Text with `{name}` holes, for ids and attributes.

/// Literal text and the names to put between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Hole(String),
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after
                .split_once('}')
                .ok_or_else(|| format!("`{text}` has a `{{` without `}}`"))?;
            if name.is_empty() || name.contains('{') || before.contains('}') {
                return Err(format!("`{text}` has a malformed `{{name}}`"));
            }
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            parts.push(Part::Hole(name.to_owned()));
            rest = after;
        }
        if rest.contains('}') {
            return Err(format!("`{text}` has a `}}` without `{{`"));
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        match parts.is_empty() {
            true => Err("is empty".into()),
            false => Ok(Self { parts }),
        }
    }

    /// The names of its holes.
    pub fn holes(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Hole(name) => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }

    /// Whether it starts with the hole `name` and then text that starts with one of `delimiters`.
    pub fn starts_with(&self, name: &str, delimiters: &[char]) -> bool {
        match self.parts.as_slice() {
            [Part::Hole(first), Part::Text(then), ..] => {
                first == name && then.starts_with(delimiters)
            }
            _ => false,
        }
    }

    /// Fills the holes; `Err` is the name of the hole that `value` has nothing for.
    ///
    /// # Errors
    /// The name of the first hole without a value.
    pub fn fill<'a, S: AsRef<str>>(
        &'a self,
        mut value: impl FnMut(&'a str) -> Option<S>,
    ) -> Result<String, &'a str> {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Hole(name) => out.push_str(value(name).ok_or(name.as_str())?.as_ref()),
            }
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_filled_or_named() {
        let template = Template::parse("{a}|x{b}").unwrap();
        assert_eq!(
            template.fill(|name| Some(name.to_uppercase())),
            Ok("A|xB".to_owned())
        );
        assert_eq!(template.fill(|name| (name == "a").then_some("1")), Err("b"));
        assert!(template.starts_with("a", &['|']) && !template.starts_with("a", &['x']));
    }

    #[test]
    fn malformed_templates_are_refused() {
        for text in ["", "{", "}", "{}", "{a", "a}", "{{a}}", "{a}}"] {
            assert!(Template::parse(text).is_err(), "{text}");
        }
    }
}
