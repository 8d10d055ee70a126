//! A file that is whole under the name that was asked for, or not there at all.

use super::failure::Failure;
use std::io::{BufWriter, ErrorKind, Write};
use std::path::Path;

/// Has a new file written beside its place, and then put there, never over another one: half of one would pass for a whole one.
pub fn write<T>(path: &Path, fill: impl FnOnce(&mut dyn Write) -> Result<T, Failure>) -> Result<T, Failure> {
    let failed = |source| Failure::File { doing: "writing", path: path.to_path_buf(), source };
    if path.exists() {
        // Before anything is read for it, not after.
        return Err(failed(std::io::Error::new(ErrorKind::AlreadyExists, "there is such a file")));
    }
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(directory).map_err(failed)?;
    let mut out = BufWriter::new(file.as_file_mut());
    let filled = fill(&mut out).map_err(|failure| match failure {
        Failure::Output(source) => failed(source),
        failure => failure,
    })?;
    out.flush().map_err(failed)?;
    drop(out);
    file.as_file().sync_all().map_err(failed)?;
    file.persist_noclobber(path).map_err(|error| failed(error.error))?;
    Ok(filled)
}

/// Puts the file in the place of the one before it: whoever reads meanwhile has the old one or the new one.
pub fn replace(path: &Path, text: &[u8]) -> Result<(), Failure> {
    let failed = |source| Failure::File { doing: "writing", path: path.to_path_buf(), source };
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::metadata(directory).map_err(failed)?;
    let mut file = tempfile::Builder::new();
    // A collector that runs as somebody else reads it.
    #[cfg(unix)]
    file.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644));
    // The error would name the file beside it, which nobody asked for.
    let mut file = file.tempfile_in(directory).map_err(|error| failed(error.kind().into()))?;
    file.write_all(text).map_err(failed)?;
    file.persist(path).map(drop).map_err(|error| failed(error.error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_whole_or_not_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.csv");
        let half = write(&path, |out| {
            out.write_all(b"half").map_err(Failure::Output)?;
            Err::<(), _>(Failure::usage("no", "no"))
        });
        assert!(half.is_err());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left behind");
        write(&path, |out| out.write_all(b"whole").map_err(Failure::Output)).unwrap();
        let again = write(&path, |_| Ok(())).unwrap_err();
        assert_eq!(again.hints(), ["nothing is overwritten: name another file"]);
        assert_eq!(std::fs::read(&path).unwrap(), b"whole");
    }
}
