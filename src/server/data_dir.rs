//! The data directory, and the mark that keeps development and production apart.

use std::{fs, io, path::Path};

use super::ServerError;

/// The file that marks a directory of development.
const MARK: &str = "dev";

/// Makes the data directory where it is missing, and refuses one of the other kind: a production
/// server must not use a development key, nor a development server production's data.
///
/// # Errors
/// [`ServerError::DevData`], [`ServerError::NotDevData`], or why it cannot be made.
pub fn prepare(data: &Path, dev: bool) -> Result<(), ServerError> {
    let failed = |source| ServerError::Data {
        path: data.to_owned(),
        source,
    };
    let mut make = fs::DirBuilder::new();
    make.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut make, 0o700);
    make.create(data).map_err(failed)?;
    let mark = data.join(MARK);
    match (dev, mark.try_exists().map_err(failed)?) {
        (true, true) | (false, false) => Ok(()),
        (true, false) if is_empty(data).map_err(failed)? => {
            fs::write(&mark, "development only\n").map_err(failed)
        }
        (true, false) => Err(ServerError::NotDevData(data.to_owned())),
        (false, true) => Err(ServerError::DevData(data.to_owned())),
    }
}

/// Names a text, as the configuration that a server runs with.
pub(super) fn digest(text: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    digest
        .as_ref()
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn is_empty(dir: &Path) -> io::Result<bool> {
    Ok(fs::read_dir(dir)?.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn development_and_production_do_not_share_a_directory() {
        let root = tempfile::tempdir().unwrap();
        let (dev, production) = (root.path().join("a/dev"), root.path().join("b"));
        prepare(&dev, true).unwrap();
        prepare(&dev, true).unwrap();
        assert!(matches!(prepare(&dev, false), Err(ServerError::DevData(_))));

        prepare(&production, false).unwrap();
        fs::write(production.join("publications.jsonl"), "").unwrap();
        prepare(&production, false).unwrap();
        assert!(matches!(
            prepare(&production, true),
            Err(ServerError::NotDevData(_))
        ));
        assert!(!production.join(MARK).exists());
    }

    #[test]
    fn a_file_in_the_place_of_the_directory_is_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(matches!(
            prepare(file.path(), true),
            Err(ServerError::Data { .. })
        ));
    }
}
