//! A file that others keep as well: read whole, and replaced whole or not at all.

use super::{Pointer, PointerError};
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::Path;

fn failed<'a>(path: &'a Path, doing: &'static str) -> impl Fn(std::io::Error) -> PointerError + 'a {
    move |error| PointerError::File { path: path.to_owned(), doing, why: error.to_string() }
}

/// The file's text; `None`: there is no file.
pub(super) fn text(path: &Path) -> Result<Option<String>, PointerError> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        text => text.map(Some).map_err(failed(path, "read")),
    }
}

/// Whole or not at all, under the name that a link leads to, with the rights it had.
pub(super) fn replace(path: &Path, text: &str) -> Result<(), PointerError> {
    let failed = failed(path, "written");
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(".imgctl.").tempfile_in(directory).map_err(&failed)?;
    file.write_all(text.as_bytes()).map_err(&failed)?;
    let rights = match fs::metadata(&path) {
        Ok(there) => there.permissions(),
        Err(_) => std::os::unix::fs::PermissionsExt::from_mode(0o644),
    };
    file.as_file().set_permissions(rights).map_err(&failed)?;
    file.as_file().sync_all().map_err(&failed)?;
    file.persist(&path).map_err(|error| failed(error.error))?;
    fs::File::open(directory).and_then(|directory| directory.sync_all()).map_err(&failed)
}

/// Says so where somebody else was faster.
pub(super) async fn read_back(pointer: &dyn Pointer, wanted: &str) -> Result<(), PointerError> {
    let now = pointer.read().await?;
    if now.as_deref() == Some(wanted) {
        return Ok(());
    }
    let shows = now.unwrap_or_else(|| "nothing".to_owned());
    Err(PointerError::NotTaken { place: pointer.place(), shows })
}
