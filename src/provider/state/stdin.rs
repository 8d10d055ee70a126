//! A state on standard input: `terraform state pull | imgctl drift --state -`.

use super::{FetchError, StateSource, read_all};

/// Standard input; it can be read once.
pub struct StateStdin;

#[async_trait::async_trait]
impl StateSource for StateStdin {
    fn name(&self) -> &str {
        "standard input"
    }

    async fn fetch(&self) -> Result<Vec<u8>, FetchError> {
        let input = std::io::stdin();
        let bytes = tokio::task::spawn_blocking(move || {
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(&mut input.lock(), &mut bytes).map(|_| bytes)
        });
        let read = bytes.await.map_err(std::io::Error::other).and_then(|read| read);
        let bytes = read.map_err(|source| FetchError::Read { name: self.name().to_owned(), source })?;
        let length = bytes.len() as u64;
        read_all(self.name(), bytes.as_slice(), length).await
    }
}
