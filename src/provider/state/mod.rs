//! Where the bytes of infrastructure code live. How they are read is another room's business.

mod file;
mod stdin;

pub use file::StateFile;
pub use stdin::StateStdin;

/// One place that holds a state.
#[async_trait::async_trait]
pub trait StateSource: Send + Sync {
    /// How the user named it.
    fn name(&self) -> &str;

    /// All of its bytes.
    async fn fetch(&self) -> Result<Vec<u8>, FetchError>;
}

/// Why a state could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("`{name}` could not be read")]
    Read {
        name: String,
        #[source]
        source: std::io::Error,
    },
    #[error("`{name}` is larger than {limit} bytes")]
    TooLarge { name: String, limit: u64 },
}

/// A state of this size holds hundreds of thousands of resources; more is a mistake.
const LARGEST: u64 = 512 * 1024 * 1024;

/// Reads to the end, and refuses what cannot be a state.
async fn read_all(name: &str, reader: impl tokio::io::AsyncRead + Unpin) -> Result<Vec<u8>, FetchError> {
    use tokio::io::AsyncReadExt;
    let mut bytes = Vec::new();
    let read = reader.take(LARGEST + 1).read_to_end(&mut bytes).await;
    read.map_err(|source| FetchError::Read { name: name.to_owned(), source })?;
    match u64::try_from(bytes.len()) {
        Ok(length) if length <= LARGEST => Ok(bytes),
        _ => Err(FetchError::TooLarge { name: name.to_owned(), limit: LARGEST }),
    }
}
