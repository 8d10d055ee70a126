//! Who we are to a registry: the docker config's credentials, offered only when the registry asks for them.

use super::refusal::RegistryError;
use docker_credential::{CredentialRetrievalError, DockerCredential};
use oci_client::secrets::RegistryAuth;
use std::path::{Path, PathBuf};

/// Credentials for one registry. Holds secrets: no `Debug`, no `Display`.
#[derive(Clone)]
pub(super) struct Credentials {
    pub(super) secret: Secret,
    /// Where they came from, for a person: "the docker config's user ci".
    pub(super) origin: String,
}

#[derive(Clone)]
pub(super) enum Secret {
    None,
    Password {
        user: String,
        password: String,
    },
    /// An OAuth2 refresh token, as Azure's and Google's helpers give.
    Refresh(String),
}

impl Credentials {
    fn none(origin: impl Into<String>) -> Self {
        Self { secret: Secret::None, origin: origin.into() }
    }

    /// In oci-client's terms; a refresh token must be exchanged first.
    pub(super) fn auth(&self) -> RegistryAuth {
        match &self.secret {
            Secret::Password { user, password } => RegistryAuth::Basic(user.clone(), password.clone()),
            Secret::None | Secret::Refresh(_) => RegistryAuth::Anonymous,
        }
    }
}

/// Looks a registry up in the docker config: `auths`, `credHelpers`, `credsStore`. Runs helpers, so it may block.
pub(super) fn find(host: &str, config: Option<&Path>) -> Credentials {
    let Some(path) = config.map(Path::to_path_buf).or_else(docker_config) else {
        return Credentials::none("no credentials (there is no docker config)");
    };
    let file = match std::fs::File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Credentials::none(format!("no credentials ({} is not there)", path.display()));
        }
        Err(error) => return Credentials::none(format!("no credentials ({} cannot be read: {error})", path.display())),
    };
    let found = docker_credential::get_credential_from_reader(std::io::BufReader::new(file), server(host));
    read(found, &path)
}

/// Docker Hub is kept under the address of its first version.
fn server(host: &str) -> &str {
    if matches!(host, "docker.io" | "index.docker.io" | "registry-1.docker.io") {
        "https://index.docker.io/v1/"
    } else {
        host
    }
}

fn docker_config() -> Option<PathBuf> {
    let directory = std::env::var_os("DOCKER_CONFIG").map(PathBuf::from);
    let directory = directory.or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".docker")));
    directory.map(|directory| directory.join("config.json"))
}

fn read(found: Result<DockerCredential, CredentialRetrievalError>, path: &Path) -> Credentials {
    let path = path.display();
    match found {
        Ok(DockerCredential::UsernamePassword(user, password)) => {
            let origin = format!("user {user} of {path}");
            // Helpers end their output with a newline, which no header may hold.
            Credentials {
                secret: Secret::Password { user, password: password.trim_end_matches(['\r', '\n']).to_owned() },
                origin,
            }
        }
        Ok(DockerCredential::IdentityToken(token)) => Credentials {
            secret: Secret::Refresh(token.trim().to_owned()),
            origin: format!("the identity token of {path}"),
        },
        Err(CredentialRetrievalError::NoCredentialConfigured) => {
            Credentials::none(format!("no credentials ({path} has none for it)"))
        }
        // What a helper printed may hold secrets: only its name is repeated.
        Err(CredentialRetrievalError::HelperFailure { helper, stdout, stderr }) => {
            if stdout.contains("not found") || stderr.contains("not found") {
                return Credentials::none(format!("no credentials ({helper} has none for it)"));
            }
            Credentials::none(format!("no credentials ({helper} failed)"))
        }
        Err(CredentialRetrievalError::HelperCommunicationError | CredentialRetrievalError::MalformedHelperResponse) => {
            Credentials::none(format!(
                "no credentials (the credential helper of {path} could not be run, or answered badly)"
            ))
        }
        Err(_) => Credentials::none(format!("no credentials ({path} could not be understood)")),
    }
}

/// What a registry wants, from its `WWW-Authenticate` header (RFC 7235; distribution's token authentication).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String> },
    Other,
}

impl Challenge {
    pub(super) fn parse(header: &str) -> Self {
        let (scheme, rest) = header.trim().split_once(char::is_whitespace).unwrap_or((header.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Self::Basic;
        }
        let find =
            |name: &str| parameters(rest).find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value);
        match find("realm") {
            Some(realm) if scheme.eq_ignore_ascii_case("bearer") => Self::Bearer { realm, service: find("service") },
            _ => Self::Other,
        }
    }
}

/// `a="b",c=d` in pairs; a quoted value may hold commas.
fn parameters(text: &str) -> impl Iterator<Item = (String, String)> + '_ {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (key, after) = rest.split_once('=')?;
        let key = key.trim_matches([',', ' ']).to_owned();
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => after.split_once(',').unwrap_or((after, "")),
        };
        rest = next;
        Some((key, value.to_owned()))
    })
}

/// Exchanges a refresh token for one that reads, or reads and writes, one repository (OAuth2, RFC 6749 §6, as
/// distribution's "Docker Registry v2 authentication using OAuth2" has it).
pub(super) async fn refresh(
    http: &reqwest::Client,
    challenge: &Challenge,
    scope: &str,
    token: &str,
    encrypted: bool,
    refused: impl Fn() -> RegistryError,
) -> Result<String, RegistryError> {
    let Challenge::Bearer { realm, service } = challenge else { return Err(refused()) };
    // A token must not leave an encrypted connection for one in the clear.
    if encrypted && !realm.starts_with("https://") {
        return Err(refused());
    }
    let url = reqwest::Url::parse_with_params(
        "http://form/",
        [
            ("grant_type", "refresh_token"),
            ("client_id", "imgctl"),
            ("refresh_token", token),
            ("scope", scope),
            ("service", service.as_deref().unwrap_or_default()),
        ],
    );
    let form = url.map_err(|_| refused())?.query().unwrap_or_default().to_owned();
    let call = http.post(realm).header("Content-Type", "application/x-www-form-urlencoded").body(form);
    let answer = call.send().await.map_err(|_| refused())?;
    #[derive(serde::Deserialize)]
    struct Answer {
        access_token: Option<String>,
        token: Option<String>,
    }
    let answer: Answer = answer.error_for_status().map_err(|_| refused())?.json().await.map_err(|_| refused())?;
    answer.access_token.or(answer.token).ok_or_else(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_read_as_registries_write_it() {
        let bearer = r#"Bearer realm="https://auth.example.com/token?a=b,c",service="registry.example.com",scope="x""#;
        let (realm, service) =
            ("https://auth.example.com/token?a=b,c".to_owned(), Some("registry.example.com".to_owned()));
        assert_eq!(Challenge::parse(bearer), Challenge::Bearer { realm, service });
        assert_eq!(Challenge::parse(r#"basic realm="x""#), Challenge::Basic);
        assert_eq!(
            Challenge::parse("Bearer realm=https://a/t, service=s"),
            Challenge::Bearer { realm: "https://a/t".into(), service: Some("s".into()) }
        );
        assert_eq!(Challenge::parse("Negotiate"), Challenge::Other);
        assert_eq!(Challenge::parse("Bearer"), Challenge::Other);
    }

    #[test]
    fn credentials_come_from_the_docker_config_and_say_so() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.json");
        assert!(find("r.example.com", Some(&path)).origin.contains("is not there"));
        std::fs::write(&path, r#"{"auths": {"r.example.com": {"auth": "Y2k6czNjcmV0"}, "https://index.docker.io/v1/": {"identitytoken": "t0ken"}}}"#).unwrap();
        let found = find("r.example.com", Some(&path));
        assert!(matches!(&found.secret, Secret::Password { user, password } if user == "ci" && password == "s3cret"));
        assert!(found.origin.starts_with("user ci of ") && !found.origin.contains("s3cret"));
        assert!(matches!(find("docker.io", Some(&path)).secret, Secret::Refresh(token) if token == "t0ken"));
        assert!(find("other.example.com", Some(&path)).origin.contains("has none for it"));
        std::fs::write(&path, "{").unwrap();
        assert!(find("r.example.com", Some(&path)).origin.contains("could not be understood"));
    }

    #[test]
    fn what_a_helper_printed_is_not_repeated() {
        let failure = CredentialRetrievalError::HelperFailure {
            helper: "docker-credential-x".to_owned(),
            stdout: "password=hunter2".to_owned(),
            stderr: String::new(),
        };
        let origin = read(Err(failure), Path::new("/c.json")).origin;
        assert_eq!(origin, "no credentials (docker-credential-x failed)");
    }
}
