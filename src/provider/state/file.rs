//! A state in a file.

use super::{FetchError, StateSource, read_all};
use std::path::{Path, PathBuf};

/// The files that a pattern with `*`, `?`, `[…]` or `**` means, sorted; the path itself, where it is one or none is there.
pub fn matching(path: &Path) -> Vec<PathBuf> {
    let text = path.to_string_lossy();
    if path.exists() || !text.contains(['*', '?', '[']) {
        return vec![path.to_owned()];
    }
    let found: Vec<PathBuf> =
        glob::glob(&text).into_iter().flatten().filter_map(Result::ok).filter(|found| found.is_file()).collect();
    if found.is_empty() { vec![path.to_owned()] } else { found }
}

/// A file by its path; relative ones are relative to where imgctl was started, or to the config that names them.
pub struct StateFile {
    name: String,
    path: PathBuf,
}

impl StateFile {
    pub fn new(name: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        Self { name: name.into(), path: path.into() }
    }
}

#[async_trait::async_trait]
impl StateSource for StateFile {
    fn name(&self) -> &str {
        &self.name
    }

    async fn fetch(&self) -> Result<Vec<u8>, FetchError> {
        let opened = tokio::fs::File::open(&self.path).await;
        let file = opened.map_err(|source| FetchError::Read { name: self.name.clone(), source })?;
        let length = file.metadata().await.map_or(0, |about| about.len());
        read_all(&self.name, file, length).await
    }
}
